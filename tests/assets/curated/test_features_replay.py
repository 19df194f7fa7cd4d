"""Evening after evening a real lake is given what a site sends, corrections and all: a row stays what it was then.

What every evening made is kept, and compared with what the lake tells of that evening when all has come.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import cycle, islice
from pathlib import Path

import polars as pl
import pyarrow.parquet
import pytest
from click.testing import Result
from leaks import as_it_counts_now

from assets import catalog, training
from assets.curated import visit_features as features
from assets.curated.subjects import SUBJECTS
from assets.curated.visit_features import LABEL, VISIT_FEATURES, visit_features
from assets.disposition import LEFT
from assets.pilot.land import EXPORTS, collected
from assets.study import HORIZON
from lakehouse import cuts, ledger, manifest
from lakehouse.clock import Clock
from lakehouse.curate import curate
from lakehouse.ingest import ingest, pending
from lakehouse.inputs import Inputs
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.source import Source

# One subject of the study, who came to twelve visits.
SITE, KEY = "702", list(VISIT_FEATURES.key)
NAMES = ("subjects", "visits", "vitals", "adverse_events", "disposition")
CLOCK = Clock(date(2015, 3, 6))
LATER, AGAIN, WITHDRAWN = "in a later day's file", "in its own file, sent again", "withdrawn"
# What goes wrong, over and over; what was withdrawn comes back after some evenings.
ACTS = (
    ("vitals", LATER),
    ("visits", AGAIN),
    ("adverse_events", AGAIN),
    ("vitals", AGAIN),
    ("subjects", LATER),
    ("vitals", WITHDRAWN),
    ("visits", LATER),
    ("adverse_events", WITHDRAWN),
    ("subjects", AGAIN),
    ("visits", WITHDRAWN),
    ("disposition", AGAIN),
    ("adverse_events", LATER),
    ("subjects", WITHDRAWN),
    ("disposition", WITHDRAWN),
)
A_DAY, BACK_AFTER = 3, 2
# Evenings after the subject's last day.
LATE = (9, 20, 40)

Row = dict[str, str | None]


def higher(row: Row, column: str, by: float) -> Row:
    return {**row, column: f"{float(row[column] or 0) + by:g}"}


# By source, what a site corrects in a row; None where there is nothing to correct.
MISTAKES: dict[str, Callable[[Row], Row | None]] = {
    "subjects": lambda row: higher(row, "AGE", 1),
    "visits": lambda row: {**row, "SVSTDTC": f"{(row['SVSTDTC'] or '')[:8]}01"},
    "vitals": lambda row: higher(row, "VSORRES", 9) if row["VSTESTCD"] in ("SYSBP", "DIABP", "PULSE") else None,
    "adverse_events": lambda row: {**row, "AESER": "Y" if row["AESER"] == "N" else "N"},
    "disposition": lambda row: {**row, "DSSTDTC": f"{(row['DSSTDTC'] or '')[:8]}05"} if row["DSCAT"] == LEFT else None,
}


@dataclass
class Replay:
    """A landing folder of one site and its lake, as days go by. told: what the table was on each evening."""

    landing: Path
    lake: Lake
    sources: tuple[Source, ...] = tuple(catalog.sources())
    sent: dict[tuple[str, date], list[Row]] = field(default_factory=dict)
    # On which evening.
    withdrawn: dict[tuple[str, date], int] = field(default_factory=dict)
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    told: dict[date, pl.DataFrame] = field(default_factory=dict)

    @property
    def delivering(self) -> list[Source]:
        return [source for source in self.sources if source.name in NAMES]

    def send(self, name: str, day: date, rows: list[Row]) -> None:
        """A site's file of a day."""
        file = self.landing / SITE / f"{name}_{day}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.String)).write_csv(file)
        self.sent[name, day] = rows
        self.withdrawn.pop((name, day), None)

    def err(self, name: str, how: str, today: date, random_: random.Random) -> bool:
        """Something turns out to be otherwise than it was sent; False when there is nothing that could."""
        earlier = [day for source, day in self.sent if source == name and day < today]
        days = sorted(day for day in earlier if (name, day) not in self.withdrawn)
        if not days:
            return False
        day = random_.choice(days)
        rows = self.sent[name, day]
        right = {number: row for number, sent in enumerate(rows) if (row := MISTAKES[name](sent))}
        if how == WITHDRAWN:
            [source] = [source for source in self.sources if source.name == name]
            ledger.withdraw(self.lake, source, f"{SITE}/{name}_{day}.csv", "a site", "a mistake")
            self.withdrawn[name, day] = len(self.told)
        elif not right:
            return False
        elif how == AGAIN:
            self.send(name, day, [right.get(number, row) for number, row in enumerate(rows)])
        else:
            self.send(name, today, [*self.sent.get((name, today), []), random_.choice(list(right.values()))])
        self.done[name, how] += 1
        return True

    def bring_back(self) -> None:
        """What was withdrawn some evenings ago is sent again."""
        for (name, day), when in list(self.withdrawn.items()):
            if len(self.told) >= when + BACK_AFTER:
                self.send(name, day, self.sent[name, day])

    def evening(self, today: date) -> None:
        """Everything that has come is brought in."""
        claimed = listing(self.landing, self.sources).claimed
        for source in self.delivering:
            work = pending(self.lake, source, claimed[source.name])
            if work.any:
                ingest(self.lake, source, self.landing, work.unseen, CLOCK, 10**8)
        curate(self.lake, [SUBJECTS, VISIT_FEATURES], self.sources, CLOCK)
        self.told[today] = self.table()

    def table(self) -> pl.DataFrame:
        version = manifest.versions(self.lake)[VISIT_FEATURES.table]
        return self.lake.scan(VISIT_FEATURES.table, version).sort(KEY).collect()

    def input(self, name: str) -> pl.LazyFrame:
        versions = manifest.versions(self.lake)
        return Inputs(self.lake, self.sources, CLOCK, versions, {}).rows(name).all

    def whole(self) -> pl.DataFrame:
        """The table, made of everything at once."""
        return visit_features(*(self.input(name) for name in VISIT_FEATURES.inputs)).sort(KEY).collect()


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    folder, random_, acts = tmp_path_factory.mktemp("replay"), random.Random(3), cycle(ACTS)
    made = Replay(folder / "landing", Lake(str(folder / "lake")))
    export = {name: collected(EXPORTS[name]).filter(pl.col("_site") == SITE) for name in NAMES}
    days = sorted({day for rows in export.values() for day in rows["_day"]})
    with pytest.MonkeyPatch.context() as patch:
        for today in [*days, *(days[-1] + timedelta(days=after) for after in LATE)]:
            patch.setattr(ledger, "datetime", _stopped(today))
            made.bring_back()
            for name, rows in export.items():
                columns = [column for column in rows.columns if not column.startswith("_")]
                if of_today := rows.filter(pl.col("_day") == today).select(columns).rows(named=True):
                    made.send(name, today, of_today)
            tried = (made.err(*next(acts), today, random_) for _ in ACTS)
            deque(islice(filter(None, tried), A_DAY), maxlen=0)
            made.evening(today)
        yield made


def _stopped(today: date) -> type[datetime]:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.combine(today, time(18), tz or UTC)

    return Stopped


def differing(then: pl.DataFrame, now: pl.DataFrame) -> Counter[str]:
    """By column, in how many rows of the same visit two tables differ; a visit that one of them lacks is none."""
    both = then.join(now, on=KEY, suffix="_now", validate="1:1")
    names = [name for name in then.columns if name not in KEY]
    counts = {name: both.filter(pl.col(name).ne_missing(pl.col(f"{name}_now"))).height for name in names}
    return Counter({name: count for name, count in counts.items() if count})


def test_every_kind_of_mistake_was_made(replay: Replay) -> None:
    assert set(ACTS) <= set(replay.done)
    assert len(replay.told) > 12


def test_a_row_is_what_it_was_on_its_evening(replay: Replay) -> None:
    """All of it but the label, on every evening from its first on."""
    last = replay.table()
    for then in replay.told.values():
        assert differing(then.drop(LABEL), last.drop(LABEL)) == {}
    made = pl.concat(rows.filter(cutoff=today) for today, rows in replay.told.items())
    assert made.join(last, on=KEY, how="semi").height > 8


def test_what_counts_now_would_tell_otherwise(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leak that is planted: the records that count now, delivered in time. Rows are not what they were."""
    monkeypatch.setattr(features, "known", as_it_counts_now)
    leaky, found = replay.whole(), Counter[str]()
    for then in replay.told.values():
        found |= differing(then.drop(LABEL), leaky.drop(LABEL))
    assert {"visits_so_far", "days_since_start", "sysbp_last", "sysbp_slope", "ae_emergent", "age"} <= set(found)


def test_an_export_of_a_day_is_the_table_of_its_evening(replay: Replay) -> None:
    """The label as well, once its days are over; of the visits that count still."""
    last, exported = replay.table(), []
    versions = [replay.input(f"history/{name}") for name in training.AS_KNOWN_BY]
    for today, then in replay.told.items():
        over = pl.col("cutoff") + pl.duration(days=HORIZON) <= today
        expected = then.join(last, on=KEY, how="semi").with_columns(pl.when(over).then(LABEL).alias(LABEL)).sort(KEY)
        got = training.as_known(today, last.lazy(), *versions).sort(KEY).collect()
        assert got.equals(expected), today
        exported.append(got)
    # There was something to tell, and what was known of it has changed.
    told = pl.concat(exported).drop_nulls(LABEL).group_by(KEY).agg(pl.len(), pl.col(LABEL).n_unique())
    assert told.height >= 4
    assert told[LABEL].max() == 2


def test_it_is_a_function_of_the_record(replay: Replay) -> None:
    """Made subject by subject from what changed it is what all of it makes at once, also after a rebuild."""
    last = replay.table()
    assert replay.whole().equals(last)
    for source in replay.delivering:
        ledger.rebuild(replay.lake, source, "a test", "to see", 10**8)
        ingest(replay.lake, source, replay.landing, [], CLOCK, 10**8)
    assert replay.whole().equals(last)


def test_the_command_writes_a_day_as_it_was(
    replay: Replay, ask: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From what is there now and from a data cut, which no later file touches; not by a contract that is not theirs."""
    day, then = list(replay.told.items())[9]
    versions = [replay.input(f"history/{name}") for name in training.AS_KNOWN_BY]
    expected = training.training_set(training.as_known(day, replay.table().lazy(), *versions))
    assert 0 < expected.height <= then.height
    cuts.create(replay.lake, "then", "a test", "to see", replay.sources, [SUBJECTS, VISIT_FEATURES])

    def export(*words: str) -> tuple[Result, Path]:
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        return ask("features", "export", str(file), *words, home=tmp_path, lake=replay.lake.root), file

    for words in ((), ("--cut", "then")):
        done, file = export("--as-of", str(day), *words)
        assert done.exit_code == 0, done.output
        assert pl.read_parquet(file).equals(expected)
        assert pyarrow.parquet.read_schema(file).metadata[b"as_of"] == str(day).encode()
        done, file = export(*words)
        assert pl.read_parquet(file).equals(training.training_set(replay.table().lazy()))

    others = tuple(replace(source, file_limit=0.5) for source in replay.sources)
    monkeypatch.setattr(catalog, "sources", lambda: others)
    for words, mend in (((), "lakehouse run makes it anew"), (("--cut", "then"), "leave out --as-of")):
        done, file = export("--as-of", str(day), *words)
        assert done.exit_code == 1
        assert mend in str(done.exception)
        assert not file.exists()
