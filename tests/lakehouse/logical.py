"""A real PostgreSQL whose log tells changes, and a puller that lands what a feed tells of one of its tables."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import polars as pl
import psycopg2
from embedded import postgres_home

from lakehouse import postgres
from lakehouse.feeds import Extract, FeedError, Reached
from lakehouse.feeds.changes import Changes

ADDED = ("cdc_starts", "cdc_op", "cdc_lsn", "cdc_seq", "cdc_xid", "cdc_at", "cdc_unchanged")


@contextmanager
def serving() -> Iterator[str]:
    """URL of a server with wal_level logical."""
    with postgres_home() as settings:
        with postgres.serving(settings) as url:
            execute(url, "alter system set wal_level = 'logical'", "alter system set fsync = off")
        with postgres.serving(settings) as url:
            yield url


def connect(url: str, *, autocommit: bool = True) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = autocommit
    return connection


def execute(url: str, *statements: str) -> None:
    connection = connect(url)
    try:
        for statement in statements:
            connection.cursor().execute(statement)
    finally:
        connection.close()


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = connect(url)
    try:
        cursor = connection.cursor()
        cursor.execute(query)
        return cursor.fetchall()
    finally:
        connection.close()


@dataclass
class Puller:
    """Pulls one table and remembers what landed, as the lake does by its names."""

    url: str
    feed: Changes
    name: str = "things"
    landed: list[Extract] = field(default_factory=list)

    @property
    def source(self) -> Any:
        return SimpleNamespace(name=self.name)

    @property
    def reached(self) -> Reached:
        ends: dict[str, str] = {}
        last: dict[str, bytes] = {}
        for extract in self.landed:
            if extract.part.end >= ends.get(extract.part.stream, ""):
                ends[extract.part.stream], last[extract.part.stream] = extract.part.end, extract.data
        return Reached(ends, last.get)

    def pull(self, most_bytes: int = 2**20, die_after: int | None = None) -> list[Extract]:
        """What a pull told; `die_after` so many extracts nobody asks for more."""
        for attempt in range(200):
            told: list[Extract] = []
            pulling = self.feed.pull(self.url, self.source, self.reached, most_bytes)
            try:
                for extract in () if die_after == 0 else pulling:
                    told.append(extract)
                    self.landed.append(extract)
                    if len(told) == die_after:
                        break
                return told
            except FeedError as error:
                # The server takes a moment to notice that the one before is gone.
                if "55006" not in str(error) or attempt == 199:
                    raise
                time.sleep(0.05)
            finally:
                pulling.close()
        raise AssertionError

    def ingest(self) -> None:
        """What has landed is on record already."""

    def release(self) -> None:
        self.feed.release(self.url, self.source, self.reached)

    def log(self) -> pl.DataFrame:
        return log(self.landed)

    def forget(self) -> None:
        """Leave nothing of it in the database."""
        slot = f"lakehouse_{self.name}"
        for _ in range(200):
            active = rows(self.url, f"select 1 from pg_replication_slots where slot_name = '{slot}' and active")
            if not active:
                break
            time.sleep(0.05)
        execute(
            self.url,
            f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{slot}'",
            f"drop publication if exists {slot}",
        )


def log(extracts: list[Extract]) -> pl.DataFrame:
    """The changes in extracts, as a source's processed table has them."""
    read = [pl.read_parquet(io.BytesIO(extract.data)) for extract in extracts]
    assert all(set(frame.dtypes) == {pl.String} for frame in read)
    return pl.concat(read, how="diagonal").with_columns(pl.col("cdc_starts", "cdc_seq").cast(pl.Int64))


def values(frame: pl.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Rows by some columns, in order."""
    return sorted(frame.select(names).rows(), key=repr)


def texts(url: str, table: str, *names: str) -> list[tuple[Any, ...]]:
    """A table's rows as PostgreSQL's own output writes them, in order."""
    told = ", ".join(f"case when num_nulls({name}) = 0 then format('%s', {name}) end" for name in names)
    return sorted(rows(url, f"select {told} from {table}"), key=repr)
