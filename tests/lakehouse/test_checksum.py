"""The checksum of rows: as its docstring defines it, whatever the order, and another one for any other rows."""

import hashlib
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from lakehouse.checksum import checksum

ROWS = pl.DataFrame(
    {
        "text": ["a", "", None, "é~", "a"],
        "number": [1, None, -3, 0, 1],
        "share": [0.1, -0.0, None, float("inf"), 0.1],
        "flag": [True, False, None, True, True],
        "day": [date(2020, 2, 29), None, date(1899, 1, 1), date(1970, 1, 1), date(2020, 2, 29)],
        "at": [datetime(2020, 1, 1, 1, 2, 3, 4, UTC), None, None, datetime(1969, 1, 1, tzinfo=UTC), None],
        "local": [datetime(2020, 1, 1), None, None, None, None],
        "exact": [Decimal("1.50"), None, None, None, None],
        "raw": [b"a", b"", None, b"\xff", b"a"],
        "names": [["a", None], [], None, ["a", "b"], ["ab"]],
        "pair": [{"k": "x", "v": 1}, {"k": None, "v": None}, {"k": "", "v": 2}, None, {"k": "x", "v": 1}],
    },
    schema_overrides={"exact": pl.Decimal(10, 2)},
)


def by_hand(rows: list[dict[str, object]], columns: list[str]) -> str:
    """What the docstring says, in plain Python."""
    total = sum(
        int.from_bytes(hashlib.sha256("".join(written(row[name]) for name in sorted(columns)).encode()).digest())
        for row in rows
    )
    names = ",".join(f"{len(name.encode())}:{name}" for name in sorted(columns))
    return hashlib.sha256(f"{names}\n{len(rows)}\n{total % 2**256:064x}".encode()).hexdigest()


def written(value: object) -> str:
    if value is None:
        return "~"
    mark, text = marked(value)
    return f"{mark}{len(text.encode())}:{text}"


def marked(value: object) -> tuple[str, str]:
    match value:
        case bool():
            return "b", str(int(value))
        case int():
            return "i", str(value)
        case float():
            return "f", str(struct.unpack("<q", struct.pack("<d", value))[0])
        case str():
            return "s", value
        case bytes():
            return "x", value.hex()
        case Decimal():
            return "m", str(value)
        case datetime():
            start = datetime(1970, 1, 1, tzinfo=UTC if value.tzinfo else None)
            return "t" if value.tzinfo else "n", str((value - start) // timedelta(microseconds=1))
        case date():
            return "d", str((value - date(1970, 1, 1)).days)
        case list():
            return "l", "".join(map(written, value))
        case dict():
            return "r", "".join(written(value[name]) for name in sorted(value))
    raise AssertionError(value)


def test_it_is_what_its_definition_says() -> None:
    assert checksum(ROWS.lazy()) == (5, by_hand(ROWS.to_dicts(), ROWS.columns))
    assert checksum(ROWS.clear().lazy()) == (0, by_hand([], ROWS.columns))


def test_neither_the_order_of_rows_nor_that_of_columns_matters() -> None:
    for other in (ROWS.reverse(), ROWS.sort("number"), ROWS.select(reversed(ROWS.columns))):
        assert checksum(other.lazy()) == checksum(ROWS.lazy())


@pytest.mark.parametrize("name", ROWS.columns)
def test_any_other_value_changes_it(name: str) -> None:
    lost = ROWS.with_columns(pl.when(pl.int_range(pl.len()) > 0).then(pl.col(name)).alias(name))
    assert checksum(lost.lazy())[1] != checksum(ROWS.lazy())[1]


def test_rows_lost_doubled_or_swapped_change_it() -> None:
    swapped = ROWS.with_columns(pl.col("text").reverse())
    renamed = ROWS.rename({"text": "words"})
    for other in (ROWS.head(4), pl.concat([ROWS, ROWS]), swapped, renamed):
        assert checksum(other.lazy())[1] != checksum(ROWS.lazy())[1]


def test_where_one_value_ends_and_the_next_begins_is_told() -> None:
    first = pl.LazyFrame({"a": ["x", "s1:y"], "b": ["s1:y", "z"], "c": [["a", "b"], ["c"]]})
    second = pl.LazyFrame({"a": ["xs1:", "s1:y"], "b": ["y", "z"], "c": [["a"], ["b", "c"]]})
    assert checksum(first)[1] != checksum(second)[1]


def test_a_type_that_delta_does_not_store_is_refused() -> None:
    with pytest.raises(TypeError, match="Duration"):
        checksum(pl.LazyFrame({"a": [timedelta(1)]}))
