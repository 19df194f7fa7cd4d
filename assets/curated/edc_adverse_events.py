"""The EDC system's adverse events as they are now: a row for each row of its table, by the change that made it so."""

import dataframely as dy
import polars as pl

from assets.edc import EventChange
from lakehouse.changes import current
from lakehouse.contract import Contract
from lakehouse.curated import Curated

KEY = ["aeid"]


class EdcEvent(Contract):
    """One row of the EDC's table; its provenance is that of the change that last wrote the row, whole or in part."""

    aeid = dy.Int64(description="The EDC's number of the row.")
    usubjid = EventChange.usubjid
    aeseq = EventChange.aeseq
    aeterm = EventChange.aeterm
    aesev = EventChange.aesev
    aeser = EventChange.aeser
    aerel = EventChange.aerel
    aeout = EventChange.aeout
    aestdtc = EventChange.aestdtc
    aeendtc = EventChange.aeendtc
    narrative = dy.String(nullable=True, description="Notes of any length; null where there are none.")
    entered_by = EventChange.entered_by
    entered_at = EventChange.entered_at
    cdc_op = dy.String(description="The change that made the row what it is: insert, update or snapshot.")
    cdc_starts = EventChange.cdc_starts
    cdc_lsn = EventChange.cdc_lsn
    cdc_seq = EventChange.cdc_seq
    cdc_xid = EventChange.cdc_xid
    cdc_at = EventChange.cdc_at


def edc_adverse_events(changes: pl.LazyFrame) -> pl.LazyFrame:
    """The rows that the EDC's table has, from all of its changes.

    Made whole each time: a truncation and a snapshot are of no one subject, and the value that a change left out is
    told by an earlier one, perhaps under another key.
    """
    return current(changes, KEY).select(EdcEvent.column_names())


EDC_ADVERSE_EVENTS_NOW = Curated(
    name="edc_adverse_events",
    description="Adverse events as the EDC system has them now. Blinded.",
    owner="team:clinical-data",
    contract=EdcEvent,
    key=("aeid",),
    inputs=("processed/edc_adverse_events",),
    transform=edc_adverse_events,
)
