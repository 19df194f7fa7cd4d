"""Deliveries too large to be held at once, some whole records at a time."""

import re
from collections.abc import Iterable

_LINE_END = re.compile(rb"\r\n|\n|\r")
# A quote that nobody closes would make one record of the rest of the file; past this it is cut all the same, and the
# reader of records says what is wrong with it.
_LONGEST_RECORD = 1 << 28


class Pieces:
    """Cuts a stream of CSV bytes (UTF-8) between records.

    head: the header line, with its line end. offset: bytes given out after it. lines: lines given out, the header's
    included. done: whether the last piece was given out.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()
        self.done = False
        self.head = self._cut(1)
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

    def take(self, size: int) -> bytes:
        """The next whole records, at least `size` bytes of them unless the end comes first."""
        piece = self._cut(size)
        self.offset += len(piece)
        self.lines += line_ends(piece)
        self.done = not self._more(1)
        return piece

    def _cut(self, size: int) -> bytes:
        self._more(size)
        at = max(min(size, len(self._buffer)) - 1, 0)
        quotes = self._buffer.count(b'"', 0, at)
        cut = None
        while cut is None:
            end = _LINE_END.search(self._buffer, at)
            # A carriage return at the end of what was read may be half of a line end.
            if end is None or (end.end() == len(self._buffer) and end[0] == b"\r"):
                if self._more(len(self._buffer) + 1):
                    continue
                cut = len(self._buffer)
                break
            quotes += self._buffer.count(b'"', at, end.start())
            at = end.end()
            if quotes % 2 == 0 or at > _LONGEST_RECORD:
                cut = at
        piece = bytes(self._buffer[:cut])
        del self._buffer[:cut]
        return piece

    def _more(self, size: int) -> bool:
        """Read on until `size` bytes are there; whether they are."""
        while len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._buffer += chunk
        return True


def line_ends(text: bytes) -> int:
    """How many lines end in `text`, by any of the three line ends."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
