"""What the tables of the trial's EDC system (electronic data capture) share: how their changes are told and judged.

A row is a change, not a row of the table: `lakehouse.changes` tells what they come to. A change that is quarantined is
one that nobody sees, so that only what cannot be followed is rejected: a change without its place, its kind, or its
row's key. All else is kept and flagged, for the EDC has it so.
"""

from collections.abc import Callable
from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.cdisc import STUDY_BEGAN
from lakehouse.changes import left_out, typed
from lakehouse.contract import Contract
from lakehouse.feeds.changes import Changes
from lakehouse.formats.parquet import Parquet
from lakehouse.source import Source

# What leaves a row behind; what says nothing of any one row.
_ROWS, _NO_ROWS = ("insert", "update", "snapshot"), ("truncate", "complete")
_ENTERED = ("entered_by", "entered_at")
_CDC = ("cdc_op", "cdc_lsn", "cdc_seq", "cdc_xid", "cdc_at", "cdc_unchanged")
_TIME = "%Y-%m-%d %H:%M:%S%.f%#z"


class Entered(Contract):
    """Whom a row of the EDC is about, who wrote it down, and where in the log the change stands that tells it."""

    usubjid = dy.String(nullable=True, description="Unique subject identifier (SDTM USUBJID).")
    entered_by = dy.String(nullable=True, description="Who wrote the row down.")
    entered_at = dy.Datetime(
        nullable=True, time_unit="us", time_zone="UTC", description="When the row was last written by a person (UTC)."
    )
    cdc_starts = dy.Int64(
        min=1, description="How many fresh starts there were by then: positions in the log are told apart by it."
    )
    cdc_lsn = dy.String(
        regex="^[0-9A-F]{16}$", description="Where in the database's log the transaction committed, hexadecimal."
    )
    cdc_seq = dy.Int64(min=0, description="Number of the change in its transaction.")
    cdc_xid = dy.String(nullable=True, description="Number of the transaction; null in a snapshot.")
    cdc_at = dy.Datetime(time_unit="us", time_zone="UTC", description="When the transaction was committed (UTC).")


class Change(Entered):
    """One change of a table; a delete tells the key alone, `truncate` and `complete` none."""

    cdc_op = dy.String(description="insert, update, delete, truncate, snapshot; complete after a snapshot's last row.")
    cdc_unchanged = dy.String(
        nullable=True, description="JSON list of columns that were not sent because they had not changed."
    )

    @dy.rule()
    def operation_known(cls) -> pl.Expr:
        """The change is an insert, update, delete or truncate, of a snapshot, or a snapshot's completion."""
        return pl.col("cdc_op").is_in([*_ROWS, "delete", *_NO_ROWS])

    @dy.rule()
    def subject_written(cls) -> pl.Expr:
        """USUBJID is written study-site-subject, such as 01-701-1015."""
        return pl.col("usubjid").str.contains("^[^-]+-[^-]+-[^-]+$")


class Now(Entered):
    """One row of a table as it is now; its provenance is that of the change that last wrote it, whole or in part."""

    cdc_op = dy.String(description="The change that made the row what it is: insert, update or snapshot.")


def entered(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Raw changes with the columns of every table in their types; null where they cannot be read."""
    return typed(raw).with_columns(
        entered_at=pl.col("entered_at").str.to_datetime(_TIME, time_unit="us", time_zone="UTC", strict=False)
    )


def tells(*key: str) -> pl.Expr:
    """Whether a change of a row tells its key."""
    return pl.col("cdc_op").is_in(_NO_ROWS) | pl.all_horizontal(pl.col(name).is_not_null() for name in key)


def has(*needed: str) -> pl.Expr:
    """Whether a row has what it needs, and who entered it when; what had not changed need not be told."""
    told = [pl.col(name).is_not_null() | left_out(name) for name in (*needed, *_ENTERED)]
    return ~pl.col("cdc_op").is_in(_ROWS) | pl.all_horizontal(told)


def followed(
    table: str,
    *,
    description: str,
    contract: type[Change],
    tidy: Callable[[pl.LazyFrame], pl.LazyFrame],
    key: tuple[str, ...],
    columns: tuple[str, ...],
    warned: tuple[str, ...],
) -> Source:
    """The source of all changes of one of the EDC's tables.

    columns: the table's, without those of who entered it. warned: rules of this table that flag a row and keep it.
    """
    return Source(
        name=f"edc_{table}",
        description=description,
        owner="team:clinical-data",
        contract=contract,
        tidy=tidy,
        key=(*key, "cdc_starts", "cdc_lsn", "cdc_seq"),
        columns=(*columns, *_ENTERED, *_CDC),
        # What landed before feeds wrote it has it in its file's name alone.
        optional=("cdc_starts",),
        path="{site}/{name}/{day}_{part}.parquet",
        dialect=Parquet(),
        feed=Changes(system="edc", table=f"public.{table}", key=key),
        first_day=STUDY_BEGAN,
        # Without a change nothing comes, however long that is.
        late_after=timedelta(days=30),
        severities=dict.fromkeys(("row_whole", "subject_written", *warned), "warn"),
        after_landing="delete",
        clear_after=timedelta(days=1),
        publish=False,
    )
