"""Visits against the published trial, every row of it, and each rule against a row that breaks only it."""

from collections.abc import Callable, Mapping
from datetime import date

import polars as pl
import pytest
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.visits import VISITS, Visit
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = VISITS
GOOD: Row = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": "01-701-1015",
    "VISITNUM": "3",
    "VISIT": "BASELINE",
    "SVSTDTC": "2014-01-02",
    "SVENDTC": "2014-01-02",
}


def test_every_published_row_is_accepted_unchanged(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    truth = published("cdiscpilotsdtm/sv")

    accepted, failure = Visit.filter(VISITS.tidy(delivered(truth, VISITS, "SVENDTC").lazy()).collect(), cast=False)

    assert failure.counts() == {}
    assert accepted.height == accepted.select(VISITS.key).n_unique() == 3_559
    assert accepted["visitnum"].to_list() == truth["VISITNUM"].to_list()
    for name in set(VISITS.header) - {"VISITNUM"}:
        assert accepted[name.lower()].to_list() == truth[name].to_list()
    assert accepted["svstdt"].to_list() == [text and date.fromisoformat(text[:10]) for text in truth["SVSTDTC"]]
    assert accepted["svendt"].to_list() == [text and date.fromisoformat(text[:10]) for text in truth["SVENDTC"]]


def test_vitals_are_measured_on_the_days_of_their_visits(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    """Another published domain has the same days: 2,741 visits at which vital signs were measured."""
    measured = published("cdiscpilotsdtm/vs").select("USUBJID", "VISITNUM", day=pl.col("VSDTC").str.to_date()).unique()
    visits = VISITS.tidy(delivered(published("cdiscpilotsdtm/sv"), VISITS, "SVENDTC").lazy()).collect()

    both = visits.join(measured, left_on=["usubjid", "visitnum"], right_on=["USUBJID", "VISITNUM"])

    assert both.height == 2_741
    assert both["svstdt"].to_list() == both["day"].to_list()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="planned"),
        pytest.param({"VISITNUM": "4.1", "VISIT": "UNSCHEDULED 4.1", "SVUPDES": "Rash"}, id="unplanned"),
        pytest.param({"VISITNUM": "8.1", "VISIT": "WEEK 10 (T)"}, id="planned call between visits"),
        pytest.param({"SVENDTC": None}, id="without its end"),
        pytest.param({"SVENDTC": "2014-01-05"}, id="of several days"),
        pytest.param({"SVSTDTC": "2012-01-01", "SVENDTC": "2014-06-30"}, id="first and last day there may be"),
    ],
)
def test_a_sound_row_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(VISITS, raw_row(VISITS, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("usubjid|nullability", {"USUBJID": None}),
    ("visitnum|nullability", {"VISITNUM": None}),
    ("visitnum|nan", {"VISITNUM": "three"}),
    ("visit|nullability", {"VISIT": None}),
    ("svstdtc|nullability", {"SVSTDTC": None}),
    ("subject_of_site", {"USUBJID": "01-702-1015"}),
    ("unplanned_says_why", {"VISITNUM": "4.1", "VISIT": "UNSCHEDULED 4.1"}),
    ("dates_real", {"SVSTDTC": "2013-02-29"}),
    ("dates_real", {"SVENDTC": "02/01/2014"}),
    ("visit_in_study", {"SVSTDTC": "2003-01-02"}),
    ("end_not_before_start", {"SVENDTC": "2014-01-01"}),
    ("visited_before_delivery", {"SVENDTC": "2014-07-01"}),
    ("visited_before_delivery", {"SVSTDTC": "2031-01-02", "SVENDTC": None}),
]
