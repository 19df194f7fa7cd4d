"""A folder elsewhere in Dagster: a sensor fetches, a check tells what goes wrong, nothing landed waits for either."""

import os
from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import obstore
import pytest
import s3
import sftp
from house import HEADER
from obstore.store import S3Store
from pydantic import SecretStr
from thermometer import THERMOMETER

from assets.wiring import ingest, landing, sensor
from assets.wiring.partitions import delivery_days
from lakehouse import manifest
from lakehouse.clock import Clock
from lakehouse.feeds import remote
from lakehouse.settings import Settings
from resources.lake import LakeResource
from resources.landing import LandingResource

TODAY = date(2020, 1, 2)
PATH = "A/thermometer_2020-01-01.csv"


@pytest.fixture
def server(tmp_path):
    (tmp_path / "far" / "A").mkdir(parents=True)
    with sftp.serving(tmp_path / "far") as server:
        yield server


@pytest.fixture
def settings(tmp_path, server) -> Settings:
    (tmp_path / "landing").mkdir()
    return Settings(
        home=tmp_path / "home",
        landing=tmp_path / "landing",
        as_of=TODAY,
        settle_seconds=0,
        remote=SecretStr(server.url()),
    )


def put(server: sftp.Server, path: str = PATH) -> None:
    (server.folder / path).write_text(f"{HEADER}s1,0,20.5\n")
    os.utime(server.folder / path, (1_600_000_000, 1_600_000_000))


def resources(settings: Settings) -> dict[str, object]:
    return {"lake": LakeResource.of(settings), "landing": LandingResource(settings)}


def tick(look: dg.SensorDefinition, settings: Settings, cursor: str | None = None):
    with dg.build_sensor_context(
        instance=dg.DagsterInstance.ephemeral(), resources=resources(settings), cursor=cursor
    ) as context:
        return look(context)


def test_a_file_elsewhere_is_in_processed_after_the_sensors_and_their_run(settings, server):
    put(server)
    fetched = tick(landing.build([THERMOMETER]), settings)
    assert fetched.skip_reason.skip_message == "1 files (30 bytes) were fetched"
    assert (fetched.run_requests, fetched.asset_events) == ([], [])
    [request] = tick(sensor.build([THERMOMETER], [], interval=5), settings).run_requests
    made = ingest.build(THERMOMETER, delivery_days([THERMOMETER], Clock(TODAY)), timedelta(days=1), 10**6)
    assert set(request.asset_selection) == set(made.keys)
    assert dg.materialize([made], resources=resources(settings), selection=request.asset_selection).success
    lake = LakeResource.of(settings).lake
    rows = lake.scan("processed/thermometer", manifest.versions(lake)["processed/thermometer"]).collect()
    assert rows.select("_file", "sensor").rows() == [(PATH, "s1")]
    again = tick(landing.build([THERMOMETER]), settings, fetched.cursor)
    assert again.skip_reason.skip_message == "nothing new in the folder elsewhere"


def test_a_bucket_is_fetched_from_by_the_setting_and_the_usual_variables(settings, monkeypatch):
    with s3.serving() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        config = {name: value for name, value in bucket.options.items() if name != "aws_allow_http"}
        store = S3Store(bucket.name, prefix="drop", config=config, client_options={"allow_http": True})
        obstore.put(store, PATH, f"{HEADER}s1,0,20.5\n".encode())
        far = settings.model_copy(update={"remote": SecretStr(bucket.root("drop"))})
        fetched = tick(landing.build([THERMOMETER]), far)
        assert fetched.skip_reason.skip_message == "1 files (30 bytes) were fetched"
        assert (settings.landing / PATH).read_text() == f"{HEADER}s1,0,20.5\n"
        again = tick(landing.build([THERMOMETER]), far, fetched.cursor)
        assert (again.skip_reason.skip_message, again.asset_events) == ("nothing new in the folder elsewhere", [])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        [event] = tick(landing.build([THERMOMETER]), far, again.cursor).asset_events
        assert "refuses this user" in event.description
    assert "wrong" not in event.description


def test_a_server_that_does_not_answer_is_told_once_by_a_check_and_keeps_no_landed_file_back(settings):
    down = settings.model_copy(update={"remote": SecretStr("sftp://me:hunter2@127.0.0.1:1/drop")})
    file = settings.landing / PATH
    file.parent.mkdir()
    file.write_text(HEADER)
    first = tick(landing.build([THERMOMETER]), down)
    [event] = first.asset_events
    assert (event.asset_key, event.check_name, event.passed) == (landing.KEY, landing.REMOTE, False)
    assert "does not answer" in event.description
    assert "does not answer" in first.skip_reason.skip_message
    assert "hunter2" not in f"{event} {first.skip_reason} {first.cursor}"
    assert len(tick(sensor.build([THERMOMETER], [], interval=5), down).run_requests) == 1
    second = tick(landing.build([THERMOMETER]), down, first.cursor)
    assert second.asset_events == []
    [event] = tick(landing.build([THERMOMETER]), settings, second.cursor).asset_events
    assert event.passed


def test_a_file_that_may_not_be_read_fails_the_check_and_one_that_is_written_does_not(settings, server):
    source = replace(THERMOMETER, name="forbidden")
    put(server, "A/forbidden_2020-01-01.csv")
    [event] = tick(landing.build([source]), settings).asset_events
    assert event.description.startswith("A/forbidden_2020-01-01.csv: it may not be read")
    fresh = settings.model_copy(update={"settle_seconds": 10**9})
    assert tick(landing.build([source]), fresh).asset_events == []


def test_time_is_up_after_a_file_and_the_next_look_goes_on(settings, server):
    for day in ("01", "02"):
        put(server, f"A/thermometer_2020-01-{day}.csv")
    lake = LakeResource.of(settings).lake
    words = (server.url(), lake, settings.landing, [THERMOMETER], 0)
    assert str(remote.look(*words, seconds=0)) == "1 files (30 bytes) were fetched; more are being fetched"
    assert len(remote.look(*words, seconds=0).fetched.files) == 1
    assert remote.look(*words, seconds=0).fetched == remote.Fetched()


def test_a_landing_folder_that_is_not_mounted_is_not_made(settings, server):
    put(server)
    settings.landing.rmdir()
    [event] = tick(landing.build([THERMOMETER]), settings).asset_events
    assert "does not exist" in event.description
    assert not settings.landing.exists()


def test_without_the_setting_nobody_is_asked(settings):
    skipped = tick(landing.build([THERMOMETER]), settings.model_copy(update={"remote": None}))
    assert skipped.skip_message.endswith("LAKEHOUSE_REMOTE is not set")


def test_the_checks_can_be_asked_for(settings):
    (settings.landing / "all.zip").write_text("x")
    result = dg.materialize(
        [landing.spec(), landing.checks([THERMOMETER])],
        resources=resources(settings),
        selection=dg.AssetSelection.checks(landing.checks([THERMOMETER])),
    )
    found = {check.check_name: (check.passed, check.description) for check in result.get_asset_check_evaluations()}
    assert found["remote"] == (True, None)
    assert found["archives"][0] is False
    assert "damaged" in found["archives"][1]
