"""A PostgreSQL that feeds read: one consistent look through ADBC, names and texts in SQL, failures in words.

A failure comes out as a FeedError with PostgreSQL's code, never with its words, which may hold values of rows, or with
the URL, which holds a password.
"""

import hashlib
import io
import itertools
import mmap
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from lakehouse.feeds import FeedError

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Cursor
    from pyarrow.parquet import ParquetWriter

# Row security would keep rows from a user without a word: rather the query fails.
EVERY_ROW = "set row_security = off"
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
    "42501": "this user may not read all of it: grant it select on the table and usage on its schema, and where row "
    "security keeps rows from it: alter role … bypassrls",
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


class TooLargeError(Exception):
    """A query finds more than is to be had at once."""


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
        for rows in self._tables(query, most_bytes):
            buffer = io.BytesIO()
            with _writer(buffer, rows) as writer:
                writer.write_table(rows)
            yield buffer.getvalue()

    def file(self, query: str, most_bytes: int, most: int) -> tuple[mmap.mmap, str] | None:
        """What a query of texts finds as one file, which is on disk and gone when nobody has it, and what tells these
        texts in this order from others; None when it finds nothing.

        Holds about `most_bytes` of texts. Raises TooLargeError when there are more than `most`, FeedError when it
        fails.
        """
        tables, size = self._tables(query, most_bytes), 0
        first = next(tables, None)
        if first is None:
            return None
        digest = _Digest(first.column_names)
        with tempfile.TemporaryFile() as spooled:
            with _writer(spooled, first) as writer:
                for rows in itertools.chain([first], tables):
                    size += rows.nbytes
                    if size > most:
                        raise TooLargeError
                    digest.update(rows)
                    writer.write_table(rows)
            spooled.flush()
            return mmap.mmap(spooled.fileno(), 0, access=mmap.ACCESS_READ), str(digest)

    def _tables(self, query: str, most_bytes: int) -> Iterator["pa.Table"]:
        """What a query finds, in pieces of about `most_bytes`."""
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
                yield pa.Table.from_batches(held)
                held, size = [], 0
        if held:
            yield pa.Table.from_batches(held)


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
            cursor.execute(EVERY_ROW)
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


def _writer(sink: IO[bytes], rows: "pa.Table") -> "ParquetWriter":
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(sink, rows.schema, compression="zstd")


class _Digest:
    """Tells columns of texts from others, in whatever pieces they come."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        # Of a column, the lengths of its texts, and all of them.
        self._hashes = [(hashlib.sha256(), hashlib.sha256()) for _ in names]

    def update(self, rows: "pa.Table") -> None:
        import numpy as np
        from pyarrow import compute

        for column, (lengths, texts) in zip(rows.columns, self._hashes, strict=True):
            for piece in column.chunks:
                # No text is none of length 0.
                lengths.update(compute.fill_null(compute.binary_length(piece), -1).to_numpy().data)
                filled = compute.fill_null(piece, "")
                _, places, data = filled.buffers()
                ends = np.frombuffer(places, np.int32)[filled.offset : filled.offset + len(filled) + 1]
                if data is not None:
                    texts.update(memoryview(data)[ends[0] : ends[-1]])

    def __str__(self) -> str:
        told = [repr(self._names), *(part.hexdigest() for pair in self._hashes for part in pair)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]
