"""Vital signs as the sites measure them: SDTM's VS domain, with results brought to standard units."""

from datetime import timedelta
from typing import NamedTuple

import dataframely as dy
import polars as pl

from assets.cdisc import (
    STUDY_BEGAN,
    SubjectRecord,
    dtc_date,
    dtc_earliest,
    is_dtc,
    number,
    number_or_nan,
    written,
)
from lakehouse.lookup import look_up
from lakehouse.source import Source


class Unit(NamedTuple):
    """How a vital sign in a unit becomes one in the standard unit: (result - zero) * factor."""

    test: str
    unit: str
    standard: str
    factor: float = 1.0
    zero: float = 0.0


# Names and units: CDISC controlled terminology, codelists VSTESTCD, VSTEST and VSRESU.
TESTS = {
    "SYSBP": "Systolic Blood Pressure",
    "DIABP": "Diastolic Blood Pressure",
    "PULSE": "Pulse Rate",
    "TEMP": "Temperature",
    "HEIGHT": "Height",
    "WEIGHT": "Weight",
}
UNITS = (
    Unit("SYSBP", "mmHg", "mmHg"),
    Unit("DIABP", "mmHg", "mmHg"),
    Unit("PULSE", "beats/min", "beats/min"),
    Unit("TEMP", "C", "C"),
    # The definition of the Fahrenheit scale.
    Unit("TEMP", "F", "C", factor=5 / 9, zero=32.0),
    Unit("HEIGHT", "cm", "cm"),
    # The international inch, exactly.
    Unit("HEIGHT", "in", "cm", factor=2.54),
    Unit("WEIGHT", "kg", "kg"),
    # The study's published factor for the pound; the exact 0.45359237 gives another second decimal in one of nine.
    Unit("WEIGHT", "LB", "kg", factor=0.4536),
)
# Beyond what a living adult can show, in standard units; wide enough that only a slip of the pen is outside.
LIMITS: dict[str, tuple[float, float]] = {
    "SYSBP": (40, 300),
    "DIABP": (10, 200),
    "PULSE": (20, 300),
    "TEMP": (25, 45),
    "HEIGHT": (50, 250),
    "WEIGHT": (20, 400),
}


class Vital(SubjectRecord):
    """One vital sign of one subject at one visit and time point."""

    vstestcd = dy.String(description="Short name of the vital sign (SDTM VSTESTCD).")
    vstest = dy.String(description="Name of the vital sign (SDTM VSTEST).")
    vspos = dy.String(nullable=True, description="Position of the subject, such as SUPINE (SDTM VSPOS).")
    vsorres = dy.String(nullable=True, description="Result as measured, in the original unit (SDTM VSORRES).")
    vsorresu = dy.String(nullable=True, description="Original unit (SDTM VSORRESU).")
    vsstresc = dy.String(nullable=True, description="Result in the standard unit, as text (SDTM VSSTRESC).")
    vsstresn = dy.Float64(
        nullable=True,
        description="Result in the standard unit; rounded to 2 decimals where the unit was converted (SDTM VSSTRESN).",
    )
    vsstresu = dy.String(nullable=True, description="Standard unit; null without a result (SDTM VSSTRESU).")
    vsstat = dy.String(nullable=True, description="NOT DONE when nothing was measured (SDTM VSSTAT).")
    vsloc = dy.String(nullable=True, description="Where on the body it was measured (SDTM VSLOC).")
    visitnum = dy.Float64(description="Visit number; unplanned visits have decimals (SDTM VISITNUM).")
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    vsdtc = dy.String(nullable=True, description="When it was measured: ISO 8601, may be partial (SDTM VSDTC).")
    vsdt = dy.Date(nullable=True, description="Date of VSDTC; null when it is partial.")
    vstpt = dy.String(nullable=True, description="Planned time point within the visit (SDTM VSTPT).")
    vstptnum = dy.Float64(
        nullable=True, description="Number of the time point; null when there is only one (SDTM VSTPTNUM)."
    )
    vseltm = dy.String(nullable=True, description="Planned time since VSTPTREF, ISO 8601 duration (SDTM VSELTM).")
    vstptref = dy.String(nullable=True, description="What the time point counts from (SDTM VSTPTREF).")

    @dy.rule()
    def test_known(cls) -> pl.Expr:
        """VSTESTCD is SYSBP, DIABP, PULSE, TEMP, HEIGHT or WEIGHT."""
        return pl.col("vstestcd").is_in(list(TESTS))

    @dy.rule()
    def test_named_alike(cls) -> pl.Expr:
        """VSTEST is the name of VSTESTCD, such as Systolic Blood Pressure for SYSBP."""
        return pl.col("vstest") == pl.col("vstestcd").replace_strict(TESTS, default=None)

    @dy.rule()
    def status_known(cls) -> pl.Expr:
        """VSSTAT is empty or NOT DONE."""
        return pl.col("vsstat").is_null() | (pl.col("vsstat") == "NOT DONE")

    @dy.rule()
    def not_done_without_result(cls) -> pl.Expr:
        """A vital sign that is NOT DONE has no result in VSORRES."""
        return pl.col("vsstat").ne_missing("NOT DONE") | pl.col("vsorres").is_null()

    @dy.rule()
    def no_result_is_not_done(cls) -> pl.Expr:
        """A vital sign without a result in VSORRES says NOT DONE in VSSTAT."""
        return pl.col("vsorres").is_not_null() | pl.col("vsstat").is_not_null()

    @dy.rule()
    def result_is_a_number(cls) -> pl.Expr:
        """VSORRES is a plain number, such as 120 or 36.6, of at most 17 digits."""
        return pl.col("vsorres").is_null() | number(pl.col("vsorres")).is_not_null()

    @dy.rule()
    def unit_known(cls) -> pl.Expr:
        """VSORRESU is a unit of the vital sign: mmHg, beats/min, C or F, cm or in, kg or LB."""
        unjudged = pl.col("vsorres").is_null() | ~pl.col("vstestcd").is_in(list(TESTS))
        return unjudged | pl.col("vsstresu").is_not_null()

    @dy.rule()
    def result_can_be(cls) -> pl.Expr:
        """SYSBP is 40-300, DIABP 10-200, PULSE 20-300, TEMP 25-45 C, HEIGHT 50-250 cm or WEIGHT 20-400 kg."""
        low, high = (
            pl.col("vstestcd").replace_strict(
                {test: limits[end] for test, limits in LIMITS.items()}, default=None, return_dtype=pl.Float64
            )
            for end in (0, 1)
        )
        return pl.col("vsstresn").is_between(low, high)

    @dy.rule()
    def time_point_numbered(cls) -> pl.Expr:
        """A time point named in VSTPT has its number in VSTPTNUM, by which the results of a visit are told apart."""
        return pl.col("vstpt").is_null() | pl.col("vstptnum").is_not_null()

    @dy.rule()
    def result_has_date(cls) -> pl.Expr:
        """A result has the day it was measured in VSDTC."""
        return pl.col("vsorres").is_null() | pl.col("vsdtc").is_not_null()

    @dy.rule()
    def date_real(cls) -> pl.Expr:
        """VSDTC is a date that exists, in ISO 8601: 2014-01-02, 2014-01-02T08:30, or part of it, such as 2014-01."""
        return is_dtc(pl.col("vsdtc"))

    @dy.rule()
    def date_in_study(cls) -> pl.Expr:
        """VSDTC is not before 2012, when the study began."""
        return dtc_earliest(pl.col("vsdtc")) >= STUDY_BEGAN

    @dy.rule()
    def measured_before_delivery(cls) -> pl.Expr:
        """VSDTC is not after the day of the file it is delivered in."""
        return dtc_earliest(pl.col("vsdtc")) <= pl.col("_delivered")


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Vital signs with numbers, dates and standard results beside the delivered texts.

    A result whose text is no number, or whose unit its test does not have, has no standard result. A converted result
    is rounded to two decimals, as the study publishes it; one already in the standard unit is kept as it is.
    Source of VSSTRES-: SDTMIG 3.4, section 4.5.1.
    """
    units = pl.LazyFrame(UNITS, schema=["vstestcd", "vsorresu", "standard", "factor", "zero"], orient="row")
    value = number(pl.col("vsorres"))
    converted = pl.when((pl.col("factor") == 1) & (pl.col("zero") == 0)).then(value)
    result = converted.otherwise(((value - pl.col("zero")) * pl.col("factor")).round(2))
    return (
        look_up(raw.rename(str.lower), units, ["vstestcd", "vsorresu"])
        .with_columns(
            vsstresn=pl.when(pl.col("factor").is_not_null()).then(result),
            vsstresu=pl.when(pl.col("vsorres").is_not_null()).then("standard"),
            visitnum=number_or_nan(pl.col("visitnum")),
            vstptnum=number_or_nan(pl.col("vstptnum")),
            vsdt=dtc_date(pl.col("vsdtc")),
        )
        .with_columns(vsstresc=written(pl.col("vsstresn")))
        .select(Vital.column_names())
    )


VITALS = Source(
    name="vitals",
    description="Vital signs measured at the sites: blood pressure, pulse, temperature, height and weight.",
    owner="team:clinical-data",
    contract=Vital,
    tidy=tidy,
    key=("usubjid", "vstestcd", "visitnum", "vstptnum"),
    columns=(
        "STUDYID",
        "USUBJID",
        "VSTESTCD",
        "VSTEST",
        "VSPOS",
        "VSORRES",
        "VSORRESU",
        "VSSTAT",
        "VSLOC",
        "VISITNUM",
        "VISIT",
        "VSDTC",
        "VSTPT",
        "VSTPTNUM",
    ),
    optional=("VSELTM", "VSTPTREF"),
    first_day=STUDY_BEGAN,
    late_after=timedelta(days=14),
    publish=False,
)
