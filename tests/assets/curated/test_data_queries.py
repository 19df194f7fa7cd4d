from collections.abc import Callable
from datetime import UTC, date, datetime

import polars as pl
from agreement import made

from assets.curated.data_queries import DATA_QUERIES, DataQuery
from assets.curated.duplicates import Duplicate, Lookalike
from assets.curated.result_flags import ResultFlag
from assets.curated.scheduled_results import ScheduledResult
from assets.visits import Visit

PERSON = {"usubjid": "01-701-1", "siteid": "701"}
VISIT = {**PERSON, "visitnum": 4.0, "visit": "WEEK 2"}
WEIGHT = {
    **VISIT,
    "source": "vitals",
    "paramcd": "WEIGHT",
    "param": "Weight (kg)",
    "aval": 30.84,
    "orres": "68",
    "orresu": "LB",
    "expected": 67.99,
}
CONTRACTS = {
    "flags": ResultFlag, "scheduled": ScheduledResult, "visits": Visit, "duplicates": Duplicate,
    "lookalikes": Lookalike, "sent": DataQuery,
}  # fmt: skip


def asked(table: Callable[..., pl.LazyFrame], **rows: list[dict[str, object]]) -> pl.DataFrame:
    """The questions, from rows by the input's name."""
    found = DATA_QUERIES.transform(
        *(table(contract, *rows.get(name, ())) for name, contract in CONTRACTS.items())
    ).collect()
    assert DataQuery.is_valid(found)
    return found.sort("query")


def test_a_mixup_or_a_jump_is_one_question_however_many_rules_it_breaks(table: Callable[..., pl.LazyFrame]) -> None:
    rules = [{**WEIGHT, "rule": rule} for rule in ("far_from_own", "unit_mixup", "jump", "far_from_study")]
    found = asked(table, flags=rules)

    assert found.select("query", "kind", "status", "since", "_file", "_line").rows() == [
        ("value/01-701-1/vitals/WEIGHT/4.0/-", "unit_mixup", "open", date(2014, 6, 30), "701/x_2014-06-30.csv", 2)
    ]
    assert found["question"].to_list() == [
        "Weight (kg) is 30.84 at WEEK 2 (delivered as 68 LB), which does not fit; 67.99 would, as if it were in the "
        "test's other unit. Please check value and unit against the source, and correct or confirm them."
    ]
    assert asked(table, flags=rules[2:])["kind"].to_list() == ["jump"]


def test_far_from_one_is_a_flag_only_from_both_a_question(table: Callable[..., pl.LazyFrame]) -> None:
    own, study = ({**WEIGHT, "rule": rule} for rule in ("far_from_own", "far_from_study"))
    assert asked(table, flags=[own]).is_empty()
    assert asked(table, flags=[study]).is_empty()
    assert asked(table, flags=[own, {**study, "expected": 1.0}])["question"][0].startswith(
        "Weight (kg) is 30.84 at WEEK 2 (delivered as 68 LB); the subject's other results are about 67.99."
    )


def test_a_visit_without_results_is_one_question_per_source(table: Callable[..., pl.LazyFrame]) -> None:
    lacking = {**PERSON, "visitnum": 4.0, "source": "labs", "status": "no result"}
    found = asked(
        table,
        scheduled=[
            {**lacking, "paramcd": "SODIUM"},
            {**lacking, "paramcd": "ALT"},
            {**lacking, "paramcd": "CK", "status": "present"},
            {**lacking, "paramcd": "CK", "status": "left the study"},
            {**lacking, "paramcd": "TEMP", "source": "vitals"},
        ],
        visits=[{**VISIT, "svstdtc": "2014-06-29", "_line": 9}],
    )
    assert found.select("query", "paramcd", "_line").rows() == [
        ("missing/01-701-1/labs/4.0", "ALT SODIUM", 9),
        ("missing/01-701-1/vitals/4.0", "TEMP", 9),
    ]
    assert found["question"][0] == (
        "WEEK 2 took place (2014-06-29), but has no laboratory results of: ALT SODIUM. Please send them, or say that "
        "they were not done."
    )


def test_a_site_is_not_told_who_takes_part_at_another(table: Callable[..., pl.LazyFrame]) -> None:
    same = {**VISIT, "kind": "CHEM", "results": 18, "like_usubjid": "01-702-2", "like_siteid": "702"}
    for across, told in ((True, "a subject of another site"), (False, "subject 01-702-2")):
        [results] = asked(table, duplicates=[{**same, "across_sites": across}])["question"]
        assert results == f"All 18 results (CHEM) of WEEK 2 are also those of {told}. Please check whose they are."
        person = {**PERSON, "like_usubjid": "01-702-2", "like_siteid": "702", "across_sites": across}
        [lookalike] = asked(table, lookalikes=[person])["question"]
        assert f"are those of {told}. Please check that this is not the same person." in lookalike


def test_no_two_questions_have_one_name_whatever_subjects_and_kinds_are_called(
    table: Callable[..., pl.LazyFrame],
) -> None:
    like = {**VISIT, "results": 8, "like_usubjid": "01-702-2", "like_siteid": "702", "across_sites": True}
    names = [("01-701-1/A", "B"), ("01-701-1", "A/B"), ("01-701-1", "A%2FB")]
    found = asked(table, duplicates=[{**like, "usubjid": subject, "kind": kind} for subject, kind in names])
    assert found["query"].n_unique() == 3


def test_a_question_is_closed_when_it_was_sent_and_no_longer_holds(table: Callable[..., pl.LazyFrame]) -> None:
    flag = {**WEIGHT, "rule": "jump"}
    [question] = asked(table, flags=[flag]).to_dicts()
    at = [datetime(2014, 7, day, tzinfo=UTC) for day in (1, 2)]
    twice = [{**question, "sent_by": who, "sent_at": when} for who, when in zip(("bob", "ada"), at[::-1], strict=True)]

    def told(**rows: list[dict[str, object]]) -> list[tuple[object, ...]]:
        return asked(table, **rows).select("status", "sent_by", "sent_at").rows()

    assert told(flags=[flag]) == [("open", None, None)]
    assert told(flags=[flag], sent=twice) == [("open", "ada", at[0])]
    assert told(sent=twice) == [("closed", "ada", at[0])]
    [closed] = asked(table, sent=twice).drop("status", "sent_by", "sent_at").to_dicts()
    assert closed == {name: question[name] for name in closed}


def test_what_the_study_would_be_asked() -> None:
    found = made("curated/data_queries")
    assert dict(found.group_by("kind").len().iter_rows()) == {
        "far": 47, "jump": 41, "missing": 205, "same_person": 16, "same_results": 4
    }  # fmt: skip
    assert set(found["status"]) == {"open"}
    site = found["usubjid"].str.split("-").list.get(1)
    assert (site == found["siteid"]).all()
    assert (found["_site"] == found["siteid"]).all()
