"""Vital signs and laboratory results as one: what the tables that look for errors have in common."""

import polars as pl

from assets.study import LOGARITHMIC

SOURCES = ("vitals", "labs")
# One series of results: of a subject, a test and, where there are several, a time point.
SERIES = ["usubjid", "source", "paramcd", "basetype"]
ORIGIN = ("_file", "_line", "_checksum", "_delivered", "_site", "_received_at")
_NAMED = ("usubjid", "siteid", "paramcd", "param", "visitnum", "visit", "adt", "avisitn", "aval", *ORIGIN)
# The factor that makes a median absolute deviation a standard deviation where values are normal: 1 / 0.6745.
NORMAL = 1.4826


def measured(vital_signs: pl.LazyFrame, lab_results: pl.LazyFrame) -> pl.LazyFrame:
    """Every result of both tables: `source`, `test`, what `_NAMED` lists, `basetype`, `orres` and `orresu`."""
    vitals = vital_signs.select(
        pl.lit("vitals").alias("source"), *_NAMED, "basetype", orres="vsorres", orresu="vsorresu", test="vstest"
    )
    labs = lab_results.select(
        pl.lit("labs").alias("source"),
        *_NAMED,
        basetype=pl.lit(None, pl.String),
        orres="lborres",
        orresu="lborresu",
        test="lbtest",
    )
    return pl.concat([vitals, labs])


def scaled(value: pl.Expr) -> pl.Expr:
    """A result on the scale it is judged on: its decimal logarithm for the study's logarithmic tests, else as it is.

    Null where there is none: nothing is known of the logarithm of 0.
    """
    logarithm = pl.when(value > 0).then(value).log10()
    return pl.when(pl.col("paramcd").is_in(LOGARITHMIC)).then(logarithm).otherwise(value)


def unscaled(value: pl.Expr) -> pl.Expr:
    """A number on that scale as a result again, with six significant digits."""
    back = pl.when(pl.col("paramcd").is_in(LOGARITHMIC)).then(pl.lit(10.0).pow(value)).otherwise(value)
    return back.round_sig_figs(6)


def change() -> pl.Expr:
    """By how much `x` differs from the subject's result before it, visit by visit; null for the first of a series."""
    return pl.col("x") - pl.col("x").shift(1).over(SERIES, order_by="visitnum")
