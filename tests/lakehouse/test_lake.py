"""The lake: what a commit may do to a table, what is read back, and what is kept."""

import hashlib
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from lakehouse import files
from lakehouse.errors import DefinitionError, SupersededError, UnavailableError
from lakehouse.lake import Change, Lake
from lakehouse.rewriting import rewritten

SCHEMA: dict[str, pl.DataType] = {"_file": pl.String(), "_delivered": pl.Date(), "value": pl.Int64()}
DAY, OTHER_DAY = date(2020, 1, 1), date(2020, 1, 2)


def rows(*values: tuple[str, date | None, int]) -> pl.DataFrame:
    return pl.DataFrame(list(values), schema=SCHEMA, orient="row")


def table(lake: Lake, *values: tuple[str, date | None, int]) -> DeltaTable:
    """Table `t`, with these rows written in one commit each."""
    delta = lake.create("t", SCHEMA)
    for version, value in enumerate(values, start=1):
        lake.commit(delta, Change(rows(value)), "app", version)
    return delta


def commit(lake: Lake, delta: DeltaTable, change: Change, version: int) -> int:
    """A commit that may take rows out."""
    return lake.commit(delta, rewritten(lake, "t", delta, change), "app", version)


def stored(lake: Lake, name: str = "t") -> list[tuple[object, ...]]:
    return lake.scan(name).select(list(SCHEMA)).sort(list(SCHEMA)).collect().rows()


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        (pl.Int64(), pl.Series([2.7]), "value: Int64 stored, Float64 given"),
        (pl.Int64(), pl.Series(["4"]), "value: Int64 stored, String given"),
        (pl.Int64(), pl.Series([4], dtype=pl.Int32), "value: Int64 stored, Int32 given"),
        (pl.Float64(), pl.Series([4], dtype=pl.Int64), "value: Float64 stored, Int64 given"),
        (pl.String(), pl.Series([4]), "value: String stored, Int64 given"),
        (pl.String(), pl.Series([date(2020, 1, 1)]), "value: String stored, Date given"),
        (pl.Date(), pl.Series([datetime(2020, 1, 1, 12)]), "value: Date stored, Datetime"),
        (pl.Datetime("us", "UTC"), pl.Series([datetime(2020, 1, 1)]), "time_zone='UTC') stored, Datetime"),
        (pl.Int64(), pl.Series([None]), "value: Int64 stored, Null given"),
        (pl.List(pl.String()), pl.Series([[1]]), "value: List(String) stored, List(Int64) given"),
    ],
)
@pytest.mark.parametrize("remove", [None, "remove"])
def test_no_type_is_ever_cast(lake: Lake, kind: pl.DataType, given: pl.Series, told: str, remove: str | None) -> None:
    delta = lake.create("t", {"_file": pl.String(), "_delivered": pl.Date(), "value": kind})
    add = pl.DataFrame({"_file": ["f"], "_delivered": [DAY], "value": given})
    gone = add.select("_file", "_delivered") if remove else None
    with pytest.raises(DefinitionError) as raised:
        commit(lake, delta, Change(add, gone, row=("_file",)), 1)
    assert told in str(raised.value)
    assert "nothing was written" in str(raised.value)
    assert delta.version() == 0
    assert lake.scan("t").collect().is_empty()


@pytest.mark.parametrize(
    "given",
    [
        pl.DataFrame({"_file": ["f"], "_delivered": [DAY]}),
        pl.DataFrame({"_file": ["f"], "_delivered": [DAY], "value": [1], "more": [2]}),
    ],
)
def test_a_column_too_few_or_too_many_is_refused(lake: Lake, given: pl.DataFrame) -> None:
    delta = table(lake)
    with pytest.raises(DefinitionError, match=r"more: None stored, Int64 given|value: Int64 stored, None given"):
        lake.commit(delta, Change(given), "app", 1)
    assert stored(lake) == []


@pytest.mark.parametrize("remove", [None, rows(("x", None, 0))])
def test_columns_go_where_their_names_say(lake: Lake, remove: pl.DataFrame | None) -> None:
    schema = {"_file": pl.String(), "_delivered": pl.Date(), "a": pl.Int64(), "b": pl.Int64()}
    delta = lake.create("t", schema)
    add = pl.DataFrame({"b": [2], "a": [1], "_delivered": [DAY], "_file": ["f"]})
    commit(lake, delta, Change(add, remove, row=("_file",)), 1)
    assert lake.scan("t").collect().select("a", "b").rows() == [(1, 2)]


def test_values_come_back_as_they_were(lake: Lake) -> None:
    given = pl.DataFrame(
        {
            "_file": ['ä "q" \n, \u2028', "", "f"],
            "_delivered": [DAY, None, date(9999, 12, 31)],
            "number": [0.1 + 0.2, -0.0, float("inf")],
            "whole": [2**63 - 1, -(2**63), None],
            "time": pl.Series([datetime(2020, 1, 1, 1, 2, 3, 456789, UTC), None, None], dtype=pl.Datetime("us", "UTC")),
            "flag": [True, None, False],
            "names": pl.Series([["a", None], [], None], dtype=pl.List(pl.String)),
        }
    )
    lake.commit(lake.create("t", dict(given.schema)), Change(given), "app", 1)
    assert lake.scan("t").collect().equals(given)


def test_one_commit_puts_in_and_takes_out(lake: Lake) -> None:
    delta = table(lake, ("a", DAY, 1), ("b", DAY, 2), ("c", OTHER_DAY, 3))
    before = delta.version()
    out = rows(("a", DAY, 0), ("c", OTHER_DAY, 0), ("never there", DAY, 0)).drop("value")
    assert commit(lake, delta, Change(rows(("a", DAY, 9), ("d", DAY, 4)), out, row=("_file",)), 9) == before + 1
    assert stored(lake) == [("a", DAY, 9), ("b", DAY, 2), ("d", DAY, 4)]
    assert delta.transaction_version("app") == 9


def test_a_row_is_taken_out_by_everything_that_names_it(lake: Lake) -> None:
    delta = table(lake, ("a", DAY, 1), ("a", DAY, 2), ("b", DAY, 1))
    commit(lake, delta, Change(rows(), rows(("a", DAY, 1)), row=("_file", "value")), 9)
    assert stored(lake) == [("a", DAY, 2), ("b", DAY, 1)]


@pytest.mark.parametrize("day", [None, DAY])
def test_rows_without_a_day_are_taken_out_too(lake: Lake, day: date | None) -> None:
    delta = table(lake, ("a", None, 1), ("b", DAY, 2), ("c", None, 3))
    commit(lake, delta, Change(rows(), rows(("a", None, 1), ("b", day, 2)).drop("value"), row=("_file",)), 9)
    # A row is looked for where its day says, so the wrong day finds nothing.
    assert stored(lake) == ([("c", None, 3)] if day else [("b", DAY, 2), ("c", None, 3)])


def test_an_empty_change_still_says_what_it_reflects(lake: Lake) -> None:
    delta = table(lake, ("a", DAY, 1))
    assert Change(rows()).empty
    assert Change(rows(), rows()).empty
    assert not Change(rows(), rows(("a", DAY, 1))).empty
    lake.commit(delta, Change(rows(), rows()), "app", 7)
    assert delta.transaction_version("app") == 7
    assert stored(lake) == [("a", DAY, 1)]


@pytest.mark.parametrize("how", ["some rows", "all rows", "all rows, in files"])
def test_rows_that_were_compacted_meanwhile_are_not_there_twice(lake: Lake, how: str) -> None:
    before = [("a", DAY, 1), ("b", DAY, 2), ("c", None, 3)]
    delta = table(lake, *before)
    other = lake.open("t")
    assert other
    other.optimize.compact()
    change, replace = Change(rows(("c", DAY, 9))), "true"
    if how == "some rows":
        change, replace = rewritten(lake, "t", delta, Change(rows(), rows(("a", DAY, 1)), row=("_file",))), None
    elif how == "all rows, in files":
        change = Change(rows(), files=(files.write(lake, "t", SCHEMA, rows(("c", DAY, 9)), SCHEMA),))
    with pytest.raises(SupersededError, match="nothing was written"):
        lake.commit(delta, change, "app", 9, replace=replace)
    assert stored(lake) == sorted(before, key=lambda row: row[0])


@pytest.mark.parametrize(
    ("kind", "values", "predicate"),
    [
        (pl.String(), ["one", "o'ne", "two"], "part = 'one'"),
        (pl.Int64(), [701, 702, 703], "part = 701"),
        (pl.Date(), [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3)], "part = '2020-01-01'"),
        (
            pl.Datetime("us", "UTC"),
            [datetime(2020, 1, 1, hour, tzinfo=UTC) for hour in (1, 2, 3)],
            "part = '2020-01-01T01:00:00Z'",
        ),
        (pl.Datetime("us"), [datetime(2020, 1, 1, hour) for hour in (1, 2, 3)], "part = '2020-01-01T01:00:00'"),
    ],
    ids=lambda value: str(value)[:12],
)
@pytest.mark.parametrize("partitioned", [True, False])
@pytest.mark.parametrize("new", [[8, 9], []])
def test_replacing_one_partition_leaves_the_others(
    lake: Lake, kind: pl.DataType, values: list[object], predicate: str, partitioned: bool, new: list[int]
) -> None:
    schema: Mapping[str, pl.DataType] = {"part": kind, "value": pl.Int64()}
    delta = lake.create("t", schema, ["part"] if partitioned else None)
    lake.commit(delta, Change(pl.DataFrame({"part": values, "value": [1, 2, 3]}, schema=schema)), "app", 1)
    add = pl.DataFrame({"part": [values[0]] * len(new), "value": new}, schema=schema)
    lake.commit(delta, Change(add), "app", 2, replace=predicate)
    assert lake.scan("t").collect()["value"].sort().to_list() == sorted([2, 3, *new])


def test_replacing_everything_leaves_nothing(lake: Lake) -> None:
    delta = table(lake, ("a", DAY, 1), ("b", DAY, 2))
    lake.commit(delta, Change(rows(("c", DAY, 3))), "app", 9, replace="true")
    assert stored(lake) == [("c", DAY, 3)]
    lake.commit(delta, Change(rows()), "app", 10, replace="true")
    assert stored(lake) == []


def test_rows_that_do_not_meet_the_predicate_are_refused_in_a_replacement(lake: Lake) -> None:
    delta = table(lake, ("a", DAY, 1), ("b", DAY, 2))
    with pytest.raises(UnavailableError):
        lake.commit(delta, Change(rows(("c", DAY, 3))), "app", 9, replace="value = 1")
    assert stored(lake) == [("a", DAY, 1), ("b", DAY, 2)]


def test_new_columns_are_added_and_null_in_what_was_there(lake: Lake) -> None:
    table(lake, ("a", DAY, 1))
    wider = {**SCHEMA, "note": pl.String()}
    delta = lake.create("t", wider)
    lake.commit(delta, Change(pl.DataFrame([("b", DAY, 2, "n")], schema=wider, orient="row")), "app", 2)
    assert lake.scan("t").sort("_file").collect().rows() == [("a", DAY, 1, None), ("b", DAY, 2, "n")]
    assert lake.create("t", wider).version() == delta.version()


def test_a_version_reads_as_it_was(lake: Lake) -> None:
    delta = table(lake, ("a", DAY, 1), ("b", DAY, 2))
    commit(lake, delta, Change(rows(), rows(("a", DAY, 1)), row=("_file",)), 9)
    heights = [lake.scan("t", version).collect().height for version in range(4)]
    assert heights == [0, 1, 2, 1]


def test_a_table_that_was_never_written(lake: Lake) -> None:
    assert lake.open("t") is None
    assert lake.scan("t", schema=SCHEMA).collect().schema == SCHEMA
    with pytest.raises(UnavailableError, match="t does not exist yet"):
        lake.scan("t")


def changed(lake: Lake, old: int | None, new: int) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    gone, added = lake.changed("t", old, new)
    return gone.sort("_file").rows(), added.sort("_file").rows()


def test_what_changed_between_versions(lake: Lake) -> None:
    delta = table(lake, ("a", DAY, 1), ("b", DAY, 2), ("c", None, 3))
    a, b, c = ("a", DAY, 1), ("b", DAY, 2), ("c", None, 3)
    assert changed(lake, None, 3) == ([], [a, b, c])
    assert changed(lake, 1, 3) == ([], [b, c])
    assert changed(lake, 3, 3) == ([], [])
    commit(lake, delta, Change(rows(("a", DAY, 9)), rows(a, c), row=("_file",)), 4)
    assert changed(lake, 3, 4) == ([a, c], [("a", DAY, 9)])
    lake.commit(delta, Change(rows(b)), "app", 5, replace="true")
    assert changed(lake, 4, 5) == ([("a", DAY, 9)], [])
    lake.commit(delta, Change(rows()), "app", 6, replace="true")
    assert changed(lake, 5, 6) == ([b], [])


def test_compaction_changes_no_row(lake: Lake) -> None:
    delta = table(lake, ("a", DAY, 1), ("b", DAY, 2), ("c", None, 3))
    assert len(delta.file_uris()) == 3
    delta.optimize.compact()
    assert len(delta.file_uris()) == 1
    assert changed(lake, 3, 4) == ([], [])
    assert changed(lake, 2, 4) == ([], [("c", None, 3)])


def test_a_column_that_came_later_counts_as_null_in_older_rows(lake: Lake) -> None:
    table(lake, ("a", DAY, 1))
    wider = {**SCHEMA, "note": pl.String()}
    delta = lake.create("t", wider)
    lake.commit(delta, Change(pl.DataFrame([("b", DAY, 2, "n")], schema=wider, orient="row")), "app", 2)
    assert changed(lake, 1, 3) == ([], [("b", DAY, 2, "n")])
    commit(lake, delta, Change(pl.DataFrame(schema=wider), rows(("a", DAY, 1)), row=("_file",)), 3)
    assert changed(lake, 1, 4) == ([("a", DAY, 1, None)], [("b", DAY, 2, "n")])


@pytest.mark.parametrize("lost", ["log", "some of the log", "data"])
def test_everything_counts_as_added_when_the_old_version_is_no_longer_readable(lake: Lake, lost: str) -> None:
    delta = table(lake, ("a", DAY, 1), ("b", DAY, 2))
    commit(lake, delta, Change(rows(("a", DAY, 9)), rows(("a", DAY, 1)), row=("_file",)), 3)
    if lost != "data":
        delta.create_checkpoint()
        for version in range(3 if lost == "log" else 2):
            (Path(lake.root) / f"t/_delta_log/{version:020}.json").unlink()
    else:
        delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert changed(lake, 2, 3) == ([], [("a", DAY, 9), ("b", DAY, 2)])


@pytest.mark.parametrize("name", ["two words", "ä", "50%", "a#b", "a+b", "it's"])
def test_the_lake_may_be_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    lake = Lake(str(tmp_path / name))
    delta = table(lake, ("a", DAY, 1), ("b", DAY, 2))
    commit(lake, delta, Change(rows(("a", DAY, 9)), rows(("a", DAY, 1)), row=("_file",)), 3)
    assert stored(lake) == [("a", DAY, 9), ("b", DAY, 2)]
    assert changed(lake, 2, 3) == ([("a", DAY, 1)], [("a", DAY, 9)])
    # A merge writes text in a way of its own.
    assert lake.scan("t").filter(pl.col("_file") == "a").collect().height == 1
    assert [folder.name for folder in tmp_path.iterdir()] == [name]


DATA = b"SENSOR\n" + b"x" * 1000
CHECKSUM = hashlib.sha256(DATA).hexdigest()


def test_delivered_bytes_are_kept_compressed_and_come_back(lake: Lake) -> None:
    for data in (DATA, b"", bytes(range(256))):
        checksum = hashlib.sha256(data).hexdigest()
        lake.keep(data, checksum)
        lake.keep(data, checksum)
        assert lake.kept(checksum) == data
    file = Path(lake.root) / "objects" / CHECKSUM[:2] / f"{CHECKSUM}.zst"
    assert file.stat().st_size < 100
    before = file.stat().st_mtime_ns
    lake.keep(DATA, CHECKSUM)
    assert file.stat().st_mtime_ns == before


def test_bytes_that_pack_well_come_back_a_little_at_a_time(lake: Lake) -> None:
    data = b"A,1,20.5\n" * (1 << 22)
    checksum = hashlib.sha256(data).hexdigest()
    lake.keep(data, checksum)
    sizes = [len(chunk) for chunk in lake.kept_chunks(checksum)]
    assert sum(sizes) == len(data)
    assert max(sizes) <= 1 << 21


@pytest.mark.parametrize("harm", ["other bytes", "cut short", "not compressed", "gone"])
def test_damage_to_kept_bytes_is_found(lake: Lake, harm: str) -> None:
    lake.keep(DATA, CHECKSUM)
    file = Path(lake.root) / "objects" / CHECKSUM[:2] / f"{CHECKSUM}.zst"
    if harm == "other bytes":
        other = hashlib.sha256(b"other").hexdigest()
        lake.keep(b"other", other)
        shutil.copy(Path(lake.root) / "objects" / other[:2] / f"{other}.zst", file)
    elif harm == "cut short":
        file.write_bytes(file.read_bytes()[:-4])
    elif harm == "not compressed":
        file.write_bytes(DATA)
    else:
        file.unlink()
    with pytest.raises(UnavailableError, match=f"{CHECKSUM}.*restore objects/ from a backup"):
        lake.kept(CHECKSUM)
