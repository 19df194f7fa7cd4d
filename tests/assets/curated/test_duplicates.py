from collections.abc import Callable

import polars as pl
from agreement import made

from assets.curated.duplicates import DUPLICATES, LOOKALIKES, Duplicate, Lookalike
from assets.curated.lab_results import LabResult
from assets.curated.panels import PANELS, Panel
from assets.curated.subjects import BlindedSubject
from assets.curated.vital_signs import VitalSign

TESTS = ("SODIUM", "K", "CL", "BILI", "ALP", "GGT", "ALT", "AST")


def visit(subject: str, number: float, *results: str) -> list[dict[str, object]]:
    """A laboratory visit of a subject."""
    person = {"usubjid": subject, "siteid": subject.split("-")[1], "visitnum": number, "parcat1": "CHEM"}
    named = list(zip(TESTS, results, strict=False))
    return [person | {"lbtestcd": test, "lborres": result, "_line": n} for n, (test, result) in enumerate(named)]


def found(table: Callable[..., pl.LazyFrame], *visits: list[dict[str, object]]) -> pl.DataFrame:
    labs = table(LabResult, *(row for rows in visits for row in rows))
    panels = PANELS.transform(table(VitalSign), labs).collect()
    assert Panel.is_valid(panels)
    duplicates = DUPLICATES.transform(panels.lazy()).collect()
    assert Duplicate.is_valid(duplicates)
    return duplicates.sort("usubjid", "visitnum")


EIGHT = ("140", "4.1", "101", "0.5", "66", "17", "16", "22")


def test_the_same_results_under_two_subjects_are_told_of_both(table: Callable[..., pl.LazyFrame]) -> None:
    copied = visit("01-702-9", 4.0, *EIGHT)[::-1]
    rows = found(table, visit("01-701-1", 1.0, *EIGHT), copied, visit("01-701-2", 1.0, "141", *EIGHT[1:]))

    told = rows.select("usubjid", "visitnum", "like_usubjid", "like_siteid", "across_sites", "results", "_line").rows()
    assert told == [("01-701-1", 1, "01-702-9", "702", True, 8, 0), ("01-702-9", 4, "01-701-1", "701", True, 8, 0)]


def test_three_times_the_same_each_names_another(table: Callable[..., pl.LazyFrame]) -> None:
    rows = found(table, *(visit(subject, 1.0, *EIGHT) for subject in ("01-701-1", "01-701-2", "01-703-3")))
    assert rows.select("like_usubjid", "across_sites").rows() == [
        ("01-703-3", True),
        ("01-701-1", False),
        ("01-701-1", True),
    ]


def test_a_subject_twice_the_same_or_few_results_are_no_duplicates(table: Callable[..., pl.LazyFrame]) -> None:
    assert found(table, visit("01-701-1", 1.0, *EIGHT), visit("01-701-1", 4.0, *EIGHT)).is_empty()
    assert found(table, visit("01-701-1", 1.0, *EIGHT[:7]), visit("01-702-9", 1.0, *EIGHT[:7])).is_empty()


def test_another_unit_or_time_point_is_another_result(table: Callable[..., pl.LazyFrame]) -> None:
    other = [row | {"lborresu": "mmol/L"} for row in visit("01-702-9", 1.0, *EIGHT)]
    assert found(table, visit("01-701-1", 1.0, *EIGHT), other).is_empty()


PERSON = {"sex": "F", "race": "WHITE", "ethnic": "E", "age": 70, "ageu": "YEARS", "heightbl": 160.0, "weightbl": 60.0}


def test_one_person_at_two_sites_is_told_as_long_as_little_differs(table: Callable[..., pl.LazyFrame]) -> None:
    def told(**changes: object) -> list[tuple[object, ...]]:
        first = {**PERSON, "usubjid": "01-701-1", "siteid": "701"}
        rows = table(BlindedSubject, first, {**PERSON, "usubjid": "01-702-2", "siteid": "702", **changes})
        result = LOOKALIKES.transform(rows).collect().sort("usubjid")
        assert Lookalike.is_valid(result)
        return result.select("usubjid", "like_usubjid", "across_sites").rows()

    both = [("01-701-1", "01-702-2", True), ("01-702-2", "01-701-1", True)]
    assert told() == both
    assert told(age=71, weightbl=61.0) == both
    assert told(age=69, weightbl=59.0) == both
    for other in ({"age": 72}, {"weightbl": 61.1}, {"sex": "M"}, {"heightbl": 160.1}, {"race": None}):
        assert told(**other) == [], other


def test_what_the_study_has() -> None:
    """Chance finds a few in 2,734 visits of whole numbers, and in 254 subjects; none of 3,636 blood panels."""
    assert made("curated/panels").group_by("kind").len().sort("kind").rows() == [
        ("CHEM", 1828),
        ("HEM", 1808),
        ("vital signs", 2734),
    ]
    assert made("curated/duplicates").group_by("kind", "across_sites").len().rows() == [("vital signs", False, 4)]
    assert made("curated/lookalikes").group_by("across_sites").len().sort("across_sites").rows() == [
        (False, 2),
        (True, 12),
    ]
