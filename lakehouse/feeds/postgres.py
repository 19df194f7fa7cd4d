"""A PostgreSQL that feeds read: one consistent look through ADBC, names and texts in SQL, failures in words.

A failure comes out as a FeedError with PostgreSQL's code, never with its words, which may hold values of rows, or with
the URL, which holds a password.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lakehouse.feeds import FeedError

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

# How values are written, whatever the server and the user are set to.
_TEXTS = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
}
# What PostgreSQL's codes of failures mean to a person; the first that fits.
_MEANINGS = {
    "42501": "this user may not read it: grant it select on the table and usage on its schema",
    "42P01": "the table is gone: bring it back, or change the source",
    "42703": "a column is gone: bring it back, or change the source",
    "28": "it refuses this user: mend the user or the password in the system's address",
    "3D000": "it has no such database: mend the system's address",
    "57P": "it was shut down: try again when it is up",
    "57014": "it took too long: raise the user's statement_timeout",
    "53": "it has no more room or connections: try again later",
}

_UNREACHABLE = "it cannot be reached or read: check its address and that it is up"
_BROKEN_OFF = "reading broke off: look into the server's log, and pull again"


class Session:
    """A transaction that sees one state of the database and changes nothing."""

    def __init__(self, cursor: "Cursor", system: str) -> None:
        self._cursor, self._system = cursor, system

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds. Raises FeedError when it fails."""
        with failing(self._system):
            self._cursor.execute(query)
            return list(self._cursor.fetchall())

    def row(self, query: str) -> tuple[Any, ...]:
        """The one row that a query finds."""
        (found,) = self.rows(query)
        return found

    def parquet(self, query: str, most_bytes: int) -> Iterator[bytes]:
        """What a query of texts finds, in files of about `most_bytes` of texts; none when it finds nothing.

        Holds one such file and some rows of the next. Raises FeedError when it fails.
        """
        import pyarrow as pa

        held: list[pa.RecordBatch] = []
        size = 0
        with failing(self._system):
            # Told, batches end there; the driver's own are 16 MiB.
            self._cursor.adbc_statement.set_options(
                **{"adbc.postgresql.batch_size_hint_bytes": str(max(min(most_bytes, 1 << 24), 1 << 10))}
            )
            self._cursor.execute(query)
            batches = iter(self._cursor.fetch_record_batch())
        while True:
            with failing(self._system):
                batch = next(batches, None)
            if batch is None:
                break
            if not batch.num_rows:
                continue
            held.append(batch)
            size += batch.nbytes
            if size >= most_bytes:
                yield _file(held)
                held, size = [], 0
        if held:
            yield _file(held)


@contextmanager
def session(url: str, system: str) -> Iterator[Session]:
    """A look into the database at `url`. Raises FeedError when it cannot be reached."""
    from adbc_driver_postgresql import dbapi

    with failing(system):
        connection = dbapi.connect(impatient(url))
    with connection:
        with failing(system):
            cursor = connection.cursor()
            cursor.execute("set transaction isolation level repeatable read, read only")
            for name, value in _TEXTS.items():
                cursor.execute(f"set local {name} = '{value}'")
        try:
            with cursor:
                yield Session(cursor, system)
        finally:
            with failing(system):
                connection.rollback()


def impatient(url: str) -> str:
    """A database's URL with limits: one that takes the call and says nothing is given up, as is one that is gone."""
    limits = "connect_timeout=10&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=60000"
    return f"{url}{'&' if '?' in url else '?'}{limits}"


@contextmanager
def failing(system: str, meanings: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Raise a driver's failure as a FeedError. meanings: of PostgreSQL's codes, where they are others than usual."""
    import psycopg2
    import pyarrow as pa
    from adbc_driver_manager import Error

    try:
        yield
    except (Error, psycopg2.Error) as error:
        code = str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "").strip("\0")
        known = (*meanings.items(), *_MEANINGS.items())
        words = next((words for begin, words in known if code.startswith(begin)), _UNREACHABLE)
        told = f" (PostgreSQL's code is {code})" if code else ""
        raise FeedError(f"{system}: {words}{told}; what was pulled before is kept") from None
    # Of rows after the first, by way of Arrow, which knows no codes.
    except (pa.ArrowException, OSError):
        raise FeedError(f"{system}: {_BROKEN_OFF}; what was pulled before is kept") from None


def quoted(*names: str) -> str:
    """A name as it is written in SQL, with its schema before it where that is given."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """A text as it is written in SQL; backslashes stand for themselves."""
    return "'" + text.replace("'", "''") + "'"


def _file(batches: list[Any]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_batches(batches), buffer, compression="zstd")
    return buffer.getvalue()
