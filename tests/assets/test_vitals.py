"""Vital signs against the published trial, every row of it, and each rule against a row that breaks only it."""

from collections.abc import Callable, Mapping
from datetime import date

import polars as pl
import pytest
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.vitals import LIMITS, TESTS, UNITS, VITALS, Vital
from lakehouse.contract import explain
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = VITALS
GOOD: Row = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": "01-701-1015",
    "VSTESTCD": "TEMP",
    "VSTEST": "Temperature",
    "VSORRES": "97.9",
    "VSORRESU": "F",
    "VSLOC": "EAR",
    "VISITNUM": "3",
    "VISIT": "BASELINE",
    "VSDTC": "2014-01-02",
}
NOT_DONE: Row = {**GOOD, "VSORRES": None, "VSORRESU": None, "VSSTAT": "NOT DONE"}


def test_every_published_row_is_accepted_and_standardised_as_published(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    truth = published("cdiscpilotsdtm/vs")

    accepted, failure = Vital.filter(VITALS.tidy(delivered(truth, VITALS, "VSDTC").lazy()).collect(), cast=False)

    assert failure.counts() == {}
    assert accepted.height == 29_643
    for name in ("VSSTRESC", "VSSTRESN", "VSSTRESU"):
        assert accepted[name.lower()].to_list() == truth[name].to_list()
    assert accepted["vsdt"].to_list() == [date.fromisoformat(text) for text in truth["VSDTC"]]
    assert accepted["visitnum"].to_list() == truth["VISITNUM"].to_list()
    assert accepted["vstptnum"].to_list() == truth["VSTPTNUM"].to_list()
    for name in set(VITALS.header) - {"VISITNUM", "VSTPTNUM"}:
        assert accepted[name.lower()].to_list() == truth[name].to_list()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({}, ("36.61", 36.61, "C"), id="Fahrenheit"),
        pytest.param({"VSORRES": "36.625", "VSORRESU": "C"}, ("36.625", 36.625, "C"), id="standard unit kept exactly"),
        pytest.param({"VSORRES": "036.20", "VSORRESU": "C"}, ("36.2", 36.2, "C"), id="zeros around it"),
        pytest.param(
            {"VSTESTCD": "WEIGHT", "VSORRES": "122.5", "VSORRESU": "LB"}, ("55.57", 55.57, "kg"), id="published pound"
        ),
        pytest.param({"VSTESTCD": "HEIGHT", "VSORRES": "53.5", "VSORRESU": "in"}, ("135.89", 135.89, "cm"), id="inch"),
        pytest.param({"VSORRES": "97.9 F"}, (None, None, "C"), id="unreadable text is kept only in VSORRES"),
        pytest.param({"VSORRESU": "K"}, (None, None, None), id="unknown unit"),
        pytest.param({"VSORRES": None, "VSORRESU": None}, (None, None, None), id="no result"),
        pytest.param({"VSORRES": None}, (None, None, None), id="unit without a result"),
    ],
)
def test_standard_result(
    raw_row: Callable[[Source, Row], pl.DataFrame],
    values: Row,
    expected: tuple[str | None, float | None, str | None],
) -> None:
    tidied = VITALS.tidy(raw_row(VITALS, {**GOOD, **values}).lazy()).collect()

    assert tidied.select("vsstresc", "vsstresn", "vsstresu").row(0) == expected
    assert tidied["vsorres"].item() == {**GOOD, **values}["VSORRES"]


@pytest.mark.parametrize(("text", "day"), [("2014-01-02T08:30", date(2014, 1, 2)), ("2014-01", None)])
def test_only_a_whole_date_has_a_day(
    raw_row: Callable[[Source, Row], pl.DataFrame], text: str, day: date | None
) -> None:
    tidied = VITALS.tidy(raw_row(VITALS, {**GOOD, "VSDTC": text}).lazy()).collect()

    assert tidied.select("vsdtc", "vsdt").row(0) == (text, day)


def test_rows_come_out_one_for_one_in_their_order(raw_row: Callable[[Source, Row], pl.DataFrame]) -> None:
    units = ["F", None, "C", "K", "F"]
    raw = pl.concat(
        raw_row(VITALS, {**GOOD, "VSORRESU": unit}).with_columns(_line=pl.lit(line, pl.Int64))
        for line, unit in enumerate(units, start=2)
    )

    tidied = VITALS.tidy(raw.lazy()).collect()

    assert tidied.select("_line", "vsorresu").rows() == list(enumerate(units, start=2))
    assert tidied.schema == Vital.create_empty().schema


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(GOOD, id="result"),
        pytest.param(NOT_DONE, id="not done"),
        pytest.param({**NOT_DONE, "VSDTC": None}, id="not done, so no date"),
        pytest.param({**GOOD, "VSORRES": f"+{0:020}97.9"}, id="sign and zeros"),
        pytest.param({**GOOD, "VSTPT": "AT NOON", "VSTPTNUM": "816.0"}, id="a time point and its name"),
        pytest.param({**GOOD, "VSTPTNUM": "816"}, id="a time point without its name"),
        pytest.param({**GOOD, "VSDTC": "2012-01-01"}, id="on the study's first day"),
        pytest.param({**GOOD, "VSDTC": "2014-06"}, id="partial date in the month of delivery"),
        pytest.param({**GOOD, "VSDTC": "2014-06-30T23:59"}, id="on the day of delivery"),
    ],
)
def test_a_sound_row_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], row: Row
) -> None:
    assert broken(VITALS, raw_row(VITALS, row)) == []


CASES: list[tuple[str, Row]] = [
    ("studyid|nullability", {"STUDYID": None}),
    ("usubjid|nullability", {"USUBJID": None}),
    ("vstestcd|nullability", {"VSTESTCD": None}),
    ("vstest|nullability", {"VSTEST": None}),
    ("visitnum|nullability", {"VISITNUM": None}),
    ("visitnum|nan", {"VISITNUM": "baseline"}),
    ("vstptnum|nan", {"VSTPTNUM": "8I5"}),
    ("subject_of_site", {"USUBJID": "01-702-1015"}),
    ("subject_of_site", {"USUBJID": "1015"}),
    ("test_known", {"VSTESTCD": "TMP"}),
    ("test_named_alike", {"VSTEST": "Weight"}),
    ("status_known", {"VSSTAT": "DONE"}),
    ("not_done_without_result", {"VSSTAT": "NOT DONE"}),
    ("no_result_is_not_done", {"VSORRES": None}),
    *[
        ("result_is_a_number", {"VSORRES": text})
        for text in ("98,1", "98.1 ", "<98", "NaN", "inf", "1e2", "9" * 18, f"0.{0:0400}1", "-", ".5", "٩٨", "98.1\n")
    ],
    ("unit_known", {"VSORRESU": "K"}),
    ("unit_known", {"VSORRESU": None}),
    ("unit_known", {"VSORRESU": "mmHg"}),
    ("result_can_be", {"VSORRES": "36.6"}),
    ("result_can_be", {"VSORRES": "979"}),
    ("result_can_be", {"VSORRES": "-97.9"}),
    ("time_point_numbered", {"VSTPT": "AT NOON"}),
    ("result_has_date", {"VSDTC": None}),
    *[
        ("date_real", {"VSDTC": text})
        for text in ("2014-02-30", "2013-02-29", "02/01/2014", "2014-1-2", "20140102", "2014-13", "2014-01-02T25:00")
    ],
    ("date_in_study", {"VSDTC": "2011-12-31"}),
    ("date_in_study", {"VSDTC": "0214-01-02"}),
    ("measured_before_delivery", {"VSDTC": "2014-07-01"}),
    ("measured_before_delivery", {"VSDTC": "2014-07"}),
]


@pytest.mark.parametrize(("test", "limits"), LIMITS.items())
def test_limits_are_kept_to_their_ends_and_told_to_the_site(
    raw_row: Callable[[Source, Row], pl.DataFrame],
    broken: Callable[[Source, pl.DataFrame], list[str]],
    test: str,
    limits: tuple[float, float],
) -> None:
    low, high = limits
    unit = next(unit.standard for unit in UNITS if unit.test == test)

    def rules(result: float) -> list[str]:
        values = {"VSTESTCD": test, "VSTEST": TESTS[test], "VSORRES": str(result), "VSORRESU": unit}
        return broken(VITALS, raw_row(VITALS, {**GOOD, **values}))

    assert (rules(low), rules(high)) == ([], [])
    assert (rules(low - 0.1), rules(high + 0.1)) == (["result_can_be"], ["result_can_be"])
    words = explain(Vital, "result_can_be")
    assert f"{test} is {low}-{high}" in words or f"{test} {low}-{high}" in words
