"""Laboratory results of known subjects, ready for analysis: ADaM's ADLB, with SDTM's columns beside it."""

import dataframely as dy
import polars as pl

from assets.cdisc import number
from assets.curated.adam import at_baseline, flag, ratio, rounded, study_day, with_baseline, worded
from assets.curated.results import with_subject
from assets.curated.subjects import BlindedSubject
from assets.labs import BEYOND, NO_UNITS, Lab
from assets.reference import LAB_TESTS, UNITS
from assets.study import HIGH, LAB_CATEGORIES, LAB_NUMBERS, LOW, RANGE_DECIMALS
from assets.study import LAB_RESULTS as VISITS
from lakehouse.contract import Contract
from lakehouse.curated import Curated

SERIES = ["usubjid", "paramcd"]
RANGE = "^(LOW|NORMAL|HIGH)$"


class LabResult(Contract):
    """One laboratory result of a known subject at one visit; its provenance is the result's."""

    studyid = Lab.studyid
    usubjid = Lab.usubjid
    subjid = BlindedSubject.subjid
    siteid = BlindedSubject.siteid
    lbtestcd = Lab.lbtestcd
    lbtest = Lab.lbtest
    lbcat = Lab.lbcat
    lborres = Lab.lborres
    lborresu = Lab.lborresu
    lbstresc = Lab.lbstresc
    lbstresn = Lab.lbstresn
    lbstresu = Lab.lbstresu
    loinc = dy.String(nullable=True, description="LOINC code of the test in its original unit; null without one.")
    ucum = dy.String(nullable=True, description="LBSTRESU as UCUM writes it; null without one.")
    lbstnrlo = Lab.lbstnrlo
    lbstnrhi = Lab.lbstnrhi
    lbnrind = dy.String(
        nullable=True,
        regex="^(LOW|NORMAL|HIGH)$",
        description="LOW, NORMAL or HIGH against the delivered reference range; null without one (SDTM LBNRIND).",
    )
    out_of_range = dy.Bool(
        nullable=True, description="Whether LBNRIND is LOW or HIGH; null when the result cannot be judged."
    )
    visitnum = Lab.visitnum
    visit = Lab.visit
    lbdtc = Lab.lbdtc
    lbdt = Lab.lbdt
    age = BlindedSubject.age
    sex = BlindedSubject.sex
    saffl = BlindedSubject.saffl
    trtsdt = BlindedSubject.trtsdt
    paramcd = dy.String(description="Short name of the parameter (ADaM PARAMCD).")
    param = dy.String(description="Name of the parameter, with its unit where it has one (ADaM PARAM).")
    paramn = dy.Int64(nullable=True, description="Number of the parameter, in the study's order (ADaM PARAMN).")
    parcat1 = dy.String(nullable=True, description="Category: CHEM, HEM, or the laboratory's own (ADaM PARCAT1).")
    aval = dy.Float64(nullable=True, description="Analysis value, in the unit that PARAM names (ADaM AVAL).")
    adt = dy.Date(nullable=True, description="Analysis date; null when LBDTC is partial (ADaM ADT).")
    ady = dy.Int64(nullable=True, description="Days from first dose, which is day 1; there is no day 0 (ADaM ADY).")
    avisit = dy.String(nullable=True, description="Analysis visit; null for a visit that is not planned (ADaM AVISIT).")
    avisitn = dy.Int64(nullable=True, description="Week of the analysis visit, 0 for baseline (ADaM AVISITN).")
    ablfl = dy.String(nullable=True, regex="^Y$", description="Y on the baseline record (ADaM ABLFL).")
    base = dy.Float64(nullable=True, description="Baseline value; null where none was measured (ADaM BASE).")
    chg = dy.Float64(nullable=True, description="Change from baseline: AVAL - BASE; null at baseline (ADaM CHG).")
    pchg = dy.Float64(nullable=True, description="Change from baseline in percent of BASE (ADaM PCHG).")
    a1lo = dy.Float64(
        nullable=True, description="Lower end of the analysis range, in the study's decimals; null for 0 (ADaM A1LO)."
    )
    a1hi = dy.Float64(
        nullable=True, description="Upper end of the analysis range, in the study's decimals (ADaM A1HI)."
    )
    r2a1lo = dy.Float64(nullable=True, description="AVAL / A1LO (ADaM R2A1LO).")
    r2a1hi = dy.Float64(nullable=True, description="AVAL / A1HI (ADaM R2A1HI).")
    br2a1lo = dy.Float64(nullable=True, description="R2A1LO at baseline (ADaM BR2A1LO).")
    br2a1hi = dy.Float64(nullable=True, description="R2A1HI at baseline (ADaM BR2A1HI).")
    anrind = dy.String(
        nullable=True, regex=RANGE, description="LOW below 0.5 A1LO, HIGH above 1.5 A1HI, or NORMAL (ADaM ANRIND)."
    )
    bnrind = dy.String(nullable=True, regex=RANGE, description="ANRIND at baseline (ADaM BNRIND).")
    shift1 = dy.String(
        nullable=True, description="Shift from baseline, such as NORMAL to HIGH; after baseline only (ADaM SHIFT1)."
    )
    albtrval = dy.Float64(
        nullable=True, description="The greater of 1.5 A1HI - AVAL and AVAL - 0.5 A1LO (the study's ALBTRVAL)."
    )
    aentmtfl = dy.String(
        nullable=True, regex="^Y$", description="Y on the last planned visit to week 24: end of treatment (AENTMTFL)."
    )
    anl01fl = dy.String(
        nullable=True, regex="^Y$", description="Y where ALBTRVAL is greatest from week 2 to 24 (ADaM ANL01FL)."
    )


def lab_results(labs: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Laboratory results beside their subjects, with baseline, change and shift, test by test of each subject.

    Without the subject's demographics a result waits outside. LBNRIND judges by the laboratory's range as delivered,
    ANRIND by the study's multiples of it. Sources: ADaM IG 1.3, sections 3.3.3 (timing), 3.3.4
    (analysis parameters) and 3.3.8 (indicators); the study's visits, multiples and decimals in `assets.study`.
    """
    test, unit = pl.col("lbtestcd"), pl.col("lbstresu")
    analysis = (
        with_subject(labs, subjects)
        .pipe(with_codes)
        .with_columns(
            lbnrind=range_indicator(),
            paramcd=test,
            param=pl.when(unit != "1").then(worded("{} ({})", "lbtest", unit)).otherwise("lbtest"),
            paramn=test.replace_strict(LAB_NUMBERS, default=None, return_dtype=pl.Int64),
            parcat1=pl.col("lbcat").replace(LAB_CATEGORIES),
            aval="lbstresn",
            adt="lbdt",
            ady=study_day(pl.col("lbdt"), pl.col("trtsdt")),
            a1lo=in_study_decimals("lbstnrlo"),
            a1hi=in_study_decimals("lbstnrhi"),
        )
        .with_columns(
            out_of_range=pl.col("lbnrind") != "NORMAL",
            albtrval=distance_inside(),
            # Nothing is below 0: such an end is no end to judge by, or to divide by.
            a1lo=pl.when(pl.col("a1lo") != 0).then("a1lo"),
        )
        .with_columns(
            r2a1lo=ratio(pl.col("aval"), pl.col("a1lo")),
            r2a1hi=ratio(pl.col("aval"), pl.col("a1hi")),
            anrind=analysis_indicator(),
        )
    )
    shift = worded("{} to {}", "bnrind", "anrind")
    return (
        with_baseline(analysis, VISITS, SERIES)
        .with_columns(
            br2a1lo=at_baseline("r2a1lo", SERIES),
            br2a1hi=at_baseline("r2a1hi", SERIES),
            bnrind=at_baseline("anrind", SERIES),
        )
        .with_columns(shift1=pl.when(pl.col("visitnum") > VISITS.baseline).then(shift))
        .pipe(with_greatest_flagged)
        .select(LabResult.column_names())
    )


def with_codes(results: pl.LazyFrame) -> pl.LazyFrame:
    """Results with LOINC, by test and original unit, and UCUM, by standard unit, where the files have them."""
    tests = LAB_TESTS.rows().select("lbtestcd", "loinc", _unit="lborresu")
    return (
        results.with_columns(_unit=pl.col("lborresu").fill_null(NO_UNITS))
        .join(tests, on=["lbtestcd", "_unit"], how="left")
        .join(UNITS.rows(), on="lbstresu", how="left")
    )


def in_study_decimals(end: str) -> pl.Expr:
    """The end of a range with the decimals that the study keeps for the test; as it is where it declares none.

    Source: the study's A1LO and A1HI, as its published datasets have them.
    """
    kept = pl.col(end)
    for decimals in sorted(set(RANGE_DECIMALS.values())):
        tests = [test for test, number in RANGE_DECIMALS.items() if number == decimals]
        kept = pl.when(pl.col("lbtestcd").is_in(tests)).then(rounded(pl.col(end), decimals)).otherwise(kept)
    return kept


def distance_inside() -> pl.Expr:
    """ALBTRVAL: how far a result is inside the study's multiples of its range, from the end it is farther from.

    The greater of 1.5 A1HI - AVAL and AVAL - 0.5 A1LO, to nine decimals, so that equal distances are equal numbers;
    without an end, of the other one alone. Source: the study's ALBTRVAL, as its published datasets have it.
    """
    value = pl.col("aval")
    return pl.max_horizontal(HIGH * pl.col("a1hi") - value, value - LOW * pl.col("a1lo")).round(9)


def analysis_indicator() -> pl.Expr:
    """ANRIND: LOW, NORMAL or HIGH by the study's multiples of A1LO and A1HI; null without a result or both ends.

    Source: ADaM IG 1.3, section 3.3 (ANRIND), with terms of CDISC's codelist NRIND (C78736); the study's multiples.
    """
    value, low, high = pl.col("aval"), LOW * pl.col("a1lo"), HIGH * pl.col("a1hi")
    return (
        pl.when(value < low)
        .then(pl.lit("LOW"))
        .when(value > high)
        .then(pl.lit("HIGH"))
        .when(value.is_not_null() & (low.is_not_null() | high.is_not_null()))
        .then(pl.lit("NORMAL"))
    )


def with_greatest_flagged(results: pl.LazyFrame) -> pl.LazyFrame:
    """Results with ANL01FL: of each series' planned visits from week 2 to 24 the one where ALBTRVAL is greatest.

    Of several that are equal the earliest visit counts. Source: the study's ANL01FL, as its published datasets have it.
    """
    counted = (
        pl.col("avisitn").is_not_null() & pl.col("visitnum").is_between(*VISITS.ends) & pl.col("albtrval").is_not_null()
    )
    greatest = pl.when(counted).then(pl.col("albtrval")).max().over(SERIES)
    tied = counted & (pl.col("albtrval") == greatest)
    return (
        results.with_columns(_tied=pl.when(tied).then(pl.col("visitnum")))
        .with_columns(anl01fl=flag(pl.col("_tied") == pl.col("_tied").min().over(SERIES)))
        .drop("_tied")
    )


def range_indicator() -> pl.Expr:
    """Where LBORRES lies against LBORNRLO and LBORNRHI: LOW, NORMAL, HIGH, or null where it cannot be told.

    The ends belong to the range. Original units are compared, so no conversion can move a result over an end. A range
    may have one end; an end that is no number judges nothing. `<40` is LOW when 40 itself is below the range, and null
    otherwise, as the study publishes it. Source: SDTMIG 3.4, section 6.3.5.6 (LBNRIND).
    """
    result = pl.col("lborres")
    value, limit, side = number(result), number(result.str.extract(BEYOND, 2)), result.str.extract(BEYOND)
    low, high = number(pl.col("lbornrlo")), number(pl.col("lbornrhi"))
    ranged = pl.col("lbornrlo").is_not_null() | pl.col("lbornrhi").is_not_null()
    not_low = pl.col("lbornrlo").is_null() | (value >= low)
    not_high = pl.col("lbornrhi").is_null() | (value <= high)
    return (
        pl.when((value < low) | (side.str.starts_with("<") & (limit < low)))
        .then(pl.lit("LOW"))
        .when((value > high) | (side.str.starts_with(">") & (limit > high)))
        .then(pl.lit("HIGH"))
        .when(ranged & not_low & not_high)
        .then(pl.lit("NORMAL"))
    )


LAB_RESULTS = Curated(
    name="lab_results",
    description="Laboratory results of subjects with demographics, in standard units: baseline, change, shift (ADLB).",
    owner="team:clinical-data",
    contract=LabResult,
    key=("_file", "_checksum", "_line"),
    by="usubjid",
    inputs=("processed/labs", "curated/subjects"),
    transform=lab_results,
)
