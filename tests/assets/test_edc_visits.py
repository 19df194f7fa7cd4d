"""Each rule on a change of the EDC's visits against a row that breaks only it."""

from collections.abc import Callable, Mapping

import polars as pl
import pytest
from logged import LOGGED, rowless
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.edc_visits import EDC_VISITS
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = EDC_VISITS
GOOD: Row = {
    "usubjid": "01-701-1015",
    "visitnum": "3.10",
    "visit": "UNSCHEDULED 3.1",
    "svstdtc": "2014-01-03",
    "svendtc": "2014-01-04",
    "svupdes": "ADVERSE EVENT",
    **LOGGED,
}
NO_ROW: Row = rowless(GOOD)


def test_a_change_is_read_in_its_types(raw_row: Callable[[Source, Row], pl.DataFrame]) -> None:
    row = SOURCE.tidy(raw_row(SOURCE, GOOD).lazy()).collect()
    assert row.select("visitnum", "svstdtc").row(0) == (3.1, "2014-01-03")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="insert"),
        pytest.param({"visit": "WEEK 2", "svendtc": None, "svupdes": None}, id="planned"),
        pytest.param({"cdc_op": "update", "svstdtc": None, "cdc_unchanged": '["svstdtc"]'}, id="large values left out"),
        pytest.param(
            {**NO_ROW, "cdc_op": "delete", "usubjid": "01-701-1015", "visitnum": "3.10"},
            id="delete",
        ),
        pytest.param({**NO_ROW, "cdc_op": "truncate"}, id="truncate"),
        pytest.param({**NO_ROW, "cdc_op": "complete", "cdc_xid": None}, id="complete"),
    ],
)
def test_a_sound_change_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(SOURCE, raw_row(SOURCE, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("operation_known", {"cdc_op": "upsert"}),
    ("key_told", {"visitnum": None}),
    ("key_told", {"visitnum": "NaN"}),
    ("key_told", {**NO_ROW, "cdc_op": "delete", "visitnum": "3"}),
    ("row_whole", {"visit": None}),
    ("row_whole", {"svstdtc": None}),
    ("row_whole", {"entered_by": None}),
    ("subject_written", {"usubjid": "1015"}),
    ("unplanned_says_why", {"svupdes": None}),
    ("dates_real", {"svendtc": "2014-02-30"}),
    ("dates_real", {"svstdtc": "2013-02-29"}),
    ("end_not_before_start", {"svendtc": "2014-01-02"}),
]
