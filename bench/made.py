"""A source and files of any size for it, made up: a measured value of a subject, about 100 bytes a record."""

from pathlib import Path

import dataframely as dy
import polars as pl

from lakehouse.contract import Contract
from lakehouse.source import Source

_BLOCK = 500_000


class Result(Contract):
    """One measured value of one subject, as a device or a laboratory sends it."""

    study = dy.String()
    subject = dy.String(regex=r"^701-\d+$")
    test = dy.String(min_length=2)
    number = dy.Int64(min=0)
    at = dy.String()
    value_text = dy.String(nullable=True)
    value = dy.Float64(nullable=True, min=0, max=1000)
    unit = dy.String(nullable=True)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Numbers beside their text."""
    return raw.select(
        pl.col("^_.*$").exclude("_extra"),
        study="STUDY",
        subject="SUBJECT",
        test="TEST",
        number=pl.col("NUMBER").cast(pl.Int64, strict=False),
        at="AT",
        value_text="VALUE",
        value=pl.col("VALUE").cast(pl.Float64, strict=False),
        unit="UNIT",
    )


RESULTS = Source(
    name="results",
    description="Measured values.",
    owner="team:bench",
    contract=Result,
    tidy=tidy,
    key=("subject", "test", "number"),
    columns=("STUDY", "SUBJECT", "TEST", "NUMBER", "AT", "VALUE", "UNIT", "COMMENT"),
)


def write(file: Path, rows: int, begin: int = 0, subjects: int = 5000) -> None:
    """A file of so many records, one in a thousand of them out of range.

    begin: the number of the first. Each subject's records have numbers of their own, in the order of the records.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        for at in range(begin, begin + rows, _BLOCK):
            n = pl.int_range(at, min(at + _BLOCK, begin + rows), eager=True).alias("n")
            frame = pl.DataFrame(n).select(
                STUDY=pl.lit("CDISCPILOT01"),
                SUBJECT=pl.format("701-{}", 1000 + pl.col("n") % subjects),
                TEST=pl.lit("TEMPERATURE"),
                NUMBER=pl.col("n") // subjects,
                AT=pl.format("2020-01-01T{}:{}", 10 + pl.col("n") % 14, 10 + pl.col("n") % 50),
                VALUE=pl.when(pl.col("n") % 1000 == 0).then(99999.5).otherwise((pl.col("n") * 7919 % 10000) / 10),
                UNIT=pl.lit("degrees Celsius"),
                COMMENT=pl.lit("measured twice; mean taken"),
            )
            frame.write_csv(stream, include_header=at == begin)
