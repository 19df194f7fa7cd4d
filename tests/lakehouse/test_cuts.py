"""Data cuts: one consistent state under a name, the same rows until it is dropped, and a checksum that proves it."""

import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from house import House
from s3 import Bucket
from test_crash import Killed, nothing, watch
from test_curate import MEANS, means
from test_rebuild import FAHRENHEIT

from lakehouse import curate, cuts, difference, ingest, manifest
from lakehouse.cuts import Cut
from lakehouse.errors import CutError, LakehouseError, UnavailableError
from lakehouse.housekeeping import housekeep
from lakehouse.lake import Lake
from lakehouse.query import sql

NOTHING, MONTH = timedelta(0), timedelta(days=30)
Tables = dict[str, list[tuple[object, ...]]]


def deliver(house: House, days: Sequence[int]) -> None:
    """A run for each day: a row of its own, one that beats the day before's, and one that is rejected."""
    for day in days:
        house.land(f"A/thermometer_2020-01-{day:02}.csv", f"a{day},1,1\nsame,1,{day}\nbad,1,hot\n")
        house.run()


def make(house: House, name: str, as_of: date | None = None, why: str = "a test") -> Cut:
    return cuts.create(house.lake, name, "someone", why, [house.source], [MEANS], "models", as_of)[0]


def curated(house: House) -> None:
    curate.curate(house.lake, [MEANS], [house.source], house.clock)


def shown(house: House) -> Tables:
    """Every table as readers see it, in an order that compares."""
    return _sorted(house.lake, lambda table, version: house.lake.scan(table, version), manifest.versions(house.lake))


def held(lake: Lake, name: str) -> Tables:
    """Every table as a cut has it."""
    return _sorted(lake, lambda table, _: cuts.scan(lake, name, table), cuts.get(lake, name).versions)


def _sorted(_: Lake, scan: Callable[[str, int], pl.LazyFrame], versions: dict[str, int]) -> Tables:
    return {table: sorted(scan(table, version).collect().rows(), key=repr) for table, version in versions.items()}


@pytest.fixture
def full(house: House) -> House:
    deliver(house, range(1, 4))
    curated(house)
    return house


def test_a_cut_holds_every_table_and_says_who_made_it_when_why_and_of_what(full: House) -> None:
    begun = datetime.now(UTC)
    made = make(full, "first", why="interim analysis")
    assert cuts.every(full.lake) == [made]
    assert held(full.lake, "first") == shown(full)
    assert {pin.table for pin in made.pins} == {*ingest.tables(full.source).values(), "curated/means"}
    assert (made.created.who, made.created.why, made.models) == ("someone", "interim analysis", "models")
    assert begun <= made.created.at <= datetime.now(UTC)
    by_table = {pin.table: pin for pin in made.pins}
    assert by_table["processed/thermometer"].made_by == full.source.contract_version
    assert by_table["processed/thermometer"].key == ("sensor", "hour")
    assert by_table["curated/means"].made_by == curate.code_version([MEANS], [full.source], full.clock)
    assert {table: len(rows) for table, rows in shown(full).items()} == {pin.table: pin.rows for pin in made.pins}


def test_housekeeping_leaves_it_readable_and_its_checksums_equal(full: House) -> None:
    make(full, "first")
    before = held(full.lake, "first")
    for day in range(4, 16):
        deliver(full, [day])
        curated(full)
        housekeep(full.lake, NOTHING)
    assert held(full.lake, "first") == before
    assert cuts.verify(full.lake, "first")["same"].to_list() == [True] * 6
    assert shown(full) != before
    cuts.drop(full.lake, "first", "someone", "the analysis is out")
    pinned = full.lake.open("raw/thermometer", 3)
    assert pinned
    housekeep(full.lake, NOTHING)
    with pytest.raises((UnavailableError, OSError, pl.exceptions.ComputeError)):
        full.lake.scan("raw/thermometer", 3).collect()


def test_it_outlives_the_days_after_which_everything_old_is_removed(full: House) -> None:
    """After some days housekeeping removes whatever file no needed version names, whoever left it there."""
    make(full, "first")
    before = held(full.lake, "first")
    deliver(full, range(4, 14))
    housekeep(full.lake, NOTHING)
    for file in Path(full.lake.root).rglob("*"):
        then = file.stat().st_mtime - 40 * 86400
        os.utime(file, (then, then))
    deliver(full, range(14, 24))
    for _ in range(2):
        housekeep(full.lake, timedelta(days=1))
    assert held(full.lake, "first") == before
    assert cuts.verify(full.lake, "first")["same"].all()


def test_it_reads_as_before_after_the_tables_were_made_anew_by_another_contract(full: House) -> None:
    make(full, "first")
    before = held(full.lake, "first")
    full.source = FAHRENHEIT
    full.run()
    housekeep(full.lake, NOTHING)
    assert held(full.lake, "first") == before
    assert cuts.verify(full.lake, "first")["same"].all()
    told = difference.between(full.lake, "first", None, {}).row(by_predicate=pl.col("table") == "processed/thermometer")
    assert told == ("processed/thermometer", 4, 5, 1, 0, 0, "+hour +fahrenheit -hour -celsius_text -celsius")


def test_a_value_that_was_changed_or_lost_on_disk_shows(full: House) -> None:
    make(full, "first")
    [file] = (Path(full.lake.root) / "curated/means").glob("*.parquet")
    kept, size = pl.read_parquet(file), file.stat().st_size
    kept.with_columns(celsius=pl.col("celsius") + 0.5).write_parquet(file)
    log = Path(full.lake.root) / "curated/means/_delta_log/00000000000000000001.json"
    log.write_text(log.read_text().replace(f'"size":{size}', f'"size":{file.stat().st_size}'))
    lost = next((Path(full.lake.root) / "raw/thermometer").rglob("*.parquet"))
    lost.unlink()
    told = {row["table"]: row for row in cuts.verify(full.lake, "first").to_dicts()}
    assert [table for table, row in told.items() if not row["same"]] == ["curated/means", "raw/thermometer"]
    assert (told["curated/means"]["rows"], told["raw/thermometer"]["rows"]) == (kept.height, None)


@pytest.mark.parametrize("name", ["", "Interim", "1st", "a-b", "a__b", "_a", "a_", "a b", "a;drop", "x" * 31, "é"])
def test_what_is_no_name_is_refused(full: House, name: str) -> None:
    with pytest.raises(CutError, match=r"no name for a cut.*nothing was recorded"):
        make(full, name)
    assert cuts.every(full.lake) == []


def test_a_name_stands_for_one_cut_for_ever(full: House) -> None:
    make(full, "first")
    with pytest.raises(CutError, match=r"cut first exists already \(someone, 2.*choose another name"):
        make(full, "first")
    cuts.drop(full.lake, "first", "another", "a mistake")
    with pytest.raises(CutError, match=r"cut first was dropped, and a name stands for one cut for ever \(another"):
        make(full, "first")
    with pytest.raises(CutError, match=r"cut first was dropped by another .*\(a mistake\); there are: none"):
        cuts.scan(full.lake, "first", "raw/thermometer")
    [cut] = cuts.every(full.lake)
    assert cut.dropped
    assert (cut.dropped.who, cut.dropped.why) == ("another", "a mistake")
    with pytest.raises(CutError, match="was dropped by another"):
        cuts.drop(full.lake, "first", "someone", "again")


def test_what_is_not_there_is_told_with_what_is(full: House) -> None:
    make(full, "first")
    with pytest.raises(CutError, match="there is no cut frist; there are: first"):
        cuts.get(full.lake, "frist")
    with pytest.raises(CutError, match=r"holds no table processed/barometer; it holds .*processed/thermometer"):
        cuts.scan(full.lake, "first", "processed/barometer")
    with pytest.raises(CutError, match="the lake is empty; lakehouse run fills it"):
        cuts.create(Lake(f"{full.lake.root}/none"), "a", "someone", "", [], [])


def test_two_people_at_once(full: House) -> None:
    """Of two who take one name the second is told; two names are two cuts."""
    ready, told = threading.Barrier(4), []

    def go(name: str) -> None:
        ready.wait()
        try:
            make(full, name)
            told.append(name)
        except CutError:
            told.append(f"{name} is taken")

    threads = [threading.Thread(target=go, args=(name,)) for name in ("same", "same", "one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["one", "same", "same is taken", "two"]
    assert sorted(cut.name for cut in cuts.every(full.lake)) == ["one", "same", "two"]


@pytest.mark.parametrize("act", ["create", "drop"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_moment_it_is_there_whole_or_not_at_all(
    full: House, monkeypatch: pytest.MonkeyPatch, act: str, moment: str
) -> None:
    """Both acts have two durable steps: the table of cuts is made, and one commit."""
    if act == "drop":
        make(full, "first")

    def go() -> None:
        if act == "create":
            make(full, "first")
        else:
            cuts.drop(full.lake, "first", "someone", "a test")

    def standing() -> list[bool]:
        return [cut.dropped is None for cut in cuts.every(full.lake)]

    start = standing()
    for name in ("create", "commit"):
        if standing() != start:
            break
        dies = _at_first(Killed)
        with monkeypatch.context() as patch:
            watch(patch, (name,), *((dies, nothing) if moment == "before" else (nothing, dies)))
            with pytest.raises(Killed):
                go()
        housekeep(full.lake, NOTHING)
    done = {"create": [True], "drop": [False]}[act]
    assert standing() == (start if moment == "before" else done)
    if moment == "before":
        go()
    else:
        with pytest.raises(CutError):
            go()
    assert standing() == done
    if act == "create":
        assert cuts.verify(full.lake, "first")["same"].all()


def _at_first(error: type[BaseException]) -> Callable[[int], None]:
    def die(_: int) -> None:
        raise error

    return die


def test_curated_tables_that_lag_behind_are_not_cut_with_what_they_do_not_know(full: House) -> None:
    before = shown(full)
    deliver(full, [4])
    _, ahead = cuts.create(full.lake, "lagging", "someone", "", [full.source], [MEANS])
    assert ahead == ("thermometer",)
    assert held(full.lake, "lagging") == before
    curated(full)
    _, ahead = cuts.create(full.lake, "settled", "someone", "", [full.source], [MEANS])
    assert ahead == ()
    assert held(full.lake, "settled") == shown(full)


def test_every_cut_made_while_a_run_commits_is_one_consistent_state(full: House) -> None:
    done = threading.Event()

    def work() -> None:
        for day in range(4, 14):
            deliver(full, [day])
            curated(full)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    names = []
    while not done.is_set():
        names.append(f"cut_{len(names)}")
        make(full, names[-1])
    worker.join()
    sizes = set()
    for name in names:
        processed = cuts.scan(full.lake, name, "processed/thermometer")
        made = cuts.scan(full.lake, name, "curated/means").sort("sensor").collect()
        assert made.equals(means(processed).sort("sensor").collect())
        raw, accounted = (cuts.scan(full.lake, name, f"{layer}/thermometer").collect() for layer in ("raw", "account"))
        assert (
            raw.height
            == accounted["records"].sum()
            == accounted.select(pl.col("accepted", "quarantined", "superseded").sum()).sum_horizontal().item()
        )
        sizes.add(raw.height)
    assert len(sizes) > 2


class _Clock(datetime):
    """A clock that is set by hand."""

    set_to = datetime(2021, 3, 1, 12, tzinfo=UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        assert tz is UTC
        return cls.set_to


@pytest.fixture
def past(house: House, monkeypatch: pytest.MonkeyPatch) -> dict[date, Tables]:
    """A house that worked on four days of March 2021, twice on the second; what readers saw at the end of each."""
    monkeypatch.setattr(manifest, "datetime", _Clock)
    ends = {}
    for number, (day, hour) in enumerate([(1, 12), (2, 0), (2, 23), (5, 8), (6, 12)], 1):
        _Clock.set_to = datetime(2021, 3, day, hour, 59, 59, 999_999, tzinfo=UTC)
        deliver(house, [number])
        curated(house)
        ends[date(2021, 3, day)] = shown(house)
    # Nothing came on these days.
    return ends | {date(2021, 3, day): ends[date(2021, 3, 2)] for day in (3, 4)}


def test_as_of_a_day_is_the_state_at_its_end(house: House, past: dict[date, Tables]) -> None:
    for day, tables in past.items():
        cut = make(house, f"of_{day:%d}", day)
        assert held(house.lake, cut.name) == tables, day
        assert (cut.as_of, cut.day) == (day, day)
        assert cut.state_at < datetime(2021, 3, day.day + 1, tzinfo=UTC)
    assert make(house, "much_later", date(2021, 9, 1)).state_at == make(house, "now").state_at


def test_a_day_that_is_not_over_or_before_all_is_refused(house: House, past: dict[date, Tables]) -> None:
    assert past
    today = datetime.now(UTC).date()
    for day in (today, today + timedelta(days=1)):
        with pytest.raises(CutError, match=f"{day} is not over"):
            make(house, "early", day)
    with pytest.raises(CutError, match=r"at the end of 2021-02-28 cannot be read.*the oldest day there is: 2021-03-01"):
        make(house, "late", date(2021, 2, 28))
    assert cuts.every(house.lake) == []


def test_a_day_whose_versions_are_gone_is_refused_with_the_oldest_there_is(
    house: House, past: dict[date, Tables]
) -> None:
    make(house, "kept", date(2021, 3, 2))
    housekeep(house.lake, NOTHING)
    for day in (1, 2, 5):
        with pytest.raises(CutError, match=f"2021-03-0{day} cannot be read.*the oldest day there is: 2021-03-06"):
            make(house, "gone", date(2021, 3, day))
    assert held(house.lake, "kept") == past[date(2021, 3, 2)]
    assert held(house.lake, make(house, "last", date(2021, 3, 6)).name) == shown(house)


def test_a_table_that_another_program_has_cleaned_is_refused_with_what_to_do(full: House) -> None:
    next((Path(full.lake.root) / "raw/thermometer").rglob("*.parquet")).unlink()
    with pytest.raises(CutError, match=r"raw/thermometer cannot be read.*lakehouse rebuild"):
        make(full, "first")
    assert cuts.every(full.lake) == []


KEYS = {"processed": ("sensor", "hour"), "account": ("source", "_file", "_checksum", "_received_at")}
RECORD = ("_file", "_checksum", "_received_at", "_line")


def differing(before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str]) -> tuple[int, int, int]:
    """Rows added, removed and changed, in plain Python."""
    old, new = ({tuple(row[name] for name in key): repr(row) for row in side.to_dicts()} for side in (before, after))
    assert (len(old), len(new)) == (before.height, after.height)
    changed = sum(old[name] != new[name] for name in old.keys() & new.keys())
    return len(new.keys() - old.keys()), len(old.keys() - new.keys()), changed


@pytest.mark.parametrize("seed", range(3))
def test_what_differs_is_counted_as_plain_python_counts_it(house: House, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(4):
        for _ in range(3):
            path = f"{chance.choice('AB')}/thermometer_2020-01-{chance.randint(1, 6):02}.csv"
            readings = {(chance.choice("abcdef"), chance.randint(1, 3)) for _ in range(6)}
            house.land(path, "".join(f"{s}{path[0]},{hour},{chance.randint(1, 4)}\n" for s, hour in readings))
            house.run()
        curated(house)
        make(house, f"number_{number}")
        if chance.random() < 0.5:
            housekeep(house.lake, NOTHING)
    seen = Counter()
    for old, new in [(0, 1), (0, 3), (2, 1), (3, 3)]:
        told = {
            row["table"]: row for row in difference.between(house.lake, f"number_{old}", f"number_{new}", {}).to_dicts()
        }
        assert len(told) == 6
        for table, row in told.items():
            key = ("sensor",) if table == "curated/means" else KEYS.get(table.partition("/")[0], RECORD)
            before, after = (cuts.scan(house.lake, f"number_{side}", table).collect() for side in (old, new))
            expected = differing(before, after, key)
            assert (row["added"], row["removed"], row["changed"]) == expected, table
            assert (row["rows_before"], row["rows_after"]) == (before.height, after.height)
            seen.update(dict(zip(("added", "removed", "changed"), expected, strict=True)))
    assert min(seen[what] for what in ("added", "removed", "changed")) > 0


def test_since_a_cut_the_lake_is_compared_with_itself_as_it_is_now(full: House) -> None:
    make(full, "first")
    assert difference.between(full.lake, "first", None, {}).select(pl.sum("added", "removed", "changed")).row(0) == (
        0,
        0,
        0,
    )
    deliver(full, [4])
    told = difference.between(full.lake, "first", None, {})
    assert told.row(by_predicate=pl.col("table") == "processed/thermometer")[3:6] == (1, 0, 1)


def test_sql_reads_a_cut(full: House) -> None:
    make(full, "first")
    deliver(full, [4])
    count = "select count(*) from processed.thermometer"
    assert sql(full.lake, count).item() == 5
    assert sql(full.lake, count, "first").item() == 4
    with pytest.raises(CutError, match="there is no cut second; there are: first"):
        sql(full.lake, count, "second")
    with pytest.raises(LakehouseError, match=r"Tables: account\.thermometer"):
        sql(full.lake, "select * from processed.barometer", "first")


def test_a_lake_in_a_bucket_is_cut_as_one_in_a_folder(house: House, bucket: Bucket) -> None:
    remote = replace(house, lake=Lake(bucket.root("cuts"), bucket.options))
    deliver(remote, range(1, 3))
    curated(remote)
    make(remote, "first")
    before = held(remote.lake, "first")
    deliver(remote, range(3, 12))
    curated(remote)
    housekeep(remote.lake, NOTHING)
    housekeep(remote.lake, NOTHING)
    assert held(remote.lake, "first") == before
    assert cuts.verify(remote.lake, "first")["same"].all()
    told = difference.between(remote.lake, "first", None, {})
    assert told.row(by_predicate=pl.col("table") == "processed/thermometer")[1:6] == (3, 12, 9, 0, 1)
    with pytest.raises(CutError, match="exists already"):
        make(remote, "first")
    cuts.drop(remote.lake, "first", "someone", "a test")
    housekeep(remote.lake, NOTHING)
    assert cuts.pinned(remote.lake) == {}
