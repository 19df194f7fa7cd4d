"""The whole graph on the real study: what arrived is accounted for, shown, loaded, and leads back."""

import re
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from assets import catalog
from assets.pilot.defects import DEFECTS
from assets.wiring import ingest
from lakehouse import manifest, standing
from lakehouse.clock import Clock
from lakehouse.definitions import build, run
from lakehouse.landing import listing
from lakehouse.settings import PROJECT

SUBJECT = re.compile(r"\b\d{2}-\d{3}-\d{4}\b")
# Records of the study by source, each of which must be a row.
STUDY = {
    "adverse_events": 1_191,
    "disposition": 596,
    "exposure": 591,
    "labs": 59_580,
    "subjects": 306,
    "visits": 3_559,
    "vitals": 29_643,
}


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(name.split("/"))


def checks(trial, name: str) -> dict[str, bool]:
    records = trial.dagster.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(key(name), check) for check in CHECKS[name]]
    )
    return {check.name: record.event.asset_check_evaluation.passed for check, record in records.items()}


CHECKS = {
    "raw/vitals": ["drift"],
    **{f"processed/{name}": ["account", "corrections", "newest_day", "late_sites"] for name in STUDY},
    "quarantine/vitals": ["empty", "overdue"],
    "quarantine/subjects": ["empty", "overdue"],
    "curated/subjects": ["consent_before_visits", "one_treatment_start"],
    "curated/vital_signs": ["time_points_of_study"],
    "quality/parked": ["empty"],
    "lake/vital_signs": ["complete"],
    "marts/dim_subject": ["unique_dim_subject_usubjid"],
}


def test_not_one_real_record_is_quarantined(trial):
    assert [source.name for source in catalog.sources() if not source.feed] == list(STUDY)
    for name, records in STUDY.items():
        account = trial.table(f"account/{name}").filter(pl.col("_site") != "999")
        assert account["quarantined"].sum() == 0
        assert account["state"].unique().to_list() == ["in effect"]
        assert trial.table(f"processed/{name}").filter(pl.col("_site") != "999").height == records


def test_what_only_warns_is_kept_flagged_and_counted(trial):
    """Events with a reason to be serious that are not, and two that began after they were recorded."""
    flagged = trial.table("processed/adverse_events")["_warnings"].drop_nulls().value_counts()
    assert dict(flagged.iter_rows()) == {"reason_makes_serious": 36, "start_not_after_record": 2}
    warned = trial.table("quality/rejections").filter(pl.col("severity") == "warn")
    counted = warned.group_by("source", "rule").agg(pl.col("lines").sum()).sort("rule").rows()
    assert counted == [("adverse_events", "reason_makes_serious", 36), ("adverse_events", "start_not_after_record", 2)]


def test_a_dose_or_an_event_that_ends_takes_the_place_of_its_record_without_an_end(trial):
    for name, sent, ended in (("exposure", 1_175, 584), ("adverse_events", 1_396, 205)):
        account = trial.table(f"account/{name}").filter(pl.col("_site") != "999")
        assert (account["records"].sum(), account["superseded"].sum()) == (sent, ended)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.path)
def test_each_defect_ends_as_documented(trial, defect):
    source = defect.path.split("/")[1].rpartition("_")[0]
    row = trial.table(f"account/{source}").filter(pl.col("_file") == defect.path).row(0, named=True)
    got = {name: row[name] for name in ("records", "accepted", "quarantined", "superseded")}
    assert got == {name: getattr(defect, name) for name in got}


def test_a_result_of_a_subject_nobody_enrolled_stays_out_of_curated_and_fails_a_check(trial):
    enrolled = trial.table("curated/subjects")["usubjid"]
    strangers = trial.table("processed/labs").filter(~pl.col("usubjid").is_in(enrolled))
    assert strangers.height == 1
    curated = trial.table("curated/lab_results")
    assert not curated["usubjid"].is_in(strangers["usubjid"]).any()
    parked = trial.table("quality/parked").filter(pl.col("source") == "labs")
    assert parked.select("_file", "_line", "usubjid").rows() == strangers.select("_file", "_line", "usubjid").rows()
    assert checks(trial, "quality/parked") == {"empty": False}


def test_checks_show_what_holds_and_what_does_not(trial):
    for source in STUDY:
        assert checks(trial, f"processed/{source}") == dict.fromkeys(CHECKS[f"processed/{source}"], True)
    assert checks(trial, "quarantine/vitals") == {"empty": False, "overdue": False}
    assert checks(trial, "quarantine/subjects") == {"empty": True, "overdue": True}
    # Nobody of the real sites has a day of consent; the fictional one's subject came before hers.
    assert checks(trial, "curated/subjects") == {"consent_before_visits": False, "one_treatment_start": True}
    assert checks(trial, "curated/vital_signs") == {"time_points_of_study": True}
    assert checks(trial, "lake/vital_signs") == {"complete": True}
    assert checks(trial, "marts/dim_subject") == {"unique_dim_subject_usubjid": True}


def test_exactly_the_days_that_hold_files_are_reported(trial):
    landed = listing(trial.settings.landing, catalog.sources()).claimed
    for source in catalog.sources():
        days = {str(file.delivered) for file in landed[source.name]}
        for layer in ("raw", "processed", "quarantine"):
            assert trial.dagster.get_materialized_partitions(key(f"{layer}/{source.name}")) == days


def test_every_asset_is_materialized_and_described(trial):
    graph = build(trial.settings).resolve_asset_graph()
    fed = {asset_key for source in catalog.sources() if source.feed for asset_key in ingest.keys(source).values()}
    # Housekeeping holds no data, and is not part of bringing data up to date; nor is the report, which is a page.
    for asset_key in graph.executable_asset_keys - {
        key for key in graph.executable_asset_keys if key.path[0] in {"housekeeping", "report"}
    }:
        node = graph.get(asset_key)
        # Nothing comes from a system that is not connected.
        assert trial.dagster.get_latest_materialization_event(asset_key) or asset_key in fed, asset_key
        assert node.description, asset_key
        assert node.group_name in {
            "raw",
            "processed",
            "quarantine",
            "curated",
            "quality",
            "lake",
            "unblinded",
            "staging",
            "intermediate",
            "marts",
        }
        assert node.owners, asset_key
        assert node.kinds, asset_key
        assert node.freshness_policy, asset_key
        assert node.metadata["dagster/column_schema"], asset_key


def test_one_graph_from_landing_file_to_mart(trial):
    graph = build(trial.settings).resolve_asset_graph()
    ancestors = graph.get_ancestor_asset_keys(key("marts/fct_lab_results"))
    wanted = ["staging/stg_lab_results", "lake/lab_results", "curated/lab_results", "processed/labs", "raw/labs"]
    assert {key(name) for name in wanted} <= ancestors


def test_column_lineage_leads_from_mart_to_raw(trial):
    def origins(name: str, column: str) -> set[tuple[str, str]]:
        event = trial.dagster.get_latest_materialization_event(key(name))
        lineage = event.asset_materialization.metadata["dagster/column_lineage"].value
        return {("/".join(dep.asset_key.path), dep.column_name) for dep in lineage.deps_by_column[column]}

    assert origins("marts/fct_lab_results", "lbstresn") == {("staging/stg_lab_results", "lbstresn")}
    assert origins("staging/stg_lab_results", "lbstresn") == {("lake/lab_results", "lbstresn")}
    assert origins("lake/lab_results", "lbstresn") == {("curated/lab_results", "lbstresn")}
    assert ("processed/labs", "lbstresn") in origins("curated/lab_results", "lbstresn")
    assert ("raw/labs", "LBORRES") in origins("processed/labs", "lbstresn")


def test_no_subject_is_named_in_anything_dagster_keeps(trial):
    text = trial.query("select event from dagster.event_logs")
    assert len(text) > 1000
    assert not [event for (event,) in text if SUBJECT.search(event)]


def test_a_row_of_a_mart_leads_back_to_its_file_and_line(trial):
    rows = trial.query(
        "select _file, _line, _checksum, usubjid, vsorres from marts.fct_vital_signs order by row_key limit 50"
    )
    assert len(rows) == 50
    for file, line, checksum, usubjid, result in rows:
        text = trial.lake.kept(checksum).decode()
        assert text == (trial.settings.landing / file).read_text()
        record = text.splitlines()[line - 1].split(",")
        assert record[1] == usubjid
        assert (result or "") in record


def test_postgresql_holds_what_the_lake_holds(trial):
    for table in catalog.published():
        [(count,)] = trial.query(f"select count(*) from {table.qualified}")
        # What comes from a system that is not connected is empty there, and is not here yet.
        known = table.source in manifest.versions(trial.lake)
        assert count == (trial.table(table.source).height if known else 0), table.qualified


def test_treatment_is_in_one_table_of_one_schema(trial):
    found = trial.query(
        "select table_schema, table_name from information_schema.columns "
        "where column_name in ('arm', 'armcd', 'actarm', 'actarmcd', 'extrt', 'exdose') group by 1, 2"
    )
    assert found == [("unblinded", "treatment")]
    told = trial.query(
        "select distinct table_schema from information_schema.columns "
        "where column_name like 'trt01%' or column_name like 'treatment%'"
    )
    assert told == [("unblinded",)]
    for name in ("vital_signs", "lab_results", "subjects", "site_activity"):
        assert not {"arm", "armcd", "actarm", "actarmcd", "extrt", "exdose"} & set(
            trial.table(f"curated/{name}").columns
        )


def test_nothing_is_left_to_do(trial):
    found = listing(trial.settings.landing, catalog.sources())
    due = standing.due(
        trial.lake,
        trial.url,
        catalog.sources(),
        catalog.curated(),
        catalog.published(),
        found,
        PROJECT / "dbt_project",
        Clock(trial.settings.as_of),
    )
    assert not due.any


def test_the_study_that_ended_does_not_alarm(trial):
    graph = build(trial.settings).resolve_asset_graph()
    days = graph.get(key("raw/vitals")).partitions_def
    assert days.get_last_partition_key() == "2015-03-06"
    live = build(trial.settings.model_copy(update={"as_of": None})).resolve_asset_graph()
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert live.get(key("raw/vitals")).partitions_def.get_last_partition_key() == tomorrow.isoformat()


def test_a_second_build_shows_the_lineage_that_the_first_worked_out(trial):
    graph = build(trial.settings).resolve_asset_graph()
    layers = {"curated", "quality", "staging", "intermediate", "marts", "unblinded"}
    made = [asset_key for asset_key in graph.executable_asset_keys if asset_key.path[0] in layers]

    def shown(name: str) -> dict[dg.AssetKey, object]:
        events = {asset_key: trial.dagster.get_latest_materialization_event(asset_key) for asset_key in made}
        return {asset_key: event.asset_materialization.metadata.get(name) for asset_key, event in events.items()}

    lineage, rows = shown("dagster/column_lineage"), shown("dagster/row_count")
    assert all(lineage.values())
    assert run(trial.settings, [], None, lambda _: None) == {}
    assert shown("dagster/column_lineage") == lineage
    assert shown("dagster/row_count") == rows
    assert rows[key("marts/fct_lab_results")].value == trial.query("select count(*) from marts.fct_lab_results")[0][0]


# dagster-dbt's stream says so when it is left in the middle.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_build_that_cannot_go_on_takes_dbt_with_it(trial, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("assets.wiring.dbt._counted", full)
    assert list(run(trial.settings, [], None, lambda _: None)) == ["dbt_build"]
    assert trial.query("select count(*) from pg_stat_activity where application_name = 'dbt'") == [(0,)]
    monkeypatch.undo()
    assert run(trial.settings, [], None, lambda _: None) == {}


def test_large_facts_are_counted_by_an_index(trial) -> None:
    [(pages, seen_by_all)] = trial.query(
        "select relpages, relallvisible from pg_class where oid = 'marts.fct_lab_results'::regclass"
    )
    assert pages > 1000
    assert 2 * seen_by_all >= pages
