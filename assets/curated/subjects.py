"""Who takes part: one row per subject, blinded."""

import dataframely as dy
import polars as pl

from assets.subjects import Subject
from lakehouse.contract import Contract
from lakehouse.curated import Curated


class BlindedSubject(Contract):
    """One subject, without anything that tells the treatment."""

    usubjid = Subject.usubjid
    subjid = Subject.subjid
    studyid = Subject.studyid
    siteid = Subject.siteid
    country = Subject.country
    age = dy.Int64(nullable=True, min=0, description="Age, in AGEU (SDTM AGE).")
    ageu = Subject.ageu
    sex = Subject.sex
    race = Subject.race
    ethnic = Subject.ethnic
    dmdtc = Subject.dmdtc
    dmdt = Subject.dmdt
    rfstdtc = Subject.rfstdtc
    rfstdt = Subject.rfstdt


def subjects(processed: pl.LazyFrame) -> pl.LazyFrame:
    """Processed subjects without their arms; the age, whole by contract, as an integer."""
    return processed.with_columns(pl.col("age").cast(pl.Int64)).select(BlindedSubject.column_names())


SUBJECTS = Curated(
    name="subjects",
    description="Subjects with their demographics: one row each, blinded.",
    owner="team:clinical-data",
    contract=BlindedSubject,
    key=("usubjid",),
    inputs=("processed/subjects",),
    transform=subjects,
)
