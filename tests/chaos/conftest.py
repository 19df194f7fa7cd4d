"""The modules beside this file, and those of the engine's tests, are imported by their plain names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for folder in (Path(__file__).parent, Path(__file__).parent.parent / "lakehouse"):
    sys.path.insert(0, str(folder))

from embedded import postgres_home  # noqa: E402

from lakehouse import postgres  # noqa: E402


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of an embedded PostgreSQL of its own."""
    with postgres_home() as settings, postgres.serving(settings) as url:
        yield url
