"""Disposition against the published trial, every row of it, and each rule against a row that breaks only it."""

from collections.abc import Callable, Mapping
from datetime import date

import polars as pl
import pytest
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.disposition import DISPOSITION, Disposition
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = DISPOSITION
GOOD: Row = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": "01-701-1023",
    "DSSPID": "8",
    "DSTERM": "ADVERSE EVENT",
    "DSDECOD": "ADVERSE EVENT",
    "DSCAT": "DISPOSITION EVENT",
    "VISITNUM": "5",
    "VISIT": "WEEK 4",
    "DSDTC": "2012-09-02",
    "DSSTDTC": "2012-09-02",
}
OTHER: Row = {
    **GOOD,
    "DSSPID": None,
    "DSTERM": "FINAL LAB VISIT",
    "DSDECOD": "FINAL LAB VISIT",
    "DSCAT": "OTHER EVENT",
    "DSDTC": "2012-09-02T12:30",
}


def test_every_published_row_is_accepted_unchanged(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    truth = published("cdiscpilotsdtm/ds")

    raw = delivered(truth, DISPOSITION, "DSDTC")
    accepted, failure = Disposition.filter(DISPOSITION.tidy(raw.lazy()).collect(), cast=False)

    assert failure.counts() == {}
    assert accepted.height == accepted.select(DISPOSITION.key).n_unique() == 596
    for name in DISPOSITION.header:
        assert accepted[name.lower()].to_list() == truth[name].to_list()
    assert accepted["dsdt"].to_list() == [text and date.fromisoformat(text[:10]) for text in truth["DSDTC"]]
    assert accepted["dsstdt"].to_list() == [text and date.fromisoformat(text[:10]) for text in truth["DSSTDTC"]]


def test_every_subject_leaves_once_as_published(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    """The analysis dataset of the 254 treated subjects has the reason as DCDECOD, six times by its older name."""
    rows = DISPOSITION.tidy(delivered(published("cdiscpilotsdtm/ds"), DISPOSITION, "DSDTC").lazy()).collect()
    reasons = published("cdiscpilotadam/adsl").select(usubjid="USUBJID", reason="DCDECOD")

    left = rows.filter(pl.col("dsevent") == "DISPOSITION EVENT")

    assert left["usubjid"].n_unique() == left.height == 306
    told = left.join(reasons, on="usubjid")
    assert told.height == 254
    renamed = told["dsdecod"].replace({"PROTOCOL DEVIATION": "PROTOCOL VIOLATION"})
    assert renamed.to_list() == told["reason"].to_list()
    assert (renamed != told["dsdecod"]).sum() == 6


def test_another_reason_is_the_same_row_and_another_event_is_not(
    raw_row: Callable[[Source, Row], pl.DataFrame],
) -> None:
    corrected = {**GOOD, "DSTERM": "PT MOVED", "DSDECOD": "WITHDRAWAL BY SUBJECT"}
    rows = [GOOD, corrected, OTHER, {**OTHER, "DSDECOD": "FINAL RETRIEVAL VISIT"}]

    keys = [DISPOSITION.tidy(raw_row(DISPOSITION, row).lazy()).collect().select(DISPOSITION.key).row(0) for row in rows]

    assert [key[1] for key in keys] == ["DISPOSITION EVENT"] * 2 + ["FINAL LAB VISIT", "FINAL RETRIEVAL VISIT"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="left"),
        pytest.param({"DSDECOD": "COMPLETED", "DSTERM": "PROTOCOL COMPLETED", "DSSPID": None}, id="completed"),
        pytest.param({"DSDECOD": "WITHDRAWAL BY SUBJECT", "DSTERM": "WITHDREW", "DSSPID": None}, id="withdrew"),
        pytest.param(OTHER, id="another event"),
        pytest.param({"DSSTDTC": None, "VISITNUM": None, "VISIT": None}, id="little is known"),
        pytest.param({"DSDTC": "2014-06-30T23:59", "DSSTDTC": "2012-01-01"}, id="first and last day there may be"),
    ],
)
def test_a_sound_row_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(DISPOSITION, raw_row(DISPOSITION, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("usubjid|nullability", {"USUBJID": None}),
    ("dsterm|nullability", {"DSTERM": None}),
    ("dsdecod|nullability", {"DSDECOD": None}),
    ("dscat|nullability", {"DSCAT": None}),
    ("dsdtc|nullability", {"DSDTC": None}),
    ("visitnum|nan", {"VISITNUM": "WEEK 4"}),
    ("subject_of_site", {"USUBJID": "01-702-1023"}),
    ("category_known", {"DSCAT": "DISPOSITION"}),
    ("ending_known", {"DSDECOD": "FINAL LAB VISIT"}),
    ("ending_known", {"DSDECOD": "Adverse event"}),
    ("other_event_known", {"DSCAT": "OTHER EVENT"}),
    ("dates_real", {"DSDTC": "2012-09-31"}),
    ("dates_real", {"DSSTDTC": "2012-09-02T25:00"}),
    ("dates_in_study", {"DSSTDTC": "2011-12-31"}),
    ("happened_before_delivery", {"DSDTC": "2014-07-01"}),
    ("happened_before_delivery", {"DSSTDTC": "2014-07"}),
]
