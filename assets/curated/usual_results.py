"""What is usual in this study: centre and spread of each test, which single results are compared with.

A table of its own, with a row per test: the tables of subjects are made anew whole only when one of these numbers
changes. That is about once a month: only results of the months that are over count, and each number is rounded to the
second figure of its spread, which a late result hardly moves.
"""

import dataframely as dy
import polars as pl

from assets.curated.measured import NORMAL, change, scaled
from assets.study import LEAST_OF_TEST, LOGARITHMIC
from lakehouse.curated import Curated, Through

SCALE = "^(plain|log10)$"


class UsualResult(dy.Schema):
    """Centre and spread of one test over the sampled subjects and all their visits."""

    source = dy.String(description="Name of the source.")
    paramcd = dy.String(description="Short name of the parameter (ADaM PARAMCD).")
    scale = dy.String(regex=SCALE, description="Whether results are judged as they are or by their logarithm.")
    centre = dy.Float64(nullable=True, description="Median, on that scale; null with fewer than 30 results.")
    spread = dy.Float64(
        nullable=True, description="1.4826 x median absolute deviation, on that scale; null where that is 0."
    )
    change_spread = dy.Float64(
        nullable=True, description="The same of changes from a subject's result to its next; null where that is 0."
    )


def usual_results(results: pl.LazyFrame) -> pl.LazyFrame:
    """Median and scaled median absolute deviation of each test's results and of their changes from visit to visit.

    Spread = 1.4826 x median(|x - median(x)|). Sources: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993);
    Rousseeuw and Croux, Alternatives to the Median Absolute Deviation, JASA 88 (1993), for the factor. A month counts
    once there is a result of a later one; a result whose day is not known never does. Both numbers are rounded to the
    second figure of the spread, so that they stay as they are while results come in.
    """
    test = ["source", "paramcd"]
    rows = (
        results.filter(pl.col("adt") < pl.col("adt").max().dt.month_start())
        .with_columns(x=scaled(pl.col("aval")))
        .drop_nulls("x")
        .with_columns(d=change())
        .with_columns(_centre=pl.col("x").median().over(test), _usual_change=pl.col("d").median().over(test))
    )
    enough, changes = pl.len() >= LEAST_OF_TEST, pl.col("d").count() >= LEAST_OF_TEST
    found = rows.group_by(test).agg(
        centre=pl.when(enough).then(pl.col("_centre").first()),
        spread=pl.when(enough).then(NORMAL * (pl.col("x") - pl.col("_centre")).abs().median()),
        change_spread=pl.when(changes).then(NORMAL * (pl.col("d") - pl.col("_usual_change")).abs().median()),
    )
    # Differences of equal doubles may leave some last bits.
    spreads = [pl.when(pl.col(name) > 1e-9).then(name).alias(name) for name in ("spread", "change_spread")]
    logarithmic = pl.col("paramcd").is_in(LOGARITHMIC)
    return (
        found.with_columns(spreads)
        .with_columns(
            centre=_to_second_figure("centre", "spread"),
            spread=pl.col("spread").round_sig_figs(2),
            change_spread=pl.col("change_spread").round_sig_figs(2),
            scale=pl.when(logarithmic).then(pl.lit("log10")).otherwise(pl.lit("plain")),
        )
        .select(UsualResult.column_names())
    )


def _to_second_figure(value: str, of: str) -> pl.Expr:
    """A number rounded to the place of the second significant figure of another."""
    place = pl.lit(10.0).pow(pl.col(of).log10().floor() - 1)
    exact = (pl.col(value) / place).round(0) * place
    return pl.when(pl.col(of).is_not_null()).then(exact.round_sig_figs(12)).otherwise(value)


USUAL_RESULTS = Curated(
    name="usual_results",
    description="Centre and spread of each test in this study: what single results are compared with. Blinded.",
    owner="team:clinical-data",
    contract=UsualResult,
    key=("source", "paramcd"),
    inputs=("curated/reference_results",),
    transform=usual_results,
    through=Through("quality.deliveries", "behind.source = this.source"),
)
