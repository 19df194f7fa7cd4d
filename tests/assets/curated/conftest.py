"""The comparison with the published datasets, for the tests here that use it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
