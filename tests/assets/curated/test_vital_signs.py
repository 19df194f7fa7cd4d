from collections.abc import Callable

import polars as pl

from assets.curated.subjects import BlindedSubject
from assets.curated.vital_signs import VITAL_SIGNS, VitalSign
from assets.vitals import Vital

PERSON = {"studyid": "S", "usubjid": "01-701-1", "subjid": "1", "siteid": "701", "country": "USA", "sex": "F"}
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

    beside = {"subjid": "1", "siteid": "701", "age": 63, "sex": "F", "_file": "701/vitals.csv", "_line": 7}
    assert rows.equals(table(VitalSign, {**PULSE, **beside}).collect())
    assert VitalSign.is_valid(rows)


def test_a_result_of_an_unknown_subject_stays_out_and_is_told(table: Callable[..., pl.LazyFrame]) -> None:
    vitals = table(Vital, PULSE, {**PULSE, "usubjid": "01-701-2", "_line": 3})
    subjects = table(BlindedSubject, PERSON)

    assert VITAL_SIGNS.transform(vitals, subjects).collect()["usubjid"].to_list() == ["01-701-1"]
    assert VITAL_SIGNS.checks["enrolled"](vitals, subjects).collect()["_line"].to_list() == [3]
    assert VITAL_SIGNS.checks["enrolled"](vitals.head(1), subjects).collect().is_empty()


def test_the_key_tells_two_rows_of_one_file_apart(table: Callable[..., pl.LazyFrame]) -> None:
    vitals = table(Vital, {**PULSE, "_line": 2}, {**PULSE, "_line": 3, "visitnum": 4.0})

    rows = VITAL_SIGNS.transform(vitals, table(BlindedSubject, PERSON)).collect()

    assert rows.select(VITAL_SIGNS.key).n_unique() == rows.height == 2
