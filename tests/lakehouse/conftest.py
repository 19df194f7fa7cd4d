"""Fixtures of the engine's tests; the modules beside this file are imported by their plain names."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import s3
from embedded import postgres_home
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
def untouched() -> Iterator[Settings]:
    """Settings of an embedded PostgreSQL that nobody has started yet."""
    with postgres_home() as settings:
        yield settings


@pytest.fixture(scope="session")
def stopped() -> Iterator[Settings]:
    """An embedded PostgreSQL that was started once and is down."""
    with postgres_home() as settings:
        with postgres.serving(settings):
            pass
        yield settings


@pytest.fixture
def quiet(stopped: Settings) -> Iterator[Settings]:
    """A copy of it to start, at the cost of a copy."""
    with postgres_home() as settings:
        subprocess.run(["cp", "-a", stopped.postgres, settings.postgres], check=True)
        yield settings


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of an embedded PostgreSQL that is up for all tests."""
    with postgres_home() as settings, postgres.serving(settings) as url:
        yield url


@pytest.fixture(scope="session")
def bucket() -> Iterator[s3.Bucket]:
    """An S3 bucket that is there for all tests."""
    with s3.serving() as bucket:
        yield bucket
