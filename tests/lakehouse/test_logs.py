"""What logs of changes come to: by hand, and by chance from any part of a log onward."""

import random
from collections.abc import Callable

import polars as pl
import pytest
from told import Told, by_chance

from lakehouse.changes import current, follows, history, left_out, onward, resets, since, typed
from lakehouse.errors import DefinitionError

KEY = ["id"]
OLD, NEW = "00000000F0000000", "0000000000000100"


def log(*rows: Told) -> pl.LazyFrame:
    """Changes by their start, position, number, operation, key, value and what was left out, in some order."""
    numbers, texts = ("cdc_starts", "cdc_seq", "id"), ("cdc_lsn", "cdc_op", "word", "cdc_unchanged")
    names = ["cdc_starts", "cdc_lsn", "cdc_seq", "cdc_op", "id", "word", "cdc_unchanged"]
    kinds = {**dict.fromkeys(numbers, pl.Int64), **dict.fromkeys(texts, pl.String)}
    frame = pl.DataFrame(rows, schema={name: kinds[name] for name in names}, orient="row")
    at = pl.format("2014-01-0{}", "cdc_starts").alias("cdc_at")
    return frame.with_columns(at).sample(fraction=1, shuffle=True, seed=1).lazy()


def set_back(*rows: Told) -> pl.LazyFrame:
    """The same by a clock that goes to and fro from one transaction to the next."""
    at = pl.format("2014-01-0{}", pl.col("cdc_lsn").hash(7) % 9 + 1)
    return log(*rows).with_columns(cdc_at=at)


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


def test_names_of_any_letters_are_told_apart() -> None:
    names = ["b", "a b", 'a"b', "a\\", 'x,"a\\', "x,", ",z", ","]
    told = pl.DataFrame({"cdc_unchanged": ['["a b"]', '["b"]', '["a\\"b"]', '["x,\\"a\\\\"]', '["x,",",z"]', None]})
    assert [
        [name for name in names if row[name]]
        for row in told.select(left_out(name).alias(name) for name in names).rows(named=True)
    ] == [["a b"], ["b"], ['a"b'], ['x,"a\\'], ["x,", ",z"], []]


def test_what_landed_before_names_were_a_list_is_read_as_it_was() -> None:
    told = pl.DataFrame({"cdc_unchanged": ["big", "word big", "wordy", None]})
    assert told.select(big=left_out("big"), word=left_out("word")).rows() == [
        (True, False),
        (True, True),
        (False, False),
        (False, False),
    ]


def test_a_column_with_another_name_here_is_filled_in_by_it() -> None:
    raw = pl.LazyFrame(
        {
            "id": ["1", "1", "1"],
            "word": ["told", None, None],
            "scan": ["AB", None, None],
            "cdc_op": ["insert", "update", "update"],
            "cdc_lsn": ["08", "10", "18"],
            "cdc_seq": ["2", "2", "2"],
            # Nobody knows of the last one: somebody gave the table one more.
            "cdc_unchanged": [None, '["scan","word","one more"]', '["scan"]'],
            "cdc_at": ["2014-01-06T09:00:00.5Z"] * 3,
            "cdc_starts": ["1"] * 3,
            "_file": ["x"] * 3,
        }
    )

    def tidy(names: dict[str, str | None]) -> pl.LazyFrame:
        return typed(raw, names).rename({"word": "said"}).drop("scan")

    now = current(tidy({"word": "said", "scan": None}).filter(pl.col("cdc_lsn") != "18"), KEY).collect()
    assert now["said"].to_list() == ["told"]
    assert tidy({"word": "said", "scan": None}).collect()["cdc_unchanged"].to_list() == [None, '["said"]', None]
    # Nobody said what became of them: neither may be left as missing in silence.
    with pytest.raises(DefinitionError, match=r"left out large values of \['scan', 'word'\].*give `typed` the names"):
        current(tidy({}), KEY).collect()
    with pytest.raises(DefinitionError, match=r"left out large values of \['scan'\]"):
        history(tidy({"word": "said"}), KEY).collect()


def test_what_was_left_out_of_a_row_that_nobody_has_is_not_known() -> None:
    """Its insert was rejected: what another row of that key once had is none of its values."""
    changes = log(
        (1, "08", 2, "insert", 1, "gone", None),
        (1, "10", 2, "delete", 1, None, None),
        (1, "18", 2, "insert", 2, "gone", None),
        (1, "20", 2, "truncate", None, None, None),
        (1, "28", 2, "update", 1, None, '["word"]'),
        (1, "30", 2, "update", 2, None, '["word"]'),
    )
    assert sorted(current(changes, KEY).select("id", "word").collect().rows()) == [(1, None), (2, None)]


def test_a_clock_that_is_set_back_has_no_version_end_before_it_begins_or_hold_beside_another() -> None:
    """The order of the log decides, and not the times: by these, two would hold at once from the fourth on."""
    times = {"08": "2014-01-04", "10": "2014-01-07", "18": "2014-01-02", "20": "2014-01-03", "28": "2014-01-05"}
    changes = log(
        (1, "08", 2, "insert", 1, "first", None),
        (1, "10", 2, "update", 1, "second", None),
        (1, "18", 2, "delete", 1, None, None),
        (1, "20", 2, "insert", 1, "third", None),
        (1, "28", 2, "insert", 2, "another", None),
    ).with_columns(cdc_at=pl.col("cdc_lsn").replace_strict(times))
    past = history(changes, KEY).sort("id", "cdc_lsn").select("word", "valid_from", "valid_to", "cdc_at").collect()
    assert past.rows() == [
        ("first", "2014-01-04", "2014-01-07", "2014-01-04"),
        ("second", "2014-01-07", "2014-01-07", "2014-01-07"),
        ("third", "2014-01-07", None, "2014-01-03"),
        # Nothing held for this one before, and its clock is believed.
        ("another", "2014-01-05", None, "2014-01-05"),
    ]


@pytest.mark.parametrize("made", [current, history])
def test_from_any_part_of_a_log_onward_it_comes_to_what_the_whole_comes_to(
    made: Callable[[pl.LazyFrame, list[str]], pl.LazyFrame],
) -> None:
    chance = random.Random(7)

    def transform(changes: pl.LazyFrame) -> pl.LazyFrame:
        return made(changes, KEY).drop("cdc_unchanged")

    def sorted_(rows: pl.LazyFrame) -> pl.DataFrame:
        return rows.sort("id", "cdc_starts", "cdc_lsn").collect()

    went_on = 0
    for _ in range(60):
        told, before = by_chance(chance), list[Told]()
        ends = sorted(chance.randint(0, len(told)) for _ in range(3))
        # Now and then a change comes later than those after it.
        steps = [sum(place >= end for end in ends) + (chance.random() < 0.03) for place in range(len(told))]
        now = transform(set_back())
        for step in range(5):
            fresh = [row for row, its in zip(told, steps, strict=True) if its == step]
            came, there = set_back(*fresh), set_back(*before)
            whole = sorted_(transform(set_back(*before, *fresh)))
            if follows(there, came):
                went_on += bool(before and fresh)
                # Of the keys that came, and what they were told of before; a truncation is of all.
                mine = pl.lit(True) if resets(came) else pl.col("id").is_in(came.collect()["id"].implode())
                on = onward(transform, now.filter(mine), since(there, came))
                assert sorted_(pl.concat([now.filter(~mine), on])).equals(whole), (before, fresh)
            now, before = whole.lazy(), [*before, *fresh]
    assert went_on > 50
