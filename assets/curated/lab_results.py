"""Laboratory results of known subjects, judged by the reference range that came with each."""

import dataframely as dy
import polars as pl

from assets.cdisc import number
from assets.curated.results import not_enrolled, with_subject
from assets.curated.subjects import BlindedSubject
from assets.labs import BEYOND, Lab
from lakehouse.contract import Contract
from lakehouse.curated import Curated


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


def lab_results(labs: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Laboratory results beside their subjects, judged; without the subject's demographics a result waits outside."""
    return (
        with_subject(labs, subjects)
        .with_columns(lbnrind=range_indicator())
        .with_columns(out_of_range=pl.col("lbnrind") != "NORMAL")
        .select(LabResult.column_names())
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
    description="Laboratory results of subjects with demographics, in standard units, judged by their reference range.",
    owner="team:clinical-data",
    contract=LabResult,
    key=("_file", "_checksum", "_line"),
    inputs=("processed/labs", "curated/subjects"),
    transform=lab_results,
    checks={"enrolled": not_enrolled},
)
