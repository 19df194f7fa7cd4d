"""Tables of a log of changes go on from what they have: they equal what is made of the whole log, whatever happened."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest
from house import House
from told import Told, by_chance

from lakehouse import changes, leaves, ledger, manifest, remake, remake_log
from lakehouse.contract import Contract
from lakehouse.curate import curate
from lakehouse.curated import Curated
from lakehouse.housekeeping import housekeep
from lakehouse.lake import Lake
from lakehouse.source import Source

HEADER = "cdc_starts,cdc_lsn,cdc_seq,cdc_op,id,word,cdc_unchanged,cdc_at\n"
KEY = ["id"]


class Change(Contract):
    """A change of a thing."""

    id = dy.Int64(nullable=True)
    word = dy.String(nullable=True)
    cdc_op = dy.String()
    cdc_starts = dy.Int64()
    cdc_lsn = dy.String()
    cdc_seq = dy.Int64()
    cdc_at = dy.Datetime(time_unit="us", time_zone="UTC")
    cdc_unchanged = dy.String(nullable=True)


class Now(Contract):
    """A thing as it is."""

    id = dy.Int64()
    word = dy.String(nullable=True)
    cdc_op = dy.String()
    cdc_starts = dy.Int64()
    cdc_lsn = dy.String()
    cdc_seq = dy.Int64()
    cdc_at = dy.Datetime(time_unit="us", time_zone="UTC")


class Past(Now):
    """A thing as it was."""

    valid_from = dy.Datetime(time_unit="us", time_zone="UTC")
    valid_to = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    until_starts = dy.Int64(nullable=True)
    until_lsn = dy.String(nullable=True)
    is_current = dy.Bool()


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    return changes.typed(raw).with_columns(pl.col("id").cast(pl.Int64)).select(Change.column_names())


SOURCE = Source(
    name="things",
    description="Changes of things.",
    owner="team:tests",
    contract=Change,
    tidy=tidy,
    key=("id", "cdc_starts", "cdc_lsn", "cdc_seq"),
    columns=tuple(HEADER.strip().split(",")),
)


def now(log: pl.LazyFrame) -> pl.LazyFrame:
    return changes.current(log, KEY).select(Now.column_names())


def past(log: pl.LazyFrame) -> pl.LazyFrame:
    return changes.history(log, KEY).select(Past.column_names())


NOW = Curated(
    name="now",
    description="Things.",
    owner="team:tests",
    contract=Now,
    key=("id",),
    inputs=("processed/things",),
    transform=now,
    of_log=True,
)
PAST = replace(NOW, name="past", contract=Past, key=("id", "cdc_starts", "cdc_lsn"), transform=past)
TABLES = (NOW, PAST)


@pytest.fixture
def things(house: House) -> House:
    house.source = SOURCE
    return house


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves and parts of a few rows."""
    monkeypatch.setattr(leaves, "LEAF_ROWS", 5)
    monkeypatch.setattr(remake, "PART_ROWS", 7)


def land(house: House, path: str, told: list[Told]) -> None:
    def text(value: object) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(map(text, (*row, f"2014-01-0{row[0]}T00:00:00.5Z"))) + "\n" for row in told]
    house.land(path, "".join(lines), header=HEADER)
    house.run()


def run(house: House, *tables: Curated) -> None:
    curate(house.lake, tables or TABLES, [house.source], house.clock)


def shown(lake: Lake, table: Curated) -> pl.DataFrame:
    rows = lake.scan(table.table, manifest.versions(lake)[table.table])
    return rows.sort("id", "cdc_starts", "cdc_lsn").collect()


def holds(house: House) -> None:
    log = house.table("processed").lazy()
    for table in TABLES:
        whole = table.transform(log).sort("id", "cdc_starts", "cdc_lsn").collect()
        assert shown(house.lake, table).equals(whole), table.name


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """In which ways tables were made."""
    found: set[str] = set()
    for way in ("_told", "_in_parts", "_rewritten"):
        real: Callable[..., object] = getattr(remake_log.LogRemake, way)

        def watched(self: object, *given: object, way: str = way, real: Callable[..., object] = real) -> object:
            found.add(way)
            return real(self, *given)

        monkeypatch.setattr(remake_log.LogRemake, way, watched)
    return found


class Killed(BaseException):
    pass


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.usefixtures("small")
def test_any_history_gives_what_the_whole_gives(
    things: House, monkeypatch: pytest.MonkeyPatch, ways: set[str], seed: int
) -> None:
    chance = random.Random(seed)
    told = [row for number in range(2) for row in shifted(by_chance(chance, 14), number)]
    number, standing = 0, set[str]()
    while told:
        number += 1
        count = chance.choice([1, 3, 5, 20])
        came, told = told[:count], told[count:]
        if chance.random() < 0.15 and told:
            # One comes later than those after it.
            told.insert(min(6, len(told)), came.pop())
        path = f"A/things_2020-02-{number % 28 + 1:02}.csv"
        land(things, path, came)
        standing.add(path)
        event = chance.random()
        if event < 0.1:
            path = chance.choice(sorted(standing))
            standing.remove(path)
            ledger.withdraw(things.lake, things.source, path, "a test", "to see")
            things.run()
        elif event < 0.2:
            housekeep(things.lake, timedelta(0))
        elif event < 0.25:
            monkeypatch.setattr("lakehouse.curate.code_version", lambda *_, number=number: f"other {number}")
        elif event < 0.35:
            real, left = Lake.commit, iter(range(chance.randint(0, 1)))

            def commit(lake: Lake, *given: object, real=real, left=left, **options: object) -> object:  # type: ignore[no-untyped-def]
                done = real(lake, *given, **options)
                if next(left, None) is None:
                    raise Killed
                return done

            with monkeypatch.context() as patch:
                patch.setattr(Lake, "commit", commit)
                try:
                    run(things)
                except Killed:
                    continue
        run(things)
        holds(things)
    run(things)
    holds(things)
    assert ways == {"_told", "_in_parts", "_rewritten"}


def shifted(told: list[Told], number: int) -> list[Told]:
    """A log after others."""
    return [(row[0] + 2 * number, *row[1:]) for row in told]


@pytest.fixture
def long(things: House) -> House:
    """A log of eight deliveries, each with changes of thirty keys of two hundred, in the tables."""
    for number in range(8):
        lsn = f"{8 * number + 8:016X}"
        keys = [(number * 37 + place * 7) % 200 for place in range(30)]
        rows = [(1, lsn, 2 * place, "update", key, f"w{number}", None) for place, key in enumerate(keys)]
        land(things, f"A/things_2020-01-{number + 1:02}.csv", rows)  # type: ignore[arg-type]
    run(things)
    return things


def unread(house: House, versions: dict[str, int]) -> list[Path]:
    """Take away the data files that processed had, as by then."""
    delta = house.lake.open("processed/things", versions["processed/things"])
    assert delta is not None
    files = [Path(uri) for uri in delta.file_uris()]
    for file in files:
        file.rename(file.with_suffix(".away"))
    return files


@pytest.mark.usefixtures("small")
def test_a_change_at_the_end_of_the_log_reads_nothing_of_what_it_told_before(long: House) -> None:
    before, asked = manifest.versions(long.lake), list[int]()
    kept = {name: set(long.lake.open(name).file_uris()) for name in (NOW.table, PAST.table)}  # type: ignore[union-attr]
    land(
        long,
        "A/things_2020-03-01.csv",
        [
            (1, "F" * 16, 2, "update", 7, "new", None),
            (1, "F" * 16, 4, "delete", 14, None, '["word"]'),
            (1, "F" * 16, 5, "insert", 999, None, '["word"]'),
        ],
    )
    away = unread(long, before)

    def watched(log: pl.LazyFrame) -> pl.LazyFrame:
        asked.append(log.select(pl.len()).collect().item())
        return now(log)

    run(long, replace(NOW, transform=watched), PAST)
    for file in away:
        file.with_suffix(".away").rename(file)
    assert asked == [5]
    holds(long)
    for name, files in kept.items():
        assert len(files - set(long.lake.open(name).file_uris())) <= 3 < len(files)  # type: ignore[union-attr]


@pytest.mark.usefixtures("small")
def test_a_truncation_reads_nothing_of_the_log_either(long: House, ways: set[str]) -> None:
    before = manifest.versions(long.lake)
    land(
        long,
        "A/things_2020-03-01.csv",
        [(1, "F" * 16, 2, "truncate", None, None, None), (1, "F" * 16, 4, "insert", 17, "new", None)],
    )
    away = unread(long, before)
    run(long)
    for file in away:
        file.with_suffix(".away").rename(file)
    assert ways == {"_rewritten"}
    assert shown(long.lake, NOW)["id"].to_list() == [17]
    holds(long)
