"""What was known when: every version of a source's rows that ever counted, not only the one that counts now.

`processed` holds the newest version of each row. Whoever asks what was known on an earlier day needs the one that
counted then. Each version here has the day from which it was known, `_known`, and the day from which it was not any
more, `_until`, because it was taken back: its path was delivered again, or it was withdrawn. Of the versions in force
on a day the newest is what processed held at its end; see `in_force` and `newest`.

A day is a delivery day, as long as there is no better one: the first file under a path counts from the day in its name,
on whatever day it is received, so that a study that is loaded afterwards tells what its sites knew when. What is sent
again under the same path, mended or changed, bears the day of the first, on which nobody knew it: it counts from the
day it was received (UTC), as a withdrawal counts from the day it was made. So what is told of a day that is over
changes only with a file that comes late, under the name of that day or an earlier one.

No version are records that were refused, and those of a key that two sites claim, as long as they do. That a later
snapshot lacks a key takes nothing back: it was known all the same.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from lakehouse.dialect import reading
from lakehouse.evaluate import processed_schema
from lakehouse.lake import DELIVERY, RECORD
from lakehouse.source import Source

LAYER = "history"
# What a version has beside a row of processed.
DAYS: dict[str, pl.DataType] = {"_known": pl.Date(), "_until": pl.Date()}
# Of the layers that the versions are read from, the one that stands for them first.
_LAYERS = ("processed", "superseded", "raw", "account")


def read_from(name: str) -> tuple[str, ...]:
    """The tables an input is read from: four for `history/NAME`, itself for any other."""
    layer, _, source = name.partition("/")
    return tuple(f"{layer}/{source}" for layer in _LAYERS) if layer == LAYER else (name,)


def shown_as(name: str) -> str:
    """The table that stands for an input in a graph: `processed/NAME` for `history/NAME`."""
    return read_from(name)[0]


def schema(source: Source) -> dict[str, pl.DataType]:
    """Columns and types: those of processed but for what a rule has flagged, and `DAYS`."""
    return {**{name: kind for name, kind in processed_schema(source).items() if name != "_warnings"}, **DAYS}


def in_force(day: pl.Expr) -> pl.Expr:
    """Whether a version was known on a day and had not been taken back."""
    return (pl.col("_known") <= day) & (pl.col("_until").is_null() | (pl.col("_until") > day))


def newest(versions: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Of versions that are in force at one time, the one of each key that counts."""
    return versions.sort("_delivered", "_file", "_line").unique(key, keep="last")


def current(versions: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Of each key the version that counts now, if one does."""
    return newest(versions.filter(pl.col("_until").is_null()), key)


def as_of(versions: pl.LazyFrame, day: date) -> pl.LazyFrame:
    """The versions as they were on record at the end of a day: without what was taken back later being so."""
    until = pl.when(pl.col("_until") <= day).then("_until")
    return versions.filter(pl.col("_known") <= day).with_columns(_until=until)


def older(source: Source, superseded: pl.LazyFrame) -> pl.LazyFrame:
    """Where in raw the versions are that are no rows of processed, and `_ended_at`, when they were taken back."""
    # Only a record that kept the contract has a key there.
    keyed = pl.any_horizontal(pl.col(name).is_not_null() for name in source.key)
    return superseded.filter(pl.col("_kind") != "contested", keyed).select(*RECORD, "_ended_at")


def again(account: pl.LazyFrame) -> pl.LazyFrame:
    """The deliveries whose path had delivered something before."""
    return account.filter(pl.col("_observation") > 1).select(DELIVERY)


def history(
    source: Source, processed: pl.LazyFrame, older: pl.LazyFrame, raw: pl.LazyFrame, again: pl.LazyFrame
) -> pl.LazyFrame:
    """Every version: the rows of processed, and the `older` ones, with the days between which each was known.

    An earlier version is made from its record in raw as it was made when it came: read by its site's dialect, tidied.
    """
    columns = [name for name in schema(source) if name not in DAYS]
    records = raw.join(older, on=RECORD, how="semi").drop("_problem", "_text")
    for site, dialect in source.dialects():
        others = list(source.site_dialects)
        where = pl.col("_site") == site if site is not None else ~pl.col("_site").is_in(others)
        records = reading(records, where, dialect, source.header, source.numbers)
    earlier = source.tidy(records).select(columns).join(older, on=RECORD, how="left")
    versions = pl.concat([processed.select(columns), earlier], how="diagonal")

    def day(moment: str) -> pl.Expr:
        # A site ahead of UTC sends a day's file on the day before.
        return pl.max_horizontal("_delivered", pl.col(moment).dt.date())

    known = pl.when("_again").then(day("_received_at")).otherwise("_delivered")
    until = pl.when(pl.col("_ended_at").is_not_null()).then(day("_ended_at"))
    return (
        versions.join(again.with_columns(_again=True), on=DELIVERY, how="left")
        .with_columns(_known=known, _until=until)
        # Of a day on which it was taken back again nobody is told.
        .filter(pl.col("_until").is_null() | (pl.col("_known") < pl.col("_until")))
        .select(list(schema(source)))
    )
