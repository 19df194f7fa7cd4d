"""Vital signs of known subjects, ready for analysis: ADaM's ADVS, with SDTM's columns beside it.

Without ANRIND and shifts: vital signs come without reference ranges, and the study's published ADVS has none either.
"""

import dataframely as dy
import polars as pl

from assets.cdisc import written
from assets.curated.adam import flag, study_day, with_baseline, worded
from assets.curated.results import with_subject
from assets.curated.subjects import BlindedSubject
from assets.study import TIME_POINTS, VITAL_SIGN_NUMBERS
from assets.study import VITAL_SIGNS as VISITS
from assets.vitals import TESTS, UNITS, Vital
from lakehouse.contract import Contract
from lakehouse.curated import Curated

SERIES = ["usubjid", "paramcd", "basetype"]


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
    saffl = BlindedSubject.saffl
    trtsdt = BlindedSubject.trtsdt
    paramcd = dy.String(description="Short name of the parameter (ADaM PARAMCD).")
    param = dy.String(description="Name of the parameter, with its unit (ADaM PARAM).")
    paramn = dy.Int64(nullable=True, description="Number of the parameter, in the study's order (ADaM PARAMN).")
    aval = dy.Float64(nullable=True, description="Analysis value, in the unit that PARAM names (ADaM AVAL).")
    atpt = dy.String(
        nullable=True, description="Analysis time point within the visit, as the study names ATPTN (ADaM ATPT)."
    )
    atptn = dy.Float64(nullable=True, description="Number of the analysis time point (ADaM ATPTN).")
    basetype = dy.String(
        nullable=True,
        description="Time point whose baseline BASE is; null for one measurement a visit (ADaM BASETYPE).",
    )
    adt = dy.Date(nullable=True, description="Analysis date; null when VSDTC is partial (ADaM ADT).")
    ady = dy.Int64(nullable=True, description="Days from first dose, which is day 1; there is no day 0 (ADaM ADY).")
    avisit = dy.String(nullable=True, description="Analysis visit; null for a visit that is not planned (ADaM AVISIT).")
    avisitn = dy.Int64(nullable=True, description="Week of the analysis visit, 0 for baseline (ADaM AVISITN).")
    ablfl = dy.String(nullable=True, regex="^Y$", description="Y on the baseline record (ADaM ABLFL).")
    base = dy.Float64(nullable=True, description="Baseline value; null where none was measured (ADaM BASE).")
    chg = dy.Float64(nullable=True, description="Change from baseline: AVAL - BASE (ADaM CHG).")
    pchg = dy.Float64(nullable=True, description="Change from baseline in percent of BASE (ADaM PCHG).")
    aentmtfl = dy.String(
        nullable=True,
        regex="^Y$",
        description="Y on the last planned visit, which ends treatment (the study's AENTMTFL).",
    )
    anl01fl = dy.String(nullable=True, regex="^Y$", description="Y on records at an analysis visit (ADaM ANL01FL).")


def vital_signs(vitals: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Vital signs beside their subjects, with baseline and change, series by series: subject, sign and time point.

    Without the subject's demographics a result waits outside. ANL01FL is on each record at an analysis visit. Sources:
    ADaM IG 1.3, sections 3.3.3 (timing), 3.3.4 (analysis parameters) and 3.3.8 (indicators); the study's baseline visit
    and schedule in `assets.study`.
    """
    named = {unit.test: f"{TESTS[unit.test]} ({unit.standard})" for unit in UNITS}
    sign = pl.col("vstestcd")
    analysis = with_subject(vitals, subjects).with_columns(
        paramcd=sign,
        param=sign.replace_strict(named, default=None, return_dtype=pl.String),
        paramn=sign.replace_strict(VITAL_SIGN_NUMBERS, default=None, return_dtype=pl.Int64),
        aval="vsstresn",
        atpt=time_point(),
        atptn="vstptnum",
        basetype=time_point(),
        adt="vsdt",
        ady=study_day(pl.col("vsdt"), pl.col("trtsdt")),
    )
    return (
        with_baseline(analysis, VISITS, SERIES)
        .with_columns(anl01fl=flag(pl.col("avisitn").is_not_null()))
        .select(VitalSign.column_names())
    )


def time_point() -> pl.Expr:
    """The name of a time point, one for each number in VSTPTNUM; null for the one measurement of a visit.

    The number tells results of a visit apart, so it decides: with the text that a site writes beside it, or leaves out,
    two results could have one name. A number that the study does not declare is named by itself; VSTPT stays as
    delivered. Source: ADaM IG 1.3, section 3.3.3 (ATPT and ATPTN are one-to-one within a parameter).
    """
    number = pl.col("vstptnum")
    return number.replace_strict(TIME_POINTS, default=worded("TIME POINT {}", written(number)), return_dtype=pl.String)


def other_time_points(rows: pl.LazyFrame, *_: pl.LazyFrame) -> pl.LazyFrame:
    """A time point is one of the study's, and where VSTPT names it, it is the study's name of VSTPTNUM."""
    number, name = pl.col("vstptnum"), pl.col("vstpt")
    other = number.is_not_null() & ~number.is_in(list(TIME_POINTS))
    return rows.select("vstptnum", "vstpt", "atpt").filter(other | (name != pl.col("atpt")))


VITAL_SIGNS = Curated(
    name="vital_signs",
    description="Vital signs of subjects with demographics, in standard units, with baseline and change (ADVS).",
    owner="team:clinical-data",
    contract=VitalSign,
    # The natural key has nulls, which a unique key of the warehouse would take for different.
    key=("_file", "_checksum", "_line"),
    by="usubjid",
    inputs=("processed/vitals", "curated/subjects"),
    transform=vital_signs,
    checks={"time_points_of_study": other_time_points},
)
