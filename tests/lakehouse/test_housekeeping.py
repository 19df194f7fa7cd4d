"""Housekeeping: few files, a short log, every row and every position as before, and nobody's version gone."""

import os
import threading
from datetime import timedelta
from pathlib import Path

import obstore
import polars as pl
import pytest
from house import House

from lakehouse import ingest, manifest
from lakehouse.errors import SupersededError, UnavailableError
from lakehouse.housekeeping import housekeep
from lakehouse.lake import Change, Lake

NOTHING, MONTH = timedelta(0), timedelta(days=30)
TABLES = [f"{layer}/thermometer" for layer in (*sorted(ingest.LAYERS), "ledger")]


def deliver(house: House, days: range) -> None:
    """A run for each day: a row of its own, one that beats the day before's, and one that is rejected."""
    for day in days:
        house.land(f"A/thermometer_2020-01-{day:02}.csv", f"a{day},1,1\nsame,1,{day}\nbad,1,hot\n")
        house.run()


@pytest.fixture
def full(house: House) -> House:
    deliver(house, range(1, 13))
    return house


def files(house: House, table: str = "raw/thermometer") -> int:
    delta = house.lake.open(table)
    assert delta
    return len(delta.file_uris())


def positions(house: House) -> dict[str, int | None]:
    deltas = {table: house.lake.open(table) for table in TABLES}
    return {table: delta.transaction_version("ledger") for table, delta in deltas.items() if delta}


def age(lake: Lake, table: str, days: int) -> None:
    """Make a table's files and log as old as that; it then holds times in the log that are today's all the same."""
    then = (Path(lake.root) / table).stat().st_mtime - days * 86400
    for path in (Path(lake.root) / table).rglob("*"):
        os.utime(path, (then, then))


def test_every_table_is_found(full: House) -> None:
    assert full.lake.tables() == sorted([*TABLES, "manifest"])
    assert Lake(f"{full.lake.root}/nothing-yet").tables() == []


def test_files_are_few_and_rows_and_positions_as_before(full: House) -> None:
    before, reached, objects = full.tables(), positions(full), kept(full)
    done = {item.table: item for item in housekeep(full.lake, NOTHING)}
    assert (done["raw/thermometer"].files_before, done["raw/thermometer"].files) == (12, 1)
    assert files(full, "ledger/thermometer") == 1
    assert not any(item.gave_way for item in done.values())
    assert (full.tables(), positions(full), kept(full)) == (before, reached, objects)
    assert full.idle()


def kept(house: House) -> list[str]:
    return sorted(item["path"] for item in obstore.list(house.lake.store, "objects").collect())


def test_ingestion_goes_on_as_if_nothing_had_happened(full: House, tmp_path: Path) -> None:
    for day in range(13, 28):
        housekeep(full.lake, NOTHING)
        deliver(full, range(day, day + 1))
    full.land("A/thermometer_2020-01-02.csv", "a2,1,7\n")
    full.run()
    housekeep(full.lake, NOTHING)
    fresh = House(full.landing, Lake(str(tmp_path / "fresh")))
    fresh.run()
    assert (
        full.read()["processed"]
        .drop("_received_at")
        .sort("sensor")
        .equals(fresh.read()["processed"].drop("_received_at").sort("sensor"))
    )
    assert full.unbalanced().is_empty()
    # Files and log hold what one round leaves, however many have gone before.
    for table in TABLES:
        assert files(full, table) < 8 + 2
        assert log(full, table) < 12


def log(house: House, table: str) -> int:
    return len(list((Path(house.lake.root) / table / "_delta_log").glob("*.json")))


def test_what_is_quiet_is_not_written(full: House) -> None:
    housekeep(full.lake, NOTHING)
    deliver(full, range(13, 14))
    housekeep(full.lake, NOTHING)
    versions = {table: full.lake.open(table).version() for table in full.lake.tables()}  # type: ignore[union-attr]
    assert [item.freed for item in housekeep(full.lake, NOTHING)] == [0] * len(versions)
    assert versions == {table: full.lake.open(table).version() for table in versions}  # type: ignore[union-attr]


def test_versions_of_the_last_days_stay_readable(full: House) -> None:
    delta = full.lake.open("raw/thermometer")
    assert delta
    housekeep(full.lake, MONTH)
    deliver(full, range(13, 15))
    housekeep(full.lake, MONTH)
    for version in range(1, delta.version() + 1):
        assert full.lake.scan("raw/thermometer", version).collect().height == 3 * version


def test_what_a_writer_left_uncommitted_goes_when_nobody_can_be_writing_it_any_more(full: House) -> None:
    table = Path(full.lake.root) / "raw/thermometer"
    of_now, dead = table / "part-now.parquet", table / "part-dead.parquet"
    for file in (of_now, dead):
        file.write_bytes(b"rows")
    os.utime(dead, (1, 1))
    housekeep(full.lake, NOTHING)
    assert of_now.exists()
    housekeep(full.lake, MONTH)
    assert (of_now.exists(), dead.exists()) == (True, False)


def test_pinned_versions_stay_when_all_others_go(full: House) -> None:
    housekeep(full.lake, NOTHING, {"raw/thermometer": [5, 999]})
    deliver(full, range(13, 16))
    housekeep(full.lake, NOTHING, {"raw/thermometer": [5, 999]})
    assert full.lake.scan("raw/thermometer", 5).collect().height == 15
    with pytest.raises((UnavailableError, OSError, pl.exceptions.ComputeError)):
        full.lake.scan("raw/thermometer", 7).collect()
    # The pin is gone, and so are the version's files with the next housekeeping.
    housekeep(full.lake, NOTHING)
    with pytest.raises((UnavailableError, OSError, pl.exceptions.ComputeError)):
        full.lake.scan("raw/thermometer", 5).collect()


def test_the_log_is_cleaned_by_what_is_needed_not_by_age(full: House) -> None:
    """Delta cleans old log entries by itself with every hundredth commit, and with them versions still in use."""
    pinned = full.lake.open("ledger/thermometer")
    assert pinned
    for number in range(240):
        delta = full.lake.open("ledger/thermometer")
        assert delta
        full.lake.commit(delta, Change(full.lake.scan("ledger/thermometer").collect().clear()), "test", number)
        if number == 120:
            age(full.lake, "ledger/thermometer", 40)
    assert full.lake.scan("ledger/thermometer", pinned.version()).collect().height == 12


@pytest.mark.parametrize("layer", ["raw", "processed", "account"])
def test_a_crash_between_a_batch_and_the_manifest_is_completed_after_housekeeping(
    full: House, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    before = full.tables()
    full.land("A/thermometer_2020-01-13.csv", "same,1,99\na13,1,1\n")
    commit = Lake.commit

    def dies(lake: Lake, delta, *arguments, **options):  # type: ignore[no-untyped-def]
        done = commit(lake, delta, *arguments, **options)
        if f"/{layer}/" in delta.table_uri:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "commit", dies)
        with pytest.raises(KeyboardInterrupt):
            full.run()
    housekeep(full.lake, NOTHING)
    assert full.tables() == before
    full.run()
    assert full.idle()
    assert full.table("processed").filter(sensor="same")["celsius"].to_list() == [99.0]
    assert full.table("raw").height == 36 + 2
    assert full.unbalanced().is_empty()


def test_an_ingestion_whose_files_are_put_together_under_it_goes_on(
    full: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merge is worked out on files that compaction has replaced by the time it commits."""
    full.land("A/thermometer_2020-01-13.csv", "same,1,99\n")
    commit, tidied = Lake.commit, []

    def beaten(lake: Lake, delta, *arguments, **options):  # type: ignore[no-untyped-def]
        if "/processed/" in delta.table_uri and not tidied:
            tidied.extend(housekeep(lake, MONTH, tables=["processed/thermometer"]))
        return commit(lake, delta, *arguments, **options)

    monkeypatch.setattr(Lake, "commit", beaten)
    full.run()
    assert [item.files for item in tidied] == [1]
    assert full.table("processed").filter(sensor="same")["celsius"].to_list() == [99.0]
    assert full.unbalanced().is_empty()


def test_a_commit_whose_answer_was_lost_keeps_its_files(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store says no to the second try of what it had written at the first."""
    full.land("A/thermometer_2020-01-13.csv", "same,1,99\n")
    commit, lost = Lake.commit, []

    def answers_late(lake: Lake, delta, *arguments, **options):  # type: ignore[no-untyped-def]
        version = commit(lake, delta, *arguments, **options)
        if "/processed/" in delta.table_uri and not lost:
            lost.append(version)
            raise SupersededError("another run committed first")
        return version

    monkeypatch.setattr(Lake, "commit", answers_late)
    with pytest.raises(SupersededError):
        full.run()
    full.run()
    assert lost
    assert full.table("processed").filter(sensor="same")["celsius"].to_list() == [99.0]
    assert full.unbalanced().is_empty()


def test_housekeeping_gives_way_and_does_it_the_next_time(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from deltalake.exceptions import CommitFailedError
    from deltalake.table import TableOptimizer

    def beaten(*_: object, **__: object) -> None:
        raise CommitFailedError

    before = full.tables()
    with monkeypatch.context() as patch:
        patch.setattr(TableOptimizer, "compact", beaten)
        done = {item.table: item for item in housekeep(full.lake, NOTHING)}
    assert done["raw/thermometer"].gave_way
    assert not done["quarantine/thermometer"].gave_way or files(full, "quarantine/thermometer") >= 8
    assert full.tables() == before
    assert not any(item.gave_way for item in housekeep(full.lake, NOTHING))
    assert files(full) == 1


def test_both_at_once_lose_nothing(house: House) -> None:
    done = threading.Event()
    rounds = 0

    def tidy() -> None:
        nonlocal rounds
        while not done.is_set():
            if house.lake.tables():
                housekeep(house.lake, timedelta(days=1))
                rounds += 1

    other = threading.Thread(target=tidy)
    other.start()
    try:
        deliver(house, range(1, 21))
    finally:
        done.set()
        other.join()
    assert rounds > 1
    assert house.table("raw").height == 60
    assert house.table("processed").height == 21
    assert house.unbalanced().is_empty()
    assert manifest.versions(house.lake)


def test_a_load_after_compaction_reads_only_what_changed(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "raw/thermometer"
    loaded = manifest.versions(full.lake)[table]
    housekeep(full.lake, MONTH)
    deliver(full, range(13, 14))
    read: list[int] = []
    real = Lake.scan_files
    monkeypatch.setattr(
        Lake, "scan_files", lambda lake, names, delta: read.append(len(set(names))) or real(lake, names, delta)
    )
    gone, added = full.lake.changed(table, loaded, manifest.versions(full.lake)[table])
    assert (gone.height, sorted(added["SENSOR"])) == (0, ["a13", "bad", "same"])
    assert read == [0, 1]


def test_compaction_alone_changes_nothing_for_a_load(full: House) -> None:
    table = "raw/thermometer"
    old = full.lake.open(table)
    assert old
    housekeep(full.lake, MONTH)
    new = full.lake.open(table)
    assert new
    assert new.version() > old.version()
    assert [rows.height for rows in full.lake.changed(table, old.version(), new.version())] == [0, 0]
    # Compacted after rows came in that the load has not seen: right as well, by comparing rows.
    gone, added = full.lake.changed(table, old.version() - 1, new.version())
    assert (gone.height, added.height) == (0, 3)
