"""The modules beside this file, and the broker of the feeds' tests, are imported by their plain names."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parent.parent / "feeds"):
    sys.path.insert(0, str(folder))
