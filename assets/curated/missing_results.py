"""What is missing per test and visit, and what each way to deal with it would make of the summary."""

import dataframely as dy
import polars as pl

from assets.curated.missing_by_site import COUNTED, POLICIES, VISIT, MissingBySite
from lakehouse.curated import Curated, Through


class MissingResult(dy.Schema):
    """One test, time point and visit over all randomised subjects; the first five counts add up to `expected`."""

    source = MissingBySite.source
    paramcd = MissingBySite.paramcd
    basetype = MissingBySite.basetype
    avisitn = MissingBySite.avisitn
    expected = MissingBySite.expected
    present = MissingBySite.present
    not_done = MissingBySite.not_done
    no_result = MissingBySite.no_result
    visit_missed = MissingBySite.visit_missed
    left_study = MissingBySite.left_study
    keep_n = dy.Int64(description="Numbers there are: observed cases.")
    keep_mean = dy.Float64(nullable=True, description="Mean of the observed cases.")
    keep_sd = dy.Float64(nullable=True, description="Standard deviation of the observed cases.")
    drop_n = dy.Int64(description="Numbers of subjects with nothing missing in the series: complete cases.")
    drop_mean = dy.Float64(nullable=True, description="Mean of the complete cases.")
    drop_sd = dy.Float64(nullable=True, description="Standard deviation of the complete cases.")
    carry_n = dy.Int64(description="Numbers with the last one carried forward where one is missing.")
    carry_mean = dy.Float64(nullable=True, description="Mean with the last one carried forward.")
    carry_sd = dy.Float64(nullable=True, description="Standard deviation with the last one carried forward.")


def missing_results(by_site: pl.LazyFrame) -> pl.LazyFrame:
    """Counts by status, and n, mean and SD (n - 1) of each policy, per test, time point and visit.

    keep: what was observed. drop: subjects with nothing missing in the series. carry: the last observation carried
    forward, from baseline on. None of them is right when what is missing tells something; beside each other they show
    how much the choice matters. Moments of sites are put together as Chan, Golub and LeVeque have it (Updating Formulae
    and a Pairwise Algorithm for Computing Sample Variances, 1979). Source of the question: ICH E9(R1) (2019), section
    A.5, on sensitivity to missing data. Nine significant digits.
    """
    summed: dict[str, pl.Expr] = {}
    for name in POLICIES:
        n, mean, squares = (pl.col(f"{name}_{part}") for part in ("n", "mean", "squares"))
        total = (n * mean).sum() / n.sum()
        within, between = squares.sum(), (n * (mean - total) ** 2).sum()
        summed[f"{name}_n"] = n.sum()
        summed[f"{name}_mean"] = pl.when(n.sum() > 0).then(total.round_sig_figs(9))
        sd = ((within + between) / (n.sum() - 1)).sqrt()
        # What is nothing but last bits is nothing.
        summed[f"{name}_sd"] = pl.when(n.sum() > 1).then(sd.round(9).round_sig_figs(9))
    return (
        by_site.group_by(VISIT).agg(pl.col("expected", *COUNTED).sum(), **summed).select(MissingResult.column_names())
    )


MISSING_RESULTS = Curated(
    name="missing_results",
    description="What is missing per test and visit, and n, mean and SD when it is kept, dropped or carried forward.",
    owner="team:clinical-data",
    contract=MissingResult,
    key=tuple(VISIT),
    inputs=("curated/missing_by_site",),
    transform=missing_results,
    through=Through("quality.deliveries", "behind.source = this.source"),
)
