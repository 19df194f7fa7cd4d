"""A large delivery that is new in every respect: one commit for each table, and the same tables as any other way."""

import errno
import itertools
import json
import random
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from house import House

from lakehouse import batch, files, ingest, ledger, pieces, straight
from lakehouse.dialect import Dialect
from lakehouse.errors import DefinitionError, SupersededError, UnavailableError
from lakehouse.lake import Change, Lake
from lakehouse.near import near

LARGE = "A/thermometer_2020-01-02.csv"


@pytest.fixture(autouse=True)
def small_batches(house: House) -> None:
    house.batch_bytes = 300


@pytest.fixture
def went(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each large delivery went straight."""
    real, found = straight.straight, []

    def watched(*words: object) -> object:
        found.append(False)
        told = real(*words)  # type: ignore[arg-type]
        found[-1] = True
        return told

    monkeypatch.setattr(ingest, "straight", watched)
    return found


def lines(seed: int, keys: int, count: int = 200) -> str:
    """Records of so many keys, some broken, some in quotes over two lines."""
    random_ = random.Random(seed)
    broken = ["x,1,hot", "short,1", "long,1,2,3", ",1,1", "", "y,99,1"]
    rows = []
    for _ in range(count):
        number = random_.randrange(keys)
        name = f'"s\n{number}"' if number % 7 == 0 else f"s{number}"
        hour = "" if number % 5 == 0 else str(number % 24)
        rows.append(random_.choice(broken) if random_.random() < 0.1 else f"{name},{hour},{random_.randint(0, 40)}")
    return "".join(f"{row}\n" for row in rows)


def other_ways(house: House, folder: Path) -> Iterator[House]:
    """The same house, whose lake is made at once, and piece by piece."""
    for name, batch_bytes, most in (("at once", 10**8, 0), ("pieces", house.batch_bytes, 0)):
        other = replace(house, lake=Lake(str(folder / name)), batch_bytes=batch_bytes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch, "MOST_PIECES", most)
            other.run()
        yield other


@pytest.mark.parametrize("keys", [3, 60, 5000])
@pytest.mark.parametrize("quote", [True, False])
def test_it_becomes_what_it_is_any_other_way(
    house: House, tmp_path: Path, went: list[bool], keys: int, quote: bool
) -> None:
    text = lines(keys, keys)
    house.land(LARGE, text if quote else text.replace('"s\n', "s").replace('"', ""))
    house.run()
    assert went == [True]
    for other in other_ways(house, tmp_path):
        assert house.tables() == other.tables()
    assert house.unbalanced().is_empty()
    assert house.idle()
    # Made empty, and written once.
    for table in ingest.tables(house.source).values():
        delta = house.lake.open(table)
        assert delta is not None
        assert delta.version() == 1


def test_what_comes_later_meets_what_it_wrote(house: House, went: list[bool]) -> None:
    house.land(LARGE, lines(1, 80))
    house.run()
    house.land("A/thermometer_2020-01-03.csv", lines(2, 160))
    house.land("B/thermometer_2020-01-03.csv", lines(3, 20))
    house.run()
    house.land(LARGE, lines(4, 80))
    house.run()
    house.land("A/thermometer_2020-01-01.csv", lines(5, 40).replace("s", "t"))
    house.run()
    assert went[0]
    assert not all(went)
    # A rebuild of all that is on record is no large delivery: it takes batches.
    before = house.tables()
    ledger.rebuild(house.lake, house.source, "somebody", "why not", 10**8)
    house.run()
    assert house.tables() == before


@pytest.mark.parametrize(
    "first",
    [
        "SENSOR,HOUR\n",
        "SENSOR,HOUR,HOUR,CELSIUS\n",
    ],
)
def test_a_file_refused_whole_does_not_go_straight(house: House, tmp_path: Path, went: list[bool], first: str) -> None:
    house.land(LARGE, lines(1, 80), header=first)
    house.run()
    assert went == [False]
    self_check(house, tmp_path)


def test_a_file_without_a_good_record_does_not_go_straight(house: House, tmp_path: Path, went: list[bool]) -> None:
    house.land(LARGE, "x,1,hot\n" * 200)
    house.run()
    assert went == [False]
    self_check(house, tmp_path)


def test_a_file_that_is_not_text_does_not_go_straight(house: House, tmp_path: Path, went: list[bool]) -> None:
    house.land(LARGE, ("SENSOR,HOUR,CELSIUS\n" + lines(1, 80)).encode() + b"\xff,1,1\n")
    house.run()
    assert went == [False]
    self_check(house, tmp_path)


def test_a_key_that_is_known_does_not_go_straight(house: House, tmp_path: Path, went: list[bool]) -> None:
    house.land("A/thermometer_2020-01-01.csv", "s1,1,20\n")
    house.run()
    house.land(LARGE, lines(1, 80))
    house.run()
    assert went == [False]
    self_check(house, tmp_path)


def test_nothing_is_written_of_a_correction_before_it_is_known_for_one(
    house: House, went: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.land("A/thermometer_2020-01-01.csv", "s1,1,20\n")
    house.run()
    house.land(LARGE, "s1,1,21\n" * 300)
    monkeypatch.setattr(straight.Written, "raw", lambda *_: pytest.fail("raw is written"))
    house.run()
    assert went == [False]


@pytest.mark.parametrize("error", [UnavailableError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("layer", ["raw", "processed"])
def test_what_cannot_be_written_leaves_nothing(
    house: House,
    tmp_path: Path,
    went: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    layer: str,
) -> None:
    house.land(LARGE, lines(1, 80))
    write, count = files.write, itertools.count(1)

    def fails(lake: Lake, table: str, *words: Any) -> object:
        if table == f"{layer}/thermometer" and next(count) == 3:
            raise error
        return write(lake, table, *words)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", fails)
        # What may be for want of room is done the other way.
        with nullcontext() if error is OSError else pytest.raises(error):
            house.run()
    assert went == [False]
    house.run()
    self_check(house, tmp_path)


def test_a_file_that_judges_as_a_whole_does_not_go_straight(house: House, tmp_path: Path, went: list[bool]) -> None:
    house.source = replace(house.source, file_limit=0.01)
    house.land(LARGE, lines(1, 80))
    house.run()
    assert went == [False]
    self_check(house, tmp_path)


def self_check(house: House, folder: Path) -> None:
    """What did not go straight is right, and has left no files of an attempt."""
    for other in other_ways(house, folder):
        assert house.tables() == other.tables()
    for table in ingest.tables(house.source).values():
        delta = house.lake.open(table)
        assert delta is not None
        on_disk = {path.name for path in Path(house.lake.root, table).glob("*.parquet")}
        ever = set()
        for version in range(delta.version() + 1):
            at = house.lake.open(table, version)
            assert at is not None
            ever |= {Path(uri).name for uri in at.file_uris()}
        assert on_disk == ever


def test_a_file_with_a_header_where_none_is_agreed_is_refused_whole(
    house: House, tmp_path: Path, went: list[bool]
) -> None:
    house.source = replace(house.source, dialect=Dialect(header=("SENSOR", "HOUR", "CELSIUS")))
    house.land(LARGE, "\n" * 600 + "SENSOR,HOUR,CELSIUS\n" + lines(1, 80), header="")
    house.run()
    assert went == [False]
    self_check(house, tmp_path)
    assert house.table("processed").is_empty()


@pytest.mark.parametrize("body", ["\n" * 700, "s1,1,1\n" + "\n" * 700, "\n" * 700 + "s1,1,1\n"])
@pytest.mark.parametrize("header", ["", "SENSOR,HOUR,CELSIUS\n"])
def test_blank_lines_say_nothing(house: House, tmp_path: Path, body: str, header: str) -> None:
    if not header:
        house.source = replace(house.source, dialect=Dialect(header=("SENSOR", "HOUR", "CELSIUS")))
    house.land(LARGE, body, header=header)
    house.run()
    self_check(house, tmp_path)


def test_it_goes_in_pieces_when_there_is_no_room_for_its_text(
    house: House, tmp_path: Path, went: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    house.land(LARGE, lines(1, 80))
    with monkeypatch.context() as patch:
        patch.setattr(pieces, "TemporaryFile", full)
        house.run()
    assert went == [False]
    self_check(house, tmp_path)


def test_no_more_pieces_are_cut_than_will_be_read(house: House, tmp_path: Path, went: list[bool]) -> None:
    house.land(LARGE, lines(1, 80))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "MOST_PIECES", 3)
        house.run()
    assert went == [False]
    self_check(house, tmp_path)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        (pl.Series([1.5, 2.5]), (1.5, 2.5)),
        # delta-rs passes over the statistics of every file of a table when one of them is not JSON.
        (pl.Series([1.5, float("inf")]), None),
        (pl.Series([1.5, float("nan")]), None),
        (pl.Series([1.5, None]), (1.5, 1.5)),
        (pl.Series([None, None], dtype=pl.Float64), None),
        (pl.Series([0, -719163]).cast(pl.Date), None),
        (pl.Series([0, -719162]).cast(pl.Date), ("0001-01-01", "1970-01-01")),
        # A long text is told by its beginning, the greatest such that none is greater.
        (pl.Series(["a", "b" * 257]), ("a", "b" * 63 + "c")),
        (pl.Series(["a" * 257, "b"]), ("a" * 64, "b")),
        (pl.Series(["a", "ä\0"]), ("a", "ä\0")),
        (pl.Series([True, False]), (False, True)),
        (pl.Series([[1], [2]]), None),
    ],
)
def test_the_log_tells_what_json_can_tell(house: House, values: pl.Series, ends: tuple[object, object] | None) -> None:
    rows = pl.DataFrame({"x": values})
    delta = house.lake.create("some/table", rows.schema)
    file = files.write(house.lake, "some/table", rows.schema, rows, ["x"])
    told = json.loads(file.stats, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    found = (told["minValues"]["x"], told["maxValues"]["x"]) if told["minValues"] else None
    assert found == ends
    house.lake.commit(delta, Change(rows.clear(), files=(file,)), "app", 1)
    assert delta.count() == 2
    for row in rows.iter_slices(1):
        assert not house.lake.scan("some/table").filter(near(row)).collect().is_empty()


def test_the_log_counts_nulls_of_what_has_no_fields(house: House) -> None:
    """Of a struct Delta has a count for each field, and delta-rs fails to read a log that has one for all."""
    rows = pl.DataFrame({"n": [1, None], "s": [{"a": 1}, None], "l": [[{"a": 1}], None]})
    house.lake.create("some/table", rows.schema)
    file = files.write(house.lake, "some/table", rows.schema, rows, rows.columns)
    assert json.loads(file.stats)["nullCount"] == {"n": 1, "l": 1}


@pytest.mark.parametrize("step", range(1, 8))
def test_an_attempt_killed_after_any_commit_is_completed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    house.land(LARGE, lines(1, 80))
    undisturbed = replace(house, lake=Lake(str(tmp_path / "undisturbed")))
    undisturbed.run()
    done = 0
    commit = Lake.commit

    def dies(*words: object, **options: object) -> int:
        nonlocal done
        version = commit(*words, **options)  # type: ignore[arg-type]
        if (done := done + 1) == step:
            raise KeyboardInterrupt
        return version

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "commit", dies)
        # The ledger, five tables and the manifest.
        with pytest.raises(KeyboardInterrupt):
            house.run()
    house.run()
    assert house.tables() == undisturbed.tables()
    assert house.unbalanced().is_empty()
    assert house.idle()
    # The table whose commit was the last has what it is to have; so have those before it, and nothing twice.
    for table in list(ingest.tables(house.source).values()) if step > 1 else []:
        assert len(list(Path(house.lake.root, table).glob("*.parquet"))) == len(
            list(Path(undisturbed.lake.root, table).glob("*.parquet"))
        ) or table not in committed(step)


def committed(step: int) -> list[str]:
    """The tables that an attempt killed after so many commits has written and committed."""
    return [f"{layer}/thermometer" for layer in ingest.LAYERS[: step - 1]]


def test_the_log_tells_least_and_greatest_values(house: House) -> None:
    house.land(LARGE, lines(1, 80))
    house.run()
    table = Path(house.lake.root, "processed/thermometer")
    log = [json.loads(line) for line in (table / f"_delta_log/{1:020}.json").read_text().splitlines()]
    added = [action["add"] for action in log if "add" in action]
    assert len(added) > 3
    for file in added:
        told, rows = json.loads(file["stats"]), pl.read_parquet(table / file["path"])
        assert told["numRecords"] == rows.height
        for name in ("_file", "_line", "_delivered", "sensor", "hour"):
            assert told["minValues"].get(name) == plain(rows[name].min())
            assert told["maxValues"].get(name) == plain(rows[name].max())
            assert told["nullCount"][name] == rows[name].null_count()


def plain(value: object) -> object:
    return str(value) if isinstance(value, date) else value


def test_a_file_of_other_types_is_not_written(house: House) -> None:
    house.run()
    rows = pl.DataFrame({"number": [1.5]})
    with pytest.raises(DefinitionError, match="number: Int64 stored, Float64 given"):
        files.write(house.lake, "some/table", {"number": pl.Int64()}, rows, ())


def test_written_files_are_committed_once(house: House) -> None:
    layout = {"number": pl.Int64()}
    delta = house.lake.create("some/table", layout)
    stale = house.lake.open("some/table")
    file = files.write(house.lake, "some/table", layout, pl.DataFrame({"number": [1, 2]}), ["number"])
    change = Change(pl.DataFrame(schema=layout), files=(file,))
    assert house.lake.commit(delta, change, "app", 1) == 1
    assert stale is not None
    with pytest.raises(SupersededError):
        house.lake.commit(stale, change, "app", 1)
    assert house.lake.scan("some/table").collect()["number"].to_list() == [1, 2]
