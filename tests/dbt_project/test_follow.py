"""Models that follow a table equal models built anew, after whatever the sites send: a real lake, loaded for real."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from adbc_driver_postgresql import dbapi
from served import Warehouse

from assets import catalog
from assets.pilot.land import land
from lakehouse import ingest, ledger, manifest
from lakehouse.clock import Clock
from lakehouse.curate import curate
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.warehouse import publish

CLOCK = Clock(date(2012, 12, 31))
FOLLOWING = {
    "marts": [
        *("fct_vital_signs", "fct_lab_results", "fct_adverse_events", "dim_subject", "dim_subject_history"),
        *("mart_vital_signs_change", "mart_lab_change", "mart_lab_shifts"),
        *("mart_adverse_events", "mart_demographics", "mart_disposition"),
    ],
    "intermediate": ["int_vital_signs_by_site", "int_lab_results_by_site", "int_lab_shifts_by_site"],
    "unblinded": [
        *("int_vital_signs_by_treatment", "int_lab_results_by_treatment", "int_lab_shifts_by_treatment"),
        *("mart_vital_signs_change_by_treatment", "mart_lab_change_by_treatment", "mart_lab_shifts_by_treatment"),
        *("mart_adverse_events_by_treatment", "mart_demographics_by_treatment", "mart_disposition_by_treatment"),
    ],
}
BUILD = ("build", "--exclude-resource-type", "unit_test")


@dataclass
class Study:
    """The pilot study in its first months: its landing folder, its lake, and its PostgreSQL."""

    landing: Path
    lake: Lake
    server: Warehouse

    def bring(self) -> None:
        """Ingest what has landed, make the curated tables, load PostgreSQL."""
        sources = catalog.sources()
        found = listing(self.landing, sources).claimed
        for source in sources:
            unseen = ingest.pending(self.lake, source, found[source.name]).unseen
            ingest.ingest(self.lake, source, self.landing, unseen, CLOCK, 10**8)
        curate(self.lake, catalog.curated(), sources, CLOCK)
        publish(self.lake, self.server.server.get_uri(), catalog.published(), manifest.versions(self.lake))

    def build(self, *words: str) -> dict[str, dict[str, Any]]:
        """Build in production, the way the lakehouse does; results by model or test."""
        done = self.server.dbt(*(words or BUILD), target="prod")
        results = json.loads((self.server.artifacts("prod") / "run_results.json").read_text())["results"]
        failed = [result["unique_id"] for result in results if result["status"] in {"error", "fail"}]
        assert done.returncode == bool(failed), done.stdout
        return {result["unique_id"].split(".")[2]: result for result in results}

    def rows(self, schema: str) -> dict[str, list[tuple[Any, ...]]]:
        """Rows of every model that follows, in an order that compares."""
        return {
            name: sorted(self.server.rows(f"select * from {schema}{layer}.{name}"), key=repr)
            for layer, names in FOLLOWING.items()
            for name in names
        }

    def anew(self) -> dict[str, list[tuple[Any, ...]]]:
        """The same, built from nothing beside."""
        names = [name for names in FOLLOWING.values() for name in names]
        selected = " ".join(f"+{name}" for name in names)
        done = self.server.dbt("run", "--full-refresh", "-s", selected, target="dev", USER="anew")
        assert done.returncode == 0, done.stdout
        return self.rows("dbt_anew_")


@pytest.fixture(scope="module")
def study(server: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    study = Study(folder / "landing", Lake(str(folder / "lake")), server)
    land(study.landing, date(2012, 10, 15))
    study.bring()
    study.build()
    return study


def correct(path: Path, test: str) -> None:
    """The first result of a test in a file is another one."""
    lines = path.read_bytes().decode().split("\n")
    column = lines[0].split(",").index("VSORRES")
    number = next(n for n, line in enumerate(lines) if f",{test}," in line)
    values = lines[number].split(",")
    values[column] = "111"
    path.write_bytes("\n".join([*lines[:number], ",".join(values), *lines[number + 1 :]]).encode())


def test_what_is_built_once_is_what_is_built_anew(study: Study) -> None:
    rows = study.rows("")
    assert rows == study.anew()
    assert all(rows.values())


def test_what_is_built_whole_can_be_counted_by_an_index(study: Study) -> None:
    study.build(*BUILD, "--full-refresh")
    vacuumed = "select vacuum_count from pg_stat_user_tables where relid = 'marts.fct_lab_results'::regclass"
    assert study.server.rows(vacuumed) == [(1,)]
    analyzed = "select analyze_count from pg_stat_user_tables where relid = 'marts.fct_lab_results'::regclass"
    assert study.server.rows(analyzed) == [(1,)]


def test_new_days_are_put_in(study: Study) -> None:
    before = study.rows("")
    land(study.landing, date(2012, 10, 31))
    study.bring()
    study.build()
    rows = study.rows("")
    for name in ("fct_vital_signs", "fct_lab_results", "dim_subject_history", "int_vital_signs_by_treatment"):
        assert set(rows[name]) - set(before[name]), name
    assert rows == study.anew()


def test_a_correction_touches_its_subjects_and_its_site(study: Study) -> None:
    before = study.rows("")
    ((name,),) = study.server.rows("""
        select _file from marts.fct_vital_signs where siteid = '701' and vstestcd = 'PULSE' group by _file
        having bool_and(saffl = 'Y' and avisitn is not null) order by _file desc limit 1""")
    file = study.landing / name
    correct(file, "PULSE")
    study.bring()
    results = study.build()
    rows = study.rows("")
    written = {name: result["adapter_response"].get("rows_affected") for name, result in results.items()}

    subjects = {row[2] for row in set(rows["fct_vital_signs"]) ^ set(before["fct_vital_signs"])}
    assert subjects == {line.split(",")[1] for line in file.read_text().splitlines()[1:]}
    assert written["fct_vital_signs"] == len([row for row in rows["fct_vital_signs"] if row[2] in subjects])
    of_site = [row for row in rows["int_vital_signs_by_site"] if row[0] == "701"]
    assert written["int_vital_signs_by_site"] == len(of_site) < len(rows["int_vital_signs_by_site"])
    of_visits = study.server.rows(
        "select count(*) from marts.mart_vital_signs_change where avisit in (select avisit from marts.fct_vital_signs "
        f"where _file = '{name}') or avisitn = 99"
    )
    assert 0 < written["mart_vital_signs_change"] <= of_visits[0][0] < len(rows["mart_vital_signs_change"])
    left_alone = [
        *("fct_lab_results", "dim_subject_history", "int_lab_results_by_site", "int_lab_shifts_by_treatment"),
        *("mart_lab_change", "mart_lab_shifts_by_treatment", "mart_adverse_events", "mart_disposition_by_treatment"),
    ]
    for name in left_alone:
        assert written[name] == 0, name
        assert rows[name] == before[name]
    assert rows == study.anew()


def test_what_is_withdrawn_and_who_vanishes_is_taken_out(study: Study) -> None:
    before = study.rows("")
    labs = sorted(study.landing.glob("701/labs_*.csv"))[-1]
    ledger.withdraw(study.lake, catalog.source("labs"), f"701/{labs.name}", "someone", "wrong file")
    # The site's newest snapshot does not know the first of its subjects any more: the only one of a smaller site.
    snapshot = next(
        path
        for path in sorted(study.landing.glob("*/subjects_*.csv"), reverse=True)
        if path == sorted(path.parent.glob("subjects_*.csv"))[-1] and len(path.read_bytes().splitlines()) > 2
    )
    header, first, *others = snapshot.read_bytes().splitlines(keepends=True)
    snapshot.write_bytes(b"".join([header, *others]))
    vanished = first.decode().split(",")[1]
    study.bring()
    study.build()
    rows = study.rows("")

    assert vanished in {row[2] for row in before["fct_vital_signs"]}
    assert vanished not in {row[2] for row in rows["fct_vital_signs"] + rows["fct_lab_results"]}
    assert [row[15] is not None for row in rows["dim_subject_history"] if row[0] == vanished] == [True]
    file = f"701/{labs.name}"
    assert [sum(file in row for row in of["fct_lab_results"]) > 0 for of in (before, rows)] == [True, False]
    assert rows == study.anew()


def test_all_is_done_again_when_nobody_can_tell_what_changed(study: Study) -> None:
    study.server.execute("update lake.loads set load = load + 1, anew = load + 1 where table_name = 'lake.vital_signs'")
    study.server.execute("update marts.fct_vital_signs set age = age + 1")
    results = study.build("run", "-s", "fct_vital_signs+")
    rows = study.server.rows("select count(*) from lake.vital_signs")
    assert [(results["fct_vital_signs"]["adapter_response"]["rows_affected"],)] == rows
    assert study.rows("") == study.anew()


def test_a_treatment_that_changes_moves_its_site_alone(study: Study) -> None:
    [(subject, site, treatment)] = study.server.rows("""
        select usubjid, siteid, trt01a from unblinded.treatment
        where trt01a is not null and usubjid in (select usubjid from lake.vital_signs) order by usubjid limit 1""")
    study.server.execute(f"""
        update unblinded.treatment set trt01a = 'Another', trt01an = 7 where usubjid = '{subject}';
        update lake.loads set load = load + 1 where table_name = 'unblinded.treatment';
        insert into lake.touched select table_name, '{subject}', load from lake.loads
        where table_name = 'unblinded.treatment'
        on conflict (table_name, value) do update set load = excluded.load""")
    results = study.build("run", "-s", "unblinded")
    rows = study.rows("")
    assert {row[0] for row in rows["int_vital_signs_by_treatment"] if row[1] == "Another"} == {site}
    of_site = [row for row in rows["int_vital_signs_by_treatment"] if row[0] == site]
    assert results["int_vital_signs_by_treatment"]["adapter_response"]["rows_affected"] == len(of_site)
    assert rows == study.anew()
    assert treatment != "Another"


def change(study: Study, table: str, what: str) -> None:
    """A load changes the rows of one subject of the safety population in a table of the lake."""
    study.server.execute(f"""
        create temp table one as select min(usubjid) as usubjid from lake.subjects where saffl = 'Y';
        update lake.{table} set {what} where usubjid = (select usubjid from one);
        update lake.loads set load = load + 1 where table_name = 'lake.{table}';
        insert into lake.touched
        select table_name, (select usubjid from one), load from lake.loads where table_name = 'lake.{table}'
        on conflict (table_name, value) do update set load = excluded.load;
        drop table one""")


def test_a_summary_that_was_built_before_what_it_is_made_of_follows_it_after(study: Study) -> None:
    change(study, "subjects", "sex = case sex when 'F' then 'M' else 'F' end")
    study.build("build", "-s", "mart_demographics")
    study.build()
    assert study.rows("") == study.anew()
    change(study, "adverse_events", "trtemfl = null")
    study.build("run", "-s", "mart_adverse_events")
    study.build("run", "-s", "fct_adverse_events")
    study.build()
    assert study.rows("") == study.anew()


def test_two_builds_at_once_put_in_no_row_twice(study: Study) -> None:
    """Both have begun, and have nothing to wait for but the table, before either may change it."""
    change(study, "vital_signs", "aval = aval + 1")
    study.build("run", "-s", "fct_vital_signs")
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'dbt'"
    with ThreadPoolExecutor(2) as threads, dbapi.connect(study.server.server.get_uri()) as connection:
        with connection.cursor() as cursor:
            cursor.execute("lock table intermediate.int_vital_signs_by_site in share mode")
            one, other = (
                threads.submit(study.server.dbt, "run", "-s", "int_vital_signs_by_site", target="prod", **places)
                for places in ({}, {"DBT_TARGET_PATH": str(study.server.folder / "beside")})
            )
            deadline = time.monotonic() + 60
            while study.server.rows(waiting) != [(2,)]:
                assert time.monotonic() < deadline, "the two do not meet"
                time.sleep(0.1)
        connection.rollback()
        assert (one.result().returncode, other.result().returncode) == (0, 0)
    study.build()
    assert study.rows("") == study.anew()


def test_a_table_is_tested_though_what_follows_it_has_passed(study: Study) -> None:
    before = study.server.rows("select vsstat, count(*) from lake.vital_signs group by 1 order by 1")
    change(study, "vital_signs", "vsstat = case when vsstat is null then 'BROKEN' else vsstat end")
    study.build("build", "-s", "fct_vital_signs", "dim_site", "dim_subject", "--exclude", "source:*")
    results = study.build()
    found = {name: result["status"] for name, result in results.items() if "accepted_values_lake_vital_signs" in name}
    assert set(found.values()) == {"fail"}
    change(study, "vital_signs", "vsstat = nullif(vsstat, 'BROKEN')")
    study.build()
    assert study.server.rows("select vsstat, count(*) from lake.vital_signs group by 1 order by 1") == before


def test_a_row_that_fails_its_test_fails_it_until_it_is_mended(study: Study) -> None:
    """Tests of single rows look at what changed; what failed counts as changed until all tests have passed."""
    row = "where _line = 3 and usubjid = (select min(usubjid) from lake.vital_signs)"
    study.build()
    study.server.execute(f"update marts.fct_vital_signs set row_key = null {row}")
    untouched = study.build("test", "-s", "not_null_fct_vital_signs_row_key")
    assert untouched["not_null_fct_vital_signs_row_key"]["status"] == "pass"

    study.server.execute("""
        update lake.loads set load = load + 1 where table_name = 'lake.vital_signs';
        insert into lake.touched
        select table_name, (select min(usubjid) from lake.vital_signs), load from lake.loads
        where table_name = 'lake.vital_signs'
        on conflict (table_name, value) do update set load = excluded.load""")
    for _ in range(2):
        found = study.build("test", "-s", "not_null_fct_vital_signs_row_key")
        assert found["not_null_fct_vital_signs_row_key"]["status"] == "fail"

    # The touched subject's rows are taken from the lake again.
    mended = study.build(*BUILD, "-s", "fct_vital_signs")
    assert {result["status"] for name, result in mended.items() if "fct_vital" in name} == {"success", "pass"}
    assert study.rows("")["fct_vital_signs"] == study.anew()["fct_vital_signs"]
