"""Which visits of the schedule each treated subject was to come to, and whether it did."""

import dataframely as dy
import polars as pl

from assets import study
from assets.curated.subjects import BlindedSubject
from assets.visits import Visit
from lakehouse.curated import Curated, Through


class PlannedVisit(dy.Schema):
    """One planned visit after baseline of one treated subject."""

    usubjid = BlindedSubject.usubjid
    siteid = BlindedSubject.siteid
    visitnum = Visit.visitnum
    avisitn = dy.Int64(description="Week of the visit after first dose (ADaM AVISITN).")
    due = dy.Date(description="Day it falls on: so many weeks after first dose.")
    missing_after = dy.Date(description="Day after which it is missing when it has not taken place.")
    visited = dy.Bool(description="Whether the visit is on record.")
    visitdt = dy.Date(nullable=True, description="First day of the visit; null when it is partial or there was none.")
    rfendt = BlindedSubject.rfendt


def planned_visits(visits: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Treated subjects times the visits of the schedule, each with the day it is due and the visit itself.

    DUE = TRTSDT + 7 AVISITN days. Whether a visit is missing depends on the day it is asked on, and on RFENDT: after
    its study has ended a subject is not waited for. Source: the study's schedule in `assets.study`.
    """
    schedule = pl.LazyFrame(
        {"visitnum": list(study.WEEKS), "avisitn": list(study.WEEKS.values())},
        schema={"visitnum": pl.Float64, "avisitn": pl.Int64},
    )
    took_place = visits.group_by("usubjid", "visitnum").agg(visitdt=pl.col("svstdt").min(), visited=pl.lit(True))
    due = pl.col("trtsdt") + pl.duration(weeks=pl.col("avisitn"))
    return (
        subjects.filter(pl.col("trtsdt").is_not_null())
        .join(schedule, how="cross")
        .join(took_place, on=["usubjid", "visitnum"], how="left")
        .with_columns(
            pl.col("visited").fill_null(False), due=due, missing_after=due + pl.duration(days=study.VISIT_WINDOW)
        )
        .select(PlannedVisit.column_names())
    )


PLANNED_VISITS = Curated(
    name="planned_visits",
    description="Visits of the schedule by treated subject: the day each is due, and whether it took place.",
    owner="team:clinical-data",
    contract=PlannedVisit,
    key=("usubjid", "visitnum"),
    by="usubjid",
    inputs=("processed/visits", "curated/subjects"),
    transform=planned_visits,
    through=Through("curated.subjects", "behind.usubjid = this.usubjid"),
)
