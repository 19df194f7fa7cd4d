"""Numbers and texts out of a buffer of many binary messages, a column of all messages at once.

A buffer is an array of bytes that ends in `PAD` bytes more than its messages have, so that a word may be read at any
of their bytes. Positions are Int64 arrays, one entry for each message.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PAD = 8
# How many bytes of a little-endian word count, to the word's mask.
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_DIGITS = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_INLINE = 12


def padded(data: pa.Buffer) -> Bytes:
    """A copy of the bytes, with the padding that the readers below rely on."""
    buffer = np.zeros(data.size + PAD, np.uint8)
    buffer[: data.size] = np.frombuffer(data, np.uint8)
    return buffer


def whole(buffer: Bytes, at: Places, width: Literal[2, 4, 8]) -> npt.NDArray[np.int64]:
    """Whole numbers of 2, 4 or 8 bytes that begin at `at`, big-endian; those of 8 are signed."""
    number = _words(buffer, width)[at].byteswap()
    return number.astype(np.int64)


def texts(buffer: Bytes, starts: Places, lengths: Places, there: Flags) -> pl.Series:
    """The texts of `lengths` bytes at `starts`, null where not `there`. They share the buffer, which must be UTF-8.

    Source: the views of Arrow's columnar format: 12 bytes or fewer inline, more by prefix and offset.
    """
    starts, lengths = np.where(there, starts, 0), np.where(there, lengths, 0)
    words = _words(buffer, 8)
    long = lengths > _INLINE
    views = np.empty((len(starts), 2), np.uint64)
    prefix = words[starts] & _MASKS[np.minimum(lengths, 4)]
    views[:, 0] = lengths.astype(np.uint64) | prefix << np.uint64(32)
    # Nothing is read past the padding: a short text's second word begins inside the text or is masked to nothing.
    second = np.where(lengths > 4, starts + 4, 0)
    inline = words[second] & _MASKS[np.clip(lengths - 4, 0, 8)]
    views[:, 1] = np.where(long, starts.astype(np.uint64) << np.uint64(32), inline)
    return _strings(len(starts), views, there, buffer)


def hexadecimal(numbers: npt.NDArray[np.int64]) -> pl.Series:
    """Numbers in 16 hexadecimal digits, whose texts are ordered as the numbers are."""
    nibbles = numbers.astype(np.uint64)[:, None] >> np.arange(60, -1, -4, dtype=np.uint64) & np.uint64(15)
    digits = _DIGITS[nibbles.astype(np.intp)]
    offsets = np.arange(0, 16 * len(numbers) + 1, 16, dtype=np.int64)
    array = pa.Array.from_buffers(pa.large_string(), len(numbers), [None, pa.py_buffer(offsets), pa.py_buffer(digits)])
    return _series(array)


def _words(buffer: Bytes, width: int) -> npt.NDArray[Any]:
    """The little-endian words of the buffer, one for each byte to begin at."""
    count = len(buffer) - width + 1
    return np.ndarray(count, f"<u{width}", buffer=buffer.data, strides=(1,))


def _strings(count: int, views: npt.NDArray[np.uint64], there: Flags, buffer: Bytes) -> pl.Series:
    bits = pa.py_buffer(np.packbits(there, bitorder="little"))
    return _series(pa.Array.from_buffers(pa.string_view(), count, [bits, pa.py_buffer(views), pa.py_buffer(buffer)]))


def _series(array: pa.Array) -> pl.Series:
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series
