"""The EDC system's visits as they are now: a row for each row of its table, by the change that made it so."""

import dataframely as dy
import polars as pl

from assets.edc import Now
from assets.edc_visits import VisitChange
from lakehouse.changes import current
from lakehouse.curated import Curated

KEY = ["usubjid", "visitnum"]


class EdcVisit(Now):
    """One row of the EDC's table of visits."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    visitnum = dy.Float64(description="Visit number; unplanned visits have decimals (SDTM VISITNUM).")
    visit = VisitChange.visit
    svstdtc = VisitChange.svstdtc
    svendtc = VisitChange.svendtc
    svupdes = VisitChange.svupdes


def edc_visits(changes: pl.LazyFrame) -> pl.LazyFrame:
    """The rows that the EDC's table has, from all of its changes."""
    return current(changes, KEY).select(EdcVisit.column_names())


EDC_VISITS_NOW = Curated(
    name="edc_visits",
    description="Visits as the EDC system has them now. Blinded.",
    owner="team:clinical-data",
    contract=EdcVisit,
    key=tuple(KEY),
    inputs=("processed/edc_visits",),
    transform=edc_visits,
    of_log=True,
    warehouse=None,
)
