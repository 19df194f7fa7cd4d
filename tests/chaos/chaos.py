"""Kills a working lakehouse, over and over, and looks at what is left.

A worker ingests, curates and loads what has landed, and freezes some states as data cuts. It is killed (SIGKILL) at a
named boundary or at a random moment, and tried again as the daemon would; or it is stopped (SIGSTOP), a retry does its
work meanwhile, and it goes on as a zombie. A reader watches every state all the while. In the end the survivors are
compared with a clean rebuild.
"""

import multiprocessing
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import polars as pl
import psutil
from house import House
from reader import listed, read_on
from station import CURATED, LOADED, Place, land
from test_crash import from_the_record
from worker import BOUNDARIES, DONE, SUPERSEDED, UNAVAILABLE, Fate, work

from lakehouse import cuts, manifest, postgres, warehouse
from lakehouse.curate import curate
from lakehouse.housekeeping import housekeep
from lakehouse.lake import Lake

KILLS_A_STATION = 40
# A worker at all this takes less than a second; whoever takes so long hangs.
TIMEOUT = 120
# Outcomes.
KILLED, ENDED, GAVE_UP, FINISHED = "killed", "ended before", "zombie gave up", "came to its end"
RANDOM = Fate("any moment", "during", 1, signal.SIGKILL)


class PromiseBrokenError(AssertionError):
    """A promise was broken."""


@dataclass
class Tally:
    """What was done to the workers, by boundary, moment and outcome."""

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    polls: int = 0
    states: int = 0
    loads: int = 0
    cuts: int = 0

    def count(self, fate: Fate, outcome: str) -> None:
        how = "zombie " if fate.how == signal.SIGSTOP else ""
        self.outcomes[fate.where, how + fate.when, outcome] += 1

    def total(self, *outcomes: str) -> int:
        return sum(number for (_, _, outcome), number in self.outcomes.items() if outcome in outcomes)

    @property
    def kills(self) -> int:
        return self.total(KILLED)

    @property
    def zombies(self) -> int:
        return self.total(GAVE_UP, FINISHED)


class Workers:
    """Starts workers from a process that has everything loaded: tens of milliseconds each instead of seconds."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        # The forkserver looks for what it loads in advance where any new interpreter would.
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        self.started: list[BaseProcess] = []
        self.context.set_forkserver_preload(["worker", "reader", "adbc_driver_postgresql.dbapi", "pyarrow.dataset"])

    @contextmanager
    def reading(self, place: Place, tally: Tally) -> Iterator[Callable[[], bool]]:
        """A reader watches while the block runs; yields whether it still does.

        Raises PromiseBrokenError with its complaints.
        """
        stop = self.context.Event()
        ours, its = self.context.Pipe()
        reader = self.context.Process(target=read_on, args=(place, stop, its))
        reader.start()
        try:
            yield lambda: not ours.poll()
        finally:
            # A zombie may be left when a promise was broken.
            for process in self.started:
                process.kill()
            stop.set()
            told = ours.recv() if ours.poll(TIMEOUT) else None
            reader.kill()
            reader.join()
        if told is None:
            raise PromiseBrokenError("the reader hangs")
        complaints, polls, states, loads = told
        tally.polls += polls
        tally.states += states
        tally.loads += loads
        if complaints:
            raise PromiseBrokenError("the reader saw:\n" + "\n".join(complaints))

    def start(self, place: Place, fate: Fate | None = None) -> tuple[BaseProcess, Connection]:
        ours, its = self.context.Pipe()
        # A station's PostgreSQL gives up on a loader that has stopped after this long.
        worker = self.context.Process(target=work, args=(place, fate, its, "3s"))
        worker.start()
        self.started = [old for old in self.started if old.is_alive()] + [worker]
        its.close()
        return worker, ours


@dataclass
class Station:
    """One lakehouse under attack."""

    workers: Workers
    place: Place
    random: random.Random
    tally: Tally
    house: House = field(init=False)
    # How long an undisturbed attempt takes, roughly; random kills fall within.
    usual: float = 0.5

    def __post_init__(self) -> None:
        self.house = self.place.house

    def deliver(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            land(self.random, self.house)

    def killed(self, fate: Fate) -> bool:
        """Whether an attempt met its fate; it may have come to its end before."""
        worker, told = self.workers.start(self.place, fate)
        if fate is RANDOM:
            worker.join(self.random.uniform(0, self.usual))
        elif fate.when == "during" and _reads(told) == "there":
            worker.join(self.random.uniform(0, 0.02))
        if fate.when == "during":
            worker.kill()
        worker.join(TIMEOUT)
        met = worker.exitcode == -signal.SIGKILL
        if not met:
            self.well_ended(worker, told)
        self.tally.count(fate, KILLED if met else ENDED)
        return met

    def retried(self) -> None:
        """Attempts follow each other until one comes to its end."""
        for _ in range(5):
            began = time.monotonic()
            worker, told = self.workers.start(self.place)
            if self.well_ended(worker, told) == DONE:
                self.usual = 0.7 * self.usual + 0.3 * (time.monotonic() - began)
                break
        else:
            raise PromiseBrokenError("five retries in a row gave up")
        if not self.house.idle():
            raise PromiseBrokenError("a retry came to its end and left something to do")

    def haunted(self, fate: Fate) -> bool:
        """Whether an attempt was stopped, retried by another, and then resumed."""
        zombie, told = self.workers.start(self.place, fate if fate.where != RANDOM.where else None)
        assert zombie.pid
        process = psutil.Process(zombie.pid)
        if fate.where == RANDOM.where:
            zombie.join(self.random.uniform(0, self.usual))
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        if not _stopped(process):
            self.well_ended(zombie, told)
            self.tally.count(fate, ENDED)
            return False
        if self.random.random() < 0.6:
            self.deliver()
        self.retried()
        process.resume()
        ended = self.well_ended(zombie, told)
        self.tally.count(fate, FINISHED if ended == DONE else GAVE_UP)
        return True

    def well_ended(self, worker: BaseProcess, told: Connection) -> int:
        """How an attempt that nobody killed ended. Raises PromiseBrokenError when it broke or hangs."""
        worker.join(TIMEOUT)
        if worker.exitcode is None:
            worker.kill()
            raise PromiseBrokenError("an attempt hangs")
        if worker.exitcode not in {DONE, SUPERSEDED, UNAVAILABLE}:
            raise PromiseBrokenError(f"an attempt ended with {worker.exitcode}: {_reads(told)}")
        return worker.exitcode

    def compare(self) -> None:
        """Raises PromiseBrokenError unless the survivors equal a clean rebuild, and PostgreSQL the lake."""
        lake = self.house.lake
        clean = Path(self.place.folder) / "clean"
        survived, rebuilt = self.house.tables(), from_the_record(self.house, clean)
        for layer, rows in rebuilt.items():
            if rows != survived[layer]:
                raise PromiseBrokenError(
                    f"{layer}: {len(survived[layer])} rows survived, a clean rebuild has {len(rows)} others"
                )
        fresh = Place(str(clean.parent / "fresh"), self.place.url, self.place.batch_bytes).house.lake
        shutil.copytree(clean, fresh.root)
        shutil.rmtree(Path(fresh.root) / "curated")
        curate(fresh, CURATED, [self.house.source], self.house.clock)
        versions, anew = manifest.versions(lake), manifest.versions(fresh)
        # The reader has compared its rows with the lake's at the version it shows.
        shown = {name: version for name, (_, version) in warehouse.loaded(self.place.url).items()}
        if shown != {f"lake.{table.name}": versions[table.source] for table in LOADED}:
            raise PromiseBrokenError("PostgreSQL does not show the lake's last state")
        for table in CURATED:
            rows = listed(lake.scan(table.table, versions[table.table]).collect())
            if rows != listed(fresh.scan(table.table, anew[table.table]).collect()):
                raise PromiseBrokenError(f"{table.table} is not what a clean rebuild makes it")
        self.frozen()

    def frozen(self) -> None:
        """Raises PromiseBrokenError unless every cut reads as when it was made, though nothing else old is left."""
        kept = Lake(str(Path(self.place.folder) / "kept"))
        shutil.copytree(self.house.lake.root, kept.root)
        housekeep(kept, timedelta(0))
        for cut in cuts.every(kept):
            if other := cuts.verify(kept, cut.name).filter(~pl.col("same"))["table"].to_list():
                raise PromiseBrokenError(f"cut {cut.name} has other rows now: {', '.join(other)}")
            self.tally.cuts += 1


def _reads(told: Connection) -> object:
    try:
        return told.recv() if told.poll(TIMEOUT) else None
    except EOFError:
        return None


def _stopped(process: psutil.Process) -> bool:
    """Waits until the process stops, or ends."""
    began = time.monotonic()
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < began + TIMEOUT:
            if process.status() == psutil.STATUS_STOPPED:
                return True
            time.sleep(0.002)
    return False


def fates(seed: int) -> Iterator[Fate]:
    """Every boundary, before, during and after, in a random order, again and again; every third a random moment, every
    fifth a zombie.
    """
    choose = random.Random(seed)
    for _ in count():
        named = [(where, when) for where in BOUNDARIES for when in ("before", "during", "after")]
        choose.shuffle(named)
        for number, (where, when) in enumerate(named):
            nth = choose.choice([1, 1, 1, 2])
            yield Fate(where, when, nth, signal.SIGKILL)  # type: ignore[arg-type]
            if number % 2:
                yield RANDOM
            if number % 3 == 0:
                where = choose.choice(BOUNDARIES)
                yield Fate(where, choose.choice(["before", "after"]), choose.choice([1, 2]), signal.SIGSTOP)
            if number % 12 == 0:
                yield Fate(RANDOM.where, "during", 1, signal.SIGSTOP)


class Campaign:
    """So many kills, shared out among stations that are attacked at the same time."""

    def __init__(self, folder: Path, url: str, seed: int, progress: Callable[[Tally], None]) -> None:
        self.folder, self.url, self.seed, self.progress = folder, url, seed, progress
        self.tally = Tally()
        self.coming = fates(seed)
        self.lock = threading.Lock()
        self.broken = False

    def run(self, kills: int, at_once: int) -> Tally:
        """Raises PromiseBrokenError."""
        shares = [min(KILLS_A_STATION, kills - done) for done in range(0, kills, KILLS_A_STATION)]
        with ThreadPoolExecutor(at_once) as threads:
            for done in [threads.submit(self.attack, number, share) for number, share in enumerate(shares)]:
                done.result()
        return self.tally

    def attack(self, number: int, kills: int) -> None:
        """Kill so many workers at a station of its own, meet a zombie if nobody has, and compare."""
        database = f"station_{number}"
        with postgres.transaction(self.url, autocommit=True) as cursor:
            cursor.execute(f"create database {database}")
        choose = random.Random(f"{self.seed} {number}")
        url = self.url.replace(f"/{postgres.DATABASE}?", f"/{database}?")
        place = Place(str(self.folder / database), url, choose.choice([60, 200, 10**6]))
        station = Station(Workers(), place, choose, self.tally)
        done = 0
        try:
            with station.workers.reading(place, self.tally) as watched:
                while (done < kills or not self.tally.zombies) and watched() and not self.broken:
                    station.deliver()
                    fate = self.next(None if done < kills else signal.SIGSTOP)
                    if fate.how == signal.SIGSTOP:
                        station.haunted(fate)
                    elif station.killed(fate):
                        done += 1
                        # Now and then the retry is killed as well.
                        while done < kills and choose.random() < 0.3 and station.killed(self.next(signal.SIGKILL)):
                            done += 1
                    station.retried()
                    self.progress(self.tally)
            station.compare()
        except BaseException:
            self.broken = True
            raise
        shutil.rmtree(place.folder)

    def next(self, how: signal.Signals | None = None) -> Fate:
        with self.lock:
            return next(fate for fate in self.coming if how in (None, fate.how))
