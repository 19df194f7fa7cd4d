"""Results that may be wrong: flagged with the rule and the reason, one row each. No result is changed or left out."""

import dataframely as dy
import polars as pl

from assets import labs, vitals
from assets.curated.measured import NORMAL, SERIES, change, measured, scaled, unscaled
from assets.study import CUT_OFF, FITS, JUMP, LEAST_OF_SERIES
from lakehouse.contract import Contract
from lakehouse.curated import Curated

UNIT, JUMPED, OWN, STUDY = "unit_mixup", "jump", "far_from_own", "far_from_study"


class ResultFlag(Contract):
    """One rule that one result of a subject falls under; its provenance is the result's."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    source = dy.String(description="Name of the source.")
    paramcd = dy.String(description="Short name of the parameter (ADaM PARAMCD).")
    param = dy.String(description="Name of the parameter, with its unit (ADaM PARAM).")
    basetype = dy.String(nullable=True, description="Time point, where a visit has several (ADaM BASETYPE).")
    visitnum = dy.Float64(description="Visit number (SDTM VISITNUM).")
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    adt = dy.Date(nullable=True, description="Day of the result (ADaM ADT).")
    aval = dy.Float64(description="Analysis value, which no rule changes (ADaM AVAL).")
    orres = dy.String(description="Result as delivered (SDTM VSORRES, LBORRES).")
    orresu = dy.String(nullable=True, description="Its unit (SDTM VSORRESU, LBORRESU).")
    rule = dy.String(
        regex=f"^({UNIT}|{JUMPED}|{OWN}|{STUDY})$", description="unit_mixup, jump, far_from_own or far_from_study."
    )
    score = dy.Float64(description="How far it is off, in robust standard deviations; below 0 when it is too low.")
    expected = dy.Float64(
        description="What it is compared with: the subject's median, its result before, or the study's median; of a "
        "mix-up the value after the conversion. In the unit of AVAL."
    )
    reason = dy.String(description="Why it is flagged, in words.")


def result_flags(vital_signs: pl.LazyFrame, lab_results: pl.LazyFrame, usual: pl.LazyFrame) -> pl.LazyFrame:
    """Results that are far from what is usual for the test or the subject, that jump, or that fit in another unit.

    Robust z-score = (x - median) / (1.4826 x median absolute deviation), beyond 3.5 either way: of the study's test,
    and of the subject's own series of four results or more, whose spread is taken to be no less than what the test
    usually varies by within a subject, its spread of changes / sqrt(2). A jump is a change from the subject's result
    before of more than six spreads of such changes; of a single stray result only the way there counts, not the way
    back. A mix-up is a stray result that is within two spreads once its test's conversion is undone or done once more.
    Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), for score and cut-off; the study's others.
    """
    rows = with_scores(measured(vital_signs, lab_results), usual)
    stray = pl.col("_apart").abs() > CUT_OFF
    there = pl.col("_before_off").abs() < pl.col("_own_off").abs()
    found = {
        UNIT: (stray & (pl.col("_fit").abs() <= FITS), "_apart", "_converted", "would fit in the test's other unit"),
        JUMPED: (
            (pl.col("_jump").abs() > JUMP) & (there | pl.col("_own_off").is_null()),
            "_jump",
            "_before",
            "changed more from one visit to the next than a subject usually does",
        ),
        OWN: (pl.col("_own").abs() > CUT_OFF, "_own", "_own_median", "is far from the subject's other results"),
        STUDY: (pl.col("_study").abs() > CUT_OFF, "_study", "_study_median", "is far from the study's other results"),
    }
    return pl.concat(
        [
            rows.filter(holds).with_columns(
                rule=pl.lit(rule), score=pl.col(score), expected=pl.col(expected), reason=pl.lit(reason)
            )
            for rule, (holds, score, expected, reason) in found.items()
        ]
    ).select(ResultFlag.column_names())


def with_scores(results: pl.LazyFrame, usual: pl.LazyFrame) -> pl.LazyFrame:
    """Results that can be judged, with their scores and what each was compared with, in columns that begin with `_`.

    Scores have two decimals: a quotient may differ in its last bit between frames of one row and of many.
    """
    own = pl.col("x").median().over(SERIES)
    deviation = NORMAL * (pl.col("x") - pl.col("_own_centre")).abs().median().over(SERIES)
    within = pl.col("change_spread") / pl.lit(2.0).sqrt()
    enough = pl.len().over(SERIES) >= LEAST_OF_SERIES
    before = pl.col("x").shift(1).over(SERIES, order_by="visitnum")
    return (
        results.drop_nulls("aval")
        .join(usual, on=["source", "paramcd"])
        .with_columns(x=scaled(pl.col("aval")))
        .drop_nulls("x")
        .with_columns(_own_centre=pl.when(enough).then(own), _last=before, _change=change())
        .with_columns(_own_spread=pl.max_horizontal(pl.when(within.is_not_null()).then(deviation), within))
        .with_columns(
            _study=((pl.col("x") - pl.col("centre")) / pl.col("spread")).round(2),
            _own=((pl.col("x") - pl.col("_own_centre")) / pl.col("_own_spread")).round(2),
            _jump=(pl.col("_change") / pl.col("change_spread")).round(2),
            _own_off=(pl.col("x") - pl.col("_own_centre")).round(9),
            _before_off=(pl.col("_last") - pl.col("_own_centre")).round(9),
            _own_median=unscaled(pl.col("_own_centre")),
            _study_median=unscaled(pl.col("centre")),
            _before=unscaled(pl.col("_last")),
            _factor=conversion("factor"),
            _zero=conversion("zero"),
        )
        .with_columns(_apart=pl.coalesce("_own", "_study"))
        .pipe(_with_conversions)
    )


def _with_conversions(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Scored results with `_converted`, the value after the conversion of their test that fits better, and `_fit`."""
    once_more = ((pl.col("aval") - pl.col("_zero")) * pl.col("_factor")).round_sig_figs(6)
    undone = (pl.col("aval") / pl.col("_factor") + pl.col("_zero")).round_sig_figs(6)

    def fit(value: str) -> pl.Expr:
        own = (scaled(pl.col(value)) - pl.col("_own_centre")) / pl.col("_own_spread")
        return pl.coalesce(own, (scaled(pl.col(value)) - pl.col("centre")) / pl.col("spread")).round(2)

    nearer = pl.col("_more_fit").abs() <= pl.col("_undone_fit").abs()
    return (
        rows.with_columns(_more=once_more, _undone=undone)
        .with_columns(_more_fit=fit("_more"), _undone_fit=fit("_undone"))
        .with_columns(
            _fit=pl.when(nearer).then("_more_fit").otherwise(pl.coalesce("_undone_fit", "_more_fit")),
            _converted=pl.when(nearer).then("_more").otherwise(pl.coalesce("_undone", "_more")),
        )
    )


def conversion(part: str) -> pl.Expr:
    """A test's factor or zero for bringing its other unit to the standard one; null for a test without another unit."""
    known = {unit.test: (unit.factor, unit.zero) for unit in vitals.UNITS if (unit.factor, unit.zero) != (1.0, 0.0)}
    known |= {test: (unit.factor, 0.0) for unit in labs.UNITS if unit.factor != 1.0 for test in unit.tests.split()}
    place = ("factor", "zero").index(part)
    of = {test: values[place] for test, values in known.items()}
    return pl.col("paramcd").replace_strict(of, default=None, return_dtype=pl.Float64)


RESULT_FLAGS = Curated(
    name="result_flags",
    description="Results that may be wrong, with the rule and the reason: outliers, jumps, unit mix-ups. Blinded.",
    owner="team:clinical-data",
    contract=ResultFlag,
    key=("_file", "_checksum", "_line", "rule"),
    by="usubjid",
    inputs=("curated/vital_signs", "curated/lab_results", "curated/usual_results"),
    transform=result_flags,
)
