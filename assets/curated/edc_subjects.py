"""The EDC system's subjects as they are now: a row for each row of its table, by the change that made it so."""

import dataframely as dy
import polars as pl

from assets.edc import Now
from assets.edc_subjects import SubjectChange
from lakehouse.changes import current
from lakehouse.curated import Curated

KEY = ["usubjid"]


class EdcSubject(Now):
    """One row of the EDC's table of subjects."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    siteid = SubjectChange.siteid
    sex = SubjectChange.sex
    age = SubjectChange.age
    race = SubjectChange.race


def edc_subjects(changes: pl.LazyFrame) -> pl.LazyFrame:
    """The rows that the EDC's table has, from all of its changes."""
    return current(changes, KEY).select(EdcSubject.column_names())


EDC_SUBJECTS_NOW = Curated(
    name="edc_subjects",
    description="Subjects as the EDC system has them now. Blinded.",
    owner="team:clinical-data",
    contract=EdcSubject,
    key=tuple(KEY),
    inputs=("processed/edc_subjects",),
    transform=edc_subjects,
    of_log=True,
    warehouse=None,
)
