from collections.abc import Callable
from datetime import date

import polars as pl

from assets.curated.subjects import BlindedSubject
from assets.curated.vital_signs import VITAL_SIGNS, VitalSign
from assets.vitals import Vital

PERSON = {"studyid": "S", "usubjid": "01-701-1", "subjid": "1", "siteid": "701", "sex": "F", "saffl": "N"}
PULSE = {
    "studyid": "S",
    "usubjid": "01-701-1",
    "vstestcd": "PULSE",
    "vstest": "Pulse Rate",
    "vsorres": "72",
    "vsstresn": 72.0,
    "visitnum": 3.0,
}


def test_a_result_stands_beside_its_subject_with_its_own_provenance(table: Callable[..., pl.LazyFrame]) -> None:
    vitals = table(Vital, {**PULSE, "_file": "701/vitals.csv", "_line": 7, "vseltm": "PT5M"})
    subjects = table(BlindedSubject, {**PERSON, "age": 63, "_file": "701/subjects.csv", "_line": 2})

    rows = VITAL_SIGNS.transform(vitals, subjects).collect()

    beside = {
        "subjid": "1",
        "siteid": "701",
        "age": 63,
        "sex": "F",
        "saffl": "N",
        "_file": "701/vitals.csv",
        "_line": 7,
    }
    kept = [name for name in VitalSign.column_names() if name in {*Vital.column_names(), *beside}]
    assert rows.select(kept).equals(table(VitalSign, {**PULSE, **beside}).select(kept).collect())
    assert VitalSign.is_valid(rows)


SUPINE, STANDING = "AFTER LYING DOWN FOR 5 MINUTES", "AFTER STANDING FOR 1 MINUTE"


def series(table: Callable[..., pl.LazyFrame], *results: tuple[float, str | None, float | None]) -> pl.DataFrame:
    """Pulses of one subject, treated from 2014-01-10, by visit, time point and result; one day of January a row."""
    vitals = table(
        Vital,
        *(
            {
                **PULSE,
                "_line": line,
                "visitnum": visit,
                "vstpt": point,
                "vstptnum": {SUPINE: 815.0, STANDING: 816.0}.get(point or ""),
                "vsstresn": result,
                "vsdt": date(2014, 1, 7 + line),
            }
            for line, (visit, point, result) in enumerate(results, start=1)
        ),
    )
    subjects = table(BlindedSubject, {**PERSON, "trtsdt": date(2014, 1, 10), "saffl": "Y"})
    rows = VITAL_SIGNS.transform(vitals, subjects).collect()
    assert VitalSign.is_valid(rows)
    return rows.sort("_line")


def test_baseline_is_of_visit_3_and_of_the_time_point(table: Callable[..., pl.LazyFrame]) -> None:
    rows = series(table, (1, SUPINE, 60), (3, SUPINE, 50), (3, STANDING, 80), (4, SUPINE, 55), (4, STANDING, 60))

    assert rows["ablfl"].to_list() == [None, "Y", "Y", None, None]
    assert rows["base"].to_list() == [50, 50, 80, 50, 80]
    assert rows["chg"].to_list() == [10, 0, 0, 5, -20]
    assert rows["pchg"].to_list() == [20, 0, 0, 10, -25]
    assert rows["basetype"].to_list() == [SUPINE, SUPINE, STANDING, SUPINE, STANDING]


def test_the_number_tells_time_points_apart_whatever_they_are_called(table: Callable[..., pl.LazyFrame]) -> None:
    points = [(815.0, None), (816.0, SUPINE), (899.0, SUPINE), (0.5, None), (None, None)]
    vitals = table(
        Vital,
        *(
            {**PULSE, "_line": line, "visitnum": visit, "vsstresn": 60.0 + line, "vstptnum": number, "vstpt": name}
            for visit in (3.0, 4.0)
            for line, (number, name) in enumerate(points, start=2 if visit == 3 else 12)
        ),
    )

    rows = VITAL_SIGNS.transform(vitals, table(BlindedSubject, PERSON)).collect().sort("_line")

    named = [SUPINE, STANDING, "TIME POINT 899", "TIME POINT 0.5", None]
    assert rows["basetype"].to_list() == rows["atpt"].to_list() == named * 2
    assert rows.select("atptn", "vstpt").rows() == points * 2
    assert rows["base"].to_list() == [62, 63, 64, 65, 66] * 2
    assert rows["chg"].to_list() == [0] * 5 + [10] * 5
    # One is called as another is, two the study does not have.
    check = VITAL_SIGNS.checks["time_points_of_study"]
    assert check(rows.lazy()).collect()["vstptnum"].to_list() == [816, 899, 0.5] * 2


def test_without_a_result_at_baseline_nothing_has_changed(table: Callable[..., pl.LazyFrame]) -> None:
    rows = series(table, (1, None, 60), (3, None, None), (4, None, 55))

    assert rows.select("ablfl", "base", "chg", "pchg").rows() == [(None, None, None, None)] * 3


def test_a_missing_result_has_a_baseline_and_no_change(table: Callable[..., pl.LazyFrame]) -> None:
    rows = series(table, (3, None, 60), (4, None, None))

    assert rows.select("base", "chg", "pchg").row(1) == (60, None, None)


def test_visits_and_study_days(table: Callable[..., pl.LazyFrame]) -> None:
    rows = series(table, (2, None, 1), (3, None, 1), (3.1, None, 1), (4, None, 1), (6, None, 1), (13, None, 1))

    # First dose is on the 10th: the day before it is -1.
    assert rows["ady"].to_list() == [-2, -1, 1, 2, 3, 4]
    assert rows["avisitn"].to_list() == [None, 0, None, 2, None, 26]
    assert rows["avisit"].to_list() == [None, "Baseline", None, "Week 2", None, "Week 26"]
    assert rows["anl01fl"].to_list() == [None, "Y", None, "Y", None, "Y"]


def test_the_last_planned_visit_ends_treatment_but_week_2_does_not(table: Callable[..., pl.LazyFrame]) -> None:
    stayed = series(table, (3, None, 1), (4, None, 1), (5, None, 1), (7, None, None), (8.1, None, 1))
    left = series(table, (3, None, 1), (4, None, 1))

    assert stayed["aentmtfl"].to_list() == [None, None, None, "Y", None]
    assert left["aentmtfl"].to_list() == [None, None]


def test_a_parameter_names_the_standard_unit_whatever_was_delivered(table: Callable[..., pl.LazyFrame]) -> None:
    raw = {"vstestcd": "WEIGHT", "vstest": "Weight"}
    vitals = table(
        Vital,
        {**PULSE, **raw, "vsorres": "120", "vsorresu": "LB", "vsstresn": 54.43, "_line": 2},
        {**PULSE, **raw, "vsorres": "55", "vsorresu": "kg", "vsstresn": 55.0, "visitnum": 4.0, "_line": 3},
    )

    rows = VITAL_SIGNS.transform(vitals, table(BlindedSubject, PERSON)).collect().sort("_line")

    assert rows["param"].to_list() == ["Weight (kg)"] * 2
    assert rows["paramn"].to_list() == [4, 4]
    assert rows["chg"].round(2).to_list() == [0, 0.57]


def test_a_result_of_an_unknown_subject_stays_out(table: Callable[..., pl.LazyFrame]) -> None:
    vitals = table(Vital, PULSE, {**PULSE, "usubjid": "01-701-2", "_line": 3})
    subjects = table(BlindedSubject, PERSON)

    assert VITAL_SIGNS.transform(vitals, subjects).collect()["usubjid"].to_list() == ["01-701-1"]


def test_the_key_tells_two_rows_of_one_file_apart(table: Callable[..., pl.LazyFrame]) -> None:
    vitals = table(Vital, {**PULSE, "_line": 2}, {**PULSE, "_line": 3, "visitnum": 4.0})

    rows = VITAL_SIGNS.transform(vitals, table(BlindedSubject, PERSON)).collect()

    assert rows.select(VITAL_SIGNS.key).n_unique() == rows.height == 2
