from collections.abc import Callable, Mapping

import polars as pl
import pytest
from agreement import made

from assets.curated.lab_results import LAB_RESULTS, LabResult
from assets.curated.result_flags import RESULT_FLAGS, ResultFlag
from assets.curated.subjects import BlindedSubject
from assets.curated.usual_results import UsualResult
from assets.curated.vital_signs import VitalSign
from assets.labs import LABS as LABORATORY
from assets.labs import Lab
from lakehouse.source import Source

# Centre, spread and spread of changes, as the study has them; ALT is judged by its logarithm.
USUAL = (
    ("vitals", "WEIGHT", 67.0, 16.0, 0.68),
    ("vitals", "TEMP", 36.67, 0.4, 0.33),
    ("vitals", "SYSBP", 132.0, 18.0, 13.0),
)
LABS = (("labs", "SODIUM", 141.0, 3.0, 3.0), ("labs", "ALT", 1.2, 0.14, 0.11), ("labs", "GLUC", 0.722, 0.064, 0.077))


def usual(table: Callable[..., pl.LazyFrame]) -> pl.LazyFrame:
    names = ("source", "paramcd", "centre", "spread", "change_spread")
    return table(UsualResult, *({**dict(zip(names, row, strict=True)), "scale": "plain"} for row in (*USUAL, *LABS)))


def flags(table: Callable[..., pl.LazyFrame], test: str, *values: float) -> list[tuple[int, str, float]]:
    """Which of a subject's results, by their number from 0, are flagged by which rule, and what is expected."""
    person = {"usubjid": "01-701-1", "siteid": "701", "paramcd": test, "param": test}
    rows = [person | {"aval": value, "visitnum": float(number), "_line": number} for number, value in enumerate(values)]
    of_labs = any(test == row[1] for row in LABS)
    vitals = table(VitalSign, *([] if of_labs else [row | {"vsorres": "1"} for row in rows]))
    labs = table(LabResult, *([row | {"lborres": "1"} for row in rows] if of_labs else []))
    found = RESULT_FLAGS.transform(vitals, labs, usual(table)).collect()
    assert ResultFlag.is_valid(found)
    assert set(found["aval"]) <= set(values)
    return sorted(
        (line, rule, round(value, 2)) for line, rule, value in found.select("_line", "rule", "expected").rows()
    )


def test_what_is_usual_is_not_flagged(table: Callable[..., pl.LazyFrame]) -> None:
    assert flags(table, "SODIUM", 140, 141, 139, 144, 140) == []
    assert flags(table, "WEIGHT", 80, 80.4, 79.8, 80.1) == []


@pytest.mark.parametrize(("value", "flagged"), [(151.5, False), (151.6, True), (130.5, False), (130.4, True)])
def test_far_from_the_study_is_beyond_three_and_a_half_spreads(
    table: Callable[..., pl.LazyFrame], value: float, flagged: bool
) -> None:
    # 141 +- 3.5 x 3; a single result has no series of its own.
    assert flags(table, "SODIUM", value) == ([(0, "far_from_study", 141)] if flagged else [])


def test_far_from_the_subjects_own_is_told_where_the_study_sees_nothing(table: Callable[..., pl.LazyFrame]) -> None:
    # 110 is usual in the study. The subject varies by nothing, and is allowed 13 / sqrt(2) = 9.19; 3.5 of it is 32.2.
    assert flags(table, "SYSBP", 143, 143, 110, 143, 143) == [(2, "far_from_own", 143)]
    assert flags(table, "SYSBP", 142, 142, 110, 142, 142) == []
    assert flags(table, "SYSBP", 143, 110, 143) == []


def test_a_jump_is_told_on_the_way_there_only(table: Callable[..., pl.LazyFrame]) -> None:
    # More than 6 x 13 within a subject whose results vary widely.
    found = flags(table, "SYSBP", 100, 150, 110, 160, 90, 170, 120)
    assert [item for item in found if item[1] == "jump"] == [(5, "jump", 90)]
    # Without a series nobody knows which of the two is wrong: the later is told.
    assert flags(table, "SYSBP", 100, 179) == [(1, "jump", 100)]
    assert flags(table, "SYSBP", 100, 178) == []


@pytest.mark.parametrize(
    ("test", "values", "number", "would"),
    [
        # Kilograms taken for pounds, and pounds for kilograms.
        ("WEIGHT", (68.0, 68.5, 30.84, 67.6), 2, 67.99),
        ("WEIGHT", (68.0, 68.5, 150.0, 67.6), 2, 68.04),
        # Celsius taken for Fahrenheit would be below freezing and is refused; the other way, 98.6 C, too.
        # mmol/L taken for mg/dL, and mg/dL for mmol/L.
        ("GLUC", (5.2, 5.3, 0.294, 5.1), 2, 5.3),
        ("GLUC", (5.2, 5.3, 95.0, 5.1), 2, 5.27),
        # One result alone is judged by the study.
        ("GLUC", (95.0,), 0, 5.27),
    ],
)
def test_a_unit_mixed_up_is_told_with_what_would_fit(
    table: Callable[..., pl.LazyFrame], test: str, values: tuple[float, ...], number: int, would: float
) -> None:
    found = flags(table, test, *values)
    assert [item for item in found if item[1] == "unit_mixup"] == [(number, "unit_mixup", would)]


def test_units_that_change_between_visits_make_one_series_and_one_that_does_not_fit_is_told(
    table: Callable[..., pl.LazyFrame], raw_row: Callable[[Source, Mapping[str, str | None]], pl.DataFrame]
) -> None:
    """Glucose of a subject whose laboratory changes to mmol/L and back, and once leaves the old unit beside the new."""
    person = {"STUDYID": "S", "USUBJID": "01-701-1", "LBTESTCD": "GLUC", "LBTEST": "Glucose", "LBDTC": "2014-01-02"}
    old, new = {"LBORRESU": "mg/dL", "LBORNRLO": "70"}, {"LBORRESU": "mmol/L", "LBORNRLO": "3.8857"}
    told = [("1", "95", old), ("4", "5.3", new), ("5", "96", old), ("7", "5.2", old), ("8", "5.4", new)]
    raw = [
        raw_row(LABORATORY, {**person, "VISITNUM": visit, "LBORRES": result, **unit}) for visit, result, unit in told
    ]
    numbered = pl.concat(raw).with_columns(_line=pl.int_range(pl.len(), dtype=pl.Int64))
    accepted, failure = Lab.filter(LABORATORY.tidy(numbered.lazy()).collect(), cast=False)
    assert failure.counts() == {}
    known = {"usubjid": "01-701-1", "subjid": "1", "siteid": "701", "sex": "F", "saffl": "Y"}
    labs = LAB_RESULTS.transform(accepted.lazy(), table(BlindedSubject, known)).collect().sort("_line")

    assert set(labs["param"]) == {"Glucose (mmol/L)"}
    assert labs["aval"].round(2).to_list() == [5.27, 5.3, 5.33, 0.29, 5.4]
    assert set(labs["base"].round(2)) == {5.27}
    assert labs["chg"].round(2).to_list() == [None, 0.03, 0.06, -4.98, 0.13]
    assert set(labs["a1lo"]) == {3.9}
    found = RESULT_FLAGS.transform(table(VitalSign), labs.lazy(), usual(table)).collect()
    mixed = found.filter(rule="unit_mixup")
    assert mixed.select("_line", "visitnum", "orres", "orresu", pl.col("expected").round(2)).rows() == [
        (3, 7, "5.2", "mg/dL", 5.2)
    ]
    assert set(found["_line"]) == {3}


def test_a_stray_result_that_no_unit_mends_is_no_mixup(table: Callable[..., pl.LazyFrame]) -> None:
    assert "unit_mixup" not in {rule for _, rule, _ in flags(table, "WEIGHT", 68, 68.5, 50, 67.6)}
    # Sodium has no other unit.
    assert {rule for _, rule, _ in flags(table, "SODIUM", 140, 141, 14, 140)} == {
        "far_from_own",
        "far_from_study",
        "jump",
    }


def test_a_skewed_test_is_judged_by_its_logarithm_and_zero_not_at_all(table: Callable[..., pl.LazyFrame]) -> None:
    # 10^(1.2 + 3.5 x 0.14) = 48.98.
    assert flags(table, "ALT", 48.9) == []
    assert flags(table, "ALT", 49.2) == [(0, "far_from_study", 15.85)]
    assert flags(table, "ALT", 0) == []


def test_how_many_results_of_the_study_each_rule_flags() -> None:
    found = made("curated/result_flags")
    assert dict(found.group_by("rule").len().iter_rows()) == {"far_from_own": 417, "far_from_study": 456, "jump": 41}


def test_no_result_is_changed_or_left_out_for_a_flag() -> None:
    for name in ("vital_signs", "lab_results"):
        processed = made(f"processed/{'vitals' if name == 'vital_signs' else 'labs'}")
        value = "vsstresn" if name == "vital_signs" else "lbstresn"
        key = ["_file", "_line"]
        both = made(f"curated/{name}").join(processed.select(*key, _was=value), on=key)
        assert both.height == processed.height
        assert both["aval"].eq_missing(both["_was"]).all()
