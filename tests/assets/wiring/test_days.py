"""A run that is asked for some days ingests those, reports those that hold files, and leaves the rest for later."""

from datetime import date

import dagster as dg
import pytest

from assets.pilot.land import land
from lakehouse import definitions, manifest, postgres
from lakehouse.lake import Lake
from lakehouse.settings import Settings, export, inherited
from resources import instance


@pytest.fixture
def settings(home):
    """A small lakehouse of its own: the pilot's first weeks have landed, PostgreSQL is up."""
    settings = Settings(home=home / "state", landing=home / "landing", as_of=date(2012, 9, 1), settle_seconds=0)
    land(settings.landing, date(2012, 8, 15))
    before = inherited()
    with postgres.serving(settings) as url:
        export(instance.environment(settings, url))
        yield settings
    export(before)


def test_days_are_ingested_when_asked_for_and_a_correction_replaces_what_it_corrects(settings):
    lake = Lake(settings.lake_uri)
    raw = dg.AssetKey(["raw", "vitals"])

    def delivered() -> set[str]:
        table = "processed/vitals"
        return {str(day) for day in lake.scan(table, manifest.versions(lake)[table]).collect()["_delivered"].unique()}

    landed = {path.stem.rpartition("_")[2] for path in settings.landing.glob("*/vitals_*.csv")}
    july = {day for day in landed if day.startswith("2012-07")}
    assert july
    assert july < landed

    assert definitions.run(settings, ["vitals"], (date(2012, 7, 1), date(2012, 7, 31)), lambda _: None) == {}
    assert delivered() == july
    with dg.DagsterInstance.get() as dagster:
        assert dagster.get_materialized_partitions(raw) == july

    file = next(iter(settings.landing.glob("701/vitals_2012-07-*.csv")))
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))
    name = str(file.relative_to(settings.landing))
    said: list[str] = []
    assert definitions.run(settings, ["vitals", "subjects", "labs"], None, said.append) == {}
    assert any("ingest_vitals" in line for line in said)
    assert delivered() == landed
    with dg.DagsterInstance.get() as dagster:
        assert dagster.get_materialized_partitions(raw) == landed
    account = lake.scan("account/vitals").collect().filter(_file=name).sort("_observation")
    assert account["state"].to_list() == ["replaced", "in effect"]
    assert account["accepted"].to_list() == [0, len(lines) - 2]
    assert account["superseded"].to_list() == [len(lines) - 1, 0]
