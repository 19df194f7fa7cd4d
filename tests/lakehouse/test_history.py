"""Every version of a source's rows, each with the day it was known on, and tables that are made of them."""

from dataclasses import replace

import dataframely as dy
import polars as pl
from house import House

from lakehouse import ledger, manifest
from lakehouse.curate import Curation, curate
from lakehouse.curated import Curated
from lakehouse.dialect import Dialect
from lakehouse.history import beaten, history

MONDAY, TUESDAY, FRIDAY = (f"A/thermometer_2020-01-{day}.csv" for day in ("06", "07", "10"))


def versions(house: House) -> list[tuple[object, ...]]:
    """Sensor, hour, degrees and day of delivery of every version."""
    processed, superseded, raw = (house.table(layer).lazy() for layer in ("processed", "superseded", "raw"))
    rows = history(house.source, processed, beaten(house.source, processed, superseded), raw)
    return rows.select("sensor", "hour", "celsius", pl.col("_delivered").dt.day()).sort(pl.all()).collect().rows()


def test_each_version_has_its_value_and_its_day(house: House) -> None:
    house.land(MONDAY, "s1,1,10\ns1,,11\ns2,1,20\n")
    house.run()
    house.land(FRIDAY, "s1,1,12\ns1,,13\ns3,1,30\n")
    house.land(TUESDAY, "s1,1,11.5\n")
    house.run()
    assert versions(house) == [
        ("s1", None, 11, 6),
        ("s1", None, 13, 10),
        ("s1", 1, 10, 6),
        ("s1", 1, 11.5, 7),
        ("s1", 1, 12, 10),
        ("s2", 1, 20, 6),
        ("s3", 1, 30, 10),
    ]


def test_what_was_taken_back_is_no_version(house: House) -> None:
    """A file that was delivered anew, one that was withdrawn, and lines that were refused."""
    house.land(MONDAY, "s1,1,10\ns2,1,hot\n")
    house.land(TUESDAY, "s1,1,99\ns2,1,22\n")
    house.land(FRIDAY, "s1,1,12\n")
    house.run()
    house.land(MONDAY, "s1,1,9\ns2,1,hot\n")
    house.run()
    ledger.withdraw(house.lake, house.source, TUESDAY, "a test", "to see")
    house.run()
    assert versions(house) == [("s1", 1, 9, 6), ("s1", 1, 12, 10)]


def test_what_a_later_snapshot_lacks_has_no_versions(house: House) -> None:
    house.source = replace(house.source, mode="snapshot")
    house.land(MONDAY, "s1,1,10\ns2,1,20\n")
    house.land(TUESDAY, "s1,1,11\ns2,1,21\n")
    house.run()
    house.land(FRIDAY, "s1,1,12\n")
    house.run()
    assert versions(house) == [("s1", 1, 10, 6), ("s1", 1, 11, 7), ("s1", 1, 12, 10)]


def test_an_earlier_version_is_read_as_its_site_writes(house: House) -> None:
    house.source = replace(
        house.source, numbers=("CELSIUS",), site_dialects={"A": Dialect(delimiter=";", decimal=",", nulls=("NA",))}
    )
    house.land(MONDAY, b"SENSOR;HOUR;CELSIUS\ns1;1;10,5\ns2;1;NA\n")
    house.land(TUESDAY, b"SENSOR;HOUR;CELSIUS\ns1;1;11,5\ns2;1;1,5\n")
    house.run()
    assert versions(house) == [("s1", 1, 10.5, 6), ("s1", 1, 11.5, 7), ("s2", 1, None, 6), ("s2", 1, 1.5, 7)]


class Told(dy.Schema):
    """How many versions a sensor's readings have had."""

    sensor = dy.String()
    versions = dy.Int64()
    warmest = dy.Float64(nullable=True)


TOLD = Curated(
    name="told",
    description="Versions by sensor.",
    owner="team:weather",
    contract=Told,
    key=("sensor",),
    by="sensor",
    inputs=("history/thermometer",),
    transform=lambda rows: rows.group_by("sensor").agg(
        versions=pl.len().cast(pl.Int64), warmest=pl.col("celsius").max()
    ),
)


def run(house: House) -> Curation:
    house.run()
    [done] = curate(house.lake, [TOLD], [house.source], house.clock)
    return done


def told(house: House) -> list[tuple[object, ...]]:
    versions = manifest.versions(house.lake)
    return house.lake.scan("curated/told", versions["curated/told"]).sort("sensor").collect().rows()


def test_a_table_follows_versions_that_never_counted(house: House) -> None:
    """An older file that comes late changes nothing of processed, and yet what was known on its day."""
    assert run(house).rows == 0
    house.land(FRIDAY, "".join(f"s{number},1,{number}\n" for number in range(1, 9)))
    run(house)
    before = house.table("processed")
    house.land(MONDAY, "s1,1,40\n")
    done = run(house)
    assert house.table("processed").equals(before)
    assert (done.changed, done.rows) == (True, 8)
    assert told(house)[:2] == [("s1", 2, 40), ("s2", 1, 2)]
    assert not run(house).changed
    ledger.withdraw(house.lake, house.source, MONDAY, "a test", "to see")
    run(house)
    assert told(house)[0] == ("s1", 1, 1)
