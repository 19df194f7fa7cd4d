"""Exposure against the published trial, every row of it, and each rule against a row that breaks only it."""

from collections.abc import Callable, Mapping
from datetime import date

import polars as pl
import pytest
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.exposure import EXPOSURE, Exposure
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = EXPOSURE
GOOD: Row = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": "01-701-1028",
    "EXTRT": "XANOMELINE",
    "EXDOSE": "54",
    "EXDOSU": "mg",
    "EXDOSFRM": "PATCH",
    "EXDOSFRQ": "QD",
    "EXROUTE": "TRANSDERMAL",
    "VISITNUM": "3",
    "VISIT": "BASELINE",
    "EXSTDTC": "2013-07-19",
    "EXENDTC": "2013-08-01",
}


def test_every_published_row_is_accepted_unchanged(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    truth = published("cdiscpilotsdtm/ex").with_columns(known=pl.max_horizontal("EXSTDTC", "EXENDTC"))

    accepted, failure = Exposure.filter(EXPOSURE.tidy(delivered(truth, EXPOSURE, "known").lazy()).collect(), cast=False)

    assert failure.counts() == {}
    assert accepted.height == accepted.select(EXPOSURE.key).n_unique() == 591
    for name in EXPOSURE.header:
        assert accepted[name.lower()].to_list() == truth[name].to_list()
    assert accepted["exstdt"].to_list() == [text and date.fromisoformat(text[:10]) for text in truth["EXSTDTC"]]
    assert accepted["exendt"].to_list() == [text and date.fromisoformat(text[:10]) for text in truth["EXENDTC"]]


def test_the_published_study_days_follow_from_the_parsed_dates(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    """EXSTDY and EXENDY count from the first dose, which is day 1: SDTMIG 3.4, section 4.4.4."""
    truth = published("cdiscpilotsdtm/ex")
    rows = EXPOSURE.tidy(delivered(truth, EXPOSURE, "EXSTDTC").lazy()).collect()
    first = pl.col("exstdt").min().over("usubjid")

    days = rows.select((pl.col(name) - first).dt.total_days() + 1 for name in ("exstdt", "exendt"))

    assert days["exstdt"].to_list() == truth["EXSTDY"].to_list()
    assert days["exendt"].to_list() == truth["EXENDY"].to_list()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="complete"),
        pytest.param({"EXENDTC": None}, id="not ended yet"),
        pytest.param({"EXDOSE": "81.0"}, id="the higher dose"),
        pytest.param({"EXTRT": "PLACEBO", "EXDOSE": "0"}, id="placebo"),
        pytest.param({"EXDOSFRM": None, "EXDOSFRQ": None, "EXROUTE": None}, id="optional columns missing"),
        pytest.param({"EXSTDTC": "2013-07-19", "EXENDTC": "2013-07"}, id="ended in the month it began"),
        pytest.param({"EXSTDTC": "2013", "EXENDTC": "2013-01-01"}, id="began in the year it ended"),
        pytest.param({"EXSTDTC": "2012-01-01", "EXENDTC": "2014-06-30"}, id="first and last day there may be"),
    ],
)
def test_a_sound_row_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(EXPOSURE, raw_row(EXPOSURE, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("usubjid|nullability", {"USUBJID": None}),
    ("extrt|nullability", {"EXTRT": None}),
    ("exdose|nullability", {"EXDOSE": None}),
    ("exdose|nan", {"EXDOSE": "54 mg"}),
    ("exdosu|nullability", {"EXDOSU": None}),
    ("visitnum|nullability", {"VISITNUM": None}),
    ("visitnum|nan", {"VISITNUM": "BASELINE"}),
    ("exstdtc|nullability", {"EXSTDTC": None}),
    ("subject_of_site", {"USUBJID": "01-702-1028"}),
    ("treatment_known", {"EXTRT": "Xanomeline"}),
    ("dose_known", {"EXDOSE": "5.4"}),
    ("dose_known", {"EXDOSE": "0"}),
    ("dose_known", {"EXTRT": "PLACEBO"}),
    ("unit_known", {"EXDOSU": "MG"}),
    ("form_known", {"EXDOSFRM": "TABLET"}),
    ("frequency_known", {"EXDOSFRQ": "BID"}),
    ("route_known", {"EXROUTE": "ORAL"}),
    ("dates_real", {"EXSTDTC": "2013-02-29"}),
    ("dates_real", {"EXENDTC": "01AUG2013"}),
    ("start_in_study", {"EXSTDTC": "2003-07-19"}),
    ("end_not_before_start", {"EXENDTC": "2013-07-18"}),
    ("end_not_before_start", {"EXENDTC": "2013-06"}),
    ("given_before_delivery", {"EXENDTC": "2014-07-01"}),
    ("given_before_delivery", {"EXSTDTC": "2014-07-01", "EXENDTC": None}),
]
