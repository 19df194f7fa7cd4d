"""Subjects against the published trial, every one of them, and each rule against a row that breaks only it."""

from collections.abc import Callable, Mapping
from datetime import date

import polars as pl
import pytest
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.subjects import SUBJECTS, Subject
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = SUBJECTS
GOOD: Row = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": "01-701-1015",
    "SUBJID": "1015",
    "SITEID": "701",
    "RFSTDTC": "2014-01-02",
    "AGE": "63",
    "AGEU": "YEARS",
    "SEX": "F",
    "ARMCD": "Pbo",
    "ARM": "Placebo",
    "COUNTRY": "USA",
    "DMDTC": "2013-12-26",
}


@pytest.mark.parametrize("days_later", [0, 400])
def test_every_published_subject_is_accepted_unchanged(
    published: Callable[[str], pl.DataFrame],
    delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame],
    days_later: int,
) -> None:
    truth = published("cdiscpilotsdtm/dm")
    raw = delivered(truth, SUBJECTS, "DMDTC").with_columns(pl.col("_delivered").dt.offset_by(f"{days_later}d"))

    accepted, failure = Subject.filter(SUBJECTS.tidy(raw.lazy()).collect(), cast=False)

    assert failure.counts() == {}
    assert accepted.height == 306
    for name in SUBJECTS.header:
        assert accepted[name.lower()].to_list() == truth[name].to_list()
    assert accepted["dmdt"].to_list() == [date.fromisoformat(text) for text in truth["DMDTC"]]
    assert accepted["rfstdt"].to_list() == [text and date.fromisoformat(text) for text in truth["RFSTDTC"]]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="complete"),
        pytest.param({"RFSTDTC": None, "ARMCD": None, "ARM": None}, id="not randomised yet"),
        pytest.param({"AGE": None, "AGEU": None, "DMDTC": None}, id="little is known"),
        pytest.param({"AGE": "63.0"}, id="age with a decimal"),
        pytest.param({"AGE": "1000", "AGEU": "MONTHS"}, id="age in months"),
        pytest.param({"RFSTDTC": "2014", "DMDTC": "2013-12"}, id="partial dates"),
        pytest.param({"RFICDTC": "2012-01-01", "DMDTC": "2014-06-30"}, id="first and last day there may be"),
    ],
)
def test_a_sound_row_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(SUBJECTS, raw_row(SUBJECTS, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("studyid|nullability", {"STUDYID": None}),
    ("usubjid|nullability", {"USUBJID": None}),
    ("subjid|nullability", {"SUBJID": None}),
    ("siteid|nullability", {"SITEID": None}),
    ("sex|nullability", {"SEX": None}),
    ("country|nullability", {"COUNTRY": None}),
    ("age|nan", {"AGE": "sixty"}),
    ("age|nan", {"AGE": "NaN"}),
    ("subject_of_site", {"USUBJID": "01-702-1015", "SITEID": "702"}),
    ("subject_named_alike", {"SITEID": "702"}),
    ("subject_named_alike", {"SUBJID": "15"}),
    ("age_whole", {"AGE": "63.5"}),
    ("age_whole", {"AGE": "-1"}),
    ("age_whole", {"AGE": "121"}),
    ("age_has_unit", {"AGEU": None}),
    ("age_has_unit", {"AGEU": "Y"}),
    ("sex_known", {"SEX": "Female"}),
    ("country_coded", {"COUNTRY": "US"}),
    ("arms_whole", {"ARM": None}),
    ("arms_whole", {"ACTARM": "Placebo"}),
    ("dates_real", {"DMDTC": "2013-12-32"}),
    ("dates_real", {"RFSTDTC": "2013-02-29"}),
    ("dates_real", {"RFXSTDTC": "?"}),
    ("dates_real", {"RFICDTC": "26DEC2013"}),
    ("dates_in_study", {"DMDTC": "2003-12-26"}),
    ("dates_in_study", {"RFICDTC": "2011-12-31"}),
    ("collected_before_delivery", {"DMDTC": "2014-07-01"}),
]
