"""Who gets what: the only table that tells a subject's treatment, the unblinded rest of ADaM's ADSL."""

from datetime import date

import dataframely as dy
import polars as pl

from assets.curated.adam import ratio, rounded
from assets.study import ARM_DOSES
from assets.subjects import Subject
from lakehouse.contract import Contract
from lakehouse.curated import Curated


class Treatment(Contract):
    """The planned and the actual arm of one subject, and the dose it has had."""

    usubjid = Subject.usubjid
    studyid = Subject.studyid
    siteid = Subject.siteid
    armcd = Subject.armcd
    arm = Subject.arm
    actarmcd = Subject.actarmcd
    actarm = Subject.actarm
    trt01p = dy.String(nullable=True, description="Planned treatment; null when never randomised (ADaM TRT01P).")
    trt01pn = dy.Int64(nullable=True, description="Its dose in mg a day, 0 for placebo (ADaM TRT01PN).")
    trt01a = dy.String(
        nullable=True, description="Treatment as analysed, which the study takes to be the planned one (ADaM TRT01A)."
    )
    trt01an = dy.Int64(nullable=True, description="Its dose in mg a day, 0 for placebo (ADaM TRT01AN).")
    cumdose = dy.Float64(
        nullable=True,
        description="Dose from the first to the last day in mg; null while it goes on (the study's CUMDOSE).",
    )
    avgdd = dy.Float64(nullable=True, description="Average dose a day in mg, one decimal (the study's AVGDD).")


def treatment(demographics: pl.LazyFrame, exposure: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """The arms of processed subjects, and their dose: the daily dose times the days of each period of exposure, added.

    A last period that was never ended lasts until TRTEDT. AVGDD = CUMDOSE / TRTDURD, null where that is 0 days: when
    the study ended on the day before the first dose. Sources: ADaM IG 1.3, section 3.2 (treatment variables); the
    study's arms in `assets.study`; CUMDOSE as its published datasets have it.
    """
    dates = subjects.select("usubjid", "trtedt", "trtdurd")
    days = (pl.coalesce("exendt", "trtedt") - pl.col("exstdt")).dt.total_days() + 1
    doses = (
        exposure.join(dates, on="usubjid")
        .with_columns(_dose=days * pl.col("exdose"))
        .group_by("usubjid")
        .agg(cumdose=pl.when(pl.col("_dose").is_not_null().all()).then(pl.col("_dose").sum()))
    )
    dose = pl.col("armcd").replace_strict(ARM_DOSES, default=None, return_dtype=pl.Int64)
    planned = pl.when(dose.is_not_null()).then("arm")
    return (
        demographics.join(doses, on="usubjid", how="left")
        .join(dates, on="usubjid", how="left")
        .with_columns(
            trt01p=planned,
            trt01pn=dose,
            trt01a=planned,
            trt01an=dose,
            avgdd=rounded(ratio(pl.col("cumdose"), pl.col("trtdurd")), 1),
        )
        .select(Treatment.column_names())
    )


def overlapping(
    _rows: pl.LazyFrame, _demographics: pl.LazyFrame, exposure: pl.LazyFrame, _subjects: pl.LazyFrame
) -> pl.LazyFrame:
    """No period of exposure begins before the one before it has ended: its days would be counted twice in CUMDOSE."""
    ordered = exposure.sort("usubjid", "exstdt", "exendt", "_file", "_line", nulls_last=True)
    # One that was never ended lasts on.
    ended = pl.col("exendt").fill_null(date.max).cum_max().shift(1).over("usubjid")
    return ordered.filter(pl.col("exstdt") <= ended)


TREATMENT = Curated(
    name="treatment",
    description="Treatment and dose of each subject, planned and actual. Unblinded: not for blinded readers.",
    owner="team:clinical-data",
    contract=Treatment,
    key=("usubjid",),
    by="usubjid",
    inputs=("processed/subjects", "processed/exposure", "curated/subjects"),
    transform=treatment,
    warehouse="unblinded",
    checks={"one_dose_at_a_time": overlapping},
)
