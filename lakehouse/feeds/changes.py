"""Changes of a PostgreSQL table, from its log: a snapshot, then every insert, update, delete and truncation since.

The table's source names Parquet as its dialect and has one row per change. A position is that of a transaction's commit
in the log, in 16 hexadecimal digits, and the change's number in it, in 10 digits; all nines: the transaction is whole.
What is no commit has an odd position, which no commit has: commits begin at multiples of 8. Those are

- a snapshot: one before its slot's first change. It is on record whole when its last part is, which ends in all nines
  and in a row whose operation is `complete`; what an earlier attempt left means nothing (see `lakehouse.changes`);
- a quiet stretch of the log: one before its end. A part without rows lets the slot be released though nobody changed
  this table.

A stream is named by `starts` and by the number that the table has in the publication. So what is on record tells
when somebody made the publication anew: changes in between are in no log that we could read.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from lakehouse.errors import SourceError
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Part, Reached
from lakehouse.feeds.extracts import ADDED, WHOLE, batches, extracts, parquet, snapshot_frames, today
from lakehouse.feeds.postgres import literal, quoted
from lakehouse.feeds.slots import State

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection

    from lakehouse.source import Source

# How much of the log may be about other tables before a part without rows lets it be released.
_QUIET = 64 * 2**20
# The first version whose slots tell why they are no longer good.
_SERVER = 17
# Of a slot's or a publication's name, in bytes.
_LONGEST = 63
# For how long a look may decode the first transaction that waits: a million rows of it take two seconds or more.
_LOOK = "2s"
_FRESH = "for a fresh snapshot raise `starts` of the source's feed by one"


@dataclass(frozen=True, kw_only=True)
class Changes(Feed):
    """The changes of one table. PostgreSQL 17 or newer, its `wal_level` logical.

    table: with its schema: `public.visits`. key: the columns that name a row, those of its primary key or replica
        identity. most_retained_bytes: more of the log than this, held for us, fails a check: it fills the disk.
    starts: how many fresh starts there were; one more asks for a fresh snapshot, and what was told between the last
        change on record and that snapshot is not known. Every row tells it: positions of another server's log are
        another count, so that a fresh start alone says what came first.
    """

    table: str
    key: tuple[str, ...]
    most_retained_bytes: int = 10 * 2**30
    starts: int = 1
    kind: ClassVar[str] = "changes"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^.]+\.[^.]+", self.table):
            raise SourceError(f"{self.system}: table {self.table!r} must be written schema.name")
        if not self.key:
            raise SourceError(f"{self.system}: without the key of {self.table} nothing tells its rows apart")
        if self.starts < 1:
            raise SourceError(f"{self.system}: {self.table} needs one snapshot or more to begin with")

    @property
    def _named(self) -> tuple[str, str]:
        schema, _, name = self.table.partition(".")
        return schema, name

    def check(self, name: str) -> None:
        if (bytes_ := len(_slot(name).encode())) > _LONGEST:
            # Cut short by PostgreSQL, it could be that of another source.
            raise SourceError(
                f"source {name}: its slot's name has {bytes_} bytes, and PostgreSQL takes {_LONGEST}: shorten the "
                f"source's name by {bytes_ - _LONGEST}"
            )

    def pull(self, url: str, source: "Source", reached: Reached, most_bytes: int) -> Iterator[Extract]:
        from lakehouse.feeds.slots import asking, connect

        with asking(self.system), closing(connect(url)) as connection:
            now = self._state(connection, source)
            if trouble := self._unfit(now):
                raise FeedError(trouble)
            if (position := self._position(reached)) is None:
                yield from self._snapshot(url, connection, source, now, most_bytes)
                return
            if trouble := self._broken(now, position):
                raise FeedError(trouble)
            yield from self._changes(connection, source, now, position, most_bytes)

    def lag(self, url: str, source: "Source", reached: Reached) -> Lag:
        """Bytes: the log that the slot holds. Seconds: the age of the oldest commit that was not pulled, None when its
        transaction is so large that a look cannot tell. Events are not counted: that takes reading them all; 0 when
        there are none."""
        from lakehouse.feeds.slots import asking, connect

        with asking(self.system), closing(connect(url)) as connection:
            now = self._state(connection, source)
            position = self._position(reached)
            if position is None:
                return Lag(bytes=max(now.size, 1), trouble=self._unfit(now))
            if trouble := self._unfit(now) or self._broken(now, position):
                return Lag(bytes=now.retained, trouble=trouble)
            if now.retained > self.most_retained_bytes:
                trouble = (
                    f"{self.table}: {now.retained} bytes of log are held for {source.name}, more than "
                    f"{self.most_retained_bytes}: pull it soon, or drop slot {_slot(source.name)} before the disk is "
                    "full"
                )
            if now.active:
                return Lag(bytes=now.retained, trouble=trouble)
            if position.endswith(WHOLE) and now.confirmed <= _lsn(position):
                # What is on record was not released: the first transaction in the log is none that waits.
                return Lag(bytes=max(now.retained, 1), trouble=trouble)
            waits, seconds = _oldest(connection, _slot(source.name), position)
            if not waits and now.now - _lsn(position) < _QUIET:
                return Lag(0, 0, 0.0, trouble)
            return Lag(bytes=max(now.retained, 1), seconds=seconds, trouble=trouble)

    def release(self, url: str, source: "Source", reached: Reached) -> None:
        from lakehouse.feeds.slots import advance, asking, connect

        if (position := self._position(reached)) is None:
            return
        with asking(self.system), closing(connect(url)) as connection:
            now = self._state(connection, source)
            if trouble := self._unfit(now) or self._broken(now, position):
                raise FeedError(trouble)
            # One byte past where a whole transaction's commit begins is past it, and before any other.
            until = _lsn(position) + position.endswith(WHOLE)
            if until > now.confirmed:
                advance(connection, _slot(source.name), until)

    def _position(self, reached: Reached) -> str | None:
        """The last change on record, with its stream before it; None when there is no whole snapshot."""
        mine = {name: end for name, end in reached.ends.items() if name.startswith(f"s{self.starts}_")}
        whole = {end: name for name, end in mine.items() if end.endswith(WHOLE) or not _lsn(end) % 2}
        return f"{whole[max(whole)]}@{max(whole)}" if whole else None

    def _state(self, connection: "Connection", source: "Source") -> State:
        """What the database says now. Raises FeedError when it is of a version that cannot tell it."""
        from lakehouse.feeds.slots import state, version

        if (number := version(connection)) < _SERVER:
            raise FeedError(
                f"{self.system}: PostgreSQL {number} is too old to follow: upgrade it to {_SERVER} or newer, or give "
                "the source a feed of a table without change capture; what was pulled is kept"
            )
        return state(connection, _slot(source.name), self._named)

    def _unfit(self, now: State) -> str | None:
        """Why the database cannot tell changes of the table at all."""
        if now.wal_level != "logical":
            return f"{self.system}: wal_level is {now.wal_level}: set it to logical and restart the server"
        if now.encoding == "SQL_ASCII":
            return f"{self.system}: its encoding is SQL_ASCII, so that its text may be anything: it must name one"
        if now.table is None:
            return f"{self.table} does not exist in {self.system}, or may not be seen: name the table that does"
        if missing := [name for name in self.key if name not in now.identity]:
            return (
                f"{self.table} of {self.system} does not tell {missing} of an old row: give it a primary key of "
                f"{list(self.key)}, or a replica identity that has them"
            )
        return None

    def _broken(self, now: State, position: str) -> str | None:
        """Why changes since `position` are not all to be had."""
        stream = position.partition("@")[0]
        kept = f"changes of {self.table} up to the last pull are kept, later ones may be lost"
        if now.published is None or not now.sound:
            return f"{self.system}: its publication no longer tells every change; {kept}; {_FRESH}"
        if stream != self._stream(now):
            return f"{self.system}: its publication was made anew by somebody else; {kept}; {_FRESH}"
        if not now.slot:
            return f"{self.system}: its slot is gone; {kept}; {_FRESH}"
        if now.status == "lost":
            return f"{self.system}: the server gave up the log that its slot held; {kept}; {_FRESH}"
        if now.confirmed > _lsn(position) + position.endswith(WHOLE):
            return f"{self.system}: its slot is ahead of what is on record; {kept}; {_FRESH}"
        return None

    def _stream(self, now: State) -> str:
        return f"s{self.starts}_{now.published}"

    def _snapshot(
        self, url: str, connection: "Connection", source: "Source", now: State, most_bytes: int
    ) -> Iterator[Extract]:
        """All rows of the table as they were when a new slot began.

        An attempt that died is begun again with a new slot: nobody else can read its snapshot. Rows that it left are
        at a position of which no row says that it is complete.
        """
        from lakehouse.feeds.slots import connect, created, drop, publish

        drop(connection, _slot(source.name))
        if now.published is None or not now.sound:
            publish(connection, _slot(source.name), self._named)
            now = self._state(connection, source)
        stream = self._stream(now)
        with (
            created(url, _slot(source.name)) as (begins, snapshot),
            closing(connect(url, autocommit=False)) as reader,
            reader.cursor() as cursor,
        ):
            cursor.execute("set transaction isolation level repeatable read read only")
            cursor.execute(f"set transaction snapshot {literal(snapshot)}")
            cursor.execute("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            (at,) = cursor.fetchone()
            # Output functions, which the log uses, and not casts, which write some types otherwise.
            values = ", ".join(
                f"case when num_nulls({quoted(name)}) = 0 then format('%s', {quoted(name)}) end as {quoted(name)}"
                for name in now.columns
            )
            frames = snapshot_frames(
                batches(cursor, f"select {values} from {quoted(*self._named)}", most_bytes),
                now.columns,
                begins - 1,
                at,
            )
            yield from extracts(frames, stream, self.starts, most_bytes, "")

    def _changes(
        self, connection: "Connection", source: "Source", now: State, position: str, most_bytes: int
    ) -> Iterator[Extract]:
        """Every change of the transactions that had been committed when the pull began, after `position`."""
        from lakehouse.feeds.pgoutput import Decoder
        from lakehouse.feeds.slots import lsn

        stream, _, last = position.partition("@")
        name = literal(_slot(source.name))
        with connection.cursor() as cursor:
            peek = (
                f"select data from pg_logical_slot_peek_binary_changes({name}, '{lsn(now.now)}', null, "
                f"'proto_version', '1', 'publication_names', {name})"
            )
            decoder = Decoder(self.key)
            decoded = (
                frame for batch in batches(cursor, peek, most_bytes) for frame in decoder.frames(batch.column(0))
            )
            told = False
            for extract in extracts(decoded, stream, self.starts, most_bytes, last):
                told = True
                yield extract
            if not told and now.now - _lsn(last) >= _QUIET:
                quiet = f"{now.now - 1:016X}.{WHOLE}"
                empty = pl.DataFrame(schema=dict.fromkeys([*now.columns, *ADDED], pl.String))
                yield Extract(Part(stream, quiet, quiet), parquet([empty], self.starts), today())


def _slot(name: str) -> str:
    """Name of a source's slot and publication."""
    return f"lakehouse_{name}"


def _lsn(position: str) -> int:
    """Where in the log a position is."""
    return int(position.rpartition("@")[2].partition(".")[0], 16)


def _oldest(connection: "Connection", slot: str, position: str) -> tuple[bool, float | None]:
    """Whether there is a commit after `position`, and seconds since the first; None where that takes too long to tell.

    PostgreSQL decodes all of a transaction before it tells when it was committed.
    """
    from adbc_driver_manager import Error

    from lakehouse.feeds.slots import CANCELED

    with connection.cursor() as cursor:
        cursor.execute(f"set statement_timeout = {literal(_LOOK)}")
        try:
            cursor.execute(
                f"select data from pg_logical_slot_peek_binary_changes({literal(slot)}, null, 1, 'proto_version', '1', "
                f"'publication_names', {literal(slot)}) limit 1"
            )
            row = cursor.fetchone()
        except Error as error:
            if error.sqlstate == CANCELED:
                return True, None
            raise
    if row is None:
        return False, None
    # A Begin: where its transaction commits, and when, in microseconds since 2000.
    where, when = int.from_bytes(row[0][1:9]), int.from_bytes(row[0][9:17])
    if f"{where:016X}.{WHOLE}" <= position.partition("@")[2]:
        return False, None
    return True, max(0.0, datetime.now(UTC).timestamp() - 946_684_800 - when / 1e6)
