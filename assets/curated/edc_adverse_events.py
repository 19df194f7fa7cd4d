"""The EDC system's adverse events as they are now: a row for each row of its table, by the change that made it so."""

import dataframely as dy
import polars as pl

from assets.edc import Now
from assets.edc_adverse_events import EventChange
from lakehouse.changes import current
from lakehouse.curated import Curated

KEY = ["aeid"]


class EdcEvent(Now):
    """One row of the EDC's table of adverse events."""

    aeid = dy.Int64(description="The EDC's number of the row.")
    aeseq = EventChange.aeseq
    aeterm = EventChange.aeterm
    aesev = EventChange.aesev
    aeser = EventChange.aeser
    aerel = EventChange.aerel
    aeout = EventChange.aeout
    aestdtc = EventChange.aestdtc
    aeendtc = EventChange.aeendtc
    narrative = dy.String(nullable=True, description="Notes of any length; null where there are none.")


def edc_adverse_events(changes: pl.LazyFrame) -> pl.LazyFrame:
    """The rows that the EDC's table has, from all of its changes."""
    return current(changes, KEY).select(EdcEvent.column_names())


EDC_ADVERSE_EVENTS_NOW = Curated(
    name="edc_adverse_events",
    description="Adverse events as the EDC system has them now. Blinded.",
    owner="team:clinical-data",
    contract=EdcEvent,
    key=("aeid",),
    inputs=("processed/edc_adverse_events",),
    transform=edc_adverse_events,
    of_log=True,
)
