"""Parts of bytes that come one after another, as one stream that is read."""

import io
from collections.abc import Iterator


class Joined(io.RawIOBase):
    """The parts as one stream. Raises what the next part raises."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        # Nothing is the end of a stream, and a part of it may be nothing.
        self._parts, self._left = filter(None, parts), memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, which may be fewer before the end; what is left of a part when it is less than 0."""
        if not self._left:
            self._left = memoryview(next(self._parts, b""))
        end = len(self._left) if size < 0 else size
        part, self._left = self._left[:end], self._left[end:]
        return bytes(part)
