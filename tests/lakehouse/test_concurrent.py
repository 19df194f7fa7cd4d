"""Four processes ingest one source at once, into a folder and into a bucket: no lost commit, no duplicate."""

import threading
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from house import House
from writers import at_once

from lakehouse import ingest, ledger, manifest
from lakehouse.lake import Lake

DAYS = [date(2020, 1, day) for day in range(1, 13)]
WRITERS = 4


@pytest.fixture(params=["folder", "bucket"])
def shared(house: House, request: pytest.FixtureRequest) -> House:
    """A house whose lake all processes share; its files correct, contest and break one another."""
    if request.param == "bucket":
        bucket = request.getfixturevalue("bucket")
        house.lake = Lake(bucket.root("".join(filter(str.isalnum, request.node.name))), bucket.options)
    for number, day in enumerate(DAYS):
        rows = f"a{number % 5},1,{number}\nonly{number},{number},1\nbad{number},1,hot\n"
        house.land(f"A/thermometer_{day}.csv", rows)
        house.land(f"B/thermometer_{day}.csv", f"b{number % 3},,{number}\na{number},2,1\n")
    house.land("B/thermometer_2020-01-20.csv", b"")
    house.batch_bytes = 400
    return house


@pytest.mark.parametrize("days", ["different", "same"])
def test_four_processes_do_what_one_does(shared: House, tmp_path: Path, days: str) -> None:
    every = [*DAYS, date(2020, 1, 20)]
    split = [every[number::WRITERS] for number in range(WRITERS)]
    at_once(shared, split if days == "different" else [every] * WRITERS)

    alone = replace(shared, lake=Lake(str(tmp_path / "alone")))
    alone.run()
    assert shared.tables() == alone.tables()
    assert shared.unbalanced().is_empty()
    assert shared.idle()
    on_record = ledger.read(shared.lake, shared.source)
    assert on_record["seq"].to_list() == list(range(1, 2 * len(DAYS) + 2))
    assert on_record["_file"].is_unique().all()
    for table in ingest.tables(shared.source).values():
        newest = shared.lake.open(table)
        assert newest
        # Every commit goes further than the one before: none was made twice, none undone.
        reached = []
        for version in range(1, newest.version() + 1):
            delta = shared.lake.open(table, version)
            assert delta
            reached.append(delta.transaction_version("ledger"))
        assert reached == sorted(set(reached)), table


def test_large_new_files_by_four_processes_at_once(shared: House, tmp_path: Path) -> None:
    for file in shared.landing.rglob("*.csv"):
        file.unlink()
    for number, day in enumerate(DAYS):
        records = "".join(f"s{number}-{key % 50},1,{key}\n" for key in range(60))
        shared.land(f"A/thermometer_{day}.csv", f"{records}bad,1,hot\n")
    at_once(shared, [DAYS] * WRITERS)
    alone = replace(shared, lake=Lake(str(tmp_path / "alone")), batch_bytes=10**8)
    alone.run()
    assert shared.tables() == alone.tables()
    assert shared.unbalanced().is_empty()
    for table in ingest.tables(shared.source).values():
        newest = shared.lake.open(table)
        assert newest
        # Each file is larger than a batch and is one commit: all of them went straight, and none twice.
        assert newest.version() == len(DAYS)


def test_corrections_by_four_processes_at_once(shared: House) -> None:
    shared.run()
    for number, day in enumerate(DAYS):
        shared.land(f"A/thermometer_{day}.csv", f"a{number % 5},1,{number + 50}\nnew{number},1,1\n")
    at_once(shared, [DAYS[number::WRITERS] for number in range(WRITERS)])
    processed = shared.table("processed")
    assert processed.select(shared.source.key).is_unique().all()
    assert processed.filter(pl.col("sensor").str.starts_with("new")).height == len(DAYS)
    assert processed.filter(pl.col("sensor").str.starts_with("only")).is_empty()
    assert shared.unbalanced().is_empty()
    assert shared.idle()


def test_a_table_is_made_once(shared: House) -> None:
    schemas = ingest.schemas(shared.source)

    def make(table: str) -> None:
        ready.wait()
        shared.lake.create(f"{table}/made", schemas[table])

    for table in schemas:
        ready = threading.Barrier(8)
        threads = [threading.Thread(target=make, args=(table,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made = shared.lake.open(f"{table}/made")
        assert made
        assert made.version() == 0


def test_groups_of_tables_are_recorded_at_the_same_time(shared: House) -> None:
    def record(name: str) -> None:
        for seq in range(1, 6):
            manifest.record(shared.lake, manifest.State(name, seq, {f"raw/{name}": seq}))

    names = [f"source{number}" for number in range(8)]
    threads = [threading.Thread(target=record, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manifest.versions(shared.lake) == {f"raw/{name}": 5 for name in names}
