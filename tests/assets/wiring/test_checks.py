"""The checks that time alone can fail, as Dagster records them."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from house import House

from assets.wiring import checks
from lakehouse import manifest
from lakehouse.clock import Clock
from lakehouse.settings import Settings
from resources.lake import LakeResource
from resources.landing import LandingResource


@pytest.fixture
def judged(house: House, tmp_path: Path) -> Callable[[date | None], dict[str, dg.AssetCheckEvaluation]]:
    """Runs every check by a clock of its own; the evaluations by `layer/check`."""

    def run(today: date | None) -> dict[str, dg.AssetCheckEvaluation]:
        settings = Settings(home=tmp_path, lake=house.lake.root, landing=house.landing, as_of=today)
        job = dg.define_asset_job("look", selection=dg.AssetSelection.all_asset_checks())
        defined = dg.Definitions(
            asset_checks=[checks.build([house.source])],
            jobs=[job],
            resources={"lake": LakeResource.of(settings), "landing": LandingResource(settings)},
        )
        result = defined.resolve_job_def("look").execute_in_process(instance=dg.DagsterInstance.ephemeral())
        assert result.success
        return {f"{item.asset_key.path[0]}/{item.check_name}": item for item in result.get_asset_check_evaluations()}

    return run


def test_a_line_that_waits_too_long_in_quarantine_fails_a_check_that_names_reasons_and_counts(house, judged) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a,1,secret\nb,1,1\n")
    house.run()
    assert judged(date(2020, 1, 15))["quarantine/overdue"].passed
    late = judged(date(2020, 1, 16))["quarantine/overdue"]
    assert not late.passed
    assert late.severity == dg.AssetCheckSeverity.ERROR
    assert not late.blocking
    assert "temperature_is_a_number | 1" in late.metadata["lines_by_reason"].value
    assert late.metadata["oldest_day"].value == "2020-01-01"
    assert "secret" not in repr(late)
    house.land("A/thermometer_2020-01-01.csv", "a,1,2\nb,1,1\n")
    house.run()
    assert judged(date(2020, 1, 16))["quarantine/overdue"].passed


def test_a_column_nobody_asked_for_warns_and_is_named(house, judged) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a,1,2\n")
    house.run()
    assert judged(None)["raw/drift"].passed
    house.land("A/thermometer_2020-01-02.csv", "a,2,2,secret\n", header="SENSOR,HOUR,CELSIUS,HUMIDITY\n")
    house.run()
    warned = judged(None)["raw/drift"]
    assert not warned.passed
    assert warned.severity == dg.AssetCheckSeverity.WARN
    [told] = [record.data for record in warned.metadata["unknown"].records]
    assert told == {
        "column": "HUMIDITY",
        "first_day": "2020-01-02",
        "first_file": "A/thermometer_2020-01-02.csv",
        "sites": "A",
        "files": 1,
        "records": 1,
        "filled": 1.0,
        "type": "text",
        "share": 1.0,
    }
    assert "secret" not in repr(warned)


def test_a_site_that_breaks_its_own_rhythm_is_late_while_the_study_runs(house, monkeypatch) -> None:
    for number, site in ((3, "often"), (30, "seldom")):
        for nth in range(5):
            day = date(2020, 6, 1) - timedelta(days=number * nth)
            house.land(f"{site}/thermometer_{day}.csv", f"{site}{nth},1,1\n")
    house.run()

    def late(today: date, clock: Clock) -> dg.AssetCheckResult:
        monkeypatch.setattr(Clock, "today", today)
        newest, late = checks.arrivals(house.lake, house.source, clock, manifest.versions(house.lake))
        assert (newest.check_name, late.check_name) == ("newest_day", "late_sites")
        return late

    running = Clock()
    assert late(date(2020, 6, 8), running).passed
    told = late(date(2020, 6, 9), running)
    assert not told.passed
    assert (told.metadata["late_sites"].value, told.metadata["silent_sites"].value) == ("often", "none")
    told = late(date(2020, 8, 1), running)
    assert (told.metadata["late_sites"].value, told.metadata["silent_sites"].value) == ("seldom", "often")
    assert [row.data["expected_by"] for row in told.metadata["waited_for"].records] == ["2020-06-08", "2020-07-31"]
    # A study that has ended waits for nobody, and still shows who was last.
    ended = late(date(2020, 8, 1), Clock(date(2020, 8, 1)))
    assert ended.passed
    assert ended.metadata["silent_sites"].value == "often"
