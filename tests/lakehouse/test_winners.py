"""Which of several records of one key is the row."""

import random
from datetime import UTC, date, datetime

import polars as pl
import pytest

from lakehouse.winners import WINNER, settle, superseded_schema

DAY, NEXT = date(2020, 1, 1), date(2020, 1, 2)
SCHEMA = {
    "sensor": pl.String,
    "hour": pl.Int64,
    "_file": pl.String,
    "_line": pl.Int64,
    "_delivered": pl.Date,
    "_site": pl.String,
}
Row = tuple[str | None, int | None, str, int, date, str]


def settled(*rows: Row) -> dict[tuple[str, int], tuple[str, str | None, int | None]]:
    """(file, line) to (standing, winning file, winning line), the same in whatever order the records come."""
    frame = pl.DataFrame(list(rows), schema=SCHEMA, orient="row").with_columns(
        _checksum=pl.concat_str(pl.lit("sum of "), "_file"),
        _received_at=pl.lit(datetime(2020, 1, 1, tzinfo=UTC)).cast(pl.Datetime("us", "UTC")),
    )
    found = []
    for seed in range(3):
        order = list(range(frame.height))
        random.Random(seed).shuffle(order)
        told = settle(frame[order], ("sensor", "hour"))
        assert told["_winner_checksum"].equals("sum of " + told["_winner_file"], check_names=False)
        columns = ("_file", "_line", "_standing", "_winner_file", "_winner_line")
        found.append({row[:2]: row[2:] for row in told.select(columns).rows()})
    assert found[0] == found[1] == found[2]
    return found[0]


def test_the_newest_delivery_day_wins_whatever_the_path_and_the_line() -> None:
    assert settled(("s", 1, "z", 9, DAY, "A"), ("s", 1, "a", 2, NEXT, "A")) == {
        ("a", 2): ("wins", None, None),
        ("z", 9): ("key", "a", 2),
    }


@pytest.mark.parametrize(
    ("loser", "winner"), [("a", "b"), ("B", "a"), ("10", "9"), ("a", "a/b"), ("z", "é"), ("é", "日"), ("\uffff", "😀")]
)
def test_then_the_path_that_is_greater_byte_by_byte(loser: str, winner: str) -> None:
    assert loser.encode() < winner.encode()
    assert settled(("s", 1, loser, 9, DAY, "A"), ("s", 1, winner, 2, DAY, "A")) == {
        (winner, 2): ("wins", None, None),
        (loser, 9): ("key", winner, 2),
    }


def test_then_the_later_line_by_number() -> None:
    assert settled(("s", 1, "a", 10, DAY, "A"), ("s", 1, "a", 9, DAY, "A"), ("s", 1, "a", 2, DAY, "A")) == {
        ("a", 2): ("key", "a", 10),
        ("a", 9): ("key", "a", 10),
        ("a", 10): ("wins", None, None),
    }


def test_nulls_of_a_key_are_equal() -> None:
    assert settled(("s", None, "a", 2, DAY, "A"), ("s", None, "a", 3, DAY, "A"), ("s", 0, "a", 4, DAY, "A")) == {
        ("a", 2): ("key", "a", 3),
        ("a", 3): ("wins", None, None),
        ("a", 4): ("wins", None, None),
    }
    assert settled((None, None, "a", 2, DAY, "A"), (None, None, "a", 3, DAY, "A"))["a", 2] == ("key", "a", 3)


def test_a_key_of_two_sites_has_no_winner() -> None:
    told = settled(
        ("s", 1, "A/x", 2, DAY, "A"),
        ("s", 1, "A/x", 3, DAY, "A"),
        ("s", 1, "B/x", 2, NEXT, "B"),
        ("s", None, "B/x", 3, NEXT, "B"),
        ("t", 1, "A/x", 4, DAY, "A"),
    )
    assert told == {
        ("A/x", 2): ("contested", None, None),
        ("A/x", 3): ("contested", None, None),
        ("B/x", 2): ("contested", None, None),
        ("B/x", 3): ("wins", None, None),
        ("A/x", 4): ("wins", None, None),
    }


def test_no_records_no_standing() -> None:
    assert settled() == {}


def test_what_is_superseded_is_named_by_key_record_and_winner() -> None:
    processed = {"sensor": pl.String(), "hour": pl.Int64(), "celsius": pl.Float64()}
    schema = superseded_schema(processed, ("sensor", "hour"))
    assert (schema["sensor"], schema["hour"]) == (pl.String(), pl.Int64())
    assert "celsius" not in schema
    assert set(WINNER) < set(schema)
