"""Housekeeping and trace on the whole lakehouse: the pilot study, its PostgreSQL and its marts."""

import csv
import io
import json
import shutil
from dataclasses import replace

import dagster as dg
import pytest

from assets import catalog
from assets.wiring import ingest
from lakehouse import manifest
from lakehouse.definitions import build
from lakehouse.lake import Lake
from lakehouse.settings import PROJECT
from lakehouse.trace import declared
from lakehouse.warehouse import pinned

# Nothing is in them while the systems they come from are not connected.
EMPTY = (
    "lab_reconciliation",
    "wearable_alerts",
    *("edc_adverse_events", "edc_adverse_event_history", "edc_subjects", "edc_visits"),
)


def of(trial) -> dict[str, object]:
    """The settings of the session's lakehouse."""
    return {"home": trial.settings.home, "landing": trial.settings.landing, "as_of": trial.settings.as_of}


@pytest.fixture
def aside(trial, tmp_path):
    """The study's lake, copied: to be changed."""
    shutil.copytree(trial.settings.lake_uri, tmp_path / "lake")
    return replace(trial, settings=trial.settings.model_copy(update={"lake": str(tmp_path / "lake")}))


def test_a_row_of_a_mart_leads_to_the_line_of_its_file(call, trial):
    where = "usubjid = '01-701-1015' and vstestcd = 'PULSE' and visitnum = 3"
    done = call("trace", "marts.fct_vital_signs", "--where", where, "--format", "json", **of(trial))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 3
    for row in found:
        delivered = (trial.settings.landing / row["_file"]).read_bytes().decode()
        assert delivered.splitlines()[row["_line"] - 1] == row["_text"]
        header, record = csv.reader(io.StringIO(delivered.splitlines()[0] + "\n" + row["_text"]))
        values = dict(zip(header, record, strict=True))
        assert (values["USUBJID"], values["VSTESTCD"]) == ("01-701-1015", "PULSE")


@pytest.mark.parametrize(
    "table", ["processed/vitals", "curated.vital_signs", "lake.vital_signs", "marts.fct_vital_signs"]
)
def test_every_layer_leads_to_the_same_lines(call, trial, table):
    where = "usubjid = '01-701-1015' and vstestcd = 'WEIGHT'"
    done = call("trace", table, "--where", where, "--limit", "100", "--format", "csv", **of(trial))
    lines = {(row["_file"], row["_line"]) for row in csv.DictReader(io.StringIO(done.stdout))}
    vitals = trial.table("processed/vitals").filter(usubjid="01-701-1015", vstestcd="WEIGHT")
    assert lines == {(file, str(line)) for file, line in vitals.select("_file", "_line").iter_rows()}


def test_every_mart_and_curated_table_leads_back(ask, trial):
    marts = trial.query(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_schema in ('marts', 'intermediate', 'unblinded')"
    )
    tables = [*(name for (name,) in marts), *(table.table for table in catalog.curated())]
    empty = {*EMPTY, *(f"curated/{name}" for name in EMPTY), *(f"marts.mart_{name}" for name in EMPTY)}
    assert len(tables) >= 40
    # What its rows are made of is not there before the first reading.
    tables.remove("curated/activity_sessions")
    for table in tables:
        done = ask("trace", str(table), "--limit", "1", "--format", "json", **of(trial))
        assert done.exit_code == 0, (table, done.stderr)
        assert len(json.loads(done.stdout)) == (0 if table in empty else 1), table


def test_a_count_leads_to_the_deliveries_or_subjects_it_counts(ask, trial):
    through = {**catalog.through(), **declared(PROJECT / "dbt_project")}
    summaries = ("demographics", "vital_signs_change", "lab_change", "lab_shifts", "adverse_events", "disposition")
    assert set(through) >= {
        *("curated.site_activity", "curated.planned_visits", "quality.arrivals", "quality.rejections"),
        *("marts.dim_site", "marts.mart_enrolment", "marts.mart_site_quality", "marts.mart_site_visits"),
        *(f"marts.mart_{name}" for name in summaries),
        *(f"unblinded.mart_{name}_by_treatment" for name in summaries),
        *("curated.event_terms", "curated.missing_by_site", "curated.missing_results", "curated.scheduled_results"),
        *("curated.reference_results", "curated.reference_subjects", "curated.usual_results", "quality.unmatched"),
    }

    def count(table: str, where: str) -> int:
        done = ask("trace", table, "--where", where, "--limit", "10000", "--format", "json", **of(trial))
        return len(json.loads(done.stdout))

    [(deliveries,)] = trial.query("select deliveries from marts.mart_site_quality where siteid='701' and source='labs'")
    assert count("marts.mart_site_quality", "siteid = '701' and source = 'labs'") == deliveries
    landed = len(list((trial.settings.landing / "701").glob("labs_*.csv")))
    assert count("quality.arrivals", "source = 'labs' and _site = '701'") == landed > 0
    [(day, files)] = trial.query(
        "select day, files from lake.site_activity where siteid = '999' order by files desc limit 1"
    )
    assert count("curated.site_activity", f"siteid = '999' and day = '{day}'") >= files
    [(month, screened)] = trial.query(
        "select month, cumulative_screened from marts.mart_enrolment where siteid = '701' order by month desc limit 1"
    )
    assert count("marts.mart_enrolment", f"siteid = '701' and month = '{month}'") == screened
    told = ask("trace", "marts.mart_enrolment", "--where", "siteid = '701'", **of(trial)).stdout
    assert "made of many" in told
    assert "marts.dim_subject" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("marts.fct_vitals",), "marts.fct_vital_signs"),
        (("processed.vital",), "processed.vitals"),
        (("staging.stg_site_activity",), "made of many and keeps no file and line"),
        (("marts.dim_subject", "--where", "weight > 3"), 'column "weight" does not exist'),
        (("marts.dim_subject", "--where", "lo_creat(-1) > 0"), "read-only transaction"),
        (("processed.vitals", "--where", "weight > 3"), '"weight" not found'),
        (("processed.vitals", "--where", "1 ="), "syntax error"),
    ],
)
def test_what_cannot_be_traced_is_told(call, trial, words, told):
    done = call("trace", *words, **of(trial))
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_every_asset_tells_the_versions_that_made_it(trial):
    graph = build(trial.settings).resolve_asset_graph()
    wanted = {"table_version", "contract_version", "code_version"}
    fed = {key for source in catalog.sources() if source.feed for key in ingest.keys(source).values()}
    for key in graph.executable_asset_keys - fed:
        if key.path[0] in {"housekeeping", "report"} or key.path == ["lake", "wearable_alerts"]:
            continue
        event = trial.dagster.get_latest_materialization_event(key)
        assert wanted <= event.asset_materialization.metadata.keys(), key
        assert graph.get(key).code_version, key


def test_the_command_tidies_and_nothing_else_changes(call, aside):
    before = {table: aside.table(table).height for table in manifest.versions(aside.lake)}
    done = call("housekeep", **of(aside), lake=aside.settings.lake, warehouse=aside.url)
    assert done.returncode == 0, done.stderr
    assert "processed/vitals" in done.stdout
    assert "MB freed" in done.stdout
    assert {table: aside.table(table).height for table in before} == before


def test_the_nightly_job_does_every_table_once_and_keeps_what_postgresql_shows(aside):
    definitions = build(aside.settings)
    assert {schedule.name for schedule in definitions.schedules} == {
        "look_for_late_sites_schedule",
        "make_report_every_morning",
        "keep_house_schedule",
    }
    job = definitions.resolve_job_def("keep_house")
    done = job.execute_in_process(instance=dg.DagsterInstance.ephemeral())
    shown = [event.materialization.metadata["tables"].value for event in done.get_asset_materialization_events()]
    assert sum(shown) == len(Lake(aside.settings.lake_uri).tables())
    for table, versions in pinned(aside.url, catalog.published()).items():
        for version in versions:
            assert aside.lake.scan(table, version).collect().height == aside.table(table).height
    everything = definitions.resolve_job_def("bring_up_to_date").asset_layer.executable_asset_keys
    assert not [key for key in everything if key.path[0] == "housekeeping"]
