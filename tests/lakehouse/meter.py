"""A small source whose sites each write their files in their own way, for the tests of dialects."""

from collections.abc import Mapping

import dataframely as dy
import polars as pl

from lakehouse.contract import Contract
from lakehouse.dialect import PLAIN, Dialect
from lakehouse.source import Source

COLUMNS = ("METER", "VALUE", "READ")


class Reading(Contract):
    """One reading of one meter."""

    meter = dy.String(description="Meter's name.")
    value_text = dy.String(nullable=True, description="Reading, as tidy was given it.")
    value = dy.Float64(nullable=True, description="Reading in cubic metres.")
    read = dy.String(nullable=True, description="Day it was read, ISO 8601, may be partial.")
    read_date = dy.Date(nullable=True, description="That day; null when it is partial.")
    note = dy.String(nullable=True, description="What the reader says.")

    @dy.rule()
    def value_is_a_number(cls) -> pl.Expr:
        """The value is a number."""
        return pl.col("value_text").is_null() | pl.col("value").is_not_null()

    @dy.rule()
    def day_is_real(cls) -> pl.Expr:
        """The day exists; month and day may be left off."""
        return pl.col("read_date").is_not_null() | pl.col("read").str.contains(r"^[0-9]{4}(-(0[1-9]|1[0-2]))?$")


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select(
        pl.col("^_.*$").exclude("_extra"),
        meter="METER",
        value_text="VALUE",
        value=pl.col("VALUE").cast(pl.Float64, strict=False),
        read="READ",
        read_date=pl.col("READ").str.to_date("%Y-%m-%d", strict=False),
        note="NOTE",
    )


def source(dialect: Dialect = PLAIN, site_dialects: Mapping[str, Dialect] | None = None) -> Source:
    """The meters, read by sites that write like this."""
    return Source(
        name="meters",
        description="Meters.",
        owner="team:water",
        contract=Reading,
        tidy=tidy,
        key=("meter",),
        columns=COLUMNS,
        optional=("NOTE",),
        numbers=("VALUE",),
        dialect=dialect,
        site_dialects=site_dialects or {},
    )
