"""Streams in Dagster: a service that is dead while messages wait fails a check, told once."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from pydantic import SecretStr

from assets import catalog
from assets.alerts import WEARABLE_ALERTS
from assets.wiring import streams
from lakehouse.settings import Settings
from lakehouse.streaming.pulse import Pulse, give
from resources.lake import LakeResource
from resources.landing import LandingResource

KEY = dg.AssetKey(["alerts", "wearable"])


@pytest.fixture
def settings(tmp_path) -> Settings:
    # Nobody is there; of a service that says how it goes nobody else is asked.
    systems = {"wearables": SecretStr("kafka://127.0.0.1:1")}
    return Settings(home=tmp_path / "home", landing=tmp_path / "landing", systems=systems)


def resources(settings: Settings) -> dict[str, object]:
    return {"lake": LakeResource.of(settings), "landing": LandingResource(settings)}


def says(settings: Settings, trouble: str | None = None, **counts: int) -> None:
    now = datetime.now(UTC)
    give(LakeResource.of(settings).lake, "wearable", Pulse(now, now, {0: 5}, 0, 0, counts, trouble))


def tick(settings: Settings, cursor: str | None = None) -> dg.SensorResult:
    [sensor] = streams.build([WEARABLE_ALERTS])
    instance = dg.DagsterInstance.ephemeral()
    found = sensor(dg.build_sensor_context(instance=instance, resources=resources(settings), cursor=cursor))
    assert isinstance(found, dg.SensorResult)
    return found


def test_the_sensor_tells_once_what_is_the_matter_and_once_that_it_is_over(settings):
    says(settings, events=5, rejected=2)
    first = tick(settings)
    [event] = first.asset_events
    assert (event.asset_key, event.check_name, event.passed) == (KEY, "lag", True)
    assert event.metadata["count of rejected"].value == 2
    says(settings, "3 alerts wait: the webhook answers 503", events=6)
    second = tick(settings, first.cursor)
    [event] = second.asset_events
    assert (event.passed, event.description) == (False, "3 alerts wait: the webhook answers 503")
    says(settings, "4 alerts wait: the webhook answers 503", events=7)
    third = tick(settings, second.cursor)
    assert third.asset_events == []
    says(settings)
    [event] = tick(settings, third.cursor).asset_events
    assert event.passed


def test_figures_that_change_are_told_now_and_then(settings):
    says(settings, events=5)
    first = tick(settings)
    says(settings, events=6)
    later = {"wearable": {**json.loads(first.cursor)["wearable"], "at": 0}}
    [event] = tick(settings, json.dumps(later)).asset_events
    assert event.metadata["count of events"].value == 6


def test_the_check_can_be_asked_for(settings, monkeypatch):
    monkeypatch.setattr("lakehouse.feeds.kafka.SECONDS", 0.5)

    def asked(with_: Settings) -> dg.AssetCheckEvaluation:
        assets = [*streams.specs([WEARABLE_ALERTS]), streams.checks([WEARABLE_ALERTS])]
        definitions = dg.Definitions(assets=assets[:-1], asset_checks=assets[-1:], resources=resources(with_))
        job = dg.define_asset_job("look", selection=dg.AssetSelection.checks(assets[-1]))
        merged = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
        done = merged.resolve_job_def("look").execute_in_process(instance=dg.DagsterInstance.ephemeral())
        [found] = done.get_asset_check_evaluations()
        return found

    dead = asked(settings)
    assert not dead.passed
    assert "wearables could not be read" in str(dead.description)
    says(settings)
    assert asked(settings).metadata["state"].value == "at work"
    alone = asked(settings.model_copy(update={"systems": {}}))
    assert (alone.passed, alone.metadata["state"].value) == (
        True,
        "not connected: set LAKEHOUSE_SYSTEM_WEARABLES",
    )


def test_every_stream_has_the_check_and_its_system_upstream():
    for spec, stream in zip(streams.specs(catalog.streams()), catalog.streams(), strict=True):
        assert spec.key == streams.key(stream)
        assert [dep.asset_key for dep in spec.deps] == [dg.AssetKey(["systems", stream.system])]
    assert {key.asset_key for key in streams.checks(catalog.streams()).check_keys} == {
        streams.key(stream) for stream in catalog.streams()
    }


def test_a_service_that_was_not_heard_for_long_is_no_longer_believed(settings, monkeypatch):
    monkeypatch.setattr("lakehouse.feeds.kafka.SECONDS", 0.5)
    then = datetime.now(UTC) - timedelta(minutes=10)
    give(LakeResource.of(settings).lake, "wearable", Pulse(then, then, {0: 5}))
    [event] = tick(settings).asset_events
    assert not event.passed
