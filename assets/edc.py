"""Adverse events as the trial's EDC system (electronic data capture) holds them: every change of its table, in order.

A row is a change, not an event: `lakehouse.changes` tells what they come to. A change that is quarantined is one that
nobody sees, so that only what cannot be followed is rejected: a change without its place, its kind, or its row's key.
All else is kept and flagged, for the EDC has it so.
"""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.adverse_events import NO_YES, OUTCOMES, RELATIONS, SEVERITIES
from assets.cdisc import STUDY_BEGAN, dtc_in_order, is_dtc
from lakehouse.changes import typed
from lakehouse.contract import Contract
from lakehouse.feeds.changes import Changes
from lakehouse.formats.parquet import Parquet
from lakehouse.source import Source

# What leaves a row behind; what says nothing of any one row.
_ROWS, _NO_ROWS = ("insert", "update", "snapshot"), ("truncate", "complete")
_NEEDED = ("usubjid", "aeseq", "aeterm", "aesev", "aeser", "entered_by", "entered_at")
_CDC = ("cdc_op", "cdc_lsn", "cdc_seq", "cdc_xid", "cdc_at", "cdc_unchanged")
_TIME = "%Y-%m-%d %H:%M:%S%.f%#z"


class EventChange(Contract):
    """One change of the EDC's table of adverse events; a delete tells the key alone, `truncate` and `complete` none."""

    aeid = dy.Int64(nullable=True, description="The EDC's number of the row; null where the change is of no one row.")
    usubjid = dy.String(nullable=True, description="Unique subject identifier (SDTM USUBJID).")
    aeseq = dy.Int64(nullable=True, description="Number of the record in the subject's log of events (SDTM AESEQ).")
    aeterm = dy.String(nullable=True, description="The event in the coordinator's words (SDTM AETERM).")
    aesev = dy.String(nullable=True, description="Severity (SDTM AESEV).")
    aeser = dy.String(nullable=True, description="Whether the event is serious, Y or N (SDTM AESER).")
    aerel = dy.String(nullable=True, description="Relation to the treatment in the site's judgement (SDTM AEREL).")
    aeout = dy.String(nullable=True, description="Outcome (SDTM AEOUT).")
    aestdtc = dy.String(nullable=True, description="When the event began: ISO 8601, may be partial (SDTM AESTDTC).")
    aeendtc = dy.String(nullable=True, description="When the event ended: ISO 8601; null until then (SDTM AEENDTC).")
    narrative = dy.String(nullable=True, description="Notes of any length; null also where they were not sent again.")
    entered_by = dy.String(nullable=True, description="Who wrote the row down.")
    entered_at = dy.Datetime(
        nullable=True, time_unit="us", time_zone="UTC", description="When the row was last written by a person (UTC)."
    )
    cdc_op = dy.String(description="insert, update, delete, truncate, snapshot; complete after a snapshot's last row.")
    cdc_starts = dy.Int64(
        min=1, description="How many fresh starts there were by then: positions in the log are told apart by it."
    )
    cdc_lsn = dy.String(
        regex="^[0-9A-F]{16}$", description="Where in the database's log the transaction committed, hexadecimal."
    )
    cdc_seq = dy.Int64(min=0, description="Number of the change in its transaction.")
    cdc_xid = dy.String(nullable=True, description="Number of the transaction; null in a snapshot.")
    cdc_at = dy.Datetime(time_unit="us", time_zone="UTC", description="When the transaction was committed (UTC).")
    cdc_unchanged = dy.String(
        nullable=True, description="Names of columns that were not sent because they had not changed, by spaces."
    )

    @dy.rule()
    def operation_known(cls) -> pl.Expr:
        """The change is an insert, update, delete or truncate, of a snapshot, or a snapshot's completion."""
        return pl.col("cdc_op").is_in([*_ROWS, "delete", *_NO_ROWS])

    @dy.rule()
    def key_told(cls) -> pl.Expr:
        """A change of a row tells AEID, a whole number."""
        return pl.col("cdc_op").is_in(_NO_ROWS) | pl.col("aeid").is_not_null()

    @dy.rule()
    def row_whole(cls) -> pl.Expr:
        """A row has its subject, AESEQ, term, severity, seriousness, and who entered it when, each in its own type."""
        left_out = pl.concat_str(pl.lit(" "), pl.col("cdc_unchanged").fill_null(""), pl.lit(" "))
        told = [pl.col(name).is_not_null() | left_out.str.contains(f" {name} ", literal=True) for name in _NEEDED]
        return ~pl.col("cdc_op").is_in(_ROWS) | pl.all_horizontal(told)

    @dy.rule()
    def subject_written(cls) -> pl.Expr:
        """USUBJID is written study-site-subject, such as 01-701-1015."""
        return pl.col("usubjid").str.contains("^[^-]+-[^-]+-[^-]+$")

    @dy.rule()
    def severity_known(cls) -> pl.Expr:
        """AESEV is MILD, MODERATE or SEVERE."""
        return pl.col("aesev").is_in(SEVERITIES)

    @dy.rule()
    def seriousness_known(cls) -> pl.Expr:
        """AESER is Y or N."""
        return pl.col("aeser").is_in(NO_YES)

    @dy.rule()
    def relation_known(cls) -> pl.Expr:
        """AEREL is NONE, REMOTE, POSSIBLE or PROBABLE."""
        return pl.col("aerel").is_in(RELATIONS)

    @dy.rule()
    def outcome_known(cls) -> pl.Expr:
        """AEOUT is one of CDISC's outcomes, such as RECOVERED/RESOLVED or FATAL."""
        return pl.col("aeout").is_in(OUTCOMES)

    @dy.rule()
    def dates_real(cls) -> pl.Expr:
        """AESTDTC and AEENDTC are dates that exist, in ISO 8601: 2014-01-02, or 2014-01 or 2014 if partial."""
        return pl.all_horizontal(is_dtc(pl.col(name)).fill_null(True) for name in ("aestdtc", "aeendtc"))

    @dy.rule()
    def end_not_before_start(cls) -> pl.Expr:
        """AEENDTC is not before AESTDTC."""
        return dtc_in_order(pl.col("aestdtc"), pl.col("aeendtc"))


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Changes with numbers, times and Y or N in place of PostgreSQL's own words for them."""
    return (
        typed(raw)
        .with_columns(
            pl.col("aeid", "aeseq").cast(pl.Int64, strict=False),
            # What is neither true nor false is left for the contract to tell.
            aeser=pl.col("aeser").replace({"t": "Y", "f": "N"}),
            entered_at=pl.col("entered_at").str.to_datetime(_TIME, time_unit="us", time_zone="UTC", strict=False),
        )
        .select(EventChange.column_names())
    )


EDC_ADVERSE_EVENTS = Source(
    name="edc_adverse_events",
    description="Adverse events in the EDC system: every change of its table, as its database tells them.",
    owner="team:clinical-data",
    contract=EventChange,
    tidy=tidy,
    key=("aeid", "cdc_starts", "cdc_lsn", "cdc_seq"),
    columns=("aeid", *_NEEDED, "aerel", "aeout", "aestdtc", "aeendtc", "narrative", *_CDC),
    # What landed before feeds wrote it has it in its file's name alone.
    optional=("cdc_starts",),
    path="{site}/{name}/{day}_{part}.parquet",
    dialect=Parquet(),
    feed=Changes(system="edc", table="public.adverse_events", key=("aeid",)),
    first_day=STUDY_BEGAN,
    # Without a change nothing comes, however long that is.
    late_after=timedelta(days=30),
    severities=dict.fromkeys(
        (
            "row_whole",
            "subject_written",
            "severity_known",
            "seriousness_known",
            "relation_known",
            "outcome_known",
            "dates_real",
            "end_not_before_start",
        ),
        "warn",
    ),
    after_landing="delete",
    clear_after=timedelta(days=1),
    publish=False,
)
