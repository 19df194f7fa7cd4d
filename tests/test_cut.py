"""Data cuts on the whole lakehouse: the pilot study, its PostgreSQL, dbt, and the command line."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from getpass import getuser
from pathlib import Path

import pytest

from assets import catalog
from lakehouse import manifest, postgres
from lakehouse.curate import GROUP
from lakehouse.lake import Change
from lakehouse.settings import PROJECT
from resources.dbt import DbtResource

TABLE = "curated/vital_signs"


def of(trial) -> dict[str, object]:
    """The settings of a copy of the trial's lakehouse, whose PostgreSQL is the trial's."""
    given = {"home": trial.settings.home, "landing": trial.settings.landing, "as_of": trial.settings.as_of}
    return {**given, "lake": trial.settings.lake, "warehouse": trial.url}


@pytest.fixture
def aside(trial, tmp_path):
    """The study's lake, copied: to be changed."""
    shutil.copytree(trial.settings.lake_uri, tmp_path / "lake")
    yield replace(trial, settings=trial.settings.model_copy(update={"lake": str(tmp_path / "lake")}))
    for (schema,) in trial.query("select nspname from pg_namespace where nspname ~ '(^lake_|^unblinded_|cut_)'"):
        with postgres.transaction(trial.url) as cursor:
            cursor.execute(f'drop schema "{schema}" cascade')


def shorten(trial, rows: int) -> None:
    """Leave only some rows of a curated table, as a later run would."""
    lake = trial.lake
    state, delta = manifest.states(lake)[GROUP], lake.open(TABLE)
    version = lake.commit(delta, Change(trial.table(TABLE).head(rows)), GROUP, state.seq + 1, replace="true")
    versions = {**state.versions, TABLE: version}
    manifest.record(lake, replace(state, seq=state.seq + 1, versions=versions))


def by_hand(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """dbt as an analytics engineer calls it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "LAKEHOUSE_"))}
    environment = {**kept, **postgres.dbt_environment(url), "USER": "anna.berg"}
    places = ["--project-dir", PROJECT / "dbt_project", "--profiles-dir", PROJECT / "dbt_project"]
    dbt = Path(sys.executable).with_name("dbt")
    return subprocess.run([dbt, *words, *places], env=environment, capture_output=True, text=True, check=False)


def test_a_cut_from_its_making_to_its_end(call, aside, tmp_path):
    """One story, because each of its steps takes the ones before."""

    def lakehouse(*words: str) -> str:
        done = call(*words, **of(aside))
        assert done.returncode == 0, done.stderr
        return done.stdout

    whole = aside.table(TABLE).height
    told = lakehouse("cut", "create", "interim_1", "--why", "interim analysis")
    tables = len(manifest.versions(aside.lake))
    assert f"interim_1: {tables} tables" in told
    shorten(aside, 100)
    lakehouse("cut", "create", "interim_2")
    [first, second] = json.loads(lakehouse("cut", "list", "--format", "json"))
    assert (first["name"], first["by"], first["why"]) == ("interim_1", getuser(), "interim analysis")
    assert second["rows"] == first["rows"] - whole + 100

    count = "select count(*) n from curated.vital_signs"
    assert lakehouse("sql", count, "--format", "csv") == "n\n100\n"
    assert lakehouse("sql", count, "--cut", "interim_1", "--format", "csv") == f"n\n{whole}\n"
    compared = {
        row["table"]: row for row in json.loads(lakehouse("cut", "diff", "interim_1", "interim_2", "--format", "json"))
    }
    assert len(compared) == tables
    assert {name for name, row in compared.items() if row["added"] or row["removed"] or row["changed"]} == {TABLE}
    assert compared[TABLE]["removed"] == whole - 100
    since = json.loads(lakehouse("cut", "diff", "interim_2", "--format", "json"))
    assert not [row for row in since if row["added"] or row["removed"] or row["changed"]]

    marts = aside.query("select count(*), max(_received_at) from marts.fct_vital_signs")
    built = postgres_state(aside)
    nodes = json.loads(DbtResource(aside.settings).manifest().read_text())["nodes"].values()
    models = sum(node["resource_type"] == "model" for node in nodes)
    assert f"cut_interim_2: {models} models" in lakehouse("cut", "build", "interim_2")
    assert aside.query("select count(*) from cut_interim_2.fct_vital_signs") == [(100,)]
    assert aside.query("select count(*) from cut_interim_2__staging.stg_vital_signs") == [(100,)]
    treated = aside.table("curated/treatment").height
    assert aside.query("select count(*) from unblinded_interim_2.treatment") == [(treated,)]
    # By hand, in schemas of one's own, which go with the cut as well.
    done = by_hand(
        aside.url, "run", "-s", "+fct_vital_signs", "--vars", "{cut: interim_2}", "--target-path", tmp_path / "t"
    )
    assert done.returncode == 0, done.stdout
    assert aside.query("select count(*) from dbt_anna_berg__cut_interim_2.fct_vital_signs") == [(100,)]
    # What everybody reads is as it was, and nothing of it is due to be built anew.
    assert aside.query("select count(*), max(_received_at) from marts.fct_vital_signs") == marts
    assert postgres_state(aside) == built

    read = json.loads(lakehouse("cut", "show", "interim_1", "--verify", "--format", "json"))
    assert len(read) == tables
    assert all(row["same"] for row in read)
    told = " ".join(lakehouse("cut", "drop", "interim_2", "--why", "made by mistake").split())
    assert "dbt_anna_berg__cut_interim_2, dbt_anna_berg__cut_interim_2__staging, lake_interim_2" in told
    assert aside.query("select count(*) from pg_namespace where nspname like '%interim%'") == [(0,)]
    assert [row["name"] for row in json.loads(lakehouse("cut", "list", "--format", "json"))] == ["interim_1"]
    [_, gone] = json.loads(lakehouse("cut", "list", "--dropped", "--format", "json"))
    assert (gone["name"], gone["dropped_by"], gone["dropped_why"]) == ("interim_2", getuser(), "made by mistake")


def postgres_state(trial) -> list[tuple[object, ...]]:
    return [*trial.query("select * from lake.loads order by 1"), *trial.query("select * from lake.built")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "Interim"), "no name for a cut"),
        (("create", "early", "--as-of", "2012-01-01"), "it held nothing yet"),
        (("create", "never", "--as-of", "2999-01-01"), "is not over"),
        (("show", "nothing"), "there is no cut nothing; there are: none"),
        (("diff", "nothing"), "there is no cut nothing"),
        (("build", "nothing"), "there is no cut nothing"),
        (("drop", "nothing", "--why", "tidy"), "there is no cut nothing"),
    ],
)
def test_what_cannot_be_done_is_told(call, trial, words, told):
    done = call("cut", *words, home=trial.settings.home, landing=trial.settings.landing)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cut_that_no_longer_reads_as_it_did_is_exit_code_1(call, aside):
    assert call("cut", "create", "interim_1", **of(aside)).returncode == 0
    lost = next((Path(aside.settings.lake) / "processed/vitals").rglob("*.parquet"))
    lost.unlink()
    done = call("cut", "show", "interim_1", "--verify", **of(aside))
    assert done.returncode == 1
    assert "cut interim_1 no longer reads as it did: processed/vitals" in done.stderr
    assert len(catalog.sources()) > 1
