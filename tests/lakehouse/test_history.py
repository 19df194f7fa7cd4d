"""Every version of a source's rows, each with the day it was known on, and tables that are made of them."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, tzinfo

import dataframely as dy
import polars as pl
import pytest
from house import House

from lakehouse import ledger, manifest
from lakehouse.contract import PROVENANCE
from lakehouse.curate import Curation, curate
from lakehouse.curated import Curated
from lakehouse.dialect import Dialect
from lakehouse.history import DAYS, as_of, current, in_force, newest
from lakehouse.inputs import Inputs

MONDAY, TUESDAY, FRIDAY = (f"A/thermometer_2020-01-{day}.csv" for day in ("06", "07", "10"))


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the day of January 2020 on which whatever comes next is received."""

    def on(day: int) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:
                return datetime(2020, 1, day, 12, tzinfo=tz)

        monkeypatch.setattr(ledger, "datetime", Clock)

    return on


def all_versions(house: House) -> pl.LazyFrame:
    inputs = Inputs(house.lake, [house.source], house.clock, manifest.versions(house.lake), {})
    return inputs.rows(f"history/{house.source.name}").all


def versions(house: House) -> list[tuple[object, ...]]:
    """Sensor, hour, degrees, and from which day of the month to which each version was known."""
    days = [pl.col(name).dt.day() for name in DAYS]
    return all_versions(house).select("sensor", "hour", "celsius", *days).sort(pl.all()).collect().rows()


def test_each_version_has_its_value_and_its_day(house: House) -> None:
    house.land(MONDAY, "s1,1,10\ns1,,11\ns2,1,20\n")
    house.run()
    house.land(FRIDAY, "s1,1,12\ns1,,13\ns3,1,30\n")
    house.land(TUESDAY, "s1,1,11.5\n")
    house.run()
    assert versions(house) == [
        ("s1", None, 11, 6, None),
        ("s1", None, 13, 10, None),
        ("s1", 1, 10, 6, None),
        ("s1", 1, 11.5, 7, None),
        ("s1", 1, 12, 10, None),
        ("s2", 1, 20, 6, None),
        ("s3", 1, 30, 10, None),
    ]


def test_what_was_taken_back_was_known_until_then(house: House, today: Callable[[int], None]) -> None:
    """A file that was delivered anew, one that was withdrawn, and lines that were refused, which nobody knew."""
    today(10)
    house.land(MONDAY, "s1,1,10\ns2,1,hot\n")
    house.land(TUESDAY, "s1,1,99\ns2,1,22\n")
    house.land(FRIDAY, "s1,1,12\n")
    house.run()
    today(13)
    house.land(MONDAY, "s1,1,9\ns2,1,hot\n")
    house.run()
    today(15)
    ledger.withdraw(house.lake, house.source, TUESDAY, "a test", "to see")
    house.run()
    assert versions(house) == [
        ("s1", 1, 9, 13, None),
        ("s1", 1, 10, 6, 13),
        ("s1", 1, 12, 10, None),
        ("s1", 1, 99, 7, 15),
        ("s2", 1, 22, 7, 15),
    ]
    # Taken back and sent again, it is known again from then on.
    today(17)
    house.land(TUESDAY, "s1,1,99\ns2,1,22\n")
    house.run()
    assert [row for row in versions(house) if row[2] in (22, 99)] == [
        ("s1", 1, 99, 7, 15),
        ("s1", 1, 99, 17, None),
        ("s2", 1, 22, 7, 15),
        ("s2", 1, 22, 17, None),
    ]
    # From the record alone it is the same.
    before = versions(house)
    ledger.rebuild(house.lake, house.source, "a test", "to see", 10)
    house.run()
    assert versions(house) == before


def test_what_was_mended_was_not_known_before(house: House, today: Callable[[int], None]) -> None:
    """A file that was refused whole, and a line that was, both sent again; the last of three versions of one day."""
    today(6)
    house.land(MONDAY, "s1,1,hot\n")
    house.land(TUESDAY, "s2,1,20\ns3,1,hot\n")
    house.run()
    today(9)
    house.land(MONDAY, "s1,1,10\n")
    house.land(TUESDAY, "s2,1,20\ns3,1,29\n")
    house.run()
    house.land(TUESDAY, "s2,1,20\ns3,1,30\n")
    house.run()
    assert versions(house) == [
        ("s1", 1, 10, 9, None),
        ("s2", 1, 20, 7, 9),
        ("s2", 1, 20, 9, None),
        ("s3", 1, 30, 9, None),
    ]


def test_what_is_sent_again_before_its_day_is_over_is_all_that_was_known(
    house: House, today: Callable[[int], None]
) -> None:
    """Also on the day before, where a site is ahead of UTC."""
    today(6)
    house.land(TUESDAY, "s1,1,10\n")
    house.run()
    house.land(TUESDAY, "s1,1,11\n")
    house.run()
    assert versions(house) == [("s1", 1, 11, 7, None)]


def test_what_a_later_snapshot_lacks_was_known_all_the_same(house: House) -> None:
    house.source = replace(house.source, mode="snapshot")
    house.land(MONDAY, "s1,1,10\ns2,1,20\n")
    house.land(TUESDAY, "s1,1,11\ns2,1,21\n")
    house.run()
    house.land(FRIDAY, "s1,1,12\n")
    house.run()
    assert [row[:4] for row in versions(house)] == [
        ("s1", 1, 10, 6),
        ("s1", 1, 11, 7),
        ("s1", 1, 12, 10),
        ("s2", 1, 20, 6),
        ("s2", 1, 21, 7),
    ]


def test_of_a_key_that_two_sites_claim_nothing_is_known(house: House) -> None:
    house.land(MONDAY, "s1,1,10\ns2,1,20\n")
    house.land(f"B{TUESDAY[1:]}", "s1,1,11\n")
    house.run()
    assert versions(house) == [("s2", 1, 20, 6, None)]


def test_what_was_known_on_a_day_is_what_the_table_held_then(house: House, today: Callable[[int], None]) -> None:
    """Days go by, with files of the day, of days before, anew and withdrawn: what each evening's table held is told."""
    random_, evenings = random.Random(5), {}
    paths: list[str] = []
    for day in range(1, 25):
        today(day)
        if paths and random_.random() < 0.3 and (path := random_.choice(paths)) in counting(house):
            ledger.withdraw(house.lake, house.source, path, "a test", "to see")
        for path in [
            f"A/thermometer_2020-01-{day:02}.csv",
            *random_.sample(paths, min(len(paths), random_.randrange(3))),
        ]:
            lines = [f"s{random_.randrange(4)},{random_.randrange(3)},{random_.randrange(105)}\n" for _ in range(4)]
            house.land(path, "".join(lines))
            paths.append(path)
        house.run()
        evenings[day] = house.table("processed")
    told = all_versions(house)
    for day, held in evenings.items():
        then = newest(told.filter(in_force(pl.lit(date(2020, 1, day)))), house.source.key).collect()
        columns = [*house.source.key, "celsius", *PROVENANCE]
        assert then.select(columns).sort(columns).equals(held.select(columns).sort(columns)), day
        # And a day's own look at the history is told from the history of now.
        now = current(as_of(told, date(2020, 1, day)), house.source.key).collect()
        assert now.select(columns).sort(columns).equals(held.select(columns).sort(columns)), day


def counting(house: House) -> list[str]:
    state = house.table("account").filter(pl.col("state").is_in(["in effect", "rejected"]))
    return state["_file"].to_list()


def test_an_earlier_version_is_read_as_its_site_writes(house: House) -> None:
    house.source = replace(
        house.source, numbers=("CELSIUS",), site_dialects={"A": Dialect(delimiter=";", decimal=",", nulls=("NA",))}
    )
    house.land(MONDAY, b"SENSOR;HOUR;CELSIUS\ns1;1;10,5\ns2;1;NA\n")
    house.land(TUESDAY, b"SENSOR;HOUR;CELSIUS\ns1;1;11,5\ns2;1;1,5\n")
    house.run()
    told = [row[:4] for row in versions(house)]
    assert told == [("s1", 1, 10.5, 6), ("s1", 1, 11.5, 7), ("s2", 1, None, 6), ("s2", 1, 1.5, 7)]


class Told(dy.Schema):
    """How many versions of a sensor's readings stand."""

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
    transform=lambda rows: (
        rows.filter(pl.col("_until").is_null())
        .group_by("sensor")
        .agg(versions=pl.len().cast(pl.Int64), warmest=pl.col("celsius").max())
    ),
)
EVER = replace(
    TOLD,
    name="ever",
    transform=lambda rows: rows.group_by("sensor").agg(
        versions=pl.len().cast(pl.Int64), warmest=pl.col("celsius").max()
    ),
)


def run(house: House) -> Curation:
    house.run()
    done, _ = curate(house.lake, [TOLD, EVER], [house.source], house.clock)
    return done


def told(house: House, table: Curated = TOLD) -> list[tuple[object, ...]]:
    versions = manifest.versions(house.lake)
    return house.lake.scan(table.table, versions[table.table]).sort("sensor").collect().rows()


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
    assert run(house).changed
    assert told(house)[0] == ("s1", 1, 1)


def test_a_table_follows_what_came_and_went_between_two_looks(house: House) -> None:
    """A key that is no row before and after: what was known of it is told, as by a look at everything."""
    house.land(FRIDAY, "".join(f"s{number:02},1,{number}\n" for number in range(1, 30)))
    run(house)
    house.land(MONDAY, "s01,2,40\n")
    house.run()
    house.land(MONDAY, "s02,2,41\n")
    run(house)
    assert told(house)[:2] == [("s01", 1, 1), ("s02", 2, 41)]
    assert told(house, EVER)[:2] == [("s01", 2, 40), ("s02", 2, 41)]
    assert told(house, EVER) == EVER.transform(all_versions(house)).sort("sensor").collect().rows()


def test_a_first_correction_is_told_by_its_key(house: House) -> None:
    """And not held for most of what was superseded until then."""
    house.land(MONDAY, "".join(f"s{number},1,{number}\n" for number in range(1, 30)))
    run(house)
    house.land(FRIDAY, "s1,1,40\n")
    house.run()
    before = manifest.states(house.lake)["curated"].inputs or {}
    inputs = Inputs(house.lake, [house.source], house.clock, manifest.versions(house.lake), before)
    found = inputs.rows("history/thermometer").differ
    assert found is not None
    assert found["sensor"].unique().to_list() == ["s1"]
