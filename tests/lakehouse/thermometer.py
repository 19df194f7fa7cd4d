"""A small source that is not about medicine, for the engine's tests: one temperature per sensor and hour."""

import dataframely as dy
import polars as pl

from lakehouse.contract import Contract
from lakehouse.source import Source

NUMBER = r"^[+-]?\d+(\.\d+)?$"


class Reading(Contract):
    """One temperature of one sensor."""

    sensor = dy.String(description="Sensor's name.")
    hour = dy.Int64(nullable=True, min=0, max=23, description="Hour of the day; null for a daily reading.")
    celsius_text = dy.String(nullable=True, description="Temperature as delivered.")
    celsius = dy.Float64(nullable=True, max=100, description="Temperature in degrees Celsius.")

    @dy.rule()
    def temperature_is_a_number(cls) -> pl.Expr:
        """The temperature is a number."""
        return pl.col("celsius_text").is_null() | pl.col("celsius").is_not_null()


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    number = pl.when(pl.col("CELSIUS").str.contains(NUMBER)).then("CELSIUS")
    return raw.select(
        pl.col("^_.*$").exclude("_extra"),
        sensor="SENSOR",
        hour=pl.col("HOUR").cast(pl.Int64, strict=False),
        celsius_text="CELSIUS",
        celsius=number.cast(pl.Float64, strict=False),
    )


THERMOMETER = Source(
    name="thermometer",
    description="Temperatures.",
    owner="team:weather",
    contract=Reading,
    tidy=tidy,
    key=("sensor", "hour"),
    columns=("SENSOR", "HOUR", "CELSIUS"),
    optional=("NOTE",),
)
