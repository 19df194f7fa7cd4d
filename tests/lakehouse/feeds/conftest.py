"""Fixtures of the feeds' tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import api
from logical import Puller, execute, serving

from assets.pilot.laboratory import Laboratory
from lakehouse.feeds import http
from lakehouse.feeds.changes import Changes


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """URL of a PostgreSQL whose log tells changes."""
    with serving() as url:
        yield url


@pytest.fixture
def things(url: str) -> Iterator[Puller]:
    """A puller of `public.things`, which has a key, a text, and a text that is kept out of line when it is large."""
    execute(
        url,
        "create table things (id int primary key, word text, big text)",
        "alter table things alter big set storage external",
    )
    puller = Puller(url, Changes(system="edc", table="public.things", key=("id",)))
    yield puller
    puller.forget()
    execute(url, "drop table if exists things cascade")


@pytest.fixture
def parts(url: str) -> Iterator[Puller]:
    """A puller of `public.parts`, which has two partitions with rows."""
    execute(
        url,
        "create table parts (id int primary key, word text) partition by range (id)",
        "create table parts_a partition of parts for values from (0) to (10)",
        "create table parts_b partition of parts for values from (10) to (20) partition by range (id)",
        "create table parts_c partition of parts_b for values from (10) to (15)",
        "insert into parts values (1, 'a'), (11, 'b')",
    )
    puller = Puller(url, Changes(system="edc", table="public.parts", key=("id",)), name="parts")
    puller.pull()
    yield puller
    puller.forget()
    execute(url, "drop table parts cascade", "drop table if exists parts_a, parts_b, parts_c, more")


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[api.Api]:
    """A server with 45 records, and a landing; nobody waits long."""
    monkeypatch.setattr(http, "FIRST_WAIT", 0.01)
    laboratory = Laboratory([api.record(number) for number in range(45)])
    with api.serving(laboratory) as url:
        yield api.Api(url, laboratory, api.Landing())
