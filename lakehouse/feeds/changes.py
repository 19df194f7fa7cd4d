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

What the log does not tell (see `lakehouse.feeds.shape`) has a snapshot taken again, between the changes before it and
those after. Its stream is named `…_again`: where it ends says nothing of how far the changes have been pulled.
"""

import hashlib
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from lakehouse.errors import SourceError
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Reached
from lakehouse.feeds.extracts import ADDED, STARTS, WHOLE, Told, batches, extract, extracts, snapshot_frames
from lakehouse.feeds.peek import Peek, place, waiting
from lakehouse.feeds.postgres import literal, quoted
from lakehouse.feeds.shape import Shape, Watch, recorded
from lakehouse.feeds.slots import State
from lakehouse.formats import Format
from lakehouse.formats.parquet import Parquet

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection

    from lakehouse.source import Source

# How much of the log may be about other tables before a part without rows lets it be released.
_QUIET = 64 * 2**20
# How much of the log one pull reads: PostgreSQL decodes all that it is asked for before it tells the first change.
_STRETCH = 2**30
# For how long a snapshot that is taken again waits for transactions that are running.
_PATIENCE = "30s"
# The first version whose slots tell why they are no longer good.
_SERVER = 17
# Of a slot's or a publication's name, in bytes.
_LONGEST = 63
_FRESH = "for a fresh snapshot raise `starts` of the source's feed by one"


@dataclass(frozen=True, kw_only=True)
class Changes(Feed):
    """The changes of one table. PostgreSQL 17 or newer, its `wal_level` logical.

    table: with its schema: `public.visits`. key: the columns that name a row, those of its primary key or replica
        identity. most_retained_bytes: more of the log than this, held for us, fails a check: it fills the disk; so does
        more than half of what the server lets a slot hold. most_changes: about how many one pull takes before they are
        ingested; the next goes on. A transaction is pulled whole, however large.
    starts: how many fresh starts there were; one more asks for a fresh snapshot, and what was told between the last
        change on record and that snapshot is not known. Every row tells it: positions of another server's log are
        another count, so that a fresh start alone says what came first.
    """

    table: str
    key: tuple[str, ...]
    most_retained_bytes: int = 10 * 2**30
    most_changes: int = 1_000_000
    starts: int = 1
    kind: ClassVar[str] = "changes"
    lands: ClassVar[type[Format] | None] = Parquet

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^.]+\.[^.]+", self.table):
            raise SourceError(f"{self.system}: table {self.table!r} must be written schema.name")
        if not self.key:
            raise SourceError(f"{self.system}: without the key of {self.table} nothing tells its rows apart")
        if self.starts < 1:
            raise SourceError(f"{self.system}: {self.table} needs one snapshot or more to begin with")
        if self.most_changes < 1:
            raise SourceError(f"{self.system}: a pull of {self.table} takes one change or more")

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
            before, why = self._unlogged(url, source, reached, now)
            assert now.table is not None
            watch = Watch(now.table, self.key, before, now.shape, why)
            told = Told(self._stream(now), self.starts, watch.about)
            begun = position.partition("@")[2]
            last = yield from self._changes(connection, source, told, watch, begun, now.now, most_bytes)
            # Of what is in doubt not all is told, and it is not to be read with each pull.
            if last is not None and (watch.doubt or (last == begun and now.now - place(last) >= _quiet(now))):
                last = f"{now.now - 1:016X}.{WHOLE}"
                empty = pl.DataFrame(schema=dict.fromkeys([*now.columns, *ADDED], pl.String))
                yield extract([empty], told, last, last)
            if (why or watch.doubt) and last is not None:
                yield from self._again(url, connection, source, told, watch, last, most_bytes)

    def lag(self, url: str, source: "Source", reached: Reached) -> Lag:
        """Bytes: the log that the slot holds. Seconds: the age of the oldest commit that was not pulled. Events:
        changes of the first transactions, as far as a short look sees them. None, like seconds, when the first
        transaction is so large that it sees none.
        """
        from lakehouse.feeds.slots import asking, connect

        with asking(self.system), closing(connect(url)) as connection:
            now = self._state(connection, source)
            position = self._position(reached)
            if position is None:
                return Lag(bytes=max(now.size, 1), trouble=self._unfit(now))
            if trouble := self._unfit(now) or self._broken(now, position):
                return Lag(bytes=now.retained, trouble=trouble)
            trouble = self._alarm(now, source)
            if now.active:
                return Lag(bytes=now.retained, trouble=trouble)
            if self._unlogged(url, source, reached, now)[1]:
                return Lag(bytes=max(now.size, 1), trouble=trouble)
            if position.endswith(WHOLE) and now.confirmed <= place(position):
                # What is on record was not released: the first transaction in the log is none that waits.
                return Lag(trouble=trouble, held=True)
            found = waiting(connection, _slot(source.name), position)
            if not found.any and now.now - place(position) < _quiet(now):
                return Lag(0, 0, 0.0, trouble)
            return Lag(found.events, max(now.retained, 1), found.seconds, trouble, more=found.more)

    def release(self, url: str, source: "Source", reached: Reached) -> None:
        from lakehouse.feeds.slots import advance, asking, connect

        if (position := self._position(reached)) is None:
            return
        with asking(self.system), closing(connect(url)) as connection:
            now = self._state(connection, source)
            if trouble := self._unfit(now) or self._broken(now, position):
                raise FeedError(trouble)
            # One byte past where a whole transaction's commit begins is past it, and before any other.
            until = place(position) + position.endswith(WHOLE)
            if until > now.confirmed:
                advance(connection, _slot(source.name), until)

    def _position(self, reached: Reached) -> str | None:
        """The last change on record, with its stream before it; None when there is no whole snapshot."""
        mine = {name: end for name, end in reached.ends.items() if re.fullmatch(f"s{self.starts}_[0-9]+", name)}
        whole = {end: name for name, end in mine.items() if end.endswith(WHOLE) or not place(end) % 2}
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
        if now.silent:
            return (
                f"{self.table} of {self.system}, or a partition of it, is unlogged or foreign, its changes in no log: "
                "`alter table … set logged`, or give the source a feed of a table without change capture"
            )
        if taken := sorted({STARTS, *ADDED} & {column.name for column in now.shape.columns.values()}):
            return (
                f"{self.table} of {self.system} has columns {taken}, as the feed calls its own: rename them, or have "
                "the publication name the others"
            )
        if now.heirs:
            return (
                f"{self.table} of {self.system} has tables that inherit from it: it shows their rows too, which its "
                "own changes do not tell; follow a table without such, or one that has partitions instead"
            )
        return None

    def _unlogged(self, url: str, source: "Source", reached: Reached, now: State) -> tuple[Shape | None, str | None]:
        """The shape of the table that is on record, None when nothing tells, and what changed rows since without being
        logged as a change of them.
        """
        stream = self._stream(now)
        end, again = reached.ends[stream], reached.ends.get(f"{stream}_again", "")
        if again.endswith(WHOLE) and again >= end:
            stream, end = f"{stream}_again", again
        before = recorded(url, source.name, stream, end, reached.last)
        return before, now.shape.unlogged(before) if before else None

    def _alarm(self, now: State, source: "Source") -> str | None:
        """Why the log that the slot holds needs somebody."""
        held = f"{self.table}: {now.retained} bytes of log are held for {source.name}"
        pull = f"pull it soon, or drop slot {_slot(source.name)} and raise `starts` later"
        if now.status == "unreserved":
            return f"{held}, and the server is about to give them up: {pull}"
        if now.left is not None and now.left < now.retained:
            limit = f"after {max(now.left, 0)} more (max_slot_wal_keep_size)"
            return f"{held}, and the server gives them up {limit}: {pull}"
        if now.retained > self.most_retained_bytes:
            return f"{held}, more than {self.most_retained_bytes}: {pull}, before the disk is full"
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
        if now.now < place(position):
            return f"{self.system}: its log ends before what is on record, as of an older copy; {kept}; {_FRESH}"
        if now.confirmed > place(position) + position.endswith(WHOLE):
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
        from lakehouse.feeds.slots import created, drop, publish

        drop(connection, _slot(source.name))
        if now.published is None or not now.sound:
            publish(connection, _slot(source.name), self._named)
            now = self._state(connection, source)
            if trouble := self._unfit(now):
                raise FeedError(trouble)
        with created(url, _slot(source.name)) as slot:
            yield from self._rows(url, connection, source, slot, self._stream(now), most_bytes)

    def _again(
        self,
        url: str,
        connection: "Connection",
        source: "Source",
        told: Told,
        watch: Watch,
        last: str,
        most_bytes: int,
    ) -> Iterator[Extract]:
        """Changes after `last`, and all rows as they were after them.

        Whether all of a snapshot has landed is told by its end alone, for it is in a stream of its own.
        """
        from lakehouse.feeds.slots import created

        with created(url, _passing(source.name), _PATIENCE) as slot:
            end = yield from self._changes(connection, source, told, watch, last, slot[0], most_bytes)
            if end is not None:
                yield from self._rows(url, connection, source, slot, f"{told.stream}_again", most_bytes)

    def _rows(
        self, url: str, connection: "Connection", source: "Source", slot: tuple[int, str], stream: str, most_bytes: int
    ) -> Iterator[Extract]:
        """The table's rows as they were when a slot began, given as `slots.created` tells it."""
        from lakehouse.feeds.slots import connect

        begins, snapshot = slot
        with closing(connect(url, autocommit=False)) as reader, reader.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read read only")
            cursor.execute(f"set transaction snapshot {literal(snapshot)}")
            seen = self._state(reader, source)
            # Else a table that is written anew now has no rows for a snapshot from before.
            own = "" if seen.shape.split else "only "
            cursor.execute(f"lock table {own}{quoted(*self._named)} in access share mode")
            now = self._state(connection, source).shape
            if (seen.shape.columns, seen.shape.files) != (now.columns, now.files):
                raise FeedError(f"{self.table} of {self.system} was altered as its snapshot began: pull it again")
            cursor.execute("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            (at,) = cursor.fetchone()
            # Output functions, which the log uses, and not casts, which write some types otherwise.
            values = ", ".join(
                f"case when num_nulls({quoted(name)}) = 0 then format('%s', {quoted(name)}) end as {quoted(name)}"
                for name in seen.columns
            )
            rows = batches(cursor, f"select {values} from {own}{quoted(*self._named)}", most_bytes)
            frames = snapshot_frames(rows, seen.columns, begins - 1, at)
            yield from extracts(frames, Told(stream, self.starts, seen.shape.about), most_bytes, "")

    def _changes(
        self,
        connection: "Connection",
        source: "Source",
        told: Told,
        watch: Watch,
        last: str,
        until: int,
        most_bytes: int,
    ) -> Generator[Extract, None, str | None]:
        """Changes after `last` of the transactions that were committed before `until` in the log, as far as one pull
        goes. Returns the place of the last of them, or None when there may be more.
        """
        stretch, most = _STRETCH, self.most_changes
        since = place(last) + last.endswith(WHOLE)
        while True:
            end, upto = last, min(until, place(last) + stretch)
            peek = Peek(connection, _slot(source.name), watch, since, upto, most, all=upto == until)
            for one in extracts(peek.frames(most_bytes), told, most_bytes, last):
                end = one.part.end
                yield one
            if watch.whole or end != last:
                return end if watch.whole else None
            # Nothing new in it: what was pulled and not released, or what belongs to transactions that end later.
            stretch, most = 2 * stretch, 2 * most


def _slot(name: str) -> str:
    """Name of a source's slot and publication."""
    return f"lakehouse_{name}"


def _passing(name: str) -> str:
    """Name of a slot of a source's that lasts no longer than a snapshot is taken; no source has a slot of this name."""
    return f"lakehouse_again_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _quiet(now: State) -> int:
    """How much of the log may be about other tables: less where the server soon gives it up."""
    return _QUIET if now.left is None else min(_QUIET, (now.retained + max(now.left, 0)) // 4)
