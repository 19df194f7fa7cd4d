"""Fixtures of the engine's tests; the modules beside this file are imported by their plain names."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from house import House

from lakehouse import postgres
from lakehouse.lake import Lake
from lakehouse.settings import Settings


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "landing").mkdir()
    return House(tmp_path / "landing", Lake(str(tmp_path / "lake")))


@pytest.fixture
def lake(house: House) -> Lake:
    return house.lake


@pytest.fixture
def quiet() -> Iterator[Settings]:
    """Settings of an embedded PostgreSQL that nobody has started yet."""
    # Near the root: the path of a socket is short. Open to the server's own user, who is not root.
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    home.chmod(0o755)
    settings = Settings(home=home)
    yield settings
    postgres.stop(settings)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of an embedded PostgreSQL that is up for all tests."""
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    home.chmod(0o755)
    with postgres.serving(Settings(home=home)) as url:
        yield url
    shutil.rmtree(home)
