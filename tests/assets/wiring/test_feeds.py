"""Feeds in Dagster: pulled by the ingesting step, looked at by a sensor, judged by a check."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import ClassVar

import dagster as dg
import polars as pl
import pytest
from pydantic import SecretStr
from thermometer import THERMOMETER

from assets.wiring import feeds, ingest, landing, sensor
from assets.wiring.partitions import delivery_days
from lakehouse import ledger, manifest
from lakehouse.clock import Clock
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Part
from lakehouse.feeds.kafka import KafkaTopic
from lakehouse.formats.jsonlines import JsonLines
from lakehouse.settings import Settings
from resources.lake import LakeResource
from resources.landing import LandingResource

TODAY = date(2020, 1, 2)
DOWNSTREAM = [dg.AssetKey(["curated", "temperatures"])]


@dataclass(frozen=True, kw_only=True)
class Station(Feed):
    """A list of readings; fails while `down` holds anything."""

    kind: ClassVar[str] = "station"
    readings: list[str] = field(default_factory=list)
    down: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def pull(self, url, source, reached, most_bytes) -> Iterator[Extract]:
        assert url == "station://secret"
        if self.down:
            raise FeedError(self.down[-1])
        begin = int(reached.ends.get("all", "-1")) + 1
        for number in range(begin, len(self.readings)):
            line = json.dumps({"SENSOR": self.readings[number], "HOUR": 1, "CELSIUS": 20}).encode()
            yield Extract(Part("all", f"{number:06}", f"{number:06}"), line, TODAY)

    def lag(self, url, source, reached) -> Lag:
        if self.down:
            raise FeedError(self.down[-1])
        waiting = len(self.readings) - int(reached.ends.get("all", "-1")) - 1
        return Lag(events=waiting, seconds=self.waited[-1] if self.waited else None)

    def release(self, url, source, reached) -> None:
        self.released.extend(end for stream, end in reached.ends.items() if stream == "all")


@dataclass(frozen=True, kw_only=True)
class Archive(Station):
    """A station that can be asked again for the readings of a day."""

    replays: ClassVar[bool] = True
    asked: list[tuple[date, ...]] = field(default_factory=list)

    def replay(self, url, source, reached, days, most_bytes) -> Iterator[Extract]:
        self.asked.append(tuple(sorted(days)))
        for day in sorted(days):
            line = json.dumps({"SENSOR": f"of {day}", "HOUR": 1, "CELSIUS": 20}).encode()
            yield Extract(Part("again", f"{day:%Y%m%d}", f"{day:%Y%m%d}"), line, day)


@pytest.fixture
def station() -> Station:
    return Station(system="station", readings=["s0", "s1"], every=timedelta(0), lag_limit=timedelta(minutes=5))


@pytest.fixture
def source(station):
    return replace(THERMOMETER, feed=station, dialect=JsonLines(), path="{site}/{name}/{day}_{part}.jsonl")


@pytest.fixture
def settings(tmp_path) -> Settings:
    (tmp_path / "landing").mkdir()
    return Settings(
        home=tmp_path / "home",
        landing=tmp_path / "landing",
        as_of=TODAY,
        systems={"station": SecretStr("station://secret")},
    )


def resources(settings: Settings) -> dict[str, object]:
    return {"lake": LakeResource.of(settings), "landing": LandingResource(settings)}


def lag_check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [found] = [check for check in result.get_asset_check_evaluations() if check.check_name == "lag"]
    return found


def run(settings: Settings, source, **words) -> dg.ExecuteInProcessResult:
    made = ingest.build(source, delivery_days([source], Clock(TODAY)), timedelta(days=1), 10**6)
    return dg.materialize([made], resources=resources(settings), **words)


def tick(settings: Settings, source, cursor: str | None = None, instance=None):
    [look] = feeds.build([source], {source.name: ingest.keys(source)}, sensor.JOB, DOWNSTREAM)
    instance = instance or dg.DagsterInstance.ephemeral()
    context = dg.build_sensor_context(instance=instance, resources=resources(settings), cursor=cursor)
    return look(context)


def test_a_run_pulls_ingests_and_releases(settings, source, station):
    result = run(settings, source)
    assert result.success
    lake = LakeResource.of(settings).lake
    rows = lake.scan("processed/thermometer", manifest.versions(lake)["processed/thermometer"]).collect()
    assert sorted(rows["sensor"]) == ["s0", "s1"]
    assert station.released == ["000001"]
    check = lag_check(result)
    assert check.passed
    assert check.metadata["events"].value == 0


def test_a_system_that_fails_keeps_no_file_back_and_fails_its_check(settings, source, station):
    station.down.append("the station does not answer")
    folder = settings.landing / "station" / "thermometer"
    folder.mkdir(parents=True)
    (folder / "2020-01-02_all@000000~000000.jsonl").write_text('{"SENSOR": "s0", "HOUR": 1, "CELSIUS": 20}')
    result = run(settings, source)
    assert result.success
    assert (lag_check(result).passed, lag_check(result).description) == (False, "the station does not answer")
    lake = LakeResource.of(settings).lake
    assert lake.scan("processed/thermometer").collect().height == 1


def test_a_system_that_is_left_alone_says_so_and_is_not_asked(settings, source, station):
    station.down.append("the station does not answer")
    for _ in range(3):
        assert lag_check(run(settings, source)).description == "the station does not answer"
    # It would answer now.
    station.down.clear()
    told = (
        "station has failed 3 times in a row and is left alone until  UTC (lakehouse run --source thermometer asks at "
        "once): the station does not answer"
    )
    result = run(settings, source)
    assert result.success
    check = lag_check(result)

    def untimed(words: str) -> str:
        return re.sub(r"; it is asked again in [0-9]+ s$|[0-9-]{10} [0-9:]{8}", "", words)

    assert (check.passed, untimed(check.description)) == (False, told)
    assert list(settings.landing.rglob("*.jsonl")) == []
    assert station.released == []
    found = tick(settings, source)
    assert found.run_requests == []
    assert [(event.passed, untimed(event.description)) for event in found.asset_events] == [(False, told)]
    # Who asks for it by name may have mended it.
    assert lag_check(run(settings, source, tags={feeds.NOW: "true"})).passed
    assert len(list(settings.landing.rglob("*.jsonl"))) == 2


def test_a_run_that_leaves_something_waiting_says_so(settings, source, monkeypatch, capfd):
    run(settings, source)
    assert "more waits" not in capfd.readouterr().err
    monkeypatch.setattr(Station, "lag", lambda *_: Lag(seconds=1, more=True))
    source.feed.readings.append("s2")
    run(settings, source)
    assert "thermometer: more waits in station; the next run goes on" in capfd.readouterr().err


def test_what_was_not_counted_to_its_end_is_told_as_the_least(settings, source, monkeypatch):
    monkeypatch.setattr(Station, "lag", lambda *_: Lag(events=7, bytes=70, seconds=1, more=True))
    facts = {name: value.value for name, value in lag_check(run(settings, source)).metadata.items()}
    assert facts == {"events_at_least": 7, "bytes_at_least": 70, "seconds": 1, "allowed_seconds": 300}


def test_bytes_that_are_reckoned_say_so(settings, source, monkeypatch):
    monkeypatch.setattr(Station, "lag", lambda *_: Lag(events=7, bytes=70, seconds=1, about=True))
    facts = {name: value.value for name, value in lag_check(run(settings, source)).metadata.items()}
    assert facts == {"events": 7, "bytes_about": 70, "seconds": 1, "allowed_seconds": 300}


def test_what_has_waited_for_too_long_fails_the_check(settings, source, station):
    station.waited.append(301)
    check = lag_check(run(settings, source))
    assert not check.passed
    assert check.description == "what waits has waited for 301 s, more than 300"


def test_a_system_that_nobody_connected_says_so(settings, source):
    alone = settings.model_copy(update={"systems": {}})
    result = run(alone, source)
    assert result.success
    assert lag_check(result).metadata["system"].value == "not connected: LAKEHOUSE_SYSTEM_STATION is not set"
    assert isinstance(tick(alone, source), dg.SkipReason)


def test_a_past_day_is_not_asked_of_a_system_that_cannot_be_asked_again(settings, source):
    result = run(settings, source, partition_key="2020-01-01")
    assert list(settings.landing.rglob("*.jsonl")) == []
    # Nor is that it was not asked kept from who asked.
    why = "station cannot be asked again for past days: what is on record of them is judged again instead"
    assert lag_check(result).metadata["days"].value == f"{why}; 0 deliveries with 0 records, which all tables hold so"


def test_past_days_of_such_a_system_are_judged_again_and_mended_where_tables_hold_something_else(settings, source):
    """As a range that is chosen in the web interface, while the system is not even there."""

    def warmer(degrees: float):
        """The source with a tidy of the same code that comes to something else, as of another version of a library."""
        return replace(source, tidy=lambda raw: source.tidy(raw).with_columns(pl.col("celsius") + degrees))

    before, after = warmer(0), warmer(1)
    assert before.contract_version == after.contract_version
    run(settings, before)
    later = settings.model_copy(update={"systems": {}, "as_of": date(2020, 1, 5)})
    days = {"dagster/asset_partition_range_start": "2020-01-01", "dagster/asset_partition_range_end": "2020-01-03"}
    lake = LakeResource.of(settings).lake

    def replayed(source) -> str:
        made = ingest.build(source, delivery_days([source], Clock(date(2020, 1, 5))), timedelta(days=1), 10**6)
        result = dg.materialize([made], resources=resources(later), tags=days)
        return lag_check(result).metadata["days"].value

    def celsius() -> list[float]:
        version = manifest.versions(lake)["processed/thermometer"]
        return lake.scan("processed/thermometer", version).collect()["celsius"].to_list()

    first = celsius()
    assert replayed(before).endswith("; 2 deliveries with 2 records, which all tables hold so")
    told = replayed(after)
    assert ", 2 of which tables held otherwise (station/thermometer/2020-01-02_" in told
    assert told.endswith("): all was made anew")
    assert celsius() == [value + 1 for value in first]
    assert replayed(after).endswith("which all tables hold so")
    orders = ledger.read(lake, after).filter(act=ledger.REBUILD)
    assert orders.select("who", "why").rows() == [
        ("lakehouse", "a replay of 2020-01-01 to 2020-01-03 found tables that hold 2 deliveries otherwise")
    ]


def test_a_range_of_past_days_is_asked_again_of_a_system_that_can_be(settings, source, station):
    """As it is chosen in the web interface: a day, or a range of them in one run."""
    archive = Archive(**vars(station))
    again = replace(source, feed=archive)
    lake = LakeResource.of(settings).lake

    def sensors() -> list[str]:
        rows = lake.scan("processed/thermometer", manifest.versions(lake)["processed/thermometer"])
        return sorted(rows.collect()["sensor"])

    assert lag_check(run(settings, again, partition_key="2019-12-30")).passed
    assert sensors() == ["of 2019-12-30"]
    days = {"dagster/asset_partition_range_start": "2019-12-29", "dagster/asset_partition_range_end": "2019-12-31"}
    instance = dg.DagsterInstance.ephemeral()
    run(settings, again, tags=days, instance=instance)
    assert archive.asked == [(date(2019, 12, 30),), tuple(date(2019, 12, day) for day in (29, 30, 31))]
    assert sensors() == ["of 2019-12-29", "of 2019-12-30", "of 2019-12-31"]
    shown = instance.get_materialized_partitions(dg.AssetKey(["processed", "thermometer"]))
    # What is asked again of a day was delivered after what had been delivered, or that would win.
    assert shown == {"2019-12-30", "2019-12-31"}
    # What is new had not been asked for, and is not passed over.
    assert archive.released == []
    assert run(settings, again).success
    assert sensors()[-2:] == ["s0", "s1"]


def test_the_present_day_of_such_a_system_is_what_is_new(settings, source):
    result = run(settings, source, partition_key="2020-01-02")
    assert len(list(settings.landing.rglob("*.jsonl"))) == 2
    assert "days" not in lag_check(result).metadata


def test_the_system_is_upstream_of_raw(source):
    [spec] = feeds.systems([source])
    assert (spec.key, spec.group_name, spec.kinds) == (dg.AssetKey(["systems", "station"]), "systems", {"station"})
    [raw] = [item for item in ingest.specs(source, timedelta(days=1)) if item.key.path[0] == "raw"]
    assert [dep.asset_key for dep in raw.deps] == [spec.key]


def test_the_landing_folder_is_upstream_of_raw_where_files_are_brought(source):
    brought = replace(source, feed=None, path="{site}/{name}/{day}.jsonl")
    assert feeds.systems([brought]) == []
    [raw] = [item for item in ingest.specs(brought, timedelta(days=1)) if item.key.path[0] == "raw"]
    assert [dep.asset_key for dep in raw.deps] == [landing.spec().key]


def test_the_sensor_asks_for_one_run_while_something_waits(settings, source):
    [request] = tick(settings, source).run_requests
    assert set(request.asset_selection) == {*ingest.keys(source).values(), *DOWNSTREAM}
    run(settings, source)
    assert tick(settings, source).run_requests == []


def test_the_sensor_leaves_a_system_alone_between_looks(settings, source, station):
    calm = replace(source, feed=replace(station, every=timedelta(hours=1)))
    first = tick(settings, calm)
    assert len(first.run_requests) == 1
    assert isinstance(tick(settings, calm, first.cursor), dg.SkipReason)


def test_a_stream_of_messages_is_forty_runs_an_hour_at_most(settings, source, station, monkeypatch):
    """Something waits with each look; a run adds a version to each of the source's tables."""
    stream = KafkaTopic(system="station", topic="readings")
    busy, now, cursor, runs = replace(source, feed=replace(station, every=stream.every)), [10.0**9], None, 0
    monkeypatch.setattr("assets.wiring.feeds.time.time", lambda: now[0])
    instance = dg.DagsterInstance.ephemeral()
    for second in range(0, 900, 5):
        now[0] = 10.0**9 + second
        found = tick(settings, busy, cursor, instance)
        if isinstance(found, dg.SensorResult):
            runs, cursor = runs + len(found.run_requests), found.cursor
    assert runs == 10


def test_the_sensor_tells_once_that_a_system_fails_and_once_that_it_answers_again(settings, source, station):
    station.down.append("the station has not answered for 4 s")
    first = tick(settings, source)
    [event] = first.asset_events
    assert (event.passed, event.description) == (False, "the station has not answered for 4 s")
    station.down[:] = ["the station has not answered for 1,009.5 s"]
    second = tick(settings, source, first.cursor)
    assert second.asset_events == []
    station.down.clear()
    [event] = tick(settings, source, second.cursor).asset_events
    assert event.passed


def test_a_system_that_says_nothing_keeps_no_other_back(settings, source, monkeypatch):
    monkeypatch.setattr("lakehouse.feeds.pulling._PATIENCE", 0.5)
    over = threading.Event()

    class Silent(Station):
        def lag(self, url, source, reached) -> Lag:
            over.wait(30)
            return Lag()

    mute = replace(source, name="mute", feed=Silent(system="station", every=timedelta(0)))
    [look] = feeds.build([source, mute], {s.name: ingest.keys(s) for s in (source, mute)}, sensor.JOB, DOWNSTREAM)
    instance = dg.DagsterInstance.ephemeral()
    found = look(dg.build_sensor_context(instance=instance, resources=resources(settings)))
    over.set()
    assert found.run_requests[0].tags["lakehouse/sources"] == "thermometer"
    assert [event.description for event in found.asset_events] == ["the system has not answered for 0.5 s"]
