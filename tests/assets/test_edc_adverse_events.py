"""Each rule on a change of the EDC's adverse events against a row that breaks only it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import polars as pl
import pytest
from logged import LOGGED, rowless
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.edc_adverse_events import EDC_ADVERSE_EVENTS
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = EDC_ADVERSE_EVENTS
GOOD: Row = {
    "aeid": "17",
    "usubjid": "01-701-1015",
    "aeseq": "1",
    "aeterm": "HEADACHE",
    "aesev": "MILD",
    "aeser": "f",
    "aerel": "POSSIBLE",
    "aeout": "RECOVERED/RESOLVED",
    "aestdtc": "2014-01-03",
    "aeendtc": "2014-01-05",
    "narrative": "A note.",
    **LOGGED,
}
NO_ROW: Row = rowless(GOOD)


def test_a_change_is_read_in_its_types(raw_row: Callable[[Source, Row], pl.DataFrame]) -> None:
    row = SOURCE.tidy(raw_row(SOURCE, {**GOOD, "aeser": "t", "narrative": ""}).lazy()).collect()
    told = row.select("aeid", "aeseq", "aeser", "narrative", "entered_at", "cdc_seq", "cdc_at").row(0)
    assert told == (
        *(17, 1, "Y", ""),
        datetime(2014, 1, 6, 9, tzinfo=UTC),
        *(1, datetime(2014, 1, 6, 9, 0, 0, 123_456, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="insert"),
        pytest.param({"cdc_op": "snapshot", "cdc_xid": None}, id="snapshot"),
        pytest.param({"aerel": None, "aeout": None, "aestdtc": None, "aeendtc": None, "narrative": None}, id="bare"),
        pytest.param(
            {"cdc_op": "update", "narrative": None, "aeterm": None, "cdc_unchanged": '["aeterm","narrative"]'},
            id="large values left out",
        ),
        pytest.param({**NO_ROW, "cdc_op": "delete", "aeid": "17"}, id="delete"),
        pytest.param({"cdc_starts": None}, id="landed before starts were written"),
        pytest.param({**NO_ROW, "cdc_op": "truncate"}, id="truncate"),
        pytest.param({**NO_ROW, "cdc_op": "complete", "cdc_xid": None}, id="complete"),
        pytest.param({"aestdtc": "2014-01", "aeendtc": "2014"}, id="partial dates"),
    ],
)
def test_a_sound_change_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(SOURCE, raw_row(SOURCE, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("cdc_op|nullability", {"cdc_op": None}),
    ("cdc_lsn|nullability", {"cdc_lsn": None}),
    ("cdc_lsn|regex", {"cdc_lsn": "0/19A2B38"}),
    ("cdc_starts|nullability", {"cdc_starts": "first"}),
    ("cdc_starts|min", {"cdc_starts": "0"}),
    ("cdc_seq|nullability", {"cdc_seq": "first"}),
    ("cdc_seq|min", {"cdc_seq": "-1"}),
    ("cdc_at|nullability", {"cdc_at": "2014-01-06"}),
    ("operation_known", {"cdc_op": "upsert"}),
    ("key_told", {"aeid": None}),
    ("key_told", {"aeid": "E17"}),
    ("key_told", {**NO_ROW, "cdc_op": "delete"}),
    ("row_whole", {"aesev": None}),
    ("row_whole", {"aeseq": "one"}),
    ("row_whole", {"entered_at": "yesterday"}),
    ("row_whole", {"aeterm": None, "cdc_unchanged": '["other_aeterm"]'}),
    ("subject_written", {"usubjid": "1015"}),
    ("severity_known", {"aesev": "BAD"}),
    ("seriousness_known", {"aeser": "perhaps"}),
    ("relation_known", {"aerel": "SURE"}),
    ("outcome_known", {"aeout": "GONE"}),
    ("dates_real", {"aestdtc": "2013-02-29"}),
    ("dates_real", {"aeendtc": ""}),
    ("end_not_before_start", {"aeendtc": "2014-01-02"}),
]
