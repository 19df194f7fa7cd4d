"""Parquet as text: every kind of value in a form that says it wholly."""

import io
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import RefusalError, SourceError
from lakehouse.formats.parquet import Parquet

WHEN = datetime(2014, 1, 2, 3, 4, 5, 6000)
ZONED = WHEN.replace(tzinfo=UTC)
VALUES = {
    "text": (["007", ""], pl.String, ["007", ""]),
    "whole": ([9_007_199_254_740_993, -1], pl.Int64, ["9007199254740993", "-1"]),
    "unsigned": ([2**64 - 1, 0], pl.UInt64, ["18446744073709551615", "0"]),
    "number": ([0.1, 1e300], pl.Float64, ["0.1", "1e+300"]),
    "decimal": ([Decimal("1.10"), Decimal("-0.01")], pl.Decimal(10, 2), ["1.10", "-0.01"]),
    "yes": ([True, False], pl.Boolean, ["true", "false"]),
    "day": ([date(2014, 1, 2), date(1, 1, 1)], pl.Date, ["2014-01-02", "0001-01-01"]),
    "when": ([WHEN, None], pl.Datetime("us"), ["2014-01-02T03:04:05.006000", None]),
    "milli": ([WHEN, None], pl.Datetime("ms"), ["2014-01-02T03:04:05.006", None]),
    "nano": ([WHEN, None], pl.Datetime("ns"), ["2014-01-02T03:04:05.006000000", None]),
    "zoned": ([ZONED, None], pl.Datetime("us", "UTC"), ["2014-01-02T03:04:05.006000+00:00", None]),
    "clock": ([time(3, 4, 5), None], pl.Time, ["03:04:05", None]),
    "long": ([timedelta(hours=1, milliseconds=5), None], pl.Duration("us"), ["PT1H0.005S", None]),
    "bytes": ([b"\x00\xff", None], pl.Binary, ["00ff", None]),
    "list": ([[1, 2], None], pl.List(pl.Int64), ["[1,2]", None]),
    "struct": ([{"a": 1, "b": "x"}, None], pl.Struct({"a": pl.Int64, "b": pl.String}), ['{"a":1,"b":"x"}', None]),
}


def written(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_is_told_wholly(kind: str) -> None:
    values, dtype, expected = VALUES[kind]
    table = Parquet().table(written(pl.DataFrame({"value": pl.Series(values, dtype=dtype)})))
    assert table.names == ("value",)
    assert table.rows["value"].to_list() == expected
    assert table.rows["_line"].to_list() == [1, 2]
    assert table.rows["_problem"].to_list() == [None, None]


def test_a_nul_in_a_text_is_a_problem_of_its_record() -> None:
    table = Parquet().table(written(pl.DataFrame({"a": ["x\0", "y", None], "b": [1, 2, 3]})))
    assert table.rows["_problem"].to_list() == ["record:nul", None, None]
    assert table.rows.select("a", "b").rows() == [(None, None), ("y", "2"), (None, "3")]
    assert table.rows["_text"][0] == '{"a":"x\\u0000","b":"1"}'


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_a_number_reads_back_to_itself(numbers: list[float]) -> None:
    table = Parquet().table(written(pl.DataFrame({"number": pl.Series(numbers, dtype=pl.Float64)})))
    assert [float(text) for text in table.rows["number"]] == numbers


def test_a_page_that_says_it_is_endless_does_not_end_the_process() -> None:
    """A page of this file says that it has some 10^18 values: Polars alone asks for that much memory, and aborts."""
    with pytest.raises(RefusalError, match="is damaged"):
        Parquet().table(Path(__file__).with_name("endless_page.parquet").read_bytes())


def test_a_record_is_told_as_json() -> None:
    table = Parquet().table(written(pl.DataFrame({"a": [1, 2], "*": ["x", None]})))
    assert table.rows["_text"].to_list() == ['{"a":"1","*":"x"}', '{"a":"2","*":null}']


def test_a_file_without_rows_has_names() -> None:
    table = Parquet().table(written(pl.DataFrame({"a": pl.Series([], dtype=pl.Int64)})))
    assert (table.names, table.rows.height) == (("a",), 0)


@given(st.data())
def test_damage_is_refused_or_read(data: st.DataObject) -> None:
    whole = written(pl.DataFrame({"a": list(range(50)), "b": ["text"] * 50}))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + data.draw(st.integers(0, 5)) :]
    # Whatever is left of it, nothing else is raised.
    with suppress(RefusalError):
        Parquet().table(damaged)


def test_a_compression_that_nobody_knows_is_refused_at_once() -> None:
    with pytest.raises(SourceError, match="compression 'rar' must be None, gzip or zip"):
        Parquet(compression="rar")
