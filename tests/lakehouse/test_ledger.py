"""The ledger: what is put on record when, and what is not."""

import hashlib
import json
import os
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

import polars as pl
import pytest
from house import HEADER, House

from lakehouse import ingest, ledger
from lakehouse.clock import Clock
from lakehouse.landing import Landed, listing

PATH = "A/thermometer_2020-01-01.csv"


def on_record(house: House, *columns: str) -> list[tuple[object, ...]]:
    return ledger.read(house.lake, house.source).select(columns).rows()


def listed(house: House) -> list[Landed]:
    return listing(house.landing, [house.source]).claimed["thermometer"]


def register(house: House, files: list[Landed]) -> dict[str, bytes]:
    return ledger.register(house.lake, house.source, house.landing, files, house.clock, 10**8)


def checksum(body: str) -> str:
    return hashlib.sha256((HEADER + body).encode()).hexdigest()


def test_a_delivery_is_a_path_its_bytes_and_how_often_they_changed(house: House) -> None:
    for body in ("a,1,1\n", "a,1,2\n", "a,1,1\n"):
        house.land(PATH, body)
        house.run()
    house.land("A/thermometer_2020-01-02.csv", "a,1,1\n")
    house.run()
    assert on_record(house, "seq", "_file", "_checksum", "_observation") == [
        (1, PATH, checksum("a,1,1\n"), 1),
        (2, PATH, checksum("a,1,2\n"), 2),
        (3, PATH, checksum("a,1,1\n"), 3),
        (4, "A/thermometer_2020-01-02.csv", checksum("a,1,1\n"), 1),
    ]


def test_a_row_tells_all_there_is_to_know(house: House) -> None:
    file = house.land(PATH, "a,1,1\n")
    house.run()
    row = ledger.read(house.lake, house.source).row(0, named=True)
    assert row.pop("_received_at").tzinfo
    assert row == {
        "seq": 1,
        "_file": PATH,
        "_checksum": checksum("a,1,1\n"),
        "_observation": 1,
        "_delivered": date(2020, 1, 1),
        "_site": "A",
        "bytes": file.stat().st_size,
        "part_bytes": house.batch_bytes,
        "mtime_ns": file.stat().st_mtime_ns,
        "refusal": None,
        "act": "delivered",
        "who": None,
        "why": None,
    }


def test_the_bytes_are_kept_exactly_before_anything_reads_them(house: House) -> None:
    bodies = [b"\xff\xfe not text \0", b"", (HEADER + "a,1,1\r\n").encode()]
    for day, body in enumerate(bodies, start=1):
        house.land(f"A/thermometer_2020-01-0{day}.csv", body)
    house.run()
    sums = [row[0] for row in on_record(house, "_checksum")]
    assert [house.lake.kept(str(name)) for name in sums] == bodies


def test_a_file_touched_but_not_changed_is_remembered_and_not_read_again(house: House) -> None:
    file = house.land(PATH, "a,1,1\n")
    house.run()
    before = house.tables()
    os.utime(file, ns=(1, 10**18))
    assert not house.idle()
    house.run()
    assert house.idle()
    assert house.tables() == before
    assert on_record(house, "seq", "_observation", "mtime_ns", "act")[1] == (2, 1, 10**18, "seen_again")
    house.land(PATH, "a,1,2\n")
    house.run()
    assert on_record(house, "seq", "_observation", "act")[2] == (3, 2, "delivered")


def test_a_touched_file_does_not_hold_back_a_batch(house: House) -> None:
    file = house.land(PATH, "a,1,1\n")
    house.land("B/thermometer_2020-01-01.csv", "b,1,1\n")
    house.run()
    os.utime(file, ns=(1, 10**18))
    house.land("B/thermometer_2020-01-02.csv", "b,2,1\n")
    house.batch_bytes = 1
    plans = house.run()
    assert [plan.deliveries["_file"].to_list() for plan in plans] == [["B/thermometer_2020-01-02.csv"]]
    assert house.idle()


def test_a_file_gone_by_the_time_it_is_read_is_left_for_later(house: House) -> None:
    file = house.land(PATH, "a,1,1\n")
    house.land("B/thermometer_2020-01-01.csv", "b,1,1\n")
    files = listed(house)
    data = file.read_bytes()
    file.unlink()
    register(house, files)
    assert on_record(house, "_file") == [("B/thermometer_2020-01-01.csv",)]
    file.write_bytes(data)
    house.run()
    assert on_record(house, "seq", "_file")[1:] == [(2, PATH)]
    assert house.idle()


def test_a_file_that_left_the_landing_folder_stays_delivered(house: House) -> None:
    file = house.land(PATH, "a,1,1\n")
    house.run()
    before = house.tables()
    file.unlink()
    assert house.idle()
    house.run()
    assert house.tables() == before


def test_a_file_that_grew_after_it_was_listed_is_left_for_the_next_run(house: House) -> None:
    file = house.land(PATH, "a,1,1\n")
    files = listed(house)
    with file.open("a") as stream:
        stream.write("a,2,1\n")
    register(house, files)
    assert on_record(house, "_checksum") == []
    house.run()
    assert on_record(house, "_checksum", "bytes") == [(checksum("a,1,1\na,2,1\n"), file.stat().st_size)]
    assert house.idle()
    with file.open("a") as stream:
        stream.write("a,3,1\n")
    house.run()
    assert house.table("processed")["hour"].sort().to_list() == [1, 2, 3]
    assert house.table("account").sort("_observation")["state"].to_list() == ["replaced", "in effect"]


def test_a_refused_day_is_judged_by_the_clock_of_that_moment_until_the_file_is_sent_again(house: House) -> None:
    file = house.land("A/thermometer_2021-06-01.csv", "a,1,1\n")
    house.land("A/thermometer_2020-02-30.csv", "b,1,1\n")
    house.run()
    told = on_record(house, "_file", "_delivered", "refusal")
    assert [row[1] for row in told] == [None, None]
    assert "2020-02-30" in str(told[0][2])
    assert "has not come yet" in str(told[1][2])
    house.clock = Clock(date(2021, 12, 31))
    ledger.rebuild(house.lake, house.source, "someone", "to be sure", 10**6)
    house.run()
    assert house.table("processed").is_empty()
    os.utime(file, ns=(1, 10**18))
    house.run()
    assert house.table("processed").select("celsius", "_delivered").rows() == [(1.0, date(2021, 6, 1))]
    house.land("A/thermometer_2021-06-01.csv", "a,1,2\n")
    house.run()
    assert house.table("processed").select("celsius", "_delivered").rows() == [(2.0, date(2021, 6, 1))]
    assert house.unbalanced().is_empty()


def test_the_same_files_put_on_record_twice_are_there_once(house: House) -> None:
    house.land(PATH, "a,1,1\n")
    files = listed(house)
    register(house, files)
    register(house, files)
    assert len(on_record(house, "seq")) == 1


def test_only_the_days_asked_for_are_pending(house: House) -> None:
    house.land(PATH, "a,1,1\n")
    house.land("A/thermometer_2020-01-02.csv", "a,1,2\n")
    house.land("A/thermometer_2020-02-30.csv", "a,1,3\n")
    days = [date(2020, 1, 2)]
    work = ingest.pending(house.lake, house.source, listed(house), days)
    assert [file.path for file in work.unseen] == ["A/thermometer_2020-01-02.csv"]
    register(house, work.unseen)
    work = ingest.pending(house.lake, house.source, listed(house), days)
    assert (work.unseen, work.unfinished, work.any) == ([], True, True)


@pytest.mark.parametrize("site", ["it's", 'say "x"', "a\nb", "50% Ä", "*", "\\"])
def test_a_site_of_any_name_is_ingested_corrected_and_contested(house: House, site: str) -> None:
    path = f"{site}/thermometer_2020-01-01.csv"
    house.land(path, "a,1,1\nb,1,1\nbad,1,hot\n")
    house.run()
    house.land(path, "a,1,2\nb,1,1\nbad,1,hot\n")
    house.land("other/thermometer_2020-01-01.csv", "b,1,1\n")
    house.run()
    assert house.table("processed").select("sensor", "celsius", "_file", "_site").rows() == [("a", 2.0, path, site)]
    quarantined = house.table("quarantine").sort("_file", "_line").filter(pl.col("_site") == site)
    assert quarantined.select("_file", "_line").rows() == [(path, 3), (path, 4)]
    assert house.unbalanced().is_empty()
    assert house.idle()


def test_a_clock_that_stands_still_or_goes_backwards_confuses_no_delivery(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime(2020, 2, 1, 12, tzinfo=UTC)

    class Wayward(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return told[-1].astimezone(tz)

    monkeypatch.setattr(ledger, "datetime", Wayward)
    first, second = "a,1,1\nb,1,2\n", "a,1,3\n"
    told = []
    for body, time in ((first, noon), (second, noon), (first, noon - timedelta(days=400)), (second, noon)):
        told.append(time)
        house.land(PATH, body)
        house.run()
        shown = house.table("processed").sort("sensor").select("sensor", "celsius").rows()
        assert shown == ([("a", 1.0), ("b", 2.0)] if body == first else [("a", 3.0)])
        assert house.unbalanced().is_empty()
    rows = ledger.read(house.lake, house.source)
    assert rows["_observation"].to_list() == [1, 2, 3, 4]
    assert rows["_received_at"].is_sorted()
    assert rows["_received_at"].n_unique() == 4
    assert house.table("account").sort("_observation")["state"].to_list() == ["replaced"] * 3 + ["in effect"]


def test_a_name_that_is_not_text_stops_nobody(house: House) -> None:
    house.land(PATH, "a,1,1\n")
    try:
        house.land(os.fsdecode(b"caf\xe9/thermometer_2020-01-01.csv"), "b,1,1\n")
    except OSError:
        pytest.skip("this file system takes only names that are UTF-8")
    house.run()
    assert "a" in house.table("processed")["sensor"].to_list()


def test_many_files_are_not_all_held_in_memory(house: House) -> None:
    for day in range(1, 10):
        house.land(f"A/thermometer_2020-01-0{day}.csv", str(day) * 1000)
    house.batch_bytes = 2500
    held = ledger.register(house.lake, house.source, house.landing, listed(house), house.clock, house.batch_bytes)
    assert sum(map(len, held.values())) <= house.batch_bytes


def test_progress_is_told_file_by_file(house: House) -> None:
    house.land(PATH, "a,1,1\n")
    house.land("A/thermometer_2020-01-02.csv", "a,1,2\n")
    told: list[int] = []
    ledger.register(house.lake, house.source, house.landing, listed(house), house.clock, 10**8, told.append)
    assert told == [1, 1]


def test_nothing_is_written_when_nothing_is_new(house: House) -> None:
    assert register(house, []) == {}
    assert not Path(house.lake.root, "ledger").exists()


def test_a_file_whose_day_had_not_come_is_delivered_when_it_is_sent_again(house: House) -> None:
    house.clock = Clock(date(2020, 1, 1))
    house.land("A/thermometer_2020-01-02.csv", "a,1,1\n")
    house.run()
    assert house.table("processed").is_empty()
    house.clock = Clock(date(2020, 6, 1))
    house.land("A/thermometer_2020-01-02.csv", "a,1,1\n")
    house.run()
    assert house.table("processed")["sensor"].to_list() == ["a"]
    assert house.unbalanced().is_empty()


@pytest.mark.parametrize("header", ["REMARK,*", "*,REMARK", "^($,REMARK", "^.*$,X"])
def test_a_header_that_looks_like_a_pattern_is_kept_like_any_other(house: House, header: str) -> None:
    house.land("A/thermometer_2020-01-01.csv", "q,1,10,r,s\n", header=f"SENSOR,HOUR,CELSIUS,{header}\n")
    house.run()
    names = header.split(",")
    extra = json.loads(house.table("raw")["_extra"].item())
    assert extra == dict(zip(names, ["r", "s"], strict=True))
    assert house.table("processed").height == 1
