"""What logs of changes come to, by hand: fresh starts on other servers."""

import polars as pl
import pytest

from lakehouse.changes import current, history, typed

KEY = ["id"]
OLD, NEW = "00000000F0000000", "0000000000000100"


def log(*rows: tuple[int, str, int, str, int | None, str | None, str | None]) -> pl.LazyFrame:
    """Changes by their start, position, number, operation, key, value and what was left out, in some order."""
    names = ["cdc_starts", "cdc_lsn", "cdc_seq", "cdc_op", "id", "word", "cdc_unchanged"]
    frame = pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"id": pl.Int64, "word": pl.String})
    at = pl.format("2014-01-0{}", "cdc_starts").alias("cdc_at")
    return (
        frame.with_columns(at, pl.col("cdc_unchanged").cast(pl.String)).sample(fraction=1, shuffle=True, seed=1).lazy()
    )


MOVED = (
    (1, OLD, 1, "snapshot", 1, "old", None),
    (1, OLD, 2, "snapshot", 2, "old", None),
    (1, OLD, 3, "snapshot", 3, "same", None),
    (1, OLD, 4, "complete", None, None, None),
    (2, NEW, 1, "snapshot", 1, "new", None),
    (2, NEW, 2, "snapshot", 3, "same", None),
    (2, NEW, 3, "complete", None, None, None),
)


def test_a_fresh_start_comes_after_all_before_it_whatever_its_positions() -> None:
    """A dump restored on another server, or a new one, has a log of its own, which may be behind the old one's."""
    changes = log(*MOVED)
    assert sorted(current(changes, KEY).select("id", "word").collect().rows()) == [(1, "new"), (3, "same")]
    past = history(changes, KEY).select("id", "word", "valid_from", "valid_to", "until_starts", "until_lsn")
    assert sorted(past.collect().rows(), key=repr) == [
        (1, "new", "2014-01-02", None, None, None),
        (1, "old", "2014-01-01", "2014-01-02", 2, NEW),
        (2, "old", "2014-01-01", "2014-01-02", 2, NEW),
        (3, "same", "2014-01-01", None, None, None),
    ]


def test_changes_of_two_servers_at_one_position_are_two() -> None:
    changes = log(
        *MOVED[:4],
        (1, OLD, 5, "update", 1, "late", None),
        (2, OLD, 1, "snapshot", 1, "here", None),
        (2, OLD, 5, "complete", None, None, None),
    )
    assert current(changes, KEY).select("id", "word").collect().rows() == [(1, "here")]
    past = history(changes, KEY).filter(pl.col("id") == 1).sort("cdc_starts").select("word", "until_starts").collect()
    assert past.rows() == [("late", 2), ("here", None)]


def test_a_snapshot_that_was_not_ended_counts_for_nothing_though_one_before_at_its_position_was() -> None:
    changes = log(*MOVED[:4], (2, OLD, 9, "snapshot", 1, "half", None))
    now = current(changes, KEY).sort("id").select("id", "word").collect()
    assert now.rows() == [(1, "old"), (2, "old"), (3, "same")]


def test_what_was_left_out_is_filled_in_from_its_own_log() -> None:
    """A renumbered row is filled from the row that stood before it in its transaction, not in another's."""
    changes = log(
        *MOVED,
        (2, OLD, 1, "delete", 1, None, "word"),
        (2, OLD, 2, "insert", 9, None, "word"),
        (1, OLD, 5, "update", 2, "later", None),
    )
    assert sorted(current(changes, KEY).select("id", "word").collect().rows()) == [(3, "same"), (9, "new")]


def test_a_log_without_starts_has_begun_once() -> None:
    changes = log(*MOVED[:4]).drop("cdc_starts")
    assert current(changes, KEY).collect().columns == changes.collect_schema().names()
    assert len(current(changes, KEY).collect()) == 3
    past = history(changes, KEY).collect()
    assert past.columns == [*changes.collect_schema().names(), "valid_from", "valid_to", "until_lsn", "is_current"]


@pytest.mark.parametrize(
    ("written", "file", "starts"),
    [
        pytest.param("3", "edc/things/2014-01-02_s3_16401@0.1~0.9.parquet", 3, id="written"),
        pytest.param(None, "edc/things/2014-01-02_s12_16401@0.1~0.9.parquet", 12, id="landed before it was written"),
        pytest.param(None, "edc/things/s12_16401@0.1~0.9/2014-01-02.parquet", 1, id="folder of such a name"),
        pytest.param(None, "edc/s12_16401@0.1~0.9.parquet", 12, id="part alone"),
        pytest.param(None, "edc/2014-01-02-s12_16401@0.1~0.9.parquet", 12, id="part after a hyphen"),
        pytest.param(None, "edc/2014-01-02_things3_16401@0.1~0.9.parquet", 1, id="end of a word"),
        pytest.param(None, "edc/things.parquet", 1, id="named by hand"),
        pytest.param("third", "edc/things/2014-01-02_s3_16401@0.1~0.9.parquet", None, id="unreadable"),
    ],
)
def test_a_change_tells_its_start_or_its_delivery_does(written: str | None, file: str, starts: int | None) -> None:
    raw = pl.LazyFrame(
        {"cdc_starts": [written], "cdc_seq": ["7"], "cdc_at": ["2014-01-06T09:00:00.5Z"], "_file": [file]},
        schema_overrides={"cdc_starts": pl.String},
    )
    row = typed(raw).collect().row(0, named=True)
    assert row["cdc_starts"] == starts
    assert row["cdc_seq"] == 7
    assert row["cdc_at"].isoformat() == "2014-01-06T09:00:00.500000+00:00"
