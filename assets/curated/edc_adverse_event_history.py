"""Every version of each adverse event in the EDC system, with the time it held: a dimension of type 2."""

import dataframely as dy
import polars as pl

from assets.curated.edc_adverse_events import KEY, EdcEvent
from lakehouse.changes import history
from lakehouse.curated import Curated


class EdcEventVersion(EdcEvent):
    """One row of the EDC's table as one transaction left it; its provenance is that of the change that did."""

    valid_from = dy.Datetime(
        time_unit="us",
        time_zone="UTC",
        description="When it was committed; of a snapshot, when that was taken (UTC). Not before the one before ended.",
    )
    valid_to = dy.Datetime(
        nullable=True,
        time_unit="us",
        time_zone="UTC",
        description="When that was committed which changed or deleted it (UTC), not before it began; null if it holds.",
    )
    until_starts = dy.Int64(
        nullable=True, description="How many fresh starts there were by that one; null while it holds."
    )
    until_lsn = dy.String(nullable=True, description="Where that one is in the database's log; null while it holds.")
    is_current = dy.Bool(description="Whether it holds still.")


def edc_adverse_event_history(changes: pl.LazyFrame) -> pl.LazyFrame:
    """What the EDC's table has held, from all of its changes."""
    return history(changes, KEY).select(EdcEventVersion.column_names())


EDC_ADVERSE_EVENT_HISTORY = Curated(
    name="edc_adverse_event_history",
    description="Versions of the EDC system's adverse events, by transaction: what was known when. Blinded.",
    owner="team:clinical-data",
    contract=EdcEventVersion,
    key=("aeid", "cdc_starts", "cdc_lsn"),
    inputs=("processed/edc_adverse_events",),
    transform=edc_adverse_event_history,
    of_log=True,
    warehouse=None,
)
