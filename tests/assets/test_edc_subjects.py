"""Each rule on a change of the EDC's subjects against a row that breaks only it."""

from collections.abc import Callable, Mapping

import polars as pl
import pytest
from logged import LOGGED, rowless
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.edc_subjects import EDC_SUBJECTS
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = EDC_SUBJECTS
GOOD: Row = {
    "usubjid": "01-701-1015",
    "siteid": "701",
    "sex": "F",
    "age": "63",
    "race": "WHITE",
    **LOGGED,
}
NO_ROW: Row = rowless(GOOD)


def test_a_change_is_read_in_its_types(raw_row: Callable[[Source, Row], pl.DataFrame]) -> None:
    row = SOURCE.tidy(raw_row(SOURCE, GOOD).lazy()).collect()
    assert row.select("usubjid", "age").row(0) == ("01-701-1015", 63.0)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="insert"),
        pytest.param({"sex": None, "age": None, "race": None}, id="bare"),
        pytest.param({"cdc_op": "update", "siteid": None, "cdc_unchanged": '["siteid"]'}, id="large values left out"),
        pytest.param({**NO_ROW, "cdc_op": "delete", "usubjid": "01-701-1015"}, id="delete"),
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
    ("key_told", {**NO_ROW, "cdc_op": "delete"}),
    ("row_whole", {"siteid": None}),
    ("row_whole", {"entered_by": None}),
    ("row_whole", {"entered_at": "yesterday"}),
    ("subject_written", {"usubjid": "1015"}),
    ("subject_of_site", {"siteid": "702"}),
    ("sex_known", {"sex": "FEMALE"}),
    ("age_whole", {"age": "63.5"}),
    ("age_whole", {"age": "-1"}),
    ("age_whole", {"age": "121"}),
    ("age_whole", {"age": "old"}),
]
