"""What chaos works on: the thermometer, two curated tables of it, all three tables in PostgreSQL, and data cuts."""

import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl
from house import House
from test_ingest import SITES, body
from thermometer import THERMOMETER

from lakehouse import cuts, leaves, manifest
from lakehouse.curate import GROUP, curate
from lakehouse.curated import Curated
from lakehouse.errors import CutError
from lakehouse.lake import Lake
from lakehouse.warehouse import Table, publish

# A change to a few sensors is to rewrite some data files and not others.
leaves.LEAF_ROWS = 12
DAYS = [f"2020-01-{day:02}" for day in range(1, 13)] + ["2020-02-30"]


class Temperature(dy.Schema):
    """One temperature, and where it came from."""

    sensor = dy.String()
    hour = dy.Int64(nullable=True)
    celsius = dy.Float64(nullable=True)
    file = dy.String()
    checksum = dy.String()


class File(dy.Schema):
    """What became of one delivery, as its account tells and as its rows show."""

    file = dy.String()
    observation = dy.Int64()
    accepted = dy.Int64()
    found = dy.Int64()


def temperatures(processed: pl.LazyFrame) -> pl.LazyFrame:
    return processed.select("sensor", "hour", "celsius", file="_file", checksum="_checksum")


def files(account: pl.LazyFrame, made: pl.LazyFrame) -> pl.LazyFrame:
    """Made from an engine's table and from the other curated table, so that it shows whether the two fit together."""
    found = made.group_by("file", "checksum").agg(pl.len().cast(pl.Int64).alias("found"))
    current = account.filter(pl.col("state") == "in effect")
    return (
        current.join(found, left_on=["_file", "_checksum"], right_on=["file", "checksum"], how="left")
        .select("accepted", pl.col("found").fill_null(0), file="_file", observation="_observation")
        .select("file", "observation", "accepted", "found")
    )


def curated(
    name: str,
    contract: type[dy.Schema],
    key: tuple[str, ...],
    inputs: tuple[str, ...],
    how: object,
    by: str | None = None,
) -> Curated:
    return Curated(
        name=name,
        description=name,
        owner="team:weather",
        contract=contract,
        key=key,
        by=by,
        inputs=inputs,
        transform=how,  # type: ignore[arg-type]
    )


CURATED = [
    curated("temperatures", Temperature, ("sensor", "hour"), ("processed/thermometer",), temperatures, by="sensor"),
    curated("files", File, ("file", "observation"), ("account", "curated/temperatures"), files),
]
LOADED = [
    Table("processed/thermometer", "lake", "thermometer", THERMOMETER.contract, THERMOMETER.key, "Temperatures."),
    *(Table(table.table, "lake", table.name, table.contract, table.key, table.description) for table in CURATED),
]


@dataclass(frozen=True)
class Place:
    """Where a station is; told to every process that works on it."""

    folder: str
    url: str
    batch_bytes: int

    @property
    def house(self) -> House:
        folder = Path(self.folder)
        (folder / "landing").mkdir(parents=True, exist_ok=True)
        return House(folder / "landing", Lake(str(folder / "lake")), batch_bytes=self.batch_bytes)


def bring_up_to_date(place: Place) -> None:
    """What the daemon does, ingest, curate and load; and what a person does, a cut of every third state."""
    house = place.house
    house.run()
    curate(house.lake, CURATED, [house.source], house.clock)
    publish(house.lake, place.url, LOADED, manifest.versions(house.lake))
    state = manifest.states(house.lake)[GROUP].seq
    # An attempt before this one, or beside it, may have made it.
    if state % 3 == 0:
        with suppress(CutError):
            cuts.create(house.lake, f"state_{state}", "chaos", "a test", [house.source], CURATED)


def land(random_: random.Random, house: House) -> None:
    """Deliver something: new, late or corrected, sound or broken, the same key from two sites, or merely touched."""
    there = sorted(house.landing.rglob("*.csv"))
    what = random_.choice(["write", "write", "write", "correct", "correct", "copy", "touch", "return", "new", "new"])
    if what == "new":
        # A day and keys that nobody has delivered: larger than most batches, it goes straight into the tables.
        site, names = random_.choice(SITES), [f"n{random_.randrange(10**9)}" for _ in range(20)]
        records = "".join(f"{random_.choice(names)},1,{random_.randint(0, 110)}\n" for _ in range(30))
        house.land(f"{site}/thermometer_2020-{random_.randint(2, 9):02}-{random_.randint(1, 28):02}.csv", records)
        return
    path = house.landing / random_.choice(SITES) / f"thermometer_{random_.choice(DAYS)}.csv"
    if what != "write" and there:
        old = random_.choice(there)
        path = old if what != "copy" else path
        data = old.read_bytes() if what in {"copy", "touch"} else body(random_, path.parent.name)
        if what == "return":
            data = b"SENSOR,HOUR,CELSIUS\nA1,1,1\n" if b"A1,1,1\n" not in data else b"SENSOR,HOUR,CELSIUS\nA1,1,2\n"
    else:
        data = body(random_, path.parent.name)
    house.land(str(path.relative_to(house.landing)), data)
