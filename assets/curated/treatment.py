"""Who gets what: the only table that tells a subject's treatment."""

import polars as pl

from assets.subjects import Subject
from lakehouse.contract import Contract
from lakehouse.curated import Curated


class Treatment(Contract):
    """The planned and the actual arm of one subject."""

    usubjid = Subject.usubjid
    studyid = Subject.studyid
    siteid = Subject.siteid
    armcd = Subject.armcd
    arm = Subject.arm
    actarmcd = Subject.actarmcd
    actarm = Subject.actarm


def treatment(processed: pl.LazyFrame) -> pl.LazyFrame:
    """The arms of processed subjects."""
    return processed.select(Treatment.column_names())


TREATMENT = Curated(
    name="treatment",
    description="Planned and actual treatment arm of each subject. Unblinded: not for blinded readers or tables.",
    owner="team:clinical-data",
    contract=Treatment,
    key=("usubjid",),
    inputs=("processed/subjects",),
    transform=treatment,
    warehouse="unblinded",
)
