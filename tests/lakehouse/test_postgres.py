"""The embedded PostgreSQL: up while anyone uses it, and not a moment longer."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from adbc_driver_postgresql import dbapi
from pydantic import SecretStr

from lakehouse import postgres
from lakehouse.errors import ConfigurationError, UnavailableError
from lakehouse.settings import Settings

UNREACHABLE = "postgresql://me:s3cret-word@127.0.0.1:1/trial"


def ask(url: str, statement: str) -> object:
    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return row and row[0]


@contextmanager
def another_process(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A process that uses the server until its input ends."""
    program = (
        "import sys; from pathlib import Path; from lakehouse.postgres import serving\n"
        "from lakehouse.settings import Settings\n"
        "with serving(Settings(home=Path(sys.argv[1]))) as url: print(url, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(settings.home)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def test_a_large_table_made_while_others_were_at_work_is_counted_without_reading_it(quiet: Settings) -> None:
    with postgres.serving(quiet) as url:
        ask(url, "create schema models")
        with postgres.transaction(url) as other:
            # Whoever has begun before sees nothing of it.
            other.execute("set transaction isolation level repeatable read; select 1")
            ask(url, "create table models.made as select n, repeat('x', 600) as x from generate_series(1, 30_000) n")
            ask(url, "create index on models.made (n)")
            ask(url, "vacuum (analyze) models.made")
        ask(url, "create table models.small as select 1 as n")
        assert postgres.settle(url, {"other"}) == []
        assert postgres.settle(url, {"models", "other"}) == ["models.made"]
        with postgres.transaction(url) as cursor:
            cursor.execute("explain select count(*) from models.made")
            assert "Index Only Scan" in str(cursor.fetchall())
        assert postgres.settle(url, {"models"}) == []


def test_a_table_that_nobody_has_looked_at_is_settled_too(quiet: Settings) -> None:
    with postgres.serving(quiet) as url:
        ask(url, "create schema models")
        ask(url, "create table models.made as select n, repeat('x', 600) as x from generate_series(1, 30_000) n")
        assert postgres.settle(url, {"models"}) == ["models.made"]
        assert ask(url, "select reltuples from pg_class where oid = 'models.made'::regclass") == 30_000
        assert postgres.settle(url, {"models"}) == []


def test_a_table_that_another_build_takes_away_is_passed_over(quiet: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres.serving(quiet) as url:
        ask(url, "create schema models")
        for name in ("a", "b", "c"):
            ask(url, f"create table models.{name} as select n, repeat('x', 600) as x from generate_series(1, 20_000) n")
        real = postgres.transaction

        @contextmanager
        def taken(url: str, *, autocommit: bool) -> Iterator[Any]:
            with real(url, autocommit=autocommit) as cursor:
                yield Taking(cursor)

        class Taking:
            def __init__(self, cursor: Any) -> None:
                self.execute, self._cursor = cursor.execute, cursor

            def fetchall(self) -> list[Any]:
                found = self._cursor.fetchall()
                ask(url, "drop table models.b")
                return list(found)

        monkeypatch.setattr(postgres, "transaction", taken)
        assert postgres.settle(url, {"models"}) == ["models.a", "models.c"]


def test_it_starts_with_the_first_user_stops_with_the_last_and_keeps_its_rows(quiet: Settings) -> None:
    assert postgres.running(quiet) is None
    with postgres.serving(quiet) as url:
        assert postgres.running(quiet) == url
        ask(url, "create table kept as select 42 as answer")
        with postgres.serving(quiet) as again:
            assert again == url
        assert postgres.running(quiet) == url
        assert ask(url, "select current_database()") == "lakehouse"
    assert postgres.running(quiet) is None
    with postgres.serving(quiet) as url:
        assert ask(url, "select answer from kept") == 42


def test_it_stops_when_the_last_process_leaves_and_not_before(quiet: Settings) -> None:
    with another_process(quiet) as other:
        url = says(other)
        with postgres.serving(quiet) as mine:
            assert mine == url
        assert postgres.running(quiet) == url
        assert ask(url, "select 1") == 1
        assert not postgres.stop(quiet)
        with another_process(quiet) as third:
            assert says(third) == url
            leave(other)
            assert postgres.running(quiet) == url
            leave(third)
        assert postgres.running(quiet) is None


def test_several_processes_may_start_it_at_the_same_time(untouched: Settings) -> None:
    with another_process(untouched) as first, another_process(untouched) as second, another_process(untouched) as third:
        assert len({says(first), says(second), says(third)} - {""}) == 1
        for process in (first, second, third):
            leave(process)
    assert postgres.running(untouched) is None


def test_a_killed_user_leaves_nothing_to_clean_up(quiet: Settings) -> None:
    with another_process(quiet) as other:
        url = says(other)
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert postgres.running(quiet) == url
    with postgres.serving(quiet) as again:
        assert again == url
    assert postgres.running(quiet) is None


def test_it_stays_up_when_asked_until_stopped(quiet: Settings) -> None:
    with postgres.serving(quiet) as url:
        postgres.keep_running(quiet)
    assert postgres.running(quiet) == url
    with postgres.serving(quiet):
        assert not postgres.stop(quiet)
        postgres.keep_running(quiet)
    assert postgres.running(quiet) == url
    assert postgres.stop(quiet)
    assert postgres.running(quiet) is None
    assert postgres.stop(quiet)
    with postgres.serving(quiet):
        pass
    assert postgres.running(quiet) is None


def test_a_server_that_was_killed_is_started_again(quiet: Settings) -> None:
    with postgres.serving(quiet) as url:
        ask(url, "create table kept as select 42 as answer")
        postmaster = int((quiet.postgres / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        with pytest.raises(UnavailableError):
            postgres.prepare(url)
    with postgres.serving(quiet) as url:
        assert ask(url, "select answer from kept") == 42


def test_stopping_what_was_never_started(untouched: Settings) -> None:
    assert postgres.stop(untouched)
    assert not untouched.postgres.exists()


def test_a_configured_warehouse_is_used_and_nothing_is_started(untouched: Settings) -> None:
    for given in (UNREACHABLE, UNREACHABLE.replace("postgresql:", "postgres:")):
        configured = untouched.model_copy(update={"warehouse": SecretStr(given)})
        with postgres.serving(configured) as url:
            assert url == UNREACHABLE
        assert postgres.stop(configured)
    assert not untouched.postgres.exists()


@pytest.mark.parametrize(
    "url", ["mysql://me:s3cret-word@db/trial", "postgresql://me:s3cret-word@db", "s3cret-word", "db:5432/s3cret-word"]
)
def test_a_url_that_is_none_is_told_without_it(untouched: Settings, url: str) -> None:
    configured = untouched.model_copy(update={"warehouse": SecretStr(url)})
    with (
        pytest.raises(ConfigurationError, match="LAKEHOUSE_WAREHOUSE must be a URL like") as raised,
        postgres.serving(configured),
    ):
        pass
    assert "s3cret" not in str(raised.value)


def test_a_home_that_cannot_be_written_is_told(untouched: Settings) -> None:
    (untouched.home / "file").touch()
    blocked = untouched.model_copy(update={"home": untouched.home / "file"})
    with (
        pytest.raises(UnavailableError, match=r"cannot be written .* make it writable or set LAKEHOUSE_HOME"),
        postgres.serving(blocked),
    ):
        pass


def test_a_server_that_does_not_start_is_told_with_its_log(quiet: Settings) -> None:
    with postgres.serving(quiet):
        pass
    (quiet.postgres / "PG_VERSION").write_text("9.1\n")
    with pytest.raises(UnavailableError, match=f"does not start .*{quiet.postgres}/log"), postgres.serving(quiet):
        pass
    (quiet.postgres / "PG_VERSION").write_text("18\n")
    with postgres.serving(quiet) as url:
        assert ask(url, "select 1") == 1


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "password", "database"),
    [
        ("postgresql://me:p%40ss%2Fword@db:5433/trial", "db", "5433", "me", "p@ss/word", "trial"),
        ("postgresql://db/trial", "db", "5432", "postgres", "", "trial"),
        (
            "postgresql://postgres@/lakehouse?host=/srv/a%20b/postgres",
            "/srv/a b/postgres",
            "5432",
            "postgres",
            "",
            "lakehouse",
        ),
        ("postgresql://me@/trial?host=db&port=5433", "db", "5433", "me", "", "trial"),
        ("postgresql://me@[::1]:5433/trial", "::1", "5433", "me", "", "trial"),
    ],
)
def test_dbt_is_told_the_same_database(url: str, host: str, port: str, user: str, password: str, database: str) -> None:
    assert postgres.dbt_environment(url) == {
        "LAKEHOUSE_PG_HOST": host,
        "LAKEHOUSE_PG_PORT": port,
        "LAKEHOUSE_PG_USER": user,
        "DBT_ENV_SECRET_LAKEHOUSE_PG_PASSWORD": password,
        "LAKEHOUSE_PG_DBNAME": database,
    }


def test_dagster_has_a_schema_of_its_own_in_the_same_database(server: str) -> None:
    postgres.prepare(server)
    postgres.prepare(server)
    url = postgres.dagster_url(server)
    assert ask(url, "select current_schema()") == "dagster"
    assert ask(url, "select current_setting('synchronous_commit')") == "off"
    assert ask(server, "select current_schema()") == "public"
    assert postgres.dagster_url("postgresql://db/trial").startswith(
        "postgresql://db/trial?options=-csearch_path%3Ddagster"
    )


def test_a_server_that_is_down_is_told_without_its_url() -> None:
    with pytest.raises(UnavailableError, match="PostgreSQL does not answer as it should") as raised:
        postgres.prepare(UNREACHABLE)
    assert [word for word in ("s3cret", "127.0.0.1", "trial") if word in str(raised.value)] == []
    assert raised.value.__suppress_context__
