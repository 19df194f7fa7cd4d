"""Which of a delivery's files hold a key, by hashes of keys (prints): 8 bytes a key, and bits that spare looking."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

_Hashes = npt.NDArray[np.uint64]
# For so many bytes of the delivery there is a bit: a record of 100 bytes has 25 or more, and sets two.
_BYTES_A_BIT = 4
_HALF, _EIGHTH, _REST = np.uint64(32), np.uint64(3), np.uint64(7)


class Prints:
    """The prints in each of some files.

    size: bytes of the delivery they are of. Where its records are very short, looking takes longer and finds the same.
    """

    def __init__(self, size: int) -> None:
        bits = 8 << (size // _BYTES_A_BIT // 8).bit_length()
        self._mask, self._marks = np.uint64(bits - 1), np.zeros(bits // 8, np.uint8)
        self._files: list[_Hashes] = []

    def add(self, prints: pl.Series) -> None:
        """Remember those of the next file, one or more."""
        hashes = np.sort(prints.to_numpy())
        for byte, bit in self._places(hashes):
            # Two keys may have their bits in one byte, of which an assignment sets one: three times as quick as a loop.
            while len(byte):
                self._marks[byte] |= bit
                left = self._marks[byte] & bit == 0
                byte, bit = byte[left], bit[left]
        self._files.append(hashes)

    def holding(self, prints: pl.Series) -> dict[int, pl.Series]:
        """The files, numbered from 0, that have some of these; and which."""
        hashes = prints.to_numpy()
        known = np.ones(len(hashes), np.bool_)
        for byte, bit in self._places(hashes):
            known &= self._marks[byte] & bit != 0
        wanted = np.sort(hashes[known])
        common = ((number, _common(file, wanted)) for number, file in enumerate(self._files))
        return {number: pl.Series(found) for number, found in common if len(found)}

    def _places(self, hashes: _Hashes) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]]:
        """Where the two bits of each hash are: the byte, and the bit in it."""
        for half in (hashes, hashes >> _HALF):
            place = half & self._mask
            yield (place >> _EIGHTH).view(np.intp), np.left_shift(np.uint8(1), (place & _REST).astype(np.uint8))


def repeated(prints: pl.Series) -> pl.Series:
    """Those that come more than once: sorting tells it several times as quickly as a hash table."""
    hashes = np.sort(prints.to_numpy())
    return pl.Series(hashes[1:][hashes[1:] == hashes[:-1]])


def _common(file: _Hashes, wanted: _Hashes) -> _Hashes:
    """Those of a sorted array that are in another, which is not empty."""
    at = np.minimum(np.searchsorted(file, wanted), len(file) - 1)
    found: _Hashes = wanted[file[at] == wanted]
    return found
