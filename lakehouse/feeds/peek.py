"""Looks into the log that a slot holds, which leave it there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.feeds.extracts import WHOLE, batches
from lakehouse.feeds.postgres import literal
from lakehouse.feeds.shape import Watch

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection

# For how long a look may decode the first transaction that waits: a million rows of it take two seconds or more.
_LOOK = "2s"
# So many messages, and changes among them, are counted; for so long, for the server has other work.
_MOST, _COUNT = 1000, "250ms"
_CHANGES = {b"I", b"U", b"D", b"T"}


@dataclass
class Peek:
    """Transactions up to a place in the log, and of no more of them than have about `most` messages.

    watch: is told what the log says of the table. since: where in the log the first commit is that was not pulled. all:
    whether none that waits is past `upto`. read: how many messages there were; fewer than `most` are all up to there.
    """

    connection: "Connection"
    slot: str
    watch: Watch
    since: int
    upto: int
    most: int
    all: bool
    read: int = 0

    def frames(self, most_bytes: int) -> Iterator[pl.DataFrame]:
        """The rows that the messages tell, see `pgoutput.Decoder`."""
        from lakehouse.feeds.pgoutput import Decoder
        from lakehouse.feeds.slots import lsn

        decoder = Decoder(self.watch, self.since)
        messages = f"select data from {_peek(self.slot, literal(lsn(self.upto)), self.most)}"
        with self.connection.cursor() as cursor:
            for batch in batches(cursor, messages, most_bytes):
                self.read += batch.num_rows
                yield from decoder.frames(batch.column(0))
        self.watch.whole = self.all and self.read < self.most


@dataclass(frozen=True)
class Waiting:
    """Changes in the log after a position. events: how many a look has seen, None where that takes too long. more:
    whether there may be more of them. seconds: since the first commit; None where that takes too long to tell.
    """

    events: int | None
    more: bool = False
    seconds: float | None = None

    @property
    def any(self) -> bool:
        return self.more or self.seconds is not None


def waiting(connection: "Connection", slot: str, position: str) -> Waiting:
    """What waits after `position`, by a look at the first transactions.

    PostgreSQL decodes all of a transaction before it tells when it was committed.
    """
    first = _first(connection, slot, 1, _LOOK)
    if first is None:
        return Waiting(None, more=True)
    counted = _first(connection, slot, _MOST, _COUNT) if first else first
    events, begun, seconds = 0, False, None
    after = position.partition("@")[2]
    for message in counted or first:
        kind = message[:1]
        if kind == b"B":
            # A Begin: where its transaction commits, and when, in microseconds since 2000.
            where, when = int.from_bytes(message[1:9]), int.from_bytes(message[9:17])
            begun = f"{where:016X}.{WHOLE}" > after
            if begun and seconds is None:
                seconds = max(0.0, datetime.now(UTC).timestamp() - 946_684_800 - when / 1e6)
        elif begun and kind in _CHANGES:
            events += 1
    if counted is None:
        return Waiting(None, more=True, seconds=seconds)
    return Waiting(events, len(counted) >= _MOST, seconds)


def _first(connection: "Connection", slot: str, most: int, patience: str) -> list[bytes] | None:
    """The beginnings of the first messages in the log, so many at most; None when that takes longer than `patience`."""
    from adbc_driver_manager import Error

    from lakehouse.feeds.slots import CANCELED

    with connection.cursor() as cursor:
        cursor.execute(f"set statement_timeout = {literal(patience)}")
        try:
            cursor.execute(f"select substring(data for 17) from {_peek(slot, 'null', most)} limit {most}")
            return [data for (data,) in cursor.fetchall()]
        except Error as error:
            if error.sqlstate == CANCELED:
                return None
            raise


def place(position: str) -> int:
    """Where in the log a position is."""
    return int(position.rpartition("@")[2].partition(".")[0], 16)


def _peek(slot: str, upto: str, most: int) -> str:
    return (
        f"pg_logical_slot_peek_binary_changes({literal(slot)}, {upto}, {most}, 'proto_version', '1', "
        f"'publication_names', {literal(slot)})"
    )
