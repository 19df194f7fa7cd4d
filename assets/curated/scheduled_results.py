"""Every result the schedule asks for of a randomised subject, there or not, and how it came to be missing."""

import dataframely as dy
import polars as pl

from assets import study
from lakehouse.curated import Curated, Through

PRESENT, NOT_DONE, NO_RESULT, NO_VISIT, LEFT = "present", "not done", "no result", "visit missed", "left the study"
STATUSES = (PRESENT, NOT_DONE, NO_RESULT, NO_VISIT, LEFT)
SERIES = ["usubjid", "source", "paramcd", "basetype"]


class ScheduledResult(dy.Schema):
    """One result that the schedule asks for."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    source = dy.String(description="Name of the source.")
    paramcd = dy.String(description="Short name of the parameter (ADaM PARAMCD).")
    basetype = dy.String(nullable=True, description="Time point, where a visit has several (ADaM BASETYPE).")
    avisitn = dy.Int64(description="Week of the analysis visit, 0 for baseline (ADaM AVISITN).")
    visitnum = dy.Float64(description="Planned visit of it (SDTM VISITNUM).")
    visitdt = dy.Date(nullable=True, description="Day the subject came to that visit; null when it did not.")
    status = dy.String(
        regex=f"^({'|'.join(STATUSES)})$",
        description="present, not done (the site said so), no result (the visit took place), visit missed (a later one "
        "took place) or left the study.",
    )
    aval = dy.Float64(nullable=True, description="Analysis value; null when missing, or in words (ADaM AVAL).")
    carried = dy.Float64(nullable=True, description="AVAL, or the last one before it in the series, baseline included.")
    complete = dy.Bool(description="Whether no result of the series is missing.")


def scheduled_results(
    subjects: pl.LazyFrame, visits: pl.LazyFrame, vital_signs: pl.LazyFrame, lab_results: pl.LazyFrame
) -> pl.LazyFrame:
    """The study's schedule for each randomised subject, beside what was delivered.

    A visit is due once a later planned visit has taken place or the subject has left; what is not due is left out. One
    that was missed before others is missing now and then (intermittent), one after the last is missing for good
    (monotone). Source of the patterns: National Research Council, The Prevention and Treatment of Missing Data in
    Clinical Trials (2010), chapter 1; of the schedule: `assets.study`.
    """
    planned = [float(number) for number in (*study.WEEKS, study.SCREENING, study.BASELINE)]
    seen = (
        visits.filter(pl.col("visitnum").is_in(planned))
        .group_by("usubjid", "visitnum")
        .agg(visitdt=pl.col("svstdt").min(), _came=pl.lit(True))
    )
    last = seen.group_by("usubjid").agg(_last=pl.col("visitnum").max())
    rows = (
        subjects.filter(pl.col("ittfl") == "Y")
        .select("usubjid", "siteid", _gone=pl.col("dcdecod").is_not_null())
        .join(schedule(), how="cross")
        .join(seen, on=["usubjid", "visitnum"], how="left")
        .join(last, on="usubjid", how="left")
        .join(delivered(vital_signs, lab_results), on=[*SERIES, "avisitn"], how="left", nulls_equal=True)
    )
    due = pl.col("_done").is_not_null() | pl.col("_came") | (pl.col("visitnum") < pl.col("_last")) | pl.col("_gone")
    status = (
        pl.when(pl.col("_done"))
        .then(pl.lit(PRESENT))
        .when(~pl.col("_done"))
        .then(pl.lit(NOT_DONE))
        .when(pl.col("_came"))
        .then(pl.lit(NO_RESULT))
        .when(pl.col("visitnum") < pl.col("_last"))
        .then(pl.lit(NO_VISIT))
        .otherwise(pl.lit(LEFT))
    )
    return (
        rows.filter(due)
        .with_columns(status=status)
        .with_columns(
            carried=pl.col("aval").forward_fill().over(SERIES, order_by="avisitn"),
            complete=(pl.col("status") == PRESENT).all().over(SERIES),
        )
        .select(ScheduledResult.column_names())
    )


def schedule() -> pl.LazyFrame:
    """The study's schedule: `source`, `paramcd`, `basetype`, `avisitn` and the planned `visitnum` of it."""
    visits = {week: number for number, week in study.WEEKS.items()}
    baselines = {"vitals": study.VITAL_SIGNS.baseline, "labs": study.LAB_RESULTS.baseline}
    rows = [
        (plan.source, test, point, week, visits.get(week, baselines[plan.source]))
        for plan in study.SCHEDULE
        for test in plan.tests
        for point in plan.points
        for week in plan.weeks
    ]
    kinds = (pl.String, pl.String, pl.String, pl.Int64, pl.Float64)
    names = ("source", "paramcd", "basetype", "avisitn", "visitnum")
    return pl.LazyFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")


def delivered(vital_signs: pl.LazyFrame, lab_results: pl.LazyFrame) -> pl.LazyFrame:
    """Results at analysis visits: the series, `avisitn`, `aval`, and `_done`, whether there is one at all."""
    columns = ("usubjid", "paramcd", "avisitn", "aval")
    vitals = vital_signs.select(
        *columns,
        "basetype",
        source=pl.lit("vitals"),
        _done=pl.col("vsstresc").is_not_null() & pl.col("vsstat").is_null(),
    )
    labs = lab_results.select(
        *columns,
        basetype=pl.lit(None, pl.String),
        source=pl.lit("labs"),
        _done=pl.col("lbstresc").is_not_null(),
    )
    return pl.concat([vitals, labs]).drop_nulls("avisitn")


SCHEDULED_RESULTS = Curated(
    name="scheduled_results",
    description="Every result the schedule asks for of a randomised subject, there or missing, and how. Blinded.",
    owner="team:clinical-data",
    contract=ScheduledResult,
    key=("usubjid", "source", "paramcd", "basetype", "avisitn"),
    by="usubjid",
    inputs=("curated/subjects", "processed/visits", "curated/vital_signs", "curated/lab_results"),
    transform=scheduled_results,
    through=Through("quality.deliveries", "behind.source = this.source and behind._site = this.siteid"),
    warehouse=None,
)
