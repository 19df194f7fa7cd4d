"""The modules beside this file, and the engine's test house, are imported by their plain names."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parent.parent / "lakehouse"):
    sys.path.insert(0, str(folder))
