"""Deliveries too large to be held at once, some whole records at a time."""

import csv
import io
import os
import re
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from tempfile import TemporaryFile

from lakehouse.dialect import PLAIN, Dialect, line_ends
from lakehouse.records import csv_format

_CHUNK = 1 << 16
_LINE_END = re.compile(rb"\r\n|\n|\r")
# A quote that nobody closes would make one record of the rest of the file; past this it is cut all the same, and the
# reader of records says what is wrong with it.
_LONGEST_RECORD = 1 << 28


class Pieces:
    """Cuts a stream of CSV text (UTF-8), of which each chunk has whole characters, between records.

    head: the header line, with its line end. offset: bytes given out after it. lines: lines given out, the header's
    included. done: whether the last piece was given out.
    """

    def __init__(self, chunks: Iterable[bytes], dialect: Dialect = PLAIN) -> None:
        self._chunks, self._format = iter(chunks), csv_format(dialect)
        self._quote = (dialect.quote or "").encode()
        # What was read and not given out: from a place in the first chunk on, so many bytes. They are copied once.
        self._held: deque[bytes] = deque()
        self._from = self._size = 0
        self.done = False
        self.head = self._cut(1) if dialect.header is None else b""
        self.offset = 0
        self.lines = self.head_lines = line_ends(self.head)

    def skip(self, offset: int, lines: int) -> None:
        """Go on where a reader had got to."""
        left = offset
        while left and self._more(1):
            left -= len(self._give(min(left, self._size)))
        self.offset, self.lines = offset, lines

    @property
    def skipped(self) -> int:
        """How many lines between the header line and the next record were given out."""
        return self.lines - self.head_lines

    def next(self, size: int) -> tuple[bytes, int]:
        """The next whole records below the header line, and how many lines between the two were given out before."""
        before = self.skipped
        return self.head + self.take(size), before

    def take(self, size: int) -> bytes:
        """The next whole records: at least `size` bytes of them, not all blank lines, unless the end comes first."""
        piece = self._cut(size)
        while piece.isspace() and self._more(1):
            piece += self._cut(size)
        self.offset += len(piece)
        self.lines += line_ends(piece)
        self.done = not self._more(1)
        return piece

    def _cut(self, size: int) -> bytes:
        """The fewest whole records that are `size` bytes or more."""
        want = size
        while (cut := self._end(size, ended=not self._more(want))) is None:
            want = 2 * self._size + _CHUNK
        return self._give(cut)

    def _give(self, size: int) -> bytes:
        """The next `size` bytes of those that are held."""
        self._size -= size
        given = []
        while size:
            given.append(memoryview(self._held[0])[self._from : self._from + size])
            size -= len(given[-1])
            self._from += len(given[-1])
            if self._from == len(self._held[0]):
                self._held.popleft()
                self._from = 0
        return b"".join(given)

    def _end(self, size: int, *, ended: bool) -> int | None:
        """Where a record ends in what is held, at `size` or after; None when more has to be read to tell."""
        last = self._size
        line = self._line_end(max(min(size, last) - 1, 0))
        # What touches the end of what was read may go on: a record in quotes, or a line end of two characters.
        end = line if line is not None and (ended or line < last) else last
        if not self._has_quote(end):
            return end if ended or end < last else None
        # With quotes, records end where the reader of records says.
        first, *others = self._held
        text = b"".join([memoryview(first)[self._from :], *others])
        lines = io.StringIO(text.decode(), newline="").readlines()
        reader = csv.reader(lines, strict=True, **self._format)
        done = read = 0
        while read < len(lines):
            with suppress(csv.Error, StopIteration):
                next(reader)
            done += sum(len(line.encode()) for line in lines[read : reader.line_num])
            read = reader.line_num
            if read == len(lines) and not ended:
                break
            if done >= size:
                return done
        return last if ended or last > _LONGEST_RECORD else None

    def _more(self, size: int) -> bool:
        """Read on until `size` bytes are there; whether they are."""
        while self._size < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            if chunk:
                self._held.append(chunk)
                self._size += len(chunk)
        return True

    def _line_end(self, at: int) -> int | None:
        """Where the first line end that has a byte at `at` or after ends, as far as it is held."""
        begin = -self._from
        for number, chunk in enumerate(self._held):
            if begin + len(chunk) > at and (found := _LINE_END.search(chunk, max(at - begin, 0))):
                cut = found.group() == b"\r" and found.end() == len(chunk)
                goes_on = cut and number + 1 < len(self._held) and self._held[number + 1].startswith(b"\n")
                return begin + found.end() + goes_on
            begin += len(chunk)
        return None

    def _has_quote(self, end: int) -> bool:
        """Whether there is a quote before `end`."""
        begin = -self._from
        for chunk in self._held:
            if self._quote and chunk.find(self._quote, max(-begin, 0), max(end - begin, 0)) >= 0:
                return True
            begin += len(chunk)
        return False


class Aside:
    """All pieces of a delivery, each with the header line before it, in a file for passing use: to be had in any order.

    size: of a piece. folder: where the file is; it has no name there. most: with more pieces it is not `complete`, and
    has no use. Raises what the pieces raise, and OSError when there is no room.
    """

    def __init__(self, pieces: Pieces, size: int, most: int, folder: str | None) -> None:
        self._cuts: list[tuple[int, int, int]] = []
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115
        try:
            begin = 0
            while not pieces.done and len(self._cuts) < most:
                skipped, data = pieces.skipped, pieces.take(size)
                self._file.write(pieces.head)
                self._file.write(data)
                self._cuts.append((begin, len(pieces.head) + len(data), skipped))
                begin += self._cuts[-1][1]
            self._file.flush()
        except BaseException:
            self.close()
            raise
        self.complete = pieces.done

    def __len__(self) -> int:
        return len(self._cuts)

    def piece(self, number: int) -> tuple[bytes, int]:
        """A piece, numbered from 0, and how many lines between the header line and it are in those before."""
        begin, size, skipped = self._cuts[number]
        data = os.pread(self._file.fileno(), size, begin)
        # Linux reads no more than two gigabytes at a time.
        assert len(data) == size, "all of a piece is read at once"
        return data, skipped

    def close(self) -> None:
        """There is no room lost to it any longer."""
        with suppress(OSError):
            self._file.close()
