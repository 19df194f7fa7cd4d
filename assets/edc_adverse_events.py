"""Adverse events as the trial's EDC system (electronic data capture) has them: every change of its table, in order."""

import dataframely as dy
import polars as pl

from assets.adverse_events import NO_YES, EventWords
from assets.cdisc import is_dtc
from assets.edc import Change, entered, followed, has, tells

_NEEDED = ("usubjid", "aeseq", "aeterm", "aesev", "aeser")


class EventChange(EventWords, Change):
    """One change of the EDC's table of adverse events."""

    aeid = dy.Int64(nullable=True, description="The EDC's number of the row; null where the change is of no one row.")
    aeseq = dy.Int64(nullable=True, description="Number of the record in the subject's log of events (SDTM AESEQ).")
    aeterm = dy.String(nullable=True, description="The event in the coordinator's words (SDTM AETERM).")
    aesev = dy.String(nullable=True, description="Severity (SDTM AESEV).")
    aeser = dy.String(nullable=True, description="Whether the event is serious, Y or N (SDTM AESER).")
    aerel = dy.String(nullable=True, description="Relation to the treatment in the site's judgement (SDTM AEREL).")
    aeout = dy.String(nullable=True, description="Outcome (SDTM AEOUT).")
    aestdtc = dy.String(nullable=True, description="When the event began: ISO 8601, may be partial (SDTM AESTDTC).")
    aeendtc = dy.String(nullable=True, description="When the event ended: ISO 8601; null until then (SDTM AEENDTC).")
    narrative = dy.String(nullable=True, description="Notes of any length; null also where they were not sent again.")

    @dy.rule()
    def key_told(cls) -> pl.Expr:
        """A change of a row tells AEID, a whole number."""
        return tells("aeid")

    @dy.rule()
    def row_whole(cls) -> pl.Expr:
        """A row has its subject, AESEQ, term, severity, seriousness, and who entered it when, each in its own type."""
        return has(*_NEEDED)

    @dy.rule()
    def seriousness_known(cls) -> pl.Expr:
        """AESER is Y or N."""
        return pl.col("aeser").is_in(NO_YES)

    @dy.rule()
    def dates_real(cls) -> pl.Expr:
        """AESTDTC and AEENDTC are dates that exist, in ISO 8601: 2014-01-02, or 2014-01 or 2014 if partial."""
        return pl.all_horizontal(is_dtc(pl.col(name)).fill_null(True) for name in ("aestdtc", "aeendtc"))


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Changes with numbers, times and Y or N in place of PostgreSQL's own words for them."""
    return (
        entered(raw)
        .with_columns(
            pl.col("aeid", "aeseq").cast(pl.Int64, strict=False),
            # What is neither true nor false is left for the contract to tell.
            aeser=pl.col("aeser").replace({"t": "Y", "f": "N"}),
        )
        .select(EventChange.column_names())
    )


EDC_ADVERSE_EVENTS = followed(
    "adverse_events",
    description="Adverse events in the EDC system: every change of its table, as its database tells them.",
    contract=EventChange,
    tidy=tidy,
    key=("aeid",),
    columns=("aeid", *_NEEDED, "aerel", "aeout", "aestdtc", "aeendtc", "narrative"),
    warned=(
        "severity_known",
        "seriousness_known",
        "relation_known",
        "outcome_known",
        "dates_real",
        "end_not_before_start",
    ),
)
