"""Deliveries too large to be held at once, some whole records at a time."""

import csv
import io
import re
from collections.abc import Iterable
from contextlib import suppress

from lakehouse.dialect import PLAIN, Dialect, line_ends
from lakehouse.records import csv_format

_CHUNK = 1 << 16
_LINE_END = re.compile(rb"\r\n|\n|\r")
# A quote that nobody closes would make one record of the rest of the file; past this it is cut all the same, and the
# reader of records says what is wrong with it.
_LONGEST_RECORD = 1 << 28


class Pieces:
    """Cuts a stream of CSV text (UTF-8) between records.

    head: the header line, with its line end. offset: bytes given out after it. lines: lines given out, the header's
    included. done: whether the last piece was given out.
    """

    def __init__(self, chunks: Iterable[bytes], dialect: Dialect = PLAIN) -> None:
        self._chunks, self._format = iter(chunks), csv_format(dialect)
        self._quote = (dialect.quote or "").encode()
        self._buffer = bytearray()
        self.done = False
        self.head = self._cut(1) if dialect.header is None else b""
        self.offset = 0
        self.lines = self.head_lines = line_ends(self.head)

    def skip(self, offset: int, lines: int) -> None:
        """Go on where a reader had got to."""
        left = offset
        while left and self._more(left):
            gone = min(left, len(self._buffer))
            del self._buffer[:gone]
            left -= gone
        self.offset, self.lines = offset, lines

    def next(self, size: int) -> tuple[bytes, int]:
        """The next whole records below the header line, and how many lines between the two were given out before."""
        before = self.lines - self.head_lines
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
            want = 2 * len(self._buffer) + _CHUNK
        with memoryview(self._buffer) as view:
            piece = bytes(view[:cut])
        del self._buffer[:cut]
        return piece

    def _end(self, size: int, *, ended: bool) -> int | None:
        """Where a record ends in the buffer, at `size` or after; None when more has to be read to tell."""
        last = len(self._buffer)
        line = _LINE_END.search(self._buffer, max(min(size, last) - 1, 0))
        # What touches the end of what was read may go on: a record in quotes, or a line end of two characters.
        end = line.end() if line and (ended or line.end() < last) else last
        if not self._quote or self._buffer.find(self._quote, 0, end) < 0:
            return end if ended or end < last else None
        # With quotes, records end where the reader of records says.
        lines = io.StringIO(self._buffer.decode(), newline="").readlines()
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
        while len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._buffer += chunk
        return True
