"""The central laboratory's results against the published trial, and each rule against a row that breaks only it."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

import polars as pl
import pytest
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.central_lab import CENTRAL_LAB, CentralResult
from assets.pilot.laboratory import results
from lakehouse.formats.pages import Envelope, Pages
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = CENTRAL_LAB


def changed(member: str, **values: object) -> Row:
    """What of a nested member is changed."""
    return {member: json.dumps({**json.loads(str(GOOD[member])), **values})}


GOOD: Row = {
    "id": "01-701-1015-1",
    "study": "CDISCPILOT01",
    "subject": '{"id":"01-701-1015","site":"701"}',
    "visit": '{"number":1.0,"name":"SCREENING 1"}',
    "test": '{"code":"ALB","name":"Albumin"}',
    "collected": "2013-12-26T14:45",
    "result": '{"value":"3.8","unit":"g/dL"}',
    "range": '{"low":"3.3","high":"4.9"}',
    "updated": "2013-12-26T15:45:00.000Z",
}


def test_every_published_result_is_accepted_unchanged(
    published: Callable[[str], pl.DataFrame], raw_row: Callable[[Source, Row], pl.DataFrame]
) -> None:
    truth = published("cdiscpilotsdtm/lbch").sort("LBDTC", "USUBJID", "LBSEQ")
    body = json.dumps({"items": results()})
    table = Pages().table(Envelope("u", 200, "2026-01-01T00:00:00Z", None, body=body).line())
    provenance = raw_row(SOURCE, GOOD).select(pl.exclude(*SOURCE.header, "_line", "_text", "_problem"))
    raw = table.rows.join(provenance, how="cross")

    accepted, failure = CentralResult.filter(SOURCE.tidy(raw.lazy()).collect(), cast=False)

    assert failure.counts() == {}
    assert accepted.height == accepted["result_id"].n_unique() == truth.height == 32_740
    for name in ("STUDYID", "USUBJID", "LBTESTCD", "LBTEST", "LBORRES", "LBORRESU", "VISIT", "LBDTC"):
        assert accepted[name.lower()].to_list() == truth[name].to_list()
    assert accepted["visitnum"].to_list() == truth["VISITNUM"].round(4).to_list()
    assert accepted["lbornrlo"].to_list() == truth["LBORNRLO"].cast(pl.Float64).to_list()
    assert accepted["lborresn"].null_count() == truth["LBORRES"].str.contains("<|>").sum()
    assert accepted["lbdt"].to_list() == [date.fromisoformat(text[:10]) for text in truth["LBDTC"]]


def test_a_result_is_read_to_the_millisecond(raw_row: Callable[[Source, Row], pl.DataFrame]) -> None:
    row = SOURCE.tidy(raw_row(SOURCE, {**GOOD, "updated": "2013-12-26T15:45:00.123Z"}).lazy()).collect()
    assert row["updated"].to_list() == [datetime(2013, 12, 26, 15, 45, 0, 123_000, tzinfo=UTC)]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="plain"),
        pytest.param({"range": None}, id="without a range"),
        pytest.param(changed("result", value="<0.2"), id="beyond a limit"),
        pytest.param(changed("visit", number=1.1, name=None), id="unplanned"),
        pytest.param({"collected": "2013-12"}, id="partial date"),
    ],
)
def test_a_sound_row_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(SOURCE, raw_row(SOURCE, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("result_id|nullability", {"id": None}),
    ("studyid|nullability", {"study": None}),
    ("lbtest|nullability", changed("test", name=None)),
    ("lborres|nullability", changed("result", value=None)),
    ("visitnum|nullability", changed("visit", number=None)),
    ("visitnum|nan", changed("visit", number="one")),
    ("lbornrhi|nan", changed("range", high="high")),
    ("lbdtc|nullability", {"collected": None}),
    ("updated|nullability", {"updated": "26 December 2013"}),
    ("subject_of_named_site", changed("subject", site="702")),
    ("test_known", changed("test", code="ALBUMIN")),
    ("unit_agreed", changed("result", unit="g/L")),
    ("result_readable", changed("result", value="normal")),
    ("result_readable", changed("result", value="-3.8")),
    ("range_in_order", changed("range", low="5.3")),
    ("date_real", {"collected": "2013-02-29"}),
    ("taken_in_study", {"collected": "2003-12-26"}),
    ("taken_before_it_was_changed", {"collected": "2013-12-27"}),
]
