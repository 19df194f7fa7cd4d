"""Adverse events against the published trial, every row of it, and each rule against a row that breaks only it."""

from collections.abc import Callable, Mapping
from datetime import date

import polars as pl
import pytest
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.adverse_events import ADVERSE_EVENTS, CRITERIA, AdverseEvent
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = ADVERSE_EVENTS
GOOD: Row = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": "01-701-1023",
    "AESEQ": "4",
    "AESPID": "E08",
    "AETERM": "ERYTHEMA",
    "AELLT": "ERYTHEMA",
    "AEDECOD": "ERYTHEMA",
    "AEHLT": "HLT_0192",
    "AEHLGT": "HLGT_0493",
    "AEBODSYS": "SKIN AND SUBCUTANEOUS TISSUE DISORDERS",
    "AESOC": "SKIN AND SUBCUTANEOUS TISSUE DISORDERS",
    "AESEV": "MILD",
    "AESER": "N",
    "AEREL": "POSSIBLE",
    "AEOUT": "RECOVERED/RESOLVED",
    **dict.fromkeys((name.upper() for name in CRITERIA), "N"),
    "AEDTC": "2012-09-02",
    "AESTDTC": "2012-08-07",
    "AEENDTC": "2012-08-30",
}
ONGOING: Row = {**GOOD, "AEOUT": "NOT RECOVERED/NOT RESOLVED", "AEENDTC": None}


def test_every_published_row_is_accepted_unchanged(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    truth = published("pharmaversesdtm/ae").with_columns(known=pl.max_horizontal("AEDTC", "AEENDTC"))
    rows = ADVERSE_EVENTS.tidy(delivered(truth, ADVERSE_EVENTS, "known").lazy()).collect()

    _, failure = AdverseEvent.filter(rows, cast=False)

    # 36 events have a reason to be serious and are not; two began after the day they were recorded on.
    assert failure.counts() == {"reason_makes_serious": 36, "start_not_after_record": 2}
    assert set(failure.counts()) == set(ADVERSE_EVENTS.rules("warn"))
    assert rows.height == rows.select(ADVERSE_EVENTS.key).n_unique() == 1_191
    for name in ADVERSE_EVENTS.header:
        assert rows[name.lower()].to_list() == truth[name].to_list()
    for name, text in (("aedt", "AEDTC"), ("aeendt", "AEENDTC")):
        assert rows[name].to_list() == [day and date.fromisoformat(day) for day in truth[text]]
    whole = [day if len(day) == 10 else None for day in truth["AESTDTC"]]
    assert whole.count(None) == 26
    assert rows["aestdt"].to_list() == [day and date.fromisoformat(day) for day in whole]


def test_a_subject_s_records_are_numbered_as_they_are_recorded(published: Callable[[str], pl.DataFrame]) -> None:
    """AESEQ may name a row because a later record does not change the numbers of those before it."""
    rows = published("pharmaversesdtm/ae").sort("USUBJID", "AESEQ")

    assert rows["AESEQ"].to_list() == rows.select(pl.int_range(1, pl.len() + 1).over("USUBJID")).to_series().to_list()
    assert rows.select((pl.col("AEDTC") >= pl.col("AEDTC").shift(1).over("USUBJID")).all()).item()


def test_the_published_analysis_has_the_same_events(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    """Parsed dates and terms are those of the published analysis dataset, wherever it did not impute them."""
    analysed = published("cdiscpilotadam/adae")
    raw = delivered(published("pharmaversesdtm/ae"), ADVERSE_EVENTS, "AEDTC")
    keys = {"left_on": ["usubjid", "aeseq"], "right_on": ["USUBJID", "AESEQ"]}

    both = ADVERSE_EVENTS.tidy(raw.lazy()).collect().join(analysed, **keys)

    assert both.height == analysed.height == 1_191
    for name in ("AETERM", "AEDECOD", "AEBODSYS", "AESEV", "AESER", "AEREL", "AEOUT"):
        assert both[name.lower()].to_list() == both[name].to_list()
    assert both["aeendt"].to_list() == both["AENDT"].to_list()
    given = both.filter(pl.col("ASTDTF").is_null() & pl.col("ASTDT").is_not_null())
    assert given.height == 1_165
    assert given["aestdt"].to_list() == given["ASTDT"].to_list()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="over"),
        pytest.param(ONGOING, id="going on"),
        pytest.param({**ONGOING, "AESTDTC": "1977"}, id="since long before the study"),
        pytest.param({**ONGOING, "AESTDTC": "2012-09"}, id="began in the month it was recorded"),
        pytest.param({**ONGOING, "AESTDTC": None, "AEREL": None}, id="little is known"),
        pytest.param({**ONGOING, "AEENDTC": "2012-09-10"}, id="recorded before it ended"),
        pytest.param({"AESTDTC": "2012-08-07", "AEENDTC": "2012"}, id="ended in the year it began"),
        pytest.param({"AESER": "Y", "AESHOSP": "Y"}, id="serious"),
        pytest.param({"AESER": "Y", "AEOUT": "FATAL", "AESDTH": "Y"}, id="fatal"),
        pytest.param(dict.fromkeys(name.upper() for name in CRITERIA), id="without reasons of seriousness"),
        pytest.param({"AEACN": "DRUG WITHDRAWN"}, id="with an action"),
        pytest.param(dict.fromkeys(("AEDECOD", "AELLT", "AESOC")), id="not coded yet"),
        pytest.param({"AEDTC": "2014-06-30", "AEENDTC": "2014-06-30"}, id="on the day of delivery"),
    ],
)
def test_a_sound_row_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(ADVERSE_EVENTS, raw_row(ADVERSE_EVENTS, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("usubjid|nullability", {"USUBJID": None}),
    ("aeseq|nullability", {"AESEQ": None}),
    ("aeseq|nan", {"AESEQ": "four"}),
    ("aeterm|nullability", {"AETERM": None}),
    ("aesev|nullability", {"AESEV": None}),
    ("aeser|nullability", {"AESER": None}),
    ("aeout|nullability", {"AEOUT": None}),
    ("aedtc|nullability", {"AEDTC": None}),
    ("subject_of_site", {"USUBJID": "01-702-1023"}),
    ("sequence_whole", {"AESEQ": "1.5"}),
    ("sequence_whole", {"AESEQ": "0"}),
    ("severity_known", {"AESEV": "GRADE 2"}),
    ("seriousness_known", {"AESER": "No"}),
    ("seriousness_known", {"AESLIFE": "U"}),
    ("serious_says_why", {"AESER": "Y"}),
    ("serious_says_why", {"AESER": "Y", **dict.fromkeys(name.upper() for name in CRITERIA)}),
    ("reason_makes_serious", {"AESHOSP": "Y"}),
    ("action_known", {"AEACN": "STOPPED"}),
    ("relation_known", {"AEREL": "RELATED"}),
    ("outcome_known", {"AEOUT": "RESOLVED"}),
    ("death_is_fatal", {"AEOUT": "FATAL"}),
    ("death_is_fatal", {"AESDTH": "Y", "AESER": "Y"}),
    ("over_has_end", {"AEENDTC": None}),
    ("dates_real", {"AESTDTC": "2012-02-30"}),
    ("dates_real", {"AEDTC": "02SEP2012"}),
    ("dates_real", {"AEENDTC": "2012-13"}),
    ("recorded_in_study", {**ONGOING, "AEDTC": "2011-12-31", "AESTDTC": "2011"}),
    ("end_not_before_start", {"AEENDTC": "2012-08-06"}),
    ("end_not_before_start", {"AEENDTC": "2012-07"}),
    ("start_not_after_record", {**ONGOING, "AESTDTC": "2012-09-03"}),
    ("start_not_after_record", {**ONGOING, "AESTDTC": "2012-10"}),
    ("recorded_before_delivery", {"AEDTC": "2014-07-01"}),
    ("recorded_before_delivery", {"AEENDTC": "2014-07-01"}),
]
