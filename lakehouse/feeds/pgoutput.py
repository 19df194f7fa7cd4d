"""PostgreSQL's `pgoutput` messages to rows, a column of all messages at once and no message by itself.

Source: PostgreSQL's documentation, Logical Replication Message Formats, protocol version 1.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse.feeds.buffers import Bytes, Flags, Places, hexadecimal, padded, texts, whole
from lakehouse.feeds.extracts import ADDED, AT, LSN, OP, SEQ, UNCHANGED, XID
from lakehouse.feeds.shape import Watch

# A transaction's commit time counts from here.
_EPOCH = 946_684_800_000_000
_INSERT, _UPDATE, _DELETE, _TRUNCATE = (ord(kind) for kind in "IUDT")
_KEY, _OLD = (ord(kind) for kind in "KO")
_TEXT, _SAME = ord("t"), ord("u")


@dataclass(frozen=True)
class Relation:
    """A table as it was when the changes that follow were made: its columns, and those that name an old row."""

    names: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class _Tuple:
    """Tuples of one table: by column, the kind of each tuple's value, where it starts, how long it is; their ends."""

    kinds: list[Bytes]
    starts: list[Places]
    lengths: list[Places]
    after: Places

    def column(self, buffer: Bytes, number: int) -> pl.Series:
        return texts(buffer, self.starts[number], self.lengths[number], self.kinds[number] == _TEXT)


@dataclass
class Decoder:
    """Turns batches of messages into rows; what a transaction or a table is goes on from batch to batch.

    watch: tells the table, and its key, whose change makes a delete and an insert of an update; is told what speaks
    against the rows. since: transactions that were committed before this place are passed over.
    """

    watch: Watch
    since: int
    _relations: dict[int, Relation] = field(default_factory=dict)
    # Of the newest transaction: where it commits, when (microseconds of PostgreSQL's epoch), its number; rows so far.
    _begun: tuple[int, int, int] = (0, 0, 0)
    _rows: int = 0

    def frames(self, messages: pa.Array) -> Iterator[pl.DataFrame]:
        """Rows in the order of commit, a frame for as long as the table's columns stay the same.

        Yields the table's columns as text, and `ADDED`: `cdc_op`, `cdc_lsn` (16 hexadecimal digits), `cdc_seq` (UInt64:
        counts a transaction's changes by twos, so that an update of a key is two rows), `cdc_xid`, `cdc_at` (commit
        time, ISO 8601 UTC) and `cdc_unchanged` (JSON list of the columns whose large values were not sent again).
        """
        offsets, data = _layout(messages)
        if not len(messages):
            return
        buffer = padded(data)
        starts = offsets[:-1]
        kinds = buffer[starts]
        rows = np.isin(kinds, (_INSERT, _UPDATE, _DELETE, _TRUNCATE))
        origin = self._transactions(buffer, starts, kinds, rows)
        edges = [0]
        for index in np.flatnonzero(kinds == ord("R")):
            number, relation = _relation(buffer[starts[index] : offsets[index + 1]].tobytes())
            if self._relations.get(number) != relation:
                yield from self._segment(buffer, starts, kinds, rows, slice(edges[-1], int(index)), origin)
                edges.append(int(index))
                self._relations[number] = relation
            if origin.table[origin.which[index], 0] >= self.since:
                self.watch.relation(number, relation.keys)
        yield from self._segment(buffer, starts, kinds, rows, slice(edges[-1], len(starts)), origin)

    def _transactions(self, buffer: Bytes, starts: Places, kinds: Bytes, rows: Flags) -> "_Origin":
        """For each message the transaction it belongs to, and its row's number in it."""
        begins = np.flatnonzero(kinds == ord("B"))
        at = starts[begins] + 1
        table = np.empty((len(begins) + 1, 3), np.int64)
        table[0] = self._begun
        table[1:, 0], table[1:, 1], table[1:, 2] = (whole(buffer, at + by, size) for by, size in _BEGIN)
        which = np.cumsum(kinds == ord("B"))
        counted = np.cumsum(rows)
        before = np.concatenate([[-self._rows], counted[begins]])
        numbers = counted - before[which]
        self._begun = (int(table[-1, 0]), int(table[-1, 1]), int(table[-1, 2]))
        self._rows = int(numbers[-1])
        return _Origin(table, which, numbers)

    def _segment(
        self, buffer: Bytes, starts: Places, kinds: Bytes, rows: Flags, part: slice, origin: "_Origin"
    ) -> Iterator[pl.DataFrame]:
        """The rows of messages between two changes of a table's definition."""
        chosen = np.flatnonzero(rows[part]) + part.start
        chosen = chosen[origin.commits(chosen) >= self.since]
        if not len(chosen):
            return
        # A truncation names its tables after their count and a byte of options.
        mine = np.zeros(len(chosen), np.bool_)
        truncated = kinds[chosen] == _TRUNCATE
        for index in np.flatnonzero(truncated):
            at = int(starts[chosen[index]])
            numbers = buffer[at + 6 : at + 6 + 4 * int.from_bytes(buffer[at + 1 : at + 5].tobytes())].view(">u4")
            mine[index] = self.watch.table in numbers
        mine |= ~truncated & (whole(buffer, starts[chosen] + 1, 4) == self.watch.table)
        if not mine.all():
            self.watch.foreign()
            chosen = chosen[mine]
        if len(chosen) and self.watch.told((relation := self._relations[self.watch.table]).names):
            yield self._decoded(buffer, relation, kinds[chosen], starts[chosen], origin, chosen)

    def _decoded(
        self, buffer: Bytes, relation: Relation, kind: Bytes, at: Places, origin: "_Origin", message: Places
    ) -> pl.DataFrame:
        """Rows of one table with one set of columns."""
        count = len(at)
        flag = buffer[at + 5]
        has_old = (kind != _TRUNCATE) & ((flag == _KEY) | (flag == _OLD))
        width = len(relation.names)
        before = _tuples(buffer, at + 6, has_old, width)
        has_new = (kind == _INSERT) | (kind == _UPDATE)
        after = _tuples(buffer, np.where(has_old, before.after + 1, at + 6), has_new, width)
        deleted = kind == _DELETE
        key = [relation.names.index(name) for name in self.watch.key]
        # By a key that is not ours.
        blind = has_old & (flag == _KEY) & np.any([before.kinds[number] != _TEXT for number in key], axis=0)
        if blind.any() or (((kind == _UPDATE) | deleted).any() and not {*self.watch.key} <= {*relation.keys}):
            self.watch.nameless()
        merged = [_merged(before, after, deleted, has_old, number) for number in range(width)]
        values = _Tuple([one[0] for one in merged], [one[1] for one in merged], [one[2] for one in merged], after.after)
        moved = np.zeros(count, np.bool_)
        pairs = (kind == _UPDATE) & has_old & ~blind
        for number in key if pairs.any() else ():
            old, new = before.column(buffer, number), values.column(buffer, number)
            moved |= pairs & old.ne_missing(new).to_numpy()
        words = np.select([kind == _INSERT, kind == _DELETE, kind == _TRUNCATE], [0, 2, 3], 1)
        words = np.where(moved, 0, words)
        frame = pl.DataFrame(
            [values.column(buffer, number).alias(name) for number, name in enumerate(relation.names)]
        ).with_columns(
            *origin.columns(message),
            pl.Series(OP, _OPS).gather(words.astype(np.uint32)),
            pl.Series(SEQ, (2 * origin.numbers[message] + moved).astype(np.uint64)),
            _unchanged(relation.names, values.kinds),
        )
        frame = frame.select(*relation.names, *ADDED)
        if not moved.any():
            return frame.filter(pl.Series(~(blind & deleted))) if blind.any() else frame
        # The delete of the old key tells which values the insert keeps: they are those of the row that it deletes.
        olds = [before.column(buffer, number).alias(relation.names[number]) for number in key]
        gone = frame.with_columns(
            *olds,
            *(pl.lit(None, pl.String).alias(name) for name in relation.names if name not in self.watch.key),
            pl.lit("delete").alias(OP),
            pl.col(SEQ) - 1,
        ).filter(pl.Series(moved))
        order = pl.Series("_message", message)
        told = frame.with_columns(order).filter(pl.Series(~(blind & deleted)))
        both = pl.concat([told, gone.with_columns(order.filter(pl.Series(moved)))])
        return both.sort("_message", SEQ).select(*relation.names, *ADDED)


@dataclass(frozen=True)
class _Origin:
    """By message: `which` row of the `table` of transactions (commit position, time, number), and its row's number."""

    table: npt.NDArray[np.int64]
    which: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]

    def commits(self, message: Places) -> npt.NDArray[np.int64]:
        """Where the transactions of these messages commit."""
        found: npt.NDArray[np.int64] = self.table[self.which[message], 0]
        return found

    def columns(self, message: Places) -> list[pl.Series]:
        """Position, number and commit time of the transactions of these messages."""
        used, place = np.unique(self.which[message], return_inverse=True)
        table = self.table[used]
        time = pl.Series(table[:, 1] + _EPOCH).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        told = {LSN: hexadecimal(table[:, 0]), XID: pl.Series(table[:, 2]).cast(pl.String), AT: time}
        return [series.gather(place.astype(np.uint32)).alias(name) for name, series in told.items()]


_OPS = ["insert", "update", "delete", "truncate"]
# Of a Begin, after its first byte: what is at which byte, and how long it is.
_BEGIN: tuple[tuple[int, Literal[4, 8]], ...] = ((0, 8), (8, 8), (16, 4))


def _layout(messages: pa.Array) -> tuple[Places, pa.Buffer]:
    """Where each message begins and the last one ends, and the bytes of them all."""
    if not len(messages):
        return np.zeros(1, np.int64), pa.py_buffer(b"")
    _, offsets, data = messages.buffers()
    size = np.int64 if pa.types.is_large_binary(messages.type) else np.int32
    places = np.frombuffer(offsets, size)[messages.offset : messages.offset + len(messages) + 1].astype(np.int64)
    return places - places[0], data.slice(int(places[0]), int(places[-1] - places[0]))


def _relation(message: bytes) -> tuple[int, Relation]:
    """A table's number and definition; the few of these messages are read one by one."""
    number = int.from_bytes(message[1:5])
    # Schema and name of the table end in a zero byte each.
    end = message.index(0, message.index(0, 5) + 1)
    count = int.from_bytes(message[end + 2 : end + 4])
    at, names, keys = end + 4, [], []
    for _ in range(count):
        stop = message.index(0, at + 1)
        names.append(message[at + 1 : stop].decode())
        keys += names[-1:] if message[at] & 1 else []
        at = stop + 9
    return number, Relation(tuple(names), tuple(keys))


def _tuples(buffer: Bytes, at: Places, there: Flags, width: int) -> _Tuple:
    """The tuples of `width` columns at `at`; of those that are not there every value is null and the end is `at`."""
    now = np.where(there, at + 2, 0)
    found = _Tuple([], [], [], at)
    for _ in range(width):
        kind = np.where(there, buffer[now], 0).astype(np.uint8)
        text = kind == _TEXT
        length = np.where(text, whole(buffer, now + 1, 4), 0)
        found.kinds.append(kind)
        found.starts.append(now + 5)
        found.lengths.append(length)
        now = now + np.where(text, 5 + length, np.where(there, 1, 0))
    return _Tuple(found.kinds, found.starts, found.lengths, np.where(there, now, at))


def _merged(before: _Tuple, after: _Tuple, deleted: Flags, old: Flags, number: int) -> tuple[Bytes, Places, Places]:
    """A column's values: the new; of deleted rows the old; and those not sent again, as far as the old row has them."""
    back = deleted | ((after.kinds[number] == _SAME) & old & (before.kinds[number] == _TEXT))
    return (
        np.where(back, before.kinds[number], after.kinds[number]),
        np.where(back, before.starts[number], after.starts[number]),
        np.where(back, before.lengths[number], after.lengths[number]),
    )


def _unchanged(names: tuple[str, ...], kinds: list[Bytes]) -> pl.Series:
    """Names of the columns whose values were not sent again, as a JSON list; null when there are none."""
    some = {name: same for name, kind in zip(names, kinds, strict=True) if (same := kind == _SAME).any()}
    if not some:
        return pl.Series(UNCHANGED, [None], pl.String).new_from_index(0, len(kinds[0]) if kinds else 0)
    told = pl.DataFrame({str(number): same for number, same in enumerate(some.values())}).select(
        pl.concat_str(
            (
                pl.when(str(number)).then(pl.lit(json.dumps(name, ensure_ascii=False)))
                for number, name in enumerate(some)
            ),
            separator=",",
            ignore_nulls=True,
        ).alias("names")
    )
    listed = pl.when(pl.col("names") != "").then(pl.format("[{}]", "names"))
    return told.select(listed.alias(UNCHANGED)).to_series()
