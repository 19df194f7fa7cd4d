"""The landing folder, cleared of what is safely on record."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from house import House
from thermometer import THERMOMETER

from lakehouse import ledger
from lakehouse.clearing import clear
from lakehouse.landing import listing

LATER = datetime.now(UTC) + timedelta(days=8)
PATH = "A/thermometer_2020-01-01.csv"


@pytest.fixture
def tidy_house(house: House) -> House:
    house.source = replace(THERMOMETER, after_landing="delete", clear_after=timedelta(days=7))
    house.land(PATH, "a,1,1\n")
    house.run()
    return house


def landed(house: House) -> list[str]:
    return sorted(str(file.relative_to(house.landing)) for file in house.landing.rglob("*.csv"))


def test_deleted_when_the_days_are_over_and_nothing_changes(tidy_house: House) -> None:
    before = tidy_house.tables()
    assert clear(tidy_house.lake, tidy_house.source, tidy_house.landing) == 0
    assert landed(tidy_house) == [PATH]
    assert clear(tidy_house.lake, tidy_house.source, tidy_house.landing, LATER) == 1
    assert landed(tidy_house) == []
    tidy_house.run()
    assert tidy_house.tables() == before
    assert tidy_house.idle()


def test_moved_out_of_the_way_with_its_bytes(tidy_house: House) -> None:
    tidy_house.source = replace(tidy_house.source, after_landing="move")
    data = (tidy_house.landing / PATH).read_bytes()
    assert clear(tidy_house.lake, tidy_house.source, tidy_house.landing, LATER) == 1
    assert (tidy_house.landing / ".cleared" / PATH).read_bytes() == data
    assert tidy_house.idle()


def test_kept_by_default(tidy_house: House) -> None:
    assert THERMOMETER.after_landing == "keep"
    assert clear(tidy_house.lake, THERMOMETER, tidy_house.landing, LATER) == 0
    assert landed(tidy_house) == [PATH]


def test_what_is_not_in_the_tables_yet_stays(tidy_house: House) -> None:
    tidy_house.land(PATH, "a,1,2\n")
    tidy_house.land("A/thermometer_2020-01-02.csv", "a,1,1\n")
    assert clear(tidy_house.lake, tidy_house.source, tidy_house.landing, LATER) == 0
    files = tidy_house.pending().unseen
    ledger.register(tidy_house.lake, tidy_house.source, tidy_house.landing, files, tidy_house.clock, 10**6)
    # On record, but no table has it.
    assert clear(tidy_house.lake, tidy_house.source, tidy_house.landing, LATER) == 0
    tidy_house.run()
    assert clear(tidy_house.lake, tidy_house.source, tidy_house.landing, LATER) == 2


def test_a_file_that_takes_its_place_at_that_moment_is_put_back(
    tidy_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def overtaken(self: Path, target: Path) -> Path:
        self.write_bytes(b"SENSOR,HOUR,CELSIUS\nnew,1,1\n")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    assert clear(tidy_house.lake, tidy_house.source, tidy_house.landing, LATER) == 0
    assert b"new" in (tidy_house.landing / PATH).read_bytes()
    tidy_house.run()
    assert tidy_house.table("processed")["sensor"].to_list() == ["new"]


def test_what_landing_lacks_is_told(tidy_house: House) -> None:
    house = tidy_house
    house.land("A/thermometer_2020-01-02.csv", "a,1,1\n")
    house.run()
    assert ledger.missing(house.lake, house.source, []) == [PATH, "A/thermometer_2020-01-02.csv"]
    ledger.withdraw(house.lake, house.source, PATH, "someone", "a mistake")
    assert ledger.missing(house.lake, house.source, []) == ["A/thermometer_2020-01-02.csv"]


@pytest.mark.parametrize("part_bytes", [10, 10**6])
def test_files_read_again_renew_damaged_bytes_and_show_what_changed_unnoticed(
    tidy_house: House, part_bytes: int
) -> None:
    house = tidy_house
    (kept,) = Path(house.lake.root).rglob("*.zst")
    kept.write_bytes(b"damaged")
    other = house.land("A/thermometer_2020-01-02.csv", "b,1,7\n")
    house.run()
    stat = other.stat()
    other.write_bytes(other.read_bytes().replace(b"7", b"8"))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert house.idle()
    files = listing(house.landing, [house.source]).claimed["thermometer"]
    ledger.register(house.lake, house.source, house.landing, files, house.clock, part_bytes, renew=True)
    ledger.rebuild(house.lake, house.source, "someone", "a disk failed", 10**6)
    house.run()
    assert house.table("processed").sort("sensor")["celsius"].to_list() == [1.0, 8.0]
