"""Fixtures of the feeds' tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import api

from assets.pilot.laboratory import Laboratory
from lakehouse.feeds import http


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[api.Api]:
    """A server with 45 records, and a landing; nobody waits long."""
    monkeypatch.setattr(http, "FIRST_WAIT", 0.01)
    laboratory = Laboratory([api.record(number) for number in range(45)])
    with api.serving(laboratory) as url:
        yield api.Api(url, laboratory, api.Landing())
