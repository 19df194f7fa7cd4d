"""Settings: where they come from, in what order, and that a bad one is named and never shown."""

import re
import traceback
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT, Settings

SECRET = "postgresql://me:s3cret-word@db:5432/trial"
REMOTE = "sftp://me:s3cret-word@files.example.org/drop"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def load(project: Path, **variables: str) -> Settings:
    return Settings.load({"LAKEHOUSE_HOME": str(project / "home"), **variables}, project)


def told(project: Path, variables: Mapping[str, str] | None = None) -> str:
    """The message when settings cannot be used, with all that a traceback would show."""
    with pytest.raises(ConfigurationError) as raised:
        load(project, **(variables or {}))
    return str(raised.value) + "".join(traceback.format_exception(raised.value))


def test_everything_has_a_default() -> None:
    settings = Settings()
    assert settings.home == PROJECT / ".lakehouse"
    assert settings.landing == PROJECT / "landing"
    assert settings.lake_uri == str(PROJECT / ".lakehouse" / "lake")
    assert settings.postgres == PROJECT / ".lakehouse" / "postgres"
    assert settings.dagster == PROJECT / ".lakehouse" / "dagster"
    assert (settings.warehouse, settings.remote, settings.as_of) == (None, None, None)
    assert settings.batch_bytes == 16_777_216
    assert settings.settle_seconds == 2


def test_every_field_is_set_by_its_variable(project: Path, tmp_path: Path) -> None:
    settings = load(
        project,
        LAKEHOUSE_HOME=str(tmp_path / "home"),
        LAKEHOUSE_LAKE="s3://bucket/trial/",
        LAKEHOUSE_LANDING=str(tmp_path / "drop"),
        LAKEHOUSE_REMOTE=REMOTE,
        LAKEHOUSE_WAREHOUSE=SECRET,
        LAKEHOUSE_AS_OF="2015-03-06",
        LAKEHOUSE_BATCH_BYTES="1000",
        LAKEHOUSE_SETTLE_SECONDS="0.5",
        LAKEHOUSE_REPORTS="https://trial.example.org/reports",
        PATH="/usr/bin",
    )
    assert (settings.home, settings.landing) == (tmp_path / "home", tmp_path / "drop")
    assert settings.lake_uri == "s3://bucket/trial"
    assert settings.warehouse
    assert settings.warehouse.get_secret_value() == SECRET
    assert settings.remote
    assert settings.remote.get_secret_value() == REMOTE
    assert settings.as_of == date(2015, 3, 6)
    assert (settings.batch_bytes, settings.settle_seconds) == (1000, 0.5)
    assert settings.reports == "https://trial.example.org/reports"


def test_the_environment_goes_before_the_projects_file_and_that_before_the_homes(project: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "settings.env").write_text(
        "LAKEHOUSE_AS_OF=2001-01-01\nLAKEHOUSE_BATCH_BYTES=1\nLAKEHOUSE_SETTLE_SECONDS=1\n"
    )
    (project / ".env").write_text(f"LAKEHOUSE_HOME={home}\nLAKEHOUSE_AS_OF=2002-02-02\nLAKEHOUSE_BATCH_BYTES=2\n")
    settings = Settings.load({"LAKEHOUSE_AS_OF": "2003-03-03"}, project)
    assert settings.home == home
    assert (settings.as_of, settings.batch_bytes, settings.settle_seconds) == (date(2003, 3, 3), 2, 1)


def test_an_empty_value_is_no_value(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(project, LAKEHOUSE_WAREHOUSE="", LAKEHOUSE_AS_OF="", LAKEHOUSE_LAKE="")
    assert (settings.warehouse, settings.as_of) == (None, None)
    assert settings.lake_uri == str(project / "home" / "lake")
    # Nor does an empty home make the folder one happens to be in the home.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.env").write_text("LAKEHOUSE_SETTLE_SECONDS=77\n")
    settings = load(project, LAKEHOUSE_HOME="")
    assert settings.home == PROJECT / ".lakehouse"
    assert settings.settle_seconds != 77


def test_relative_folders_are_below_where_one_is(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(project, LAKEHOUSE_HOME="state", LAKEHOUSE_LANDING="drop", LAKEHOUSE_LAKE="lake/")
    assert (settings.home, settings.landing) == (tmp_path / "state", tmp_path / "drop")
    assert settings.lake_uri == str(tmp_path / "lake")


def test_env_files_may_hold_what_such_files_hold(project: Path) -> None:
    (project / ".env").write_text(
        "# a comment\n\nexport LAKEHOUSE_AS_OF='2015-03-06' # ended\nOTHER=1\nLAKEHOUSE_LAKE=\"s3://b/ä\"\n",
        encoding="utf-8",
    )
    settings = load(project)
    assert settings.as_of == date(2015, 3, 6)
    assert settings.lake_uri == "s3://b/ä"


def test_an_unknown_setting_is_named_with_the_choices(project: Path) -> None:
    message = told(project, {"LAKEHOUSE_LANDNIG": "/drop-zone"})
    assert "LAKEHOUSE_LANDNIG, set in the environment, is not a setting" in message
    assert "LAKEHOUSE_LANDING" in message
    assert "/drop-zone" not in message


@pytest.mark.parametrize("name", ["LAKEHOUSE_LANDNIG", "LAKEHOUSE_SYSTEMS"])
def test_the_choices_are_all_settings_and_no_others(project: Path, name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(project, **{name: "kafka://lab"})
    message = str(raised.value)
    assert message.startswith(f"{name}, set in the environment, is not a setting; there are LAKEHOUSE_HOME, ")
    documented = re.findall("^[|] `(LAKEHOUSE_[A-Z_<>]+)`", (PROJECT / "docs/settings.md").read_text(), re.MULTILINE)
    assert sorted(message.rpartition(" there are ")[2].split(", ")) == sorted(documented)


def test_where_the_tests_find_a_cluster_is_nobody_else_s_affair(project: Path) -> None:
    assert load(project, LAKEHOUSE_KAFKA="10.0.0.7:9092") == load(project)


def test_an_unknown_setting_in_a_file_is_told_with_the_file(project: Path, tmp_path: Path) -> None:
    (project / ".env").write_text("LAKEHOUSE_LANDNIG=/drop-zone\n")
    assert f"LAKEHOUSE_LANDNIG, set in {project / '.env'}, is not a setting" in told(project)
    (project / ".env").write_text("")
    (tmp_path / "settings.env").write_text("LAKEHOUSE_LANDNIG=/drop-zone\n")
    message = told(project, {"LAKEHOUSE_HOME": str(tmp_path)})
    assert f"set in {tmp_path / 'settings.env'}" in message


def test_variables_for_the_processes_it_starts_are_no_settings(project: Path) -> None:
    given = {"LAKEHOUSE_DBT_TARGET": "x", "LAKEHOUSE_PG_HOST": "x", "LAKEHOUSE_DAGSTER_DAY": "x"}
    assert load(project, **given) == load(project)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("LAKEHOUSE_AS_OF=2015-03-06\n\nthis is =! not a line s3cret-word\n", 3),
        ("LAKEHOUSE_WAREHOUSE='s3cret-word\n", 1),
        ("# comment\nLAKEHOUSE_WAREHOUSE\n", 2),
        ("LAKEHOUSE_AS_OF=2015-03-06\n=s3cret-word\n", 2),
    ],
    ids=["after a blank line", "unfinished", "bare name", "no name"],
)
def test_a_corrupt_line_is_named_by_file_and_line_and_not_shown(project: Path, text: str, line: int) -> None:
    (project / ".env").write_text(text)
    message = told(project)
    assert f"{project / '.env'}, line {line}" in message
    assert "s3cret" not in message


def test_a_file_that_is_not_text_is_named(project: Path) -> None:
    (project / ".env").write_bytes("LAKEHOUSE_WAREHOUSE=s3cret-wörd\n".encode("latin-1"))
    message = told(project)
    assert f"{project / '.env'} cannot be read (UnicodeDecodeError)" in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAKEHOUSE_AS_OF", "2015-02-30"),
        ("LAKEHOUSE_AS_OF", "the-fifth-of-may"),
        ("LAKEHOUSE_BATCH_BYTES", "128MB"),
        ("LAKEHOUSE_BATCH_BYTES", "-77"),
        ("LAKEHOUSE_SETTLE_SECONDS", "-77"),
    ],
)
def test_a_bad_value_is_told_by_its_name_and_place(project: Path, name: str, value: str) -> None:
    assert f"{name}, set in the environment, cannot be used: " in told(project, {name: value})
    (project / ".env").write_text(f"{name}={value}\n")
    message = told(project)
    assert f"{name}, set in {project / '.env'}, cannot be used: " in message
    assert value not in message


def test_all_that_is_wrong_is_told_at_once(project: Path) -> None:
    message = told(project, {"LAKEHOUSE_AS_OF": "never", "LAKEHOUSE_BATCH_BYTES": "0", "LAKEHOUSE_X": "1"})
    assert all(name in message for name in ("LAKEHOUSE_AS_OF", "LAKEHOUSE_BATCH_BYTES", "LAKEHOUSE_X"))


def test_secrets_are_never_shown(project: Path) -> None:
    settings = load(project, LAKEHOUSE_WAREHOUSE=SECRET, LAKEHOUSE_REMOTE=REMOTE)
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())]
    shown.append(told(project, {"LAKEHOUSE_WAREHOUSE": SECRET, "LAKEHOUSE_AS_OF": "never"}))
    assert [text for text in shown if "s3cret" in text] == []


def test_a_child_process_gets_the_same_settings(project: Path, tmp_path: Path) -> None:
    settings = load(
        project,
        LAKEHOUSE_HOME=str(tmp_path),
        LAKEHOUSE_WAREHOUSE=SECRET,
        LAKEHOUSE_REMOTE=REMOTE,
        LAKEHOUSE_AS_OF="2015-03-06",
        LAKEHOUSE_SETTLE_SECONDS="0.25",
    )
    assert Settings.load(settings.child_environment(), project) == settings
    assert load(project).child_environment().keys().isdisjoint({"LAKEHOUSE_WAREHOUSE", "LAKEHOUSE_AS_OF"})


def test_settings_do_not_change(project: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(project).batch_bytes = 1


def test_writers_of_an_object_store_may_not_be_let_undo_each_other(tmp_path: Path) -> None:
    remote = {"LAKEHOUSE_LAKE": "s3://bucket/lake", "AWS_S3_ALLOW_UNSAFE_RENAME": "true"}
    with pytest.raises(ConfigurationError, match="AWS_S3_ALLOW_UNSAFE_RENAME, set in the environment"):
        Settings.load(remote, tmp_path)
    assert Settings.load({**remote, "AWS_S3_ALLOW_UNSAFE_RENAME": "false"}, tmp_path).lake_uri == "s3://bucket/lake"
    assert Settings.load({**remote, "LAKEHOUSE_LAKE": "lake"}, tmp_path).lake == "lake"
