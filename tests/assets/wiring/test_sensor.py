"""The sensor: one run for everything that landed, never two for the same work, and nothing that is not complete."""

import time
import uuid
import zipfile

import dagster as dg
import pytest

from assets import catalog
from assets.wiring import landing as folder
from assets.wiring import sensor
from lakehouse.settings import Settings
from resources.lake import LakeResource
from resources.landing import LandingResource

HEADER = "STUDYID,USUBJID,VSTESTCD,VSTEST,VSPOS,VSORRES,VSORRESU,VSSTAT,VSLOC,VISITNUM,VISIT,VSDTC,VSTPT,VSTPTNUM\n"
DOWNSTREAM = [dg.AssetKey(["curated", "subjects"])]


@pytest.fixture
def house(tmp_path):
    """A landing folder, an empty lake, and a function that ticks the sensor once."""
    settings = Settings(home=tmp_path / "home", landing=tmp_path / "landing", settle_seconds=0)
    (settings.landing / "701").mkdir(parents=True)
    instance = dg.DagsterInstance.ephemeral()

    def tick(settle_seconds: float = 0, cursor: str | None = None):
        used = settings.model_copy(update={"settle_seconds": settle_seconds})
        context = dg.build_sensor_context(
            instance=instance,
            resources={"lake": LakeResource.of(used), "landing": LandingResource(used)},
            cursor=cursor,
        )
        return sensor.build(catalog.sources(), DOWNSTREAM, interval=5)(context)

    return settings.landing, tick, instance


def land(landing, day: str, name: str = "vitals") -> None:
    (landing / "701" / f"{name}_{day}.csv").write_text(HEADER)


def test_five_hundred_files_are_one_run(house):
    landing, tick, _ = house
    for number in range(500):
        land(landing, f"2014-{1 + number % 12:02}-{1 + number // 12 % 28:02}")
        land(landing, f"2013-{1 + number % 12:02}-{1 + number // 12 % 28:02}")
    [request] = tick().run_requests
    assert int(request.tags["lakehouse/files"]) >= 500
    assert set(request.asset_selection) == {
        *(dg.AssetKey([layer, "vitals"]) for layer in ("raw", "processed", "quarantine")),
        *DOWNSTREAM,
    }


def test_the_same_work_is_named_alike_and_new_work_is_not(house):
    landing, tick, _ = house
    land(landing, "2014-01-01")
    first, again = tick().run_requests[0].run_key, tick().run_requests[0].run_key
    assert first == again
    land(landing, "2014-01-02")
    assert tick().run_requests[0].run_key != first


def test_a_changed_file_is_new_work(house):
    landing, tick, _ = house
    land(landing, "2014-01-01")
    first = tick().run_requests[0].run_key
    file = landing / "701" / "vitals_2014-01-01.csv"
    file.write_text(HEADER + "x\n")
    assert tick().run_requests[0].run_key != first


def test_a_file_still_growing_waits(house):
    landing, tick, _ = house
    land(landing, "2014-01-01")
    assert isinstance(tick(settle_seconds=60), dg.SkipReason)
    time.sleep(0.05)
    assert tick(settle_seconds=0.01).run_requests


def test_temporary_and_hidden_names_and_links_are_passed_over(house):
    landing, tick, _ = house
    for name in (".vitals_2014-01-01.csv", "vitals_2014-01-01.csv.part", "vitals_2014-01-01.csv.tmp"):
        (landing / "701" / name).write_text(HEADER)
    (landing / "701" / "vitals_2014-01-03.csv").symlink_to("/etc/hostname")
    assert isinstance(tick(), dg.SkipReason)


def test_while_a_run_is_at_work_nothing_is_asked_for(house):
    landing, tick, instance = house
    land(landing, "2014-01-01")
    run = dg.DagsterRun(job_name=sensor.JOB, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    skipped = tick()
    assert isinstance(skipped, dg.SkipReason)
    assert run.run_id in skipped.skip_message


def test_a_missing_landing_folder_is_said(house):
    landing, tick, _ = house
    (landing / "701").rmdir()
    landing.rmdir()
    skipped = tick()
    assert "does not exist" in skipped.skip_message


def archive(landing, **members: str) -> None:
    with zipfile.ZipFile(landing / "701" / "all.zip", "w") as made:
        for name, body in members.items():
            made.writestr(f"{name}.csv", body)


def test_an_archive_is_unpacked_and_its_files_are_work(house):
    landing, tick, _ = house
    archive(landing, **{"vitals_2014-01-01": HEADER, "vitals_2014-01-02": HEADER})
    assert isinstance(tick(settle_seconds=60), dg.SkipReason)
    [request] = tick().run_requests
    assert request.tags["lakehouse/files"] == "2"


def test_a_refused_archive_is_told_once_by_a_check_and_keeps_nothing_back(house):
    landing, tick, _ = house
    archive(landing, **{"../vitals_2014-01-01": HEADER})
    land(landing, "2014-01-02")
    first = tick()
    [event] = first.asset_events
    assert (event.asset_key, event.check_name, event.passed) == (folder.KEY, folder.ARCHIVES, False)
    assert event.description.startswith("701/all.zip is not unpacked: the name '../vitals_2014-01-01.csv' leads out")
    assert first.run_requests[0].tags["lakehouse/files"] == "1"
    second = tick(cursor=first.cursor)
    assert second.asset_events == []
    (landing / "701" / "all.zip").unlink()
    [event] = tick(cursor=first.cursor).asset_events
    assert (event.check_name, event.passed) == (folder.ARCHIVES, True)
