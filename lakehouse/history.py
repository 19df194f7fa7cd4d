"""What was known when: every version of a source's rows that was ever acceptable, not only the one that counts now.

`processed` holds the newest version of each row. Whoever asks what was known on an earlier day needs the version that
counted then: each row here has the day it was delivered on, so the rows with `_delivered` up to a day are what that
day had. Versions that were taken back (their path was delivered anew, withdrawn, or rejected) are none.
"""

import polars as pl

from lakehouse.dialect import reading
from lakehouse.evaluate import processed_schema
from lakehouse.lake import RECORD
from lakehouse.source import Source

LAYER = "history"
# Of the layers that the versions are read from, the one that stands for them first.
_LAYERS = ("processed", "superseded", "raw")


def read_from(name: str) -> tuple[str, ...]:
    """The tables an input is read from: three for `history/NAME`, itself for any other."""
    layer, _, source = name.partition("/")
    return tuple(f"{layer}/{source}" for layer in _LAYERS) if layer == LAYER else (name,)


def shown_as(name: str) -> str:
    """The table that stands for an input in a graph: `processed/NAME` for `history/NAME`."""
    return read_from(name)[0]


def schema(source: Source) -> dict[str, pl.DataType]:
    """Columns and types: those of processed but for what a rule has flagged."""
    return {name: kind for name, kind in processed_schema(source).items() if name != "_warnings"}


def beaten(source: Source, processed: pl.LazyFrame, superseded: pl.LazyFrame) -> pl.LazyFrame:
    """Where in raw the versions are that a row of processed took the place of."""
    key = list(source.key)
    lost = superseded.filter(pl.col("_kind") == "key")
    return lost.join(processed.select(key), on=key, how="semi", nulls_equal=True).select(RECORD)


def history(source: Source, processed: pl.LazyFrame, older: pl.LazyFrame, raw: pl.LazyFrame) -> pl.LazyFrame:
    """Every version of every row that processed holds: the one that counts, and the `older` ones, told by `beaten`.

    An earlier version is made from its record in raw as it was made when it came: read by its site's dialect, tidied.
    """
    columns = list(schema(source))
    records = raw.join(older, on=RECORD, how="semi").drop("_problem", "_text")
    for site, dialect in source.dialects():
        others = list(source.site_dialects)
        where = pl.col("_site") == site if site is not None else ~pl.col("_site").is_in(others)
        records = reading(records, where, dialect, source.header, source.numbers)
    return pl.concat([processed.select(columns), source.tidy(records).select(columns)])
