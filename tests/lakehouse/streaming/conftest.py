"""The modules beside this file, and the broker of the feeds' tests, are imported by their plain names.

And what tests of services share: a broker, a webhook's receiver and a lake.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.lake import Lake

for folder in (Path(__file__).parent, Path(__file__).parent.parent / "feeds"):
    sys.path.insert(0, str(folder))

import broker  # noqa: E402
from rates import Receiver, receiving  # noqa: E402


@pytest.fixture(scope="module")
def kafka() -> Iterator[broker.Broker]:
    with broker.serving() as up:
        yield up


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    with receiving() as up:
        yield up


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))
