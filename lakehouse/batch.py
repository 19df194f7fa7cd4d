"""Which ledger rows make up the next batch, and their records, judged: as much at a time as memory is to hold.

A position says how far tables are: `seq * PARTS` when they reflect all rows up to `seq`, and `(seq - 1) * PARTS + n`
after n batches on the way to `seq` that readers do not see yet, because a delivery is too large for one batch or
because all tables are made anew.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from io import BufferedReader
from typing import TypedDict, TypeVar, Unpack

import polars as pl

from lakehouse import ledger
from lakehouse.ahead import ahead
from lakehouse.contract import PROVENANCE
from lakehouse.dialect import Dialect
from lakehouse.errors import RefusalError
from lakehouse.evaluate import Judged, Tally, judge, verdict
from lakehouse.formats import Format, cut
from lakehouse.lake import RECORD, Lake
from lakehouse.landing import Landed
from lakehouse.manifest import State
from lakehouse.pieces import Aside, Pieces
from lakehouse.records import EMPTY, Delivery
from lakehouse.source import Source

PARTS = 1 << 20
# A delivery of more is not read backwards: what is remembered of keys takes 8 bytes a record.
MOST_PIECES = 256
# Of a large delivery so many pieces are judged at once, which together are a batch.
_PIECES = 2
# Chunks that are unpacked, and of these chunks that are read as text, while a piece is put together and kept.
_AHEAD = 4
_CHUNK = 1 << 21
_Row = dict[str, object]
Found = TypeVar("Found")


class Refused(TypedDict, total=False):
    """Why all of a delivery is refused, as a `Delivery` has it; nothing when it is not."""

    unreadable: tuple[str, str]
    refused: tuple[str, str]
    spoiled: tuple[str, str]


@dataclass(frozen=True)
class Step:
    """The next batch.

    begin: the position it takes the tables from. goal: the ledger row that readers see next. rows: ledger rows from the
    one to go on with, to the goal. offset, lines: where in the first of them. size: bytes to read; None for all rows.
    anew: start over from empty tables. straight: whether it may bring all of a large delivery.
    """

    begin: int
    goal: int
    rows: pl.DataFrame
    offset: int = 0
    lines: int = 0
    size: int | None = None
    anew: bool = False
    straight: bool = False

    def end(self, rest: dict[str, int] | None) -> int:
        """The position after the batch. rest: where the next one goes on towards the same goal, if there is more."""
        if rest is None:
            return self.goal * PARTS
        started = self.goal * PARTS - PARTS
        return max(self.begin, started) + 1 if not self.anew else started + 1


def next_step(on_record: pl.DataFrame, reached: State, batch_bytes: int, gate: int = 0) -> Step | None:
    """The next batch, or None when the tables are where the ledger is.

    gate: the position of the first table, which an attempt that crashed may have taken further than `reached`.
    """
    seq, part = divmod(reached.seq, PARTS)
    waiting = on_record.filter(pl.col("seq") > seq)
    counts = pl.col("act").is_in([ledger.DELIVERED, ledger.WITHDRAWN])
    orders = waiting.filter(pl.col("act") == ledger.REBUILD)
    cursor = reached.inputs or {}
    if not orders.is_empty():
        goal, size = orders.select("seq", "part_bytes").row(-1)
        rows = on_record.filter(counts, pl.col("seq") < goal)
        if not part or goal != seq + 1:
            return Step(reached.seq, goal, rows, size=size, anew=True)
        rows = rows.filter(pl.col("seq") >= cursor["row"])
        return Step(reached.seq, goal, rows, cursor["offset"], cursor["lines"], size)
    rows = waiting.filter(counts)
    if rows.is_empty():
        return None
    # A withdrawal names a file, too, and reads nothing of it.
    large = (pl.col("act") == ledger.DELIVERED) & (pl.col("bytes") > pl.col("part_bytes"))
    goal, size, is_large = rows.select("seq", "part_bytes", large).row(0)
    if is_large:
        at = (cursor["offset"], cursor["lines"]) if part else (0, 0)
        # Not where an attempt began with a piece of it.
        straight = not part and gate in (reached.seq, goal * PARTS)
        return Step(reached.seq, goal, rows.head(1), *at, size, straight=straight)
    small = rows.filter(large.cum_sum() == 0)
    fitting = small.filter((pl.col("bytes").cum_sum() <= batch_bytes) | (pl.int_range(pl.len()) == 0))
    goal = gate // PARTS if gate > reached.seq else int(fitting["seq"][-1])
    return Step(reached.seq, goal, rows.filter(pl.col("seq") <= goal))


class Intake:
    """Reads and judges deliveries of one source. held: bytes by checksum that need not be read again."""

    def __init__(self, lake: Lake, source: Source) -> None:
        self._lake, self._source = lake, source
        self.held: dict[str, bytes] = {}
        # Of a large delivery the text of this checksum, in pieces of this size.
        self._laid: tuple[tuple[str, int], Aside] | None = None
        self._open: tuple[int, Pieces, Callable[[Judged], Judged], Refused] | None = None
        # Of the large delivery that was read last.
        self._names: tuple[str, tuple[str, ...]] = ("", ())

    def take(self, step: Step) -> tuple[pl.DataFrame, Judged, dict[str, int] | None]:
        """The ledger rows of a batch, their records, judged, and where the next batch towards the same goal goes on."""
        rows = step.rows
        first = rows.row(0, named=True)
        if step.size is not None and self._in_pieces(first, step.size):
            judged, rest = self._piece(first, step)
            batch = rows.head(1)
        else:
            # Whole deliveries, as many as fit before the next large one.
            fits = pl.lit(True)
            if step.size is not None:
                fits = pl.int_range(pl.len()) == 0
                large = (pl.col("bytes") > step.size) & (pl.col("act") == ledger.DELIVERED)
                fits |= (pl.col("bytes").cum_sum() <= step.size) & (large.cum_sum() == 0)
            batch = rows.filter(fits)
            judged, rest = self.whole(batch.filter(pl.col("act") == ledger.DELIVERED)), None
        if rest is None and batch.height < rows.height:
            rest = {"row": rows["seq"][batch.height], "offset": 0, "lines": 0}
        return batch, judged, rest

    def whole(self, rows: pl.DataFrame) -> Judged:
        """What becomes of some deliveries, read whole."""
        return judge(self._source, [self._delivery(row) for row in rows.iter_rows(named=True)])

    def again(self, rows: pl.DataFrame, wanted: pl.DataFrame, size: int) -> Judged:
        """What becomes of the records `wanted` (RECORD) of earlier deliveries; large ones are read a piece at a time.

        rows: DELIVERY, `_delivered`, `_site` and `bytes` of the deliveries.
        """
        rows = rows.with_columns(refusal=pl.lit(None, pl.String), act=pl.lit(ledger.DELIVERED))
        large = pl.Series([self._in_pieces(row, size) for row in rows.iter_rows(named=True)], dtype=pl.Boolean)
        found = [_only(self.whole(rows.filter(~large)), wanted)]
        for row in rows.filter(large).iter_rows(named=True):
            pieces = self._pieces(row)
            while not pieces.done:
                found.append(_only(self._judge_piece(row, pieces, size), wanted))
        return replace(
            found[0],
            accepted=pl.concat([part.accepted for part in found]),
            texts=pl.concat([part.texts for part in found]),
        )

    def straight(self, step: Step) -> bool:
        """Whether a step may bring all of a delivery that is read in pieces."""
        return step.straight and self._in_pieces(step.rows.row(0, named=True), step.size or 0)

    def checksum(self, file: Landed, stream: BufferedReader, size: int) -> str:
        """The checksum of a large file; on the way its text is laid aside for `backwards`, where that can go straight.

        size: as the step that brings it will have it. What is laid aside are the bytes the checksum is of.
        """
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                yield chunk

        self.close()
        chunks, dialect = hashed(), cut(self._source.dialect_of(file.site))
        if dialect is not None and self._source.judges_alone:
            # No text, or no room for it: whoever reads what is kept sees to it.
            with suppress(RefusalError, OSError):
                aside = self._put_aside(chunks, dialect, size)
                self._laid = (digest.hexdigest(), size), aside
        for _ in chunks:
            pass
        return digest.hexdigest()

    def close(self) -> None:
        """What is laid aside is not needed."""
        if self._laid:
            self._laid[1].close()
            self._laid = None

    def backwards(self, step: Step, then: Callable[[Judged], Found]) -> Generator[Found]:
        """What `then` makes of a large delivery's records, a piece at a time, the last first; nothing of more than
        MOST_PIECES.

        then: is called in threads, for some pieces at once. It and what it makes are not to hold all of a piece: one
        more than are judged waits for the caller.
        Raises RefusalError when it is not text, OSError when there is no room for it, and what `then` raises.
        """
        row = step.rows.row(0, named=True)
        assert step.size is not None
        with closing(self._aside(row, step.size)) as text, ThreadPoolExecutor(_PIECES) as beside:
            if not text.complete:
                return
            names = self._found(row, step.size)

            def judged(number: int) -> Judged:
                data, skipped = text.piece(number)
                delivery = replace(self._delivery(row, data), decoded=True, skipped=skipped, piece=True, names=names)
                return judge(self._source, [delivery])

            def made(number: int) -> Found:
                # Its bytes are not held any longer.
                return then(judged(number))

            coming: deque[Future[Found]] = deque()
            for number in reversed(range(len(text))):
                coming.append(beside.submit(made, number))
                if len(coming) > _PIECES:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def _piece(self, row: _Row, step: Step) -> tuple[Judged, dict[str, int] | None]:
        """The next piece of a large delivery. What is true of the whole of it is said with each piece."""
        assert step.size is not None
        seq = int(str(row["seq"]))
        if self._open is None or self._open[0] != seq or self._open[1].offset != step.offset:
            say, known = self._examine(row, step.size)
            if "unreadable" in known:
                return judge(self._source, [replace(self._delivery(row, b""), **known)]), None
            pieces = self._pieces(row)
            pieces.skip(step.offset, step.lines or pieces.head_lines)
            self._open = (seq, pieces, say, known)
        _, pieces, say, known = self._open
        judged = self._judge_piece(row, pieces, step.size, **known)
        if step.offset:
            judged = replace(judged, rejected=judged.rejected.filter(pl.col("_line") > 0))
        rest = None if pieces.done else {"row": seq, "offset": pieces.offset, "lines": pieces.lines}
        return say(judged), rest

    def _examine(self, row: _Row, size: int) -> tuple[Callable[[Judged], Judged], Refused]:
        """What only a look at the whole of a large delivery tells: whether it can govern and is sound, and why all of
        it is refused, as a `Delivery` has that.
        """
        dialect, blank = cut(self._source.dialect_of(str(row["_site"]))), True
        assert dialect is not None
        try:
            for chunk in dialect.decode_chunks(self._lake.kept_chunks(str(row["_checksum"]))):
                blank = blank and (not chunk or chunk.isspace())
        except RefusalError as refusal:
            return lambda judged: judged, {"unreadable": (refusal.rule, str(refusal))}
        if blank:
            return lambda judged: judged, {"unreadable": EMPTY}
        pieces, whole, sound, tally = self._pieces(row), True, True, Tally()
        known: Refused = {}
        # A snapshot lets rows vanish only if all of it is sound; of other files, one good record says enough.
        while not pieces.done and (whole or self._source.mode == "snapshot" or self._source.judges_files):
            judged = self._judge_piece(row, pieces, size)
            said = judged.deliveries.row(0, named=True)
            if said["reason"] is not None:
                # What is wrong with the file as a file shows in its first records, and goes for all of them.
                rule = judged.rejected.filter(pl.col("_line") == 0)["reasons"].item()[0]
                known = {"refused": (rule, said["reason"])}
                break
            whole, sound = whole and said["whole"], sound and (said["sound"] or not said["records"])
            tally += Tally.of(self._source, judged)
        else:
            sound = sound and tally.records > 0
            if spoiled := verdict(self._source, tally):
                known = {"spoiled": spoiled}
        reason = (known.get("refused") or known.get("spoiled") or (None, None))[1]
        whole, sound = whole or bool(known), sound and not known

        def say(judged: Judged) -> Judged:
            # A piece of blank lines says nothing.
            is_sound = (pl.col("sound") | (pl.col("records") == 0)) & sound
            told = judged.deliveries.with_columns(whole=pl.lit(whole), sound=is_sound)
            return replace(judged, deliveries=told.with_columns(reason=pl.lit(reason, pl.String)))

        return say, known

    def _judge_piece(self, row: _Row, pieces: Pieces, size: int, **known: Unpack[Refused]) -> Judged:
        data, skipped = pieces.next(size // _PIECES)
        here = replace(self._delivery(row, data), decoded=True, skipped=skipped, piece=True)
        delivery = replace(here, names=self._found(row, size), **known)
        return judge(self._source, [delivery])

    def _found(self, row: _Row, size: int) -> tuple[str, ...]:
        """What the columns of a large delivery are called, where a piece of it does not tell."""
        form, checksum = self._source.dialect_of(str(row["_site"])), str(row["_checksum"])
        if not isinstance(form, Format) or not form.varies:
            return ()
        if self._names[0] != checksum:
            pieces, found = self._pieces(row), dict[str, None]()
            # Under other names it may have one of these a second time.
            enough = set() if form.aliases else {*self._source.header}
            while not pieces.done and not (enough and enough <= found.keys()):
                found |= dict.fromkeys(form.found(pieces.next(size // _PIECES)[0]))
            self._names = (checksum, tuple(found))
        return self._names[1]

    def _in_pieces(self, row: _Row, size: int) -> bool:
        """Whether a delivery is read in pieces; a compressed one is not, and never unpacks to more than a bound."""
        return _large(row, size) and cut(self._source.dialect_of(str(row["_site"]))) is not None

    def _aside(self, row: _Row, size: int) -> Aside:
        """All pieces of a large delivery."""
        wanted = str(row["_checksum"]), size
        if self._laid and self._laid[0] == wanted:
            (_, aside), self._laid = self._laid, None
            return aside
        dialect = cut(self._source.dialect_of(str(row["_site"])))
        assert dialect is not None
        return self._put_aside(self._lake.kept_chunks(wanted[0]), dialect, size)

    def _put_aside(self, chunks: Iterable[bytes], dialect: Dialect, size: int) -> Aside:
        # Where the lake is if that is a folder: what is for passing use may be kept in memory.
        place = None if self._lake.remote else self._lake.root
        with closing(_text(chunks, dialect)) as text:
            return Aside(Pieces(text, dialect), size // _PIECES, MOST_PIECES, place)

    def _pieces(self, row: _Row) -> Pieces:
        dialect = cut(self._source.dialect_of(str(row["_site"])))
        assert dialect is not None
        return Pieces(_text(self._lake.kept_chunks(str(row["_checksum"])), dialect), dialect)

    def _delivery(self, row: _Row, data: bytes | None = None) -> Delivery:
        checksum = str(row["_checksum"])
        if data is None:
            data = self.held.get(checksum)
        refusal = row["refusal"]
        return Delivery(
            {name: row[name] for name in PROVENANCE if name != "_line"},
            self._lake.kept(checksum) if data is None else data,
            str(refusal) if refusal is not None else None,
        )


def _text(chunks: Iterable[bytes], dialect: Dialect) -> Generator[bytes]:
    """Chunks that are made in one thread, as text that is made in another, for the caller to cut."""
    with closing(ahead(chunks, _AHEAD)) as made, closing(ahead(dialect.decode_chunks(made), _AHEAD)) as text:
        yield from text


def _large(row: _Row, size: int) -> bool:
    return row["act"] == ledger.DELIVERED and int(str(row["bytes"])) > size


def _only(judged: Judged, wanted: pl.DataFrame) -> Judged:
    return replace(
        judged,
        accepted=judged.accepted.join(wanted, on=RECORD, how="semi"),
        texts=judged.texts.join(wanted, on=RECORD, how="semi"),
    )
