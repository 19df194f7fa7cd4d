"""Tables of a PostgreSQL without change capture: what changed since the last pull, or the whole table each time.

How nothing is lost. A row that is written at ten and committed at eleven cannot be found by its `updated_at` once a
pull has passed ten. So the watermark only says where to look; what is new is told by the transaction that wrote the
row, which PostgreSQL keeps in it (`xmin`). A pull takes the rows of the transactions from the first that the pull
before had not taken to the last before the oldest one that is still open: all of these have ended, so each row is taken
once, however late it was committed and whatever its watermark says. An open transaction, of whatever database of the
server, delays what was written after it began, and `lag` says so.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from lakehouse.errors import SourceError
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Part, Reached
from lakehouse.feeds.postgres import Session, TooLargeError, literal, quoted, session
from lakehouse.formats import Format
from lakehouse.formats.parquet import Parquet

if TYPE_CHECKING:
    from lakehouse.source import Source

# Bytes of text: a snapshot is one delivery, and is ingested as a whole.
MOST_SNAPSHOT = 1 << 30


@dataclass(frozen=True, order=True)
class _Position:
    """Rows of transactions up to `transaction` were taken, and some of later ones in `parts` more extracts, of a pull
    that is not complete. Transactions after it began to write after `seconds` (since 1970), and those from `next` on
    after `next_seconds`.
    """

    transaction: int = 0
    seconds: int = 0
    parts: int = 0
    next: int = 0
    next_seconds: int = 0

    def __str__(self) -> str:
        taken = f"{self.transaction:016d}.{self.seconds:010d}.{self.parts:06d}"
        return f"{taken}.{self.next:016d}.{self.next_seconds:010d}"

    @classmethod
    def of(cls, text: str | None) -> "_Position":
        return cls(*map(int, text.split("."))) if text else cls()

    def one_more(self) -> "_Position":
        """With one more extract of a pull that is not complete."""
        return replace(self, parts=self.parts + 1)

    def done(self, transaction: int, now: int, seconds: int) -> "_Position":
        """After a complete pull, made at `seconds`, when `now` was the next transaction to be given out."""
        if self.next <= transaction + 1:
            return _Position(transaction, self.next_seconds, 0, now, seconds)
        return _Position(transaction, self.seconds, 0, self.next, self.next_seconds)


@dataclass(frozen=True, kw_only=True)
class DatabaseTable(Feed):
    """A table of a PostgreSQL; the values are PostgreSQL's own texts. Raises SourceError when it cannot work.

    table: its name, `schema.table`, as PostgreSQL has it, without quotes. watermark: a column of a date or a timestamp
    (of UTC, where it has no zone) that every change of a row sets; None brings the whole table each time it has
    changed, as one delivery of a source of mode `snapshot`. margin: how much earlier than its transaction began to
    write a row's watermark may be, such as by the clock of another machine; null watermarks and those of -infinity are
    always looked for. It costs an index scan, not deliveries. A watermark cannot see deleted rows. starts: how many
    times the table was begun; one more reads all of it anew, as it must be when the database was restored, and what
    comes then wins.
    """

    table: str
    watermark: str | None = None
    margin: timedelta = timedelta(days=1)
    starts: int = 1
    kind: ClassVar[str] = "table"
    lands: ClassVar[type[Format] | None] = Parquet

    def __post_init__(self) -> None:
        if self.table.count(".") != 1 or not all(self.table.split(".")):
            raise SourceError(f"table {self.table!r} must be schema.table")
        if self.margin < timedelta(0):
            raise SourceError(f"table {self.table}: margin {self.margin} must not be negative")
        if self.starts < 1:
            raise SourceError(f"table {self.table}: starts {self.starts} must be 1 or more")

    @property
    def snapshots(self) -> bool:
        """Whether each extract is the whole table."""
        return self.watermark is None

    @property
    def replays(self) -> bool:
        """Whether rows can be asked for by days: by their watermark."""
        return self.watermark is not None

    @property
    def reads_all(self) -> bool:
        """Whether each pull reads the whole table."""
        return self.watermark is None

    @property
    def stream(self) -> str:
        """What its deliveries are called."""
        name = re.sub(r"[^a-z0-9_]", "_", self.table.lower())
        # After the one before by its text, so that within a day it wins.
        return name if self.starts == 1 else f"{name}_{self.starts:06d}"

    def pull(self, url: str, source: "Source", reached: Reached, most_bytes: int) -> Iterator[Extract]:
        """What is new, as one consistent state of the table, in Parquet of texts.

        A pull that was cut short is begun anew: what it landed already lands once more. Raises FeedError when the
        database cannot be reached, the table or a column is gone or may not be read, or a snapshot is too large.
        """
        with session(url, self.system) as db:
            columns = self._columns(db, source)
            if self.watermark is None:
                yield from self._snapshot(db, source, reached, columns, most_bytes)
            else:
                yield from self._changes(db, reached, columns, most_bytes)

    def replay(
        self, url: str, source: "Source", reached: Reached, days: Collection[date], most_bytes: int
    ) -> Iterator[Extract]:
        """The rows whose watermark is of these days (UTC), as they are now; they win over those that came before.

        Raises FeedError when there are none, and for what a pull does.
        """
        with session(url, self.system) as db:
            columns = self._columns(db, source)
            # As more extracts of a pull that is not complete: how far pulls have got stays as it is.
            position = _Position.of(reached.ends.get(self.stream))
            self._horizon(db, position)
            mark, found = quoted(str(self.watermark)), False
            ranges = (
                f"({mark} >= {literal(f'{begin}')} and {mark} < {literal(f'{end + timedelta(days=1)}')})"
                for begin, end in _ranges(days)
            )
            for data in db.parquet(self._query(columns, f"({' or '.join(ranges)})"), most_bytes):
                position, found = position.one_more(), True
                yield self._extract(position, position, data)
        if not found:
            raise FeedError(f"{self.system}: {self.table} has no rows of these days; nothing was pulled")

    def lag(self, url: str, source: "Source", reached: Reached) -> Lag:
        """Rows that wait, the bytes they take as PostgreSQL holds them, and for how long the oldest has waited by its
        watermark; of a snapshot, whether it is time for one.

        trouble: that rows wait for a transaction that is left open.
        """
        with session(url, self.system) as db:
            columns = self._columns(db, source)
            if self.watermark is None:
                return self.due(reached) if self.stream in reached.ends else Lag(due=True)
            position = _Position.of(reached.ends.get(self.stream))
            done, now, distance = self._horizon(db, position)
            mark, taken = quoted(self.watermark), f"{distance} >= {now - done}"
            ages = [
                f"extract(epoch from now() - min({mark}) filter (where {which} and isfinite({mark})))::float8"
                for which in (f"({taken})", f"not ({taken})")
            ]
            # A date may be of any moment of its day.
            ages[1] += f" - case when pg_typeof(min({mark})) = 'date'::regtype then 86400 else 0 end"
            # Column by column: a row as a whole is put together first, with all that is stored beside it.
            size = " + ".join(f"coalesce(pg_column_size({quoted(name)}), 0)" for name in columns)
            events, held, size_of_all, seconds, since = db.row(
                f"select count(*) filter (where {taken}), count(*) filter (where not ({taken})), "
                f"coalesce(sum({size}) filter (where {taken}), 0)::bigint, {', '.join(ages)} "
                f"from {self._name} where {self._where(position, distance, now)}"
            )
            oldest = max(float(seconds), 0.0) if seconds is not None else None
            trouble = self._held_back(db, done + 1, int(held), float(since or 0)) if held else None
            return Lag(events=int(events), bytes=int(size_of_all), seconds=oldest, trouble=trouble)

    def _held_back(self, db: Session, transaction: int, rows: int, since: float) -> str | None:
        """What is to be told of rows that wait for a transaction, which is open or prepared; None when it has not been
        for long.

        since: for how many seconds the rows have waited, by their watermark.
        """
        # Anyone may see that it is open, by its lock; since when, only who may see other users' sessions.
        found = db.rows(
            "select (prepared is not null), extract(epoch from now() - coalesce(prepared, xact_start))::float8 "
            "from pg_locks left join pg_stat_activity on pg_stat_activity.pid = pg_locks.pid "
            "left join pg_prepared_xacts on pg_prepared_xacts.transaction = transactionid "
            "where locktype = 'transactionid' and granted and mode = 'ExclusiveLock' "
            f"and transactionid::text::bigint = {transaction % 2**32}"
        )
        if not found:
            return None
        [(prepared, waits)] = found
        if (since if waits is None else float(waits)) <= self.lag_limit.total_seconds():
            return None
        waiting, which, how = f"{rows} rows of {self.table} wait", f"has been open for {waits or 0:.0f} s", "end it"
        if prepared:
            which, how = f"was prepared {waits:.0f} s ago", "pg_prepared_xacts names it: commit it, or roll it back"
        elif waits is None:
            waiting += f", by their watermark for {since:.0f} s,"
            which = "is open (grant pg_read_all_stats, and this user may see since when)"
        return f"{waiting} for a transaction that {which} in {self.system}: {how}, and they come with the next pull"

    @property
    def _name(self) -> str:
        return quoted(*self.table.split("."))

    def _columns(self, db: Session, source: "Source") -> list[str]:
        """The table's columns in order. Raises FeedError when there is no such table, or it lacks what is needed."""
        schema, table = self.table.split(".")
        found = db.rows(
            "select attname::text, format_type(atttypid, null), relkind::text, row_security_active(pg_class.oid) "
            "from pg_attribute join pg_class on pg_class.oid = attrelid "
            "join pg_namespace on pg_namespace.oid = relnamespace "
            f"where nspname = {literal(schema)} and relname = {literal(table)} "
            "and attnum > 0 and not attisdropped order by attnum"
        )
        if not found:
            raise FeedError(f"{self.system} has no table {self.table}: mend its name, or grant usage of its schema")
        if found[0][3]:
            raise FeedError(
                f"row security keeps rows of {self.table} in {self.system} from this user, so that the rest would be "
                "taken for all of them: alter role … bypassrls, or read it as another user; nothing was pulled"
            )
        kinds = {str(name): str(kind) for name, kind, *_ in found}
        known = source.dialect_of(self.system).names(list(kinds))
        if missing := [name for name in source.columns if name not in known]:
            raise FeedError(
                f"{self.table} in {self.system} lacks {', '.join(missing)}, which {source.name} needs: bring the "
                f"columns back, or change the source; nothing was pulled"
            )
        if self.watermark is not None:
            if not kinds.get(self.watermark, "").startswith(("timestamp", "date")):
                raise FeedError(
                    f"{self.table} in {self.system} has no column {self.watermark} of a timestamp or a date, which is "
                    "the watermark: change the source; nothing was pulled"
                )
            if found[0][2] not in ("r", "p", "m"):
                raise FeedError(f"{self.table} in {self.system} is a view, of which only whole snapshots can be taken")
        return list(kinds)

    def _horizon(self, db: Session, position: _Position) -> tuple[int, int, str]:
        """The last transaction before the oldest that is open, the next to be given out, and how many before that one
        the row's is, in SQL. Raises FeedError when the database is another one than before.
        """
        snapshot = "select pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text from pg_current_snapshot() as t(s)"
        oldest, now = map(int, db.row(snapshot))
        if now <= position.transaction:
            raise FeedError(
                f"{self.system} counts its transactions anew, so it was restored or replaced: what changed since "
                f"cannot be told, and what was pulled before is kept; set `starts` of the feed to {self.starts + 1}, "
                "and all of the table is read anew"
            )
        # Rows know the lower half of the number.
        return oldest - 1, now, f"(({now % 2**32} - xmin::text::bigint) & 4294967295)"

    def _where(self, position: _Position, distance: str, now: int) -> str:
        """Rows of transactions that were not taken, among those whose watermark is not too old to have changed."""
        if not position.transaction:
            return "true"
        newer = f"{distance} < {now - position.transaction}"
        if not position.seconds:
            return newer
        mark = quoted(str(self.watermark))
        since = position.seconds - self.margin.total_seconds()
        return f"({mark} >= to_timestamp({since:.0f}) or {mark} is null or {mark} = '-infinity') and {newer}"

    def _changes(self, db: Session, reached: Reached, columns: list[str], most_bytes: int) -> Iterator[Extract]:
        position = _Position.of(reached.ends.get(self.stream))
        done, now, distance = self._horizon(db, position)
        seconds = int(db.row("select floor(extract(epoch from now()))::bigint")[0])
        where = f"{self._where(position, distance, now)} and {distance} >= {now - done}"
        waiting = None
        for data in db.parquet(self._query(columns, where), most_bytes):
            if waiting is not None:
                position = position.one_more()
                yield self._extract(position, position, waiting)
            waiting = data
        if waiting is not None:
            # The very last tells that all of it was given out.
            yield self._extract(position.one_more(), position.done(done, now, seconds), waiting)

    def _extract(self, begin: _Position, end: _Position, data: bytes) -> Extract:
        return Extract(Part(self.stream, str(begin), str(end)), data, datetime.now(UTC).date())

    def _snapshot(
        self, db: Session, source: "Source", reached: Reached, columns: list[str], most_bytes: int
    ) -> Iterator[Extract]:
        order = ", ".join(str(number) for number, _ in enumerate(columns, 1))
        try:
            found = db.file(f"{self._query(columns, 'true')} order by {order}", most_bytes, MOST_SNAPSHOT)
        except TooLargeError:
            raise FeedError(
                f"{self.table} in {self.system} is larger than {MOST_SNAPSHOT >> 30} GiB, too much for a snapshot: "
                "give the feed a watermark"
            ) from None
        if found is None:
            raise FeedError(
                f"{self.table} in {self.system} is empty, which would take all rows of {source.name} away: withdraw "
                "its deliveries if that is meant"
            )
        data, digest = found
        # A position is a moment, and what was there.
        before, _, told = reached.ends.get(self.stream, "0").partition(".")
        if digest == told:
            return
        micros = int(db.row("select floor(extract(epoch from clock_timestamp()) * 1000000)::bigint")[0])
        at = f"{max(micros, int(before) + 1):020d}.{digest}"
        yield Extract(Part(self.stream, at, at), data, datetime.now(UTC).date())

    def _query(self, columns: list[str], where: str) -> str:
        texts = ", ".join(f"{quoted(name)}::text as {quoted(name)}" for name in columns)
        return f"select {texts} from {self._name} where {where}"


def _ranges(days: Collection[date]) -> Iterator[tuple[date, date]]:
    """The first and the last of days that follow each other."""
    for _, run in groupby(enumerate(sorted({*days})), lambda one: one[1] - timedelta(days=one[0])):
        (_, first), *rest = run
        yield first, rest[-1][1] if rest else first
