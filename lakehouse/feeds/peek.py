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


def oldest(connection: "Connection", slot: str, position: str) -> tuple[bool, float | None]:
    """Whether there is a commit after `position`, and seconds since the first; None where that takes too long to tell.

    PostgreSQL decodes all of a transaction before it tells when it was committed.
    """
    from adbc_driver_manager import Error

    from lakehouse.feeds.slots import CANCELED

    with connection.cursor() as cursor:
        cursor.execute(f"set statement_timeout = {literal(_LOOK)}")
        try:
            cursor.execute(f"select data from {_peek(slot, 'null', 1)} limit 1")
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


def place(position: str) -> int:
    """Where in the log a position is."""
    return int(position.rpartition("@")[2].partition(".")[0], 16)


def _peek(slot: str, upto: str, most: int) -> str:
    return (
        f"pg_logical_slot_peek_binary_changes({literal(slot)}, {upto}, {most}, 'proto_version', '1', "
        f"'publication_names', {literal(slot)})"
    )
