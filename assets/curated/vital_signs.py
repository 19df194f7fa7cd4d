"""Vital signs of known subjects."""

import polars as pl

from assets.curated.results import not_enrolled, with_subject
from assets.curated.subjects import BlindedSubject
from assets.vitals import Vital
from lakehouse.contract import Contract
from lakehouse.curated import Curated


class VitalSign(Contract):
    """One vital sign of a known subject at one visit and time point; its provenance is the result's."""

    studyid = Vital.studyid
    usubjid = Vital.usubjid
    subjid = BlindedSubject.subjid
    siteid = BlindedSubject.siteid
    vstestcd = Vital.vstestcd
    vstest = Vital.vstest
    vspos = Vital.vspos
    vsorres = Vital.vsorres
    vsorresu = Vital.vsorresu
    vsstresc = Vital.vsstresc
    vsstresn = Vital.vsstresn
    vsstresu = Vital.vsstresu
    vsstat = Vital.vsstat
    vsloc = Vital.vsloc
    visitnum = Vital.visitnum
    visit = Vital.visit
    vsdtc = Vital.vsdtc
    vsdt = Vital.vsdt
    vstpt = Vital.vstpt
    vstptnum = Vital.vstptnum
    age = BlindedSubject.age
    sex = BlindedSubject.sex


def vital_signs(vitals: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Vital signs beside their subjects; without the subject's demographics a result waits outside."""
    return with_subject(vitals, subjects).select(VitalSign.column_names())


VITAL_SIGNS = Curated(
    name="vital_signs",
    description="Vital signs of subjects with demographics, in standard units, with site, age and sex.",
    owner="team:clinical-data",
    contract=VitalSign,
    # The natural key has nulls, which a unique key of the warehouse would take for different.
    key=("_file", "_checksum", "_line"),
    inputs=("processed/vitals", "curated/subjects"),
    transform=vital_signs,
    checks={"enrolled": not_enrolled},
)
