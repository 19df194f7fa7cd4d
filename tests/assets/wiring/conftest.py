"""A small lakehouse without a warehouse, for what the wiring says of it: the engine's own thermometer."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "lakehouse"))

from house import House

from lakehouse.lake import Lake


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "landing").mkdir()
    return House(tmp_path / "landing", Lake(str(tmp_path / "lake")))
