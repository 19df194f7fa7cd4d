"""Visits: when each subject came to the site. SDTM's SV domain."""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.cdisc import STUDY_BEGAN, SubjectRecord, dtc_date, dtc_earliest, dtc_in_order, is_dtc, number_or_nan
from lakehouse.source import Source

DATES = ("svstdtc", "svendtc")


class Visit(SubjectRecord):
    """One visit of one subject."""

    visitnum = dy.Float64(description="Visit number; unplanned visits have decimals (SDTM VISITNUM).")
    visit = dy.String(description="Name of the visit (SDTM VISIT).")
    svstdtc = dy.String(description="First day of the visit: ISO 8601, may be partial (SDTM SVSTDTC).")
    svstdt = dy.Date(nullable=True, description="Date of SVSTDTC; null when it is partial.")
    svendtc = dy.String(nullable=True, description="Last day of the visit: ISO 8601, may be partial (SDTM SVENDTC).")
    svendt = dy.Date(nullable=True, description="Date of SVENDTC; null when it is missing or partial.")
    svupdes = dy.String(nullable=True, description="Why an unplanned visit took place (SDTM SVUPDES).")

    @dy.rule()
    def unplanned_says_why(cls) -> pl.Expr:
        """A visit named UNSCHEDULED says why it took place in SVUPDES."""
        return ~pl.col("visit").str.starts_with("UNSCHEDULED") | pl.col("svupdes").is_not_null()

    @dy.rule()
    def dates_real(cls) -> pl.Expr:
        """SVSTDTC and SVENDTC are dates that exist, in ISO 8601: 2014-01-02, or part of it, such as 2014-01."""
        return pl.all_horizontal(is_dtc(pl.col(name)).fill_null(True) for name in DATES)

    @dy.rule()
    def visit_in_study(cls) -> pl.Expr:
        """SVSTDTC is not before 2012, when the study began."""
        return dtc_earliest(pl.col("svstdtc")) >= STUDY_BEGAN

    @dy.rule()
    def end_not_before_start(cls) -> pl.Expr:
        """SVENDTC is not before SVSTDTC."""
        return dtc_in_order(pl.col("svstdtc"), pl.col("svendtc"))

    @dy.rule()
    def visited_before_delivery(cls) -> pl.Expr:
        """SVSTDTC and SVENDTC are not after the day of the file they are delivered in."""
        return pl.all_horizontal((dtc_earliest(pl.col(name)) <= pl.col("_delivered")).fill_null(True) for name in DATES)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Visits with their number and parsed dates beside the delivered texts."""
    return (
        raw.rename(str.lower)
        .with_columns(
            visitnum=number_or_nan(pl.col("visitnum")),
            svstdt=dtc_date(pl.col("svstdtc")),
            svendt=dtc_date(pl.col("svendtc")),
        )
        .select(Visit.column_names())
    )


VISITS = Source(
    name="visits",
    description="Visits of the subjects to their site, planned and unplanned.",
    owner="team:clinical-data",
    contract=Visit,
    tidy=tidy,
    key=("usubjid", "visitnum"),
    columns=("STUDYID", "USUBJID", "VISITNUM", "VISIT", "SVSTDTC", "SVENDTC"),
    optional=("SVUPDES",),
    first_day=STUDY_BEGAN,
    late_after=timedelta(days=14),
    publish=False,
)
