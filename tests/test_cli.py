"""The command line as a person or a script meets it: exit codes, messages on stderr, rows on stdout."""

import json
import shutil
import subprocess
from getpass import getuser

import polars as pl
import pytest

from assets import catalog
from lakehouse.clock import Clock
from lakehouse.curate import curate
from lakehouse.lake import Lake
from lakehouse.settings import PROJECT


def of(trial) -> dict[str, object]:
    """The settings of the session's lakehouse, its server included."""
    return {"home": trial.settings.home, "landing": trial.settings.landing, "as_of": trial.settings.as_of}


def test_help_teaches_every_command(call):
    done = call("--help")
    assert done.returncode == 0
    for command in (
        "demo",
        "land-pilot",
        "run",
        "up",
        "down",
        "status",
        "sql",
        "quarantine",
        "queries",
        "trace",
        "housekeep",
        "cut",
        "drift",
        "release",
        "warehouse-url",
    ):
        assert command in done.stdout


@pytest.mark.parametrize(
    "words", [("sql",), ("run", "--from", "2014-01-01"), ("run", "--from", "yesterday"), ("nonsense",)]
)
def test_wrong_usage_is_exit_code_2(call, words, home):
    assert call(*words, home=home / "state").returncode == 2


def test_an_unknown_source_is_told_with_the_choices(call, home):
    done = call("run", "--source", "vitls", home=home / "state")
    assert done.returncode == 1
    assert (
        "adverse_events, central_lab, disposition, edc_adverse_events, edc_subjects, edc_visits, exposure"
        in done.stderr
    )
    assert done.stdout == ""


def test_a_missing_landing_folder_is_told_and_works_once_it_is_there(call, home):
    done = call("run", home=home / "state", landing=home / "none")
    assert done.returncode == 1
    assert f"landing folder {home / 'none'} does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_corrupt_env_file_is_told_by_line_and_never_quoted(call, home):
    project = home / "project"
    project.mkdir()
    for part in ("lakehouse", "assets", "resources"):
        (project / part).symlink_to(PROJECT / part)
    # Imported from the copy, so that `.env` beside it is the one that is read.
    (project / "lakehouse").unlink()
    subprocess.run(["cp", "-r", PROJECT / "lakehouse", project / "lakehouse"], check=True)
    (project / ".env").write_text("LAKEHOUSE_AS_OF=2014-01-01\n'quoted secret=hunter2\n")
    done = call("status", project=project, home=home / "state")
    assert done.returncode == 1
    assert ".env, line 2" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_warehouse_that_is_down_is_told_without_its_password_and_nothing_is_lost(call, home):
    landing = home / "landing"
    landing.mkdir()
    url = "postgresql://lake:hunter2@127.0.0.1:1/lakehouse"
    done = call("run", home=home / "state", landing=landing, warehouse=url)
    assert done.returncode == 1
    assert "PostgreSQL" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_status_counts_what_arrived(ask, call, trial):
    done = ask("status", "--json", **of(trial))
    vitals = next(row for row in json.loads(done.stdout) if row["source"] == "vitals")
    assert vitals["records"] == vitals["accepted"] + vitals["quarantined"] + vitals["superseded"]
    assert vitals["newest_day"] == "2015-03-05"
    shown = call("status", **of(trial)).stdout
    parts = [shown.partition(title)[2] for title in ("Sources", "Systems", "Streams")]
    assert all(parts)
    assert "vitals" in parts[0]
    assert all(
        name in parts[1] for name in ("central_lab", "edc", "wearables", "not connected: set LAKEHOUSE_SYSTEM_EDC")
    )
    assert "not connected: set LAKEHOUSE_SYSTEM_WEARABLES" in " ".join(parts[2].split())


def test_status_as_json_tells_what_waits_in_the_systems(ask, home):
    lost = "http://lakehouse:hunter2@127.0.0.1:1"
    done = ask("status", "--json", home=home / "state", landing=home / "landing", system_central_lab=lost)
    by_source = {row["source"]: row for row in json.loads(done.stdout)}
    assert by_source["vitals"]["system"] is None
    assert by_source["edc_visits"]["system"] == {
        "name": "edc",
        "kind": "changes",
        "state": "not connected: set LAKEHOUSE_SYSTEM_EDC",
        **dict.fromkeys(("events", "bytes", "seconds")),
    }
    assert by_source["central_lab"]["system"]["state"].startswith("central_lab: /oauth/token cannot be reached")
    assert by_source["central_lab"]["streams"] is None
    (stream,) = by_source["wearable"]["streams"]
    unset = "not connected: set LAKEHOUSE_SYSTEM_WEARABLES"
    assert (stream["stream"], stream["system"], stream["state"]) == ("wearable", "wearables", unset)
    assert "hunter2" not in done.output


def test_a_run_for_a_source_whose_system_is_not_connected_says_what_to_set(ask, trial):
    done = ask("run", "--source", "central_lab", **of(trial))
    assert "central_lab: not connected: set LAKEHOUSE_SYSTEM_CENTRAL_LAB" in done.stderr
    assert (done.exit_code, done.stdout) == (0, "Everything is up to date.\n")


def test_a_run_that_cannot_ask_a_system_is_exit_code_1(call, trial, home):
    shutil.copytree(trial.settings.home / "lake", home / "state" / "lake")
    own = {**of(trial), "home": home / "state", "warehouse": trial.url}
    own["system_central_lab"] = "http://lakehouse:hunter2@127.0.0.1:1"
    done = call("run", **own)
    assert done.returncode == 1
    assert done.stdout == "All that can be had is up to date.\n"
    assert "nothing could be had for central_lab; lakehouse run tries again" in done.stderr
    assert "hunter2" not in done.stderr
    for _ in range(2):
        call("run", **own)
    # Left alone, but not when it is named.
    asks = "(lakehouse run --source central_lab asks at once)"
    assert asks in call("run", **own).stderr
    named = call("run", "--source", "central_lab", **own).stderr
    assert "/oauth/token cannot be reached" in named
    assert asks not in named


def test_landed_files_that_no_source_takes_are_told_by_a_run(call, trial, home):
    landing = home / "landing"
    (landing / "701").mkdir(parents=True)
    (landing / "701" / "vitals.csv").write_text("A\n")
    own = {**of(trial), "landing": landing}
    assert "1 landed files belong to no source: 701/vitals.csv" in call("run", **own).stdout


def test_sql_answers_in_every_format(ask, trial):
    statement = "select vstestcd, count(*) n from processed.vitals where _site <> '999' group by 1 order by 1 limit 1"
    assert ask("sql", statement, "--format", "csv", **of(trial)).stdout == "vstestcd,n\nDIABP,8207\n"
    assert json.loads(ask("sql", statement, "--format", "json", **of(trial)).stdout) == [
        {"vstestcd": "DIABP", "n": 8207}
    ]
    assert "DIABP" in ask("sql", statement, **of(trial)).stdout


def test_sql_that_cannot_run_is_told_with_the_tables(call, trial):
    done = call("sql", "select * from processed.vitls", **of(trial))
    assert done.returncode == 1
    assert "processed.vitals" in done.stderr
    assert 'psql "$(lakehouse warehouse-url)"' in call("sql", "select * from marts.dim_site", **of(trial)).stderr


def test_quarantine_lists_reasons_by_source_and_site(ask, trial):
    done = ask("quarantine", "--source", "vitals", "--site", "999", "--format", "json", **of(trial))
    rows = json.loads(done.stdout)
    assert {row["_site"] for row in rows} == {"999"}
    assert any("record:short" in row["reasons"] for row in rows)
    assert json.loads(ask("quarantine", "--site", "701", "--format", "json", **of(trial)).stdout) == []


def test_quarantine_is_counted_exported_for_the_site_and_told_when_mended(ask, trial, tmp_path):
    counted = json.loads(ask("quarantine", "--by", "site", "--format", "json", **of(trial)).stdout)
    assert {row["site"] for row in counted} == {"999"}
    done = ask("quarantine", "export", "--site", "999", "--to", str(tmp_path / "to-999"), **of(trial))
    assert done.exit_code == 0
    files = {str(path.relative_to(tmp_path / "to-999")) for path in (tmp_path / "to-999").glob("999/*")}
    waiting = json.loads(ask("quarantine", "--by", "file", "--format", "json", **of(trial)).stdout)
    assert files == {row["file"] for row in waiting}
    assert json.loads(ask("quarantine", "--resolved", "--format", "json", **of(trial)).stdout) == []
    assert (
        "Nothing of site 701" in ask("quarantine", "export", "--site", "701", "--to", str(tmp_path), **of(trial)).stdout
    )


def test_an_export_does_not_go_into_the_landing_folder(ask, trial):
    to = trial.settings.landing / "to-999"
    done = ask("quarantine", "export", "--site", "999", "--to", str(to), **of(trial))
    assert done.exit_code == 2
    assert not to.exists()


def test_questions_to_a_site_are_listed_and_sent_on_record(ask, call, trial, home):
    # Of a lake of its own: what is sent stays on record.
    shutil.copytree(trial.settings.home / "lake", home / "state" / "lake")
    own = {"home": home / "state", "landing": trial.settings.landing, "as_of": trial.settings.as_of}
    listed = json.loads(ask("queries", "--site", "999", "--format", "json", **own).stdout)
    assert {row["kind"] for row in listed} == {"same_results", "unit_mixup"}
    assert {(row["siteid"], row["status"], row["sent_at"]) for row in listed} == {("999", "open", None)}
    assert "which does not fit" in call("queries", "--site", "999", **own).stdout
    assert "no closed question to site 999" in ask("queries", "--site", "999", "--status", "closed", **own).stdout

    refused = ask("queries", "--csv", str(trial.settings.landing / "999.csv"), **own)
    assert refused.exit_code == 2
    assert not (trial.settings.landing / "999.csv").exists()
    for fresh in (2, 0):
        done = ask("queries", "--site", "999", "--csv", str(home / "out" / "999.csv"), **own)
        assert f"2 questions written to {home / 'out' / '999.csv'}" in done.stdout.replace("\n", "")
        assert pl.read_csv(home / "out" / "999.csv")["query"].to_list() == [row["query"] for row in listed]
        lake = Lake(str(home / "state" / "lake"))
        if fresh:
            assert lake.scan("sent/data_queries").collect()["query"].sort().to_list() == sorted(
                row["query"] for row in listed
            )
            curate(lake, catalog.curated(), catalog.sources(), Clock(trial.settings.as_of))
        # The second time nothing is new.
        assert f"{fresh} of them for the first time" in " ".join(done.stdout.split())
    sent_by = {row["sent_by"] for row in json.loads(ask("queries", "--site", "999", "--format", "json", **own).stdout)}
    assert sent_by == {getuser()}


def test_warehouse_url_reaches_the_server(call, trial):
    assert call("warehouse-url", **of(trial)).stdout.strip() == trial.url


def test_land_pilot_writes_until_a_day(ask, tmp_path):
    done = ask("land-pilot", str(tmp_path), "--until", "2012-07-31")
    assert done.exit_code == 0
    assert {path.name[-14:-7] for path in tmp_path.rglob("*.csv")} <= {"2012-06", "2012-07"}
