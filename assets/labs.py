"""Laboratory results: SDTM's LB domain, with results and reference ranges brought to standard units."""

from datetime import timedelta
from typing import NamedTuple

import dataframely as dy
import polars as pl

from assets.cdisc import (
    STUDY_BEGAN,
    SubjectRecord,
    dtc_date,
    dtc_earliest,
    dtc_moment,
    is_dtc,
    number,
    number_or_nan,
    written,
)
from lakehouse.lookup import look_up
from lakehouse.source import Source

NO_UNITS = "NO UNITS"


class Unit(NamedTuple):
    """How tests in a unit become ones in the standard unit (None: a number without one): result * factor."""

    tests: str
    unit: str
    standard: str | None
    factor: float = 1.0


# LBTESTCD: CDISC controlled terminology. Units and factors are the study's own, to the digits it publishes; the comment
# is where each comes from: 10 / molar mass in g/mol turns mg/dL into mmol/L.
UNITS = (
    Unit("ALB PROT", "g/dL", "g/L", 10.0),  # 10 dL are 1 L
    Unit("ALP ALT AST CK GGT", "U/L", "U/L"),
    Unit("BILI", "mg/dL", "umol/L", 17.1),  # bilirubin, 584.7 g/mol
    Unit("BUN", "mg/dL", "mmol/L", 0.357),  # the two nitrogen atoms of urea, 28.01 g/mol
    Unit("CA", "mg/dL", "mmol/L", 0.2495),  # calcium, 40.08 g/mol
    Unit("CHOL", "mg/dL", "mmol/L", 0.02586),  # cholesterol, 386.7 g/mol
    Unit("CREAT", "mg/dL", "umol/L", 88.4),  # creatinine, 113.1 g/mol
    Unit("GLUC", "mg/dL", "mmol/L", 0.05551),  # glucose, 180.2 g/mol
    Unit("PHOS", "mg/dL", "mmol/L", 0.3229),  # phosphorus, 30.97 g/mol
    Unit("URATE", "mg/dL", "umol/L", 59.48),  # uric acid, 168.1 g/mol
    Unit("CL K SODIUM", "mEq/L", "mmol/L"),  # ions of a single charge
    Unit("HGB MCHC", "g/dL", "mmol/L", 0.6206),  # haemoglobin per iron atom, 16114 g/mol
    Unit("MCH", "pg", "fmol(Fe)", 0.06206),  # the same, per cell
    Unit("HBA1C HCT", "%", "1", 0.01),
    Unit("BASO EOS LYM MONO PLAT WBC", "THOU/uL", "GI/L"),  # 1,000 per uL are 10^9 per L
    Unit("RBC", "MILL/uL", "TI/L"),
    Unit("BASOLE EOSLE LYMLE MONOLE", "FRACTION", "FRACTION"),
    Unit("MCV", "fL", "fL"),
    Unit("TSH", "uIU/mL", "mU/L"),
    Unit("VITB12", "pg/mL", "pmol/L", 0.7378),  # cobalamin, 1355.4 g/mol
    Unit("ANISO COLOR KETONES MACROCY MICROCY PH POIKILO POLYCHR SPGRAV UROBIL", NO_UNITS, None),
)
TESTS = sorted(test for unit in UNITS for test in unit.tests.split())
# Tests that a laboratory may answer in words or with a code.
IN_WORDS = ["ANISO", "COLOR", "KETONES", "MACROCY", "MICROCY", "POIKILO", "POLYCHR", "UROBIL"]
# A result beyond what the method can measure: on which side of the limit it lies, and the limit.
BEYOND = r"^(<=|>=|<|>) ?(.*)$"


def known_units() -> list[tuple[str, str, str | None, float]]:
    """Test, unit, standard unit and factor, a row each; a result already in the standard unit is taken as it is."""
    table = {}
    for unit in UNITS:
        for test in unit.tests.split():
            table[test, unit.standard or NO_UNITS] = (unit.standard, 1.0)
            table[test, unit.unit] = (unit.standard, unit.factor)
    return [(*pair, *standard) for pair, standard in table.items()]


class Lab(SubjectRecord):
    """One laboratory result of one subject at one visit."""

    lbtestcd = dy.String(description="Short name of the test (SDTM LBTESTCD).")
    lbtest = dy.String(description="Name of the test (SDTM LBTEST).")
    lbcat = dy.String(nullable=True, description="Category of the test, such as CHEMISTRY (SDTM LBCAT).")
    lborres = dy.String(description="Result as the laboratory gives it, in the original unit (SDTM LBORRES).")
    lborresu = dy.String(nullable=True, description="Original unit; NO UNITS for a number without (SDTM LBORRESU).")
    lbornrlo = dy.String(nullable=True, description="Lower end of the reference range, original (SDTM LBORNRLO).")
    lbornrhi = dy.String(nullable=True, description="Upper end of the reference range, original (SDTM LBORNRHI).")
    lbstresc = dy.String(
        nullable=True, description="Result in the standard unit, as text; also <3.42 and words (SDTM LBSTRESC)."
    )
    lbstresn = dy.Float64(
        nullable=True,
        description="Result in the standard unit, 7 significant digits where converted; null for text (SDTM LBSTRESN).",
    )
    lbstresu = dy.String(nullable=True, description="Standard unit; null for a test without one (SDTM LBSTRESU).")
    lbstnrlo = dy.Float64(
        nullable=True, description="Lower end of the reference range in the standard unit (SDTM LBSTNRLO)."
    )
    lbstnrhi = dy.Float64(
        nullable=True, description="Upper end of the reference range in the standard unit (SDTM LBSTNRHI)."
    )
    visitnum = dy.Float64(description="Visit number; unplanned visits have decimals (SDTM VISITNUM).")
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    lbdtc = dy.String(description="When the specimen was taken: ISO 8601, may be partial (SDTM LBDTC).")
    lbdt = dy.Date(nullable=True, description="Date of LBDTC; null when it is partial.")
    lbdtm = dy.Datetime(
        nullable=True, time_unit="us", description="Date and time of LBDTC by the site's clock; null without a time."
    )

    @dy.rule()
    def test_known(cls) -> pl.Expr:
        """LBTESTCD is one of the study's tests, in CDISC's short form, such as ALT, BILI or GLUC."""
        return pl.col("lbtestcd").is_in(TESTS)

    @dy.rule()
    def unit_known(cls) -> pl.Expr:
        """LBORRESU is a unit the study knows for the test (BILI: mg/dL or umol/L), NO UNITS for a test without."""
        pairs = [f"{test} {unit}" for test, unit, _, _ in known_units()]
        given = pl.concat_str("lbtestcd", pl.col("lborresu").fill_null(NO_UNITS), separator=" ")
        return ~pl.col("lbtestcd").is_in(TESTS) | given.is_in(pairs)

    @dy.rule()
    def result_readable(cls) -> pl.Expr:
        """LBORRES is a plain number, or one after <, <=, > or >=; words only for COLOR, KETONES and other findings."""
        in_words = pl.col("lbtestcd").is_in(IN_WORDS).fill_null(False)
        return pl.col("lborres").is_null() | _value_or_limit().is_not_null() | in_words

    @dy.rule()
    def result_not_negative(cls) -> pl.Expr:
        """LBORRES is not below zero."""
        return _value_or_limit() >= 0

    @dy.rule()
    def range_in_order(cls) -> pl.Expr:
        """LBORNRLO, the lower end of the reference range, is not above LBORNRHI."""
        return number(pl.col("lbornrlo")) <= number(pl.col("lbornrhi"))

    @dy.rule()
    def date_real(cls) -> pl.Expr:
        """LBDTC is a date that exists, in ISO 8601: 2014-01-02, 2014-01-02T08:30, or part of it, such as 2014-01."""
        return is_dtc(pl.col("lbdtc"))

    @dy.rule()
    def date_in_study(cls) -> pl.Expr:
        """LBDTC is not before 2012, when the study began."""
        return dtc_earliest(pl.col("lbdtc")) >= STUDY_BEGAN

    @dy.rule()
    def taken_before_delivery(cls) -> pl.Expr:
        """LBDTC is not after the day of the file it is delivered in."""
        return dtc_earliest(pl.col("lbdtc")) <= pl.col("_delivered")


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Laboratory results with numbers, dates, standard results and ranges beside the delivered texts.

    A converted number keeps seven significant digits, as the study publishes it; one already in the standard unit is
    kept as it is. A result beyond a limit (`<0.2`) has the converted limit in LBSTRESC (`<3.42`) and no LBSTRESN.
    Source of LBSTRES- and LBSTNR-: SDTMIG 3.4, sections 4.5.1 and 6.3.5.6.
    """
    units = pl.LazyFrame(
        known_units(),
        schema={"lbtestcd": pl.String, "_unit": pl.String, "_standard": pl.String, "_factor": pl.Float64},
        orient="row",
    )
    beyond = pl.col("lborres").str.extract(BEYOND) + written(_standard(pl.col("lborres").str.extract(BEYOND, 2)))
    words = pl.when(pl.col("lbtestcd").is_in(IN_WORDS)).then("lborres")
    rows = raw.rename(str.lower).with_columns(_unit=pl.col("lborresu").fill_null(NO_UNITS))
    return (
        look_up(rows, units, ["lbtestcd", "_unit"])
        .with_columns(
            lbstresn=_standard(pl.col("lborres")),
            lbstresu="_standard",
            lbstnrlo=_standard(pl.col("lbornrlo")),
            lbstnrhi=_standard(pl.col("lbornrhi")),
            visitnum=number_or_nan(pl.col("visitnum")),
            lbdt=dtc_date(pl.col("lbdtc")),
            lbdtm=dtc_moment(pl.col("lbdtc")),
        )
        .with_columns(lbstresc=pl.coalesce(written(pl.col("lbstresn")), beyond, words))
        .select(Lab.column_names())
    )


def _value_or_limit() -> pl.Expr:
    """The number in LBORRES, or the one behind its `<`; null for words."""
    return pl.coalesce(number(pl.col("lborres")), number(pl.col("lborres").str.extract(BEYOND, 2)))


def _standard(text: pl.Expr) -> pl.Expr:
    """A number given as text, in the standard unit; null without a known unit."""
    value = number(text)
    converted = (value * pl.col("_factor")).round_sig_figs(7)
    return pl.when(pl.col("_factor") == 1).then(value).when(pl.col("_factor").is_not_null()).then(converted)


LABS = Source(
    name="labs",
    description="Laboratory results: chemistry, haematology, urinalysis and others, with their reference ranges.",
    owner="team:clinical-data",
    contract=Lab,
    tidy=tidy,
    key=("usubjid", "lbtestcd", "visitnum"),
    columns=(
        "STUDYID",
        "USUBJID",
        "LBTESTCD",
        "LBTEST",
        "LBCAT",
        "LBORRES",
        "LBORRESU",
        "LBORNRLO",
        "LBORNRHI",
        "VISITNUM",
        "VISIT",
        "LBDTC",
    ),
    first_day=STUDY_BEGAN,
    late_after=timedelta(days=30),
    publish=False,
)
