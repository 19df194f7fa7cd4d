"""Fixtures of the engine's tests; the modules beside this file are imported by their plain names."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from house import House

from lakehouse.lake import Lake


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "landing").mkdir()
    return House(tmp_path / "landing", Lake(str(tmp_path / "lake")))


@pytest.fixture
def lake(house: House) -> Lake:
    return house.lake
