"""Pulling: what a system holds lands once, whatever dies, and a system that keeps failing is left alone."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest
from house import House
from pydantic import SecretStr
from thermometer import THERMOMETER

from lakehouse import landing, ledger
from lakehouse.cli import systems
from lakehouse.clock import Clock
from lakehouse.errors import ConfigurationError, SourceError, UnavailableError
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Part, Reached, answers, pulling
from lakehouse.formats.jsonlines import JsonLines
from lakehouse.lake import Change
from lakehouse.settings import Settings
from lakehouse.source import Source

URL = "station://somewhere"
DAY = date(2020, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Station(Feed):
    """Readings of a weather station, by number; `breaks` after so many extracts of a pull."""

    kind: ClassVar[str] = "station"
    replays: ClassVar[bool] = True
    readings: list[dict[str, object]] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    size: int = 2

    def pull(self, url: str, source: Source, reached: Reached, most_bytes: int) -> Iterator[Extract]:
        yield from self._some("all", int(reached.ends.get("all", "-1")) + 1)

    def lag(self, url: str, source: Source, reached: Reached) -> Lag:
        return Lag(events=len(self.readings) - int(reached.ends.get("all", "-1")) - 1)

    def release(self, url: str, source: Source, reached: Reached) -> None:
        self.released.append(reached.ends["all"])

    def replay(
        self, url: str, source: Source, reached: Reached, days: Collection[date], most_bytes: int
    ) -> Iterator[Extract]:
        yield from self._some("again", 0)

    def _some(self, stream: str, first: int) -> Iterator[Extract]:
        for count, begin in enumerate(range(first, len(self.readings), self.size)):
            if self.breaks and count == self.breaks[0]:
                self.breaks.pop(0)
                raise FeedError("the station does not answer")
            some = self.readings[begin : begin + self.size]
            text = "".join(json.dumps(reading) + "\n" for reading in some)
            yield Extract(Part(stream, f"{begin:06}", f"{begin + len(some) - 1:06}"), text.encode(), DAY)


def reading(number: int) -> dict[str, object]:
    return {"SENSOR": f"s{number}", "HOUR": 1, "CELSIUS": 20.5}


@pytest.fixture
def station() -> Station:
    return Station(system="station", readings=[reading(number) for number in range(5)])


@pytest.fixture
def fed(house: House, station: Station) -> House:
    path = "{site}/{name}/{day}_{part}.jsonl"
    house.source = replace(THERMOMETER, feed=station, dialect=JsonLines(), path=path, after_landing="delete")
    return house


def pull(house: House, days: Collection[date] = ()) -> pulling.Pulled:
    return pulling.pull(house.lake, house.source, house.landing, URL, house.clock, 10**6, days)


def sensors(house: House) -> list[str]:
    return sorted(house.table("processed")["sensor"])


def test_what_a_system_holds_lands_and_goes_the_way_of_every_file(fed: House) -> None:
    assert pull(fed) == pulling.Pulled(3, 5 * 45)
    fed.run()
    assert sensors(fed) == ["s0", "s1", "s2", "s3", "s4"]
    assert fed.unbalanced().is_empty()
    rows = fed.table("processed").sort("sensor")
    assert rows["_file"][2] == "station/thermometer/2020-01-02_all@000002~000003.jsonl"
    assert rows["_line"].to_list() == [1, 2, 1, 2, 1]
    assert rows["_site"].unique().to_list() == ["station"]


def test_a_folder_is_looked_through_once_in_a_pull(fed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold the files of days, and a pull land hundreds."""
    real, looks = Path.glob, []

    def glob(folder: Path, pattern: str) -> Iterator[Path]:
        looks.append(folder)
        return real(folder, pattern)

    monkeypatch.setattr(Path, "glob", glob)
    assert pull(fed).extracts == 3
    assert looks.count(fed.landing / "station/thermometer") == 1


def test_a_pull_goes_on_where_the_files_end_and_where_the_record_ends(fed: House, station: Station) -> None:
    pull(fed)
    station.readings.append(reading(5))
    assert pull(fed).extracts == 1
    fed.run()
    # The landed files are gone, and what is on record tells.
    for file in fed.landing.rglob("*.jsonl"):
        file.unlink()
    station.readings.append(reading(6))
    assert pull(fed).extracts == 1
    fed.run()
    assert sensors(fed) == [f"s{number}" for number in range(7)]


def test_the_newest_bytes_of_a_stream_can_be_read(fed: House) -> None:
    assert pulling.reached(fed.lake, fed.source, fed.landing).last("all") is None
    pull(fed)
    landed = pulling.reached(fed.lake, fed.source, fed.landing)
    assert json.loads(landed.last("all") or b"") == reading(4)
    fed.run()
    for file in fed.landing.rglob("*.jsonl"):
        file.unlink()
    assert json.loads(pulling.reached(fed.lake, fed.source, fed.landing).last("all") or b"") == reading(4)
    assert pulling.reached(fed.lake, fed.source).ends == {"all": "000004"}


def test_only_what_is_on_record_is_released(fed: House, station: Station) -> None:
    pull(fed)
    fed.run()
    station.readings.append(reading(5))
    pull(fed)
    assert pulling.release(fed.lake, fed.source, URL) is None
    assert station.released == ["000004"]


def test_a_system_that_fails_in_the_middle_keeps_what_came_before_and_is_asked_for_the_rest(fed, station) -> None:
    station.breaks.append(1)
    pulled = pull(fed)
    assert (pulled.extracts, pulled.trouble) == (1, "the station does not answer")
    fed.run()
    assert sensors(fed) == ["s0", "s1"]
    assert pull(fed) == pulling.Pulled(2, 3 * 45)
    fed.run()
    assert sensors(fed) == ["s0", "s1", "s2", "s3", "s4"]


def test_a_system_that_keeps_failing_is_left_alone_for_longer_and_longer(fed: House, station: Station) -> None:
    station.breaks.extend([0, 0, 0, 0])
    for failures in (1, 2):
        assert pull(fed).trouble == "the station does not answer"
        assert answers.breaker(fed.lake, fed.source).failures == failures
        assert answers.breaker(fed.lake, fed.source).wait() is None
    pull(fed)
    state = answers.breaker(fed.lake, fed.source)
    wait = state.wait()
    assert wait
    assert timedelta(seconds=20) < wait <= timedelta(seconds=30)
    until = f"{state.until:%Y-%m-%d %H:%M:%S} UTC"
    told = (
        f"station has failed 3 times in a row and is left alone until {until} (lakehouse run --source thermometer asks "
        "at once): the station does not answer"
    )
    assert (pull(fed).trouble or "").startswith(told)
    assert pulling.lag(fed.lake, fed.source, fed.landing, URL).trouble == told
    # It was not asked.
    assert len(station.breaks) == 1
    assert state.wait(datetime.now(UTC) + timedelta(seconds=31)) is None
    # A person may have mended it.
    assert pulling.lag(fed.lake, fed.source, fed.landing, URL, now=True).events == 5
    pulled = pulling.pull(fed.lake, fed.source, fed.landing, URL, fed.clock, 100, now=True)
    assert (pulled.trouble, station.breaks) == ("the station does not answer", [])
    assert pulling.pull(fed.lake, fed.source, fed.landing, URL, fed.clock, 100, now=True).trouble is None
    assert answers.breaker(fed.lake, fed.source) == answers.Breaker()


def test_tries_of_a_person_have_a_system_left_alone_for_no_longer(fed: House, station: Station, monkeypatch) -> None:
    station.breaks.extend([0] * 7)
    for _ in range(3):
        pull(fed)
    before = answers.breaker(fed.lake, fed.source)

    def silent(*_: object) -> Lag:
        raise FeedError("the station says nothing")

    monkeypatch.setattr(Station, "lag", silent)
    for _ in range(4):
        assert pulling.pull(fed.lake, fed.source, fed.landing, URL, fed.clock, 100, now=True).trouble
        assert "says nothing" in str(pulling.lag(fed.lake, fed.source, fed.landing, URL, now=True).trouble)
    assert station.breaks == []
    assert answers.breaker(fed.lake, fed.source) == before


def test_a_system_that_answers_again_is_trusted_again(fed: House, station: Station) -> None:
    station.breaks.extend([0, 0])
    for _ in range(3):
        pull(fed)
    assert answers.breaker(fed.lake, fed.source) == answers.Breaker()


def test_looks_that_fail_count_until_one_is_answered_and_pulls_that_fail_all_the_same(fed, monkeypatch) -> None:
    def look() -> str | None:
        return pulling.lag(fed.lake, fed.source, fed.landing, URL).trouble

    def silent(*_: object) -> Lag:
        raise FeedError("the station says nothing")

    with monkeypatch.context() as patched:
        patched.setattr(Station, "lag", silent)
        assert [look(), look()] == ["the station says nothing"] * 2
    assert look() is None
    assert answers.breaker(fed.lake, fed.source).failures == 0
    fed.source.feed.breaks.extend([0, 0])
    with monkeypatch.context() as patched:
        pull(fed)
        patched.setattr(Station, "lag", silent)
        look()
        patched.undo()
        assert look() is None
        pull(fed)
        # That it answers looks says nothing of pulls.
        assert answers.breaker(fed.lake, fed.source).failures == 2
        patched.setattr(Station, "lag", silent)
        look()
        patched.setattr(Station, "lag", lambda *_: pytest.fail("it was asked"))
        assert (look() or "").startswith("station has failed 3 times in a row and is left alone until ")


def test_a_system_that_says_nothing_keeps_no_other_back_nor_the_command(fed, tmp_path, monkeypatch) -> None:
    over = threading.Event()

    class Silent(Station):
        def lag(self, url: str, source: Source, reached: Reached) -> Lag:
            over.wait(30)
            return Lag()

    mute = replace(fed.source, name="mute", feed=Silent(system="deaf"))
    monkeypatch.setattr(pulling, "_PATIENCE", 0.3)
    urls = {name: SecretStr(URL) for name in ("station", "deaf")}
    settings = Settings(home=tmp_path / "home", lake=fed.lake.root, landing=fed.landing, systems=urls)
    unset = replace(fed.source, name="unset", feed=Silent(system="unset"))
    found = systems.lags(settings, [mute, unset, fed.source])
    silent = Lag(trouble="the system has not answered for 0.3 s")
    assert found == {"mute": silent, "unset": None, "thermometer": Lag(events=5)}
    # A command ends although it still waits.
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "look at mute"] == [True]
    over.set()


def test_a_look_that_takes_long_is_waited_for_again_and_no_other_begun_beside_it(fed, tmp_path, monkeypatch) -> None:
    over, at_work, begun = threading.Event(), threading.Event(), []

    class Slow(Station):
        def lag(self, url: str, source: Source, reached: Reached) -> Lag:
            begun.append(source.name)
            at_work.set()
            over.wait(30)
            return Lag(events=7)

    monkeypatch.setattr(pulling, "_PATIENCE", 0.2)
    one, two = (replace(fed.source, name=name, feed=Slow(system="slow")) for name in ("one", "two"))
    settings = Settings(
        home=tmp_path / "home", lake=fed.lake.root, landing=fed.landing, systems={"slow": SecretStr(URL)}
    )
    silent = Lag(trouble="the system has not answered for 0.2 s")
    for asked in ([one], [one, two], [one, two]):
        assert set(systems.lags(settings, asked).values()) == {silent}
        assert at_work.wait(30)
    # Nor is it asked for another of its sources meanwhile.
    assert begun == ["one"]
    monkeypatch.setattr(pulling, "_PATIENCE", 30)
    threading.Timer(0.1, over.set).start()
    assert set(systems.lags(settings, [one, two]).values()) == {Lag(events=7)}
    assert begun == ["one", "two"]
    assert systems.lags(settings, [one]) == {"one": Lag(events=7)}
    assert begun == ["one", "two", "one"]


def test_a_look_reads_what_is_new_on_record_and_not_what_was_read(fed: House, station: Station) -> None:
    ledgers = []
    for number in (5, 6, 7):
        pull(fed)
        fed.run()
        ledgers.append(set((Path(fed.lake.root) / ledger.table(fed.source)).rglob("*.parquet")))
        station.readings.append(reading(number))
        if number == 6:
            assert pulling.reached(fed.lake, fed.source).ends == {"all": "000005"}
    # Whoever opened the ledger's first file would find it gone.
    for file in ledgers[0]:
        file.unlink()
    assert pulling.reached(fed.lake, fed.source).ends == {"all": "000006"}


def files(house: House, table: str) -> set[Path]:
    return set((Path(house.lake.root) / table).rglob("*.parquet"))


def test_a_look_reads_neither_other_folders_nor_what_came_of_pulls_long_ago(fed: House, monkeypatch) -> None:
    real, ago = landing._files, datetime.now(UTC) - timedelta(days=5)
    delta = fed.lake.create(answers.table(fed.source), answers.SCHEMA)
    rows = [{"at": ago, "outcome": "failed", "extracts": 0, "bytes": 0, "why": "x"}]
    fed.lake.commit(delta, Change(pl.DataFrame(rows, schema=answers.SCHEMA)), "pulls", 1)
    for file in files(fed, answers.table(fed.source)):
        file.unlink()
    pull(fed)
    with monkeypatch.context() as patched:
        # Nobody else's files could be found.
        patched.setattr(landing, "_files", lambda place, below: real(place, below) if below else pytest.fail(below))
        assert pulling.reached(fed.lake, fed.source, fed.landing).ends == {"all": "000004"}


def test_what_cannot_be_released_asks_for_no_run_after_another(fed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps nobody from pulling, and is told until it is mended."""

    def look() -> Lag:
        return pulling.lag(fed.lake, fed.source, fed.landing, URL)

    def refuse(*_: object) -> None:
        raise FeedError("station: the user may not release")

    pull(fed)
    fed.run()
    with monkeypatch.context() as patch:
        patch.setattr(Station, "lag", lambda *_: Lag(held=True))
        patch.setattr(Station, "release", refuse)
        for _ in range(3):
            assert look().any
            assert pulling.release(fed.lake, fed.source, URL) == "station: the user may not release"
            assert pull(fed).trouble is None
        assert look() == Lag(trouble="what was pulled is not released: station: the user may not release")
        assert answers.breaker(fed.lake, fed.source) == answers.Breaker()
        # Then a run is to try again, and the next waits for longer.
        patch.setattr(answers, "_FIRST_WAIT", timedelta(0))
        assert look().any
    assert look() == Lag(events=0)
    assert pulling.release(fed.lake, fed.source, URL) is None
    monkeypatch.setattr(Station, "lag", lambda *_: Lag(held=True))
    assert look().any


def test_a_feed_that_releases_nothing_does_not_ask_for_what_is_on_record(fed: House, monkeypatch) -> None:
    pull(fed)
    fed.run()
    for file in files(fed, ledger.table(fed.source)):
        file.unlink()
    monkeypatch.setattr(Station, "release", Feed.release)
    assert pulling.release(fed.lake, fed.source, URL) is None


def test_another_ledger_in_the_place_of_one_is_read_anew(fed: House) -> None:
    pull(fed)
    fed.run()
    assert pulling.reached(fed.lake, fed.source).ends == {"all": "000004"}
    shutil.rmtree(fed.lake.root)
    assert pulling.reached(fed.lake, fed.source).ends == {}
    for file in fed.landing.rglob("*4~000004.jsonl"):
        file.unlink()
    fed.run()
    assert pulling.reached(fed.lake, fed.source).ends == {"all": "000003"}


def test_a_look_that_finds_nothing_leaves_no_trace(fed: House) -> None:
    pull(fed)
    version = fed.lake.open(answers.table(fed.source)).version()
    for _ in range(5):
        assert pull(fed) == pulling.Pulled()
    assert fed.lake.open(answers.table(fed.source)).version() == version


def test_when_all_was_read_last_is_told_by_one_row(fed: House, station: Station) -> None:
    """Nothing but a pull tells whether a snapshot is new, so that it was as before is worth knowing."""

    class Whole(Station):
        reads_all: ClassVar[bool] = True

    words = {name: getattr(station, name) for name in ("readings", "breaks", "released")}
    fed.source = replace(fed.source, feed=Whole(system="station", **words))
    times = []
    for outcomes in (["brought"], ["brought", "unchanged"], ["brought", "unchanged"]):
        pull(fed)
        assert fed.lake.scan(answers.table(fed.source)).sort("at").collect()["outcome"].to_list() == outcomes
        times.append(pulling.reached(fed.lake, fed.source).at)
    assert times == sorted(set(times))
    station.breaks.append(0)
    station.readings.append(reading(5))
    assert pull(fed).trouble
    assert pulling.reached(fed.lake, fed.source).at == times[-1]
    assert answers.breaker(fed.lake, fed.source).failures == 1


def test_a_replay_doubles_nothing(fed: House) -> None:
    pull(fed)
    fed.run()
    assert pull(fed, [DAY]).extracts == 3
    fed.run()
    assert sensors(fed) == ["s0", "s1", "s2", "s3", "s4"]
    assert fed.unbalanced().is_empty()
    assert pulling.lag(fed.lake, fed.source, fed.landing, URL) == Lag(events=0)


def test_a_library_that_fails_unexpectedly_says_nothing_of_rows(fed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(*_: object) -> Iterator[Extract]:
        raise ValueError("patient 01-701-1015")
        yield

    def own(*_: object) -> Iterator[Extract]:
        raise ConfigurationError("mend the dialect")
        yield

    monkeypatch.setattr(Station, "pull", leak)
    told = r"reading failed \(ValueError at feeds/test_pulling\.py:[0-9]+\); what was pulled before is kept"
    assert re.fullmatch(told, pull(fed).trouble or "")
    monkeypatch.setattr(Station, "pull", own)
    assert pull(fed).trouble == "mend the dialect"


def test_what_is_pulled_after_a_study_has_ended_belongs_to_its_last_day(fed: House) -> None:
    pulling.pull(fed.lake, fed.source, fed.landing, URL, Clock(date(2019, 5, 5)), 10**6)
    assert {file.name[:10] for file in fed.landing.rglob("*.jsonl")} == {"2019-05-05"}


def test_a_file_is_there_whole_or_not_at_all(fed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="No space left on device"):
        pull(fed)
    assert [file for file in fed.landing.rglob("*") if file.is_file()] == []


def test_a_source_with_a_feed_says_where_parts_go() -> None:
    with pytest.raises(SourceError, match=r"must hold \{site\} and \{day\} and \{part\} once each"):
        replace(THERMOMETER, feed=Station(system="station"))
    with pytest.raises(SourceError, match="its mode is 'rows'"):
        replace(THERMOMETER, feed=Station(system="station"), path="{site}/{day}_{part}.jsonl", mode="snapshot")


def test_what_was_pulled_is_on_record_by_its_parts(fed: House) -> None:
    pull(fed)
    fed.run()
    files = ledger.read(fed.lake, fed.source)["_file"].to_list()
    assert [Part.of(Path(file).stem.partition("_")[2]) for file in files] == [
        Part("all", "000000", "000001"),
        Part("all", "000002", "000003"),
        Part("all", "000004", "000004"),
    ]
    brought = fed.lake.scan(answers.table(fed.source)).select("outcome", "extracts", "bytes", "why").collect()
    assert brought.rows() == [("brought", 3, 225, None)]
    assert pl.DataFrame(schema=answers.SCHEMA).columns == ["at", "outcome", "extracts", "bytes", "why", "until"]


def test_what_came_of_pulls_before_systems_could_ask_to_be_left_alone_counts(fed: House, station: Station) -> None:
    before = {name: kind for name, kind in answers.SCHEMA.items() if name != "until"}
    delta = fed.lake.create(answers.table(fed.source), before)
    row = {"at": datetime.now(UTC), "outcome": "failed", "extracts": 0, "bytes": 0, "why": "it is down"}
    fed.lake.commit(delta, Change(pl.DataFrame([row], schema=before)), "pulls", 1)
    assert answers.breaker(fed.lake, fed.source).failures == 1
    station.breaks.append(0)
    assert pull(fed).trouble
    assert answers.breaker(fed.lake, fed.source).failures == 2


def test_what_is_pulled_after_a_clock_was_set_back_is_refused_in_words(fed: House, station: Station) -> None:
    """Dated before what is on record, it would lose to it."""
    pull(fed)
    fed.run()
    station.readings.append(reading(5))
    early = pulling.pull(fed.lake, fed.source, fed.landing, URL, Clock(date(2019, 5, 5)), 10**6)
    assert early.trouble == "2020-01-02, of which there are deliveries, is after 2019-05-05: " + (
        "set the lakehouse's clock right"
    )
    assert pull(fed).extracts == 1


def test_what_an_attempt_that_died_left_is_removed(fed: House) -> None:
    folder = fed.landing / "station" / "thermometer"
    folder.mkdir(parents=True)
    died = subprocess.Popen(["true"])
    died.wait()
    (folder / f".2020-01-02_all@1~2.jsonl.{died.pid}.part").write_text("a patient")
    (folder / ".2020-01-02_all@1~2.jsonl.1.part").write_text("at work")
    pull(fed)
    assert [file.name for file in folder.glob(".*")] == [".2020-01-02_all@1~2.jsonl.1.part"]


def test_a_feed_that_cannot_be_asked_again_says_so_and_pulls_for_the_present_day(fed: House, station: Station) -> None:
    class Log(Station):
        replays: ClassVar[bool] = False

    fed.source = replace(fed.source, feed=Log(system="log", readings=station.readings))
    clock, past = Clock(DAY), [date(2020, 1, 1)]
    told = pulling.unasked(fed.source, past, clock)
    assert told == "log cannot be asked again for past days: what is on record of them is judged again instead"
    lags = {"thermometer": Lag(events=5)}
    assert systems.before_a_run([fed.source], lags, past, clock) == (["thermometer"], [("thermometer", told)])
    assert systems.before_a_run([fed.source], lags, (), clock) == (["thermometer"], [])
    fed.clock = clock
    assert pull(fed, past) == pulling.Pulled()
    assert pulling.unasked(fed.source, [*past, DAY], clock) is None
    assert pull(fed, [*past, DAY]).extracts == 3


def test_past_days_that_cannot_be_had_say_nothing_of_the_next_pull(fed: House, station: Station) -> None:
    station.breaks.extend([0, 0, 0])
    for _ in range(3):
        assert pull(fed, [DAY]).trouble
    assert pull(fed).extracts == 3


@pytest.mark.parametrize(
    ("lag", "state"),
    [
        (Lag(events=7), "new data waits"),
        (Lag(events=7, bytes=70, about=True), "about this much waits"),
        (Lag(events=7, bytes=70, more=True), "at least this much waits"),
        (Lag(events=0, bytes=0, about=True), "nothing new"),
        (Lag(events=7, trouble="it is full"), "it is full"),
    ],
)
def test_status_says_how_well_it_is_known_what_waits(fed: House, lag: Lag, state: str) -> None:
    assert systems.shown([fed.source], {"thermometer": lag})["state"].to_list() == [state]
