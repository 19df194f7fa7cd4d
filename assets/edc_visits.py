"""Visits as the trial's EDC system (electronic data capture) has them: every change of its table, in order."""

import dataframely as dy
import polars as pl

from assets.cdisc import dtc_in_order, is_dtc, number
from assets.edc import Change, entered, followed, has, tells


class VisitChange(Change):
    """One change of the EDC's table of visits."""

    visitnum = dy.Float64(
        nullable=True, description="Visit number; unplanned visits have decimals (SDTM VISITNUM); null as USUBJID is."
    )
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    svstdtc = dy.String(nullable=True, description="First day of the visit: ISO 8601, may be partial (SDTM SVSTDTC).")
    svendtc = dy.String(nullable=True, description="Last day of the visit: ISO 8601, may be partial (SDTM SVENDTC).")
    svupdes = dy.String(nullable=True, description="Why an unplanned visit took place (SDTM SVUPDES).")

    @dy.rule()
    def key_told(cls) -> pl.Expr:
        """A change of a row tells USUBJID, and VISITNUM as a number."""
        return tells("usubjid", "visitnum")

    @dy.rule()
    def row_whole(cls) -> pl.Expr:
        """A row has its name, its first day, and who entered it when, each in its own type."""
        return has("visit", "svstdtc")

    @dy.rule()
    def unplanned_says_why(cls) -> pl.Expr:
        """A visit named UNSCHEDULED says why it took place in SVUPDES."""
        return ~pl.col("visit").str.starts_with("UNSCHEDULED") | pl.col("svupdes").is_not_null()

    @dy.rule()
    def dates_real(cls) -> pl.Expr:
        """SVSTDTC and SVENDTC are dates that exist, in ISO 8601: 2014-01-02, or part of it, such as 2014-01."""
        return pl.all_horizontal(is_dtc(pl.col(name)).fill_null(True) for name in ("svstdtc", "svendtc"))

    @dy.rule()
    def end_not_before_start(cls) -> pl.Expr:
        """SVENDTC is not before SVSTDTC."""
        return dtc_in_order(pl.col("svstdtc"), pl.col("svendtc"))


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Changes with numbers and times in place of PostgreSQL's own words for them."""
    return entered(raw).with_columns(visitnum=number(pl.col("visitnum"))).select(VisitChange.column_names())


EDC_VISITS = followed(
    "visits",
    description="Visits in the EDC system: every change of its table, as its database tells them.",
    contract=VisitChange,
    tidy=tidy,
    key=("usubjid", "visitnum"),
    columns=("usubjid", "visitnum", "visit", "svstdtc", "svendtc", "svupdes"),
    warned=("unplanned_says_why", "dates_real", "end_not_before_start"),
)
