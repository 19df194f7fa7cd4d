"""Ingestion against a model written from the rules alone, through every kind of history a landing folder can have."""

import random
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import patch

import dataframely as dy
import pytest
from house import House
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from model import Model
from thermometer import THERMOMETER, Reading

from lakehouse import ingest, ledger
from lakehouse.errors import SupersededError
from lakehouse.lake import Lake
from lakehouse.landing import listing

SITES = ("A", "B", "Ä b")
DAYS = ("2020-01-01", "2020-01-02", "2020-01-03", "2020-02-30")


def body(random_: random.Random, site: str) -> bytes:
    """A file as a site might send it: mostly sound, at times with broken lines, at times refused whole."""
    kind = random_.random()
    if kind < 0.04:
        return b""
    if kind < 0.08:
        return b"SENSOR,HOUR,CELSIUS\nx\xff,1,2\n"
    if kind < 0.14:
        return b"SENSOR,HOUR\ns1,1\ns2,2\n"
    if kind < 0.18:
        return b"SENSOR,HOUR,CELSIUS\n"
    if kind < 0.24:
        return b"SENSOR,HOUR,CELSIUS\ns1,1\n,1,2\ns1,1,hot\n"
    sensors = [f"{site}1", f"{site}2", f"{site}3", "shared"]
    rows = []
    for _ in range(random_.randint(1, 6)):
        sensor = random_.choices(sensors, (3, 3, 3, 1))[0]
        hour = random_.choice(["", "1", "2", "noon"])
        rows.append(f"{sensor},{hour},{random_.choice(['', '1.5', '-2', '30'])}")
    if random_.random() < 0.5:
        broken = ("s", "s,1,2,3", ",1,2", "s,24,2", "s,1,warm", "s,99,cold", "s,1,101", "")
        rows.insert(random_.randrange(len(rows) + 1), random_.choice(broken))
    return ("SENSOR,HOUR,CELSIUS\n" + "\n".join(rows) + random_.choice(["", "\n"])).encode()


def shown(house: House) -> dict[str, Counter[tuple[object, ...]]]:
    """The engine's tables in the model's terms."""
    origin = ("_file", "_checksum", "_line")
    columns = {
        "raw": origin,
        "processed": (
            "sensor",
            "hour",
            "celsius_text",
            "celsius",
            "_file",
            "_line",
            "_checksum",
            "_delivered",
            "_site",
        ),
        "quarantine": (*origin, "reasons", "_text"),
        "superseded": (
            *origin,
            "sensor",
            "hour",
            "_kind",
            "_winner_file",
            "_winner_checksum",
            "_winner_line",
            "_ended_at",
        ),
        "account": (
            *("_file", "_checksum", "_observation", "_delivered", "_site", "bytes", "records"),
            *("accepted", "quarantined", "superseded", "state", "reason"),
        ),
    }
    tables, layers = {}, house.read()
    acts = ledger.read(house.lake, house.source).select("_file", "_received_at", "act", "_observation").rows()
    told = {(file, at): (act, nth) for file, at, act, nth in acts}
    for layer, names in columns.items():
        rows = layers[layer].select(names).rows(named=True)
        if layer == "quarantine":
            rows = [{**row, "reasons": frozenset(row["reasons"])} for row in rows]
        if layer == "superseded":
            rows = [{**row, "_ended_at": told.get((row["_file"], row["_ended_at"]))} for row in rows]
        if layer == "account":
            rows = [{**row, "reason": row["reason"] is not None} for row in rows]
        tables[layer] = Counter(tuple(row.values()) for row in rows)
    return tables


class Stricter(Reading):
    """The same readings, of which fewer can be."""

    celsius = dy.Float64(nullable=True, max=25)


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


SEEDS = st.integers(0, 2**32)
HOW = st.sampled_from(["run", "run", "later", "some days", "twice at once", "killed"])


class Histories(RuleBasedStateMachine):
    """Whatever sites, people and machines do to one source, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "landing").mkdir()
        self.house = House(self.folder / "landing", Lake(str(self.folder / "lake")))
        self.model = Model()

    @initialize(snapshot=st.booleans(), batch_bytes=st.sampled_from([60, 10**6]), seed=SEEDS)
    def begin(self, snapshot: bool, batch_bytes: int, seed: int) -> None:
        self.house.source = replace(THERMOMETER, mode="snapshot" if snapshot else "rows")
        self.house.batch_bytes = batch_bytes
        self.model.snapshot = snapshot
        self.deliver("run", seed)

    @property
    def landed(self) -> list[str]:
        return sorted(str(file.relative_to(self.house.landing)) for file in self.house.landing.rglob("*.csv"))

    # What sites do.

    @rule(how=HOW, seed=SEEDS)
    def deliver(self, how: str, seed: int) -> None:
        random_ = random.Random(seed)
        for _ in range(random_.randint(1, 4)):
            site = random_.choice(SITES)
            day = random_.choices(DAYS, (4, 4, 4, 1))[0]
            self.house.land(f"{site}/thermometer_{day}.csv", body(random_, site))
        self.work(how, random_)

    @precondition(lambda self: self.landed)
    @rule(how=HOW, seed=SEEDS, what=st.sampled_from(["anew", "lines lost", "copied", "touched", "cleared"]))
    def change(self, how: str, seed: int, what: str) -> None:
        random_ = random.Random(seed)
        path = random_.choice(self.landed)
        file = self.house.landing / path
        data = file.read_bytes()
        match what:
            case "anew":
                self.house.land(path, body(random_, path.split("/")[0]))
            case "lines lost":
                header, *lines = data.splitlines(keepends=True) or [b""]
                self.house.land(path, header + b"".join(line for line in lines if random_.random() < 0.6))
            case "copied":
                self.house.land(f"{random_.choice(SITES)}/thermometer_{random_.choice(DAYS)}.csv", data)
            case "touched":
                self.house.land(path, data)
            case "cleared":
                file.unlink()
        self.work(how, random_)

    # What people do.

    @precondition(lambda self: self.model.counting())
    @rule(how=HOW, seed=SEEDS)
    def withdraw(self, how: str, seed: int) -> None:
        random_ = random.Random(seed)
        path = random_.choice(sorted(self.model.counting()))
        ledger.withdraw(self.house.lake, self.house.source, path, "someone", "a mistake")
        self.model.withdraw(path)
        self.work(how, random_)

    @rule(how=HOW, seed=SEEDS, part_bytes=st.sampled_from([100, 10**6]))
    def order_a_rebuild(self, how: str, seed: int, part_bytes: int) -> None:
        ledger.rebuild(self.house.lake, self.house.source, "someone", "to be sure", part_bytes)
        self.work(how, random.Random(seed))

    @rule(how=HOW, seed=SEEDS)
    def change_the_contract(self, how: str, seed: int) -> None:
        strict = self.house.source.contract is Reading
        self.house.source = replace(self.house.source, contract=Stricter if strict else Reading)
        self.model.hottest = 25 if strict else 100
        self.work(how, random.Random(seed))

    # What machines do.

    def work(self, how: str, random_: random.Random) -> None:
        """One attempt to bring the tables up to date, then another where the first may have been cut short."""
        match how:
            case "later":
                return
            case "some days":
                self.run_some_days({day for day in map(_day, DAYS) if day and random_.random() < 0.6})
                return
            case "twice at once":
                self.run_twice_at_once()
            case "killed":
                self.run_and_be_killed(random_.randint(1, 14))
        self.house.run()
        self.compare()

    def run_some_days(self, days: set[date]) -> None:
        house = self.house
        files = listing(house.landing, [house.source]).claimed[house.source.name]
        unseen = ingest.pending(house.lake, house.source, files, days).unseen
        ingest.ingest(house.lake, house.source, house.landing, unseen, house.clock, house.batch_bytes)
        self.compare(lambda path: _day(path[-14:-4]) in days)

    def run_twice_at_once(self) -> None:
        def attempt() -> None:
            with suppress(SupersededError):
                self.house.run()

        threads = [threading.Thread(target=attempt) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def run_and_be_killed(self, step: int) -> None:
        count = 0
        commit = Lake.commit

        def killing(*args: object, **options: object) -> int:
            nonlocal count
            done = commit(*args, **options)  # type: ignore[arg-type]
            count += 1
            if count == step:
                raise Killed
            return done

        with patch.object(Lake, "commit", killing), suppress(Killed):
            self.house.run()

    def compare(self, seen: Callable[[str], bool] = lambda _: True) -> None:
        """The tables are what the model makes of everything `seen` in the landing folder until now."""
        for path in filter(seen, self.landed):
            file = self.house.landing / path
            self.model.see(path, file.read_bytes(), file.stat().st_mtime_ns)
        if not self.model.paths:
            return
        expected, got = self.model.tables(), shown(self.house)
        for layer, rows in expected.items():
            assert got[layer] - rows == Counter(), f"{layer} has rows too many"
            assert rows - got[layer] == Counter(), f"{layer} lacks rows"
        assert self.house.unbalanced().is_empty()

    def teardown(self) -> None:
        """At the end, everything made anew from the record is what there was."""
        try:
            self.work("run", random.Random(0))
            assert self.house.idle()
            self.order_a_rebuild("run", 0, 100)
        finally:
            shutil.rmtree(self.folder)


def _day(text: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(text)
    return None


def test_any_history_gives_what_the_rules_say(request: pytest.FixtureRequest) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Histories,
        settings=settings(
            max_examples=request.config.getoption("--histories"),
            stateful_step_count=8,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_key_is_contested_no_longer_when_a_site_s_newer_snapshot_lacks_it(house: House) -> None:
    house.source = replace(THERMOMETER, mode="snapshot")
    for path, body_ in (
        ("B/thermometer_2020-01-02.csv", "shared,1,1\n"),
        ("A/thermometer_2020-01-03.csv", "shared,1,2\n"),
        ("B/thermometer_2020-01-03.csv", "b,1,3\n"),
    ):
        house.land(path, body_)
        house.run()
    assert sorted(house.table("processed").select("sensor", "celsius").rows()) == [("b", 3.0), ("shared", 2.0)]
    assert house.table("quarantine").is_empty()
    assert house.unbalanced().is_empty()
