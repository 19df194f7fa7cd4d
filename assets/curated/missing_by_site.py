"""What is missing per site, test and visit, in numbers that add up over sites."""

import dataframely as dy
import polars as pl

from assets.curated.scheduled_results import LEFT, NO_RESULT, NO_VISIT, NOT_DONE, PRESENT
from lakehouse.curated import Curated, Through

COUNTED = {
    "present": PRESENT,
    "not_done": NOT_DONE,
    "no_result": NO_RESULT,
    "visit_missed": NO_VISIT,
    "left_study": LEFT,
}
VISIT = ["source", "paramcd", "basetype", "avisitn"]
# What each way to deal with missing results takes for the value.
POLICIES = {
    "keep": pl.col("aval"),
    "drop": pl.when(pl.col("complete")).then(pl.col("aval")),
    "carry": pl.col("carried"),
}


class MissingBySite(dy.Schema):
    """One test, time point and visit of one site: counts, and n, mean and sum of squared deviations per policy."""

    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    source = dy.String(description="Name of the source.")
    paramcd = dy.String(description="Short name of the parameter (ADaM PARAMCD).")
    basetype = dy.String(nullable=True, description="Time point, where a visit has several (ADaM BASETYPE).")
    avisitn = dy.Int64(description="Week of the analysis visit, 0 for baseline (ADaM AVISITN).")
    expected = dy.Int64(description="Results that the schedule asks for by now.")
    present = dy.Int64(description="Results that are there, also those in words.")
    not_done = dy.Int64(description="Missing: the site said that it was not done.")
    no_result = dy.Int64(description="Missing: the visit took place.")
    visit_missed = dy.Int64(description="Missing: the visit did not take place, a later one did (intermittent).")
    left_study = dy.Int64(description="Missing: the subject had left the study (monotone).")
    keep_n = dy.Int64(description="Numbers there are.")
    keep_mean = dy.Float64(nullable=True, description="Their mean.")
    keep_squares = dy.Float64(nullable=True, description="Their squared deviations from it, added.")
    drop_n = dy.Int64(description="Numbers of subjects with nothing missing in the series.")
    drop_mean = dy.Float64(nullable=True, description="Their mean.")
    drop_squares = dy.Float64(nullable=True, description="Their squared deviations from it, added.")
    carry_n = dy.Int64(description="Numbers with the last one carried forward where one is missing.")
    carry_mean = dy.Float64(nullable=True, description="Their mean.")
    carry_squares = dy.Float64(nullable=True, description="Their squared deviations from it, added.")


def missing_by_site(scheduled: pl.LazyFrame) -> pl.LazyFrame:
    """Counts by status, and the moments of each policy, per site, test, time point and visit.

    Twelve significant digits, so that the order in which rows were added does not show.
    """
    numbers: dict[str, pl.Expr] = {}
    for name, value in POLICIES.items():
        numbers[f"{name}_n"] = value.count().cast(pl.Int64)
        numbers[f"{name}_mean"] = value.mean().round_sig_figs(12)
        squares = ((value - value.mean()) ** 2).sum().round(12).round_sig_figs(12)
        numbers[f"{name}_squares"] = pl.when(value.count() > 0).then(squares)
    counts = {name: (pl.col("status") == status).sum().cast(pl.Int64) for name, status in COUNTED.items()}
    return (
        scheduled.group_by("siteid", *VISIT)
        .agg(expected=pl.len().cast(pl.Int64), **counts, **numbers)
        .select(MissingBySite.column_names())
    )


MISSING_BY_SITE = Curated(
    name="missing_by_site",
    description="What is missing per site, test and visit, in numbers that add up over sites. Blinded.",
    owner="team:clinical-data",
    contract=MissingBySite,
    key=("siteid", *VISIT),
    by="siteid",
    inputs=("curated/scheduled_results",),
    transform=missing_by_site,
    through=Through("quality.deliveries", "behind.source = this.source and behind._site = this.siteid"),
    warehouse=None,
)
