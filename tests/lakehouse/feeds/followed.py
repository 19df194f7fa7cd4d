"""The table of `audited`, followed: its changes in a lake, what it is and was, and whether that is so."""

from dataclasses import replace

import dataframely as dy
import polars as pl
from audited import COLUMNS, Model
from logical import rows, texts, values

from lakehouse import changes
from lakehouse.contract import Contract
from lakehouse.curated import Curated
from lakehouse.feeds.changes import Changes
from lakehouse.formats.parquet import Parquet
from lakehouse.source import Source

KEY = ("id", "part")
ADDED = ("cdc_op", "cdc_lsn", "cdc_seq", "cdc_xid", "cdc_at", "cdc_unchanged", "cdc_starts")


class Change(Contract):
    """A change of a thing, as PostgreSQL writes it."""

    id = dy.String(nullable=True)
    part = dy.String(nullable=True)
    word = dy.String(nullable=True)
    big = dy.String(nullable=True)
    more = dy.String(nullable=True)
    cdc_op = dy.String()
    cdc_starts = dy.Int64()
    cdc_lsn = dy.String()
    cdc_seq = dy.Int64()
    cdc_xid = dy.String(nullable=True)
    cdc_at = dy.Datetime(time_unit="us", time_zone="UTC")
    cdc_unchanged = dy.String(nullable=True)


class Worded(Change):
    """A change of a thing that has a word."""

    @dy.rule()
    def worded(cls) -> pl.Expr:
        """A row has its word."""
        left = pl.col("cdc_op").is_in(["insert", "update", "snapshot"])
        return ~left | pl.col("word").is_not_null() | changes.left_out("word")


class Now(Contract):
    """A thing as it is."""

    id = dy.String()
    part = dy.String()
    word = dy.String(nullable=True)
    big = dy.String(nullable=True)
    more = dy.String(nullable=True)
    cdc_op = dy.String()
    cdc_starts = dy.Int64()
    cdc_lsn = dy.String()
    cdc_seq = dy.Int64()
    cdc_xid = dy.String(nullable=True)
    cdc_at = dy.Datetime(time_unit="us", time_zone="UTC")


class Past(Now):
    """A thing as it was."""

    valid_from = dy.Datetime(time_unit="us", time_zone="UTC")
    valid_to = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    until_starts = dy.Int64(nullable=True)
    until_lsn = dy.String(nullable=True)
    is_current = dy.Bool()


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    return changes.typed(raw).select(Change.column_names())


FEED = Changes(system="edc", table="public.things", key=KEY)
SOURCE = Source(
    name="things",
    description="Changes of things.",
    owner="team:tests",
    contract=Change,
    tidy=tidy,
    key=(*KEY, "cdc_starts", "cdc_lsn", "cdc_seq"),
    columns=(*COLUMNS, *ADDED),
    optional=("more",),
    path="{site}/{name}/{day}_{part}.parquet",
    dialect=Parquet(),
    feed=FEED,
)
NOW = Curated(
    name="now",
    description="Things.",
    owner="team:tests",
    contract=Now,
    key=KEY,
    inputs=("processed/things",),
    transform=lambda log: changes.current(log, [*KEY]).select(Now.column_names()),
    of_log=True,
)
PAST = replace(
    NOW,
    name="past",
    contract=Past,
    key=(*KEY, "cdc_starts", "cdc_lsn"),
    transform=lambda log: changes.history(log, [*KEY]).select(Past.column_names()),
)


def agrees(model: Model, log: pl.DataFrame, now: pl.DataFrame, past: pl.DataFrame) -> None:
    """The log in a lake has what each transaction did, once; the other tables are what the database went through."""
    did = f"select xid, id, part, word from audit where op = 'put' and xid = any(array{model.committed}::text[])"
    told = log.filter(pl.col("cdc_op").is_in(["insert", "update"]))
    assert values(told, "cdc_xid", *KEY, "word") == sorted(rows(model.url, did), key=repr)
    assert values(now, *model.columns) == texts(model.url, "things", *model.columns)
    remembers(model, log, now, past)


def remembers(model: Model, log: pl.DataFrame, now: pl.DataFrame, past: pl.DataFrame) -> None:
    """The versions of rows are those that the transactions left."""
    until = dict(log.select("cdc_lsn", "cdc_xid").rows())
    ended = past.with_columns(until=pl.col("until_lsn").replace_strict(until, default=None, return_dtype=pl.String))
    # Versions that came of no transaction are of rows that were told again.
    made = values(ended.filter(pl.col("cdc_op") != "snapshot"), *COLUMNS, "cdc_xid", "until")
    if model.valued:
        assert [row[:-1] for row in made] == [row[:-1] for row in model.versions()]
    else:
        assert made == model.versions()
    assert values(past.filter("is_current"), *COLUMNS) == values(now, *COLUMNS)
