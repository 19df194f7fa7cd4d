from collections.abc import Callable
from itertools import permutations

import polars as pl
from agreement import made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.curated.duplicates import ALIKE, DUPLICATES, LOOKALIKES, Duplicate, Lookalike
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


def near(one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether two subjects may be one person, as it is said in words."""
    alike = all(one[name] == other[name] and one[name] is not None for name in ALIKE)
    known = alike and all(row[name] is not None for row in (one, other) for name in ("age", "weightbl"))
    return known and abs(one["age"] - other["age"]) <= 1 and abs(one["weightbl"] - other["weightbl"]) <= 1 + 1e-9


def compared(subjects: list[dict[str, object]]) -> dict[object, set[object]]:
    """By subject those it may be, each compared with each; of who has any."""
    pairs = [(one, other) for one, other in permutations(subjects, 2) if near(one, other)]
    return {one["usubjid"]: {other["usubjid"] for who, other in pairs if who is one} for one, _ in pairs}


@given(
    people=st.lists(
        st.tuples(
            st.sampled_from([70, 71, 72, None]),
            st.sampled_from([59.0, 60.0, 60.2, 61.2, 61.3, 80.0, None]),
            st.sampled_from(["F", "F", "F", "M"]),
            st.sampled_from(["WHITE", "WHITE", "WHITE", None]),
            st.sampled_from(["701", "702"]),
        ),
        min_size=3,
        max_size=12,
    )
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_who_is_found_is_who_comparing_each_with_each_finds(
    table: Callable[..., pl.LazyFrame], people: list[tuple[object, ...]]
) -> None:
    names = ("age", "weightbl", "sex", "race", "siteid")
    subjects = [
        {**PERSON, **dict(zip(names, values, strict=True)), "usubjid": f"01-{values[-1]}-{number}"}
        for number, values in enumerate(people)
    ]
    found = LOOKALIKES.transform(table(BlindedSubject, *subjects)).collect()
    assert Lookalike.is_valid(found)
    again = LOOKALIKES.transform(table(BlindedSubject, *subjects[::-1])).collect()
    assert found.sort("usubjid").equals(again.sort("usubjid"))
    truth = compared(subjects)
    assert sorted(found["usubjid"]) == sorted(truth)
    for subject, like, across in found.select("usubjid", "like_usubjid", "across_sites").rows():
        assert like in truth[subject]
        assert across == (subject[:6] != like[:6])


def test_one_between_two_hides_neither(table: Callable[..., pl.LazyFrame]) -> None:
    """The second is between the others by age and weight, and near to one of them only."""
    sizes = [(70, 60.0), (70, 80.0), (71, 60.2)]
    people = [
        {**PERSON, "usubjid": f"01-701-{n}", "siteid": "701", "age": age, "weightbl": kg}
        for n, (age, kg) in enumerate(sizes)
    ]
    rows = LOOKALIKES.transform(table(BlindedSubject, *people)).collect().sort("usubjid")
    assert rows.select("usubjid", "like_usubjid").rows() == [("01-701-0", "01-701-2"), ("01-701-2", "01-701-0")]


def test_the_nearest_is_named(table: Callable[..., pl.LazyFrame]) -> None:
    """First by age, then by weight, then by its name."""
    sizes = [(70, 60.0), (71, 60.0), (70, 60.9), (70, 60.4), (70, 59.6)]
    people = [
        {**PERSON, "usubjid": f"01-701-{n}", "siteid": "701", "age": age, "weightbl": kg}
        for n, (age, kg) in enumerate(sizes)
    ]
    rows = LOOKALIKES.transform(table(BlindedSubject, *people)).collect().sort("usubjid")
    assert [like[-1] for like in rows["like_usubjid"]] == ["3", "0", "3", "0", "0"]


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
        (True, 14),
    ]
    assert sorted(made("curated/lookalikes")["usubjid"]) == sorted(compared(made("curated/subjects").to_dicts()))
