"""Which of a delivery's files hold a key, by hashes of keys (prints): 8 bytes a key, and bits that spare looking."""

import numpy as np
import numpy.typing as npt
import polars as pl

_Hashes = npt.NDArray[np.uint64]
# For so many bytes of the delivery there is a bit, and a key sets up to four: a record of 100 bytes has 25 or more.
_BYTES_A_BIT = 4
# Which bits of its word a key sets comes of as many bits of its print: four numbers of six bits.
_WINDOWS, _LOW = (0, 3, 7, 10), 16


class Prints:
    """The prints in each of some files.

    size: bytes of the delivery they are of. Where its records are very short, looking takes longer and finds the same.
    """

    def __init__(self, size: int) -> None:
        # At least two words: a shift by all 64 bits is none.
        log = max((size // _BYTES_A_BIT // 64).bit_length(), 1)
        self._shift, self._marks = np.uint64(64 - log), np.zeros(1 << log, np.uint64)
        low = np.arange(1 << _LOW, dtype=np.uint64)
        self._bits = np.bitwise_or.reduce([np.uint64(1) << (low >> np.uint64(at) & np.uint64(63)) for at in _WINDOWS])
        self._files: list[_Hashes] = []

    def add(self, prints: pl.Series) -> None:
        """Remember those of the next file, one or more."""
        hashes = np.sort(prints.to_numpy())
        word, bits = self._places(hashes)
        # Those of one word follow one another.
        first = np.flatnonzero(np.diff(word, prepend=-1))
        self._marks[word[first]] |= np.bitwise_or.reduceat(bits, first)
        self._files.append(hashes)

    def holding(self, prints: pl.Series) -> dict[int, pl.Series]:
        """The files, numbered from 0, that have some of these; and which."""
        # In order, so do their words follow one another in memory.
        hashes = np.sort(prints.to_numpy())
        word, bits = self._places(hashes)
        wanted = hashes[self._marks.take(word) & bits == bits]
        common = ((number, _common(file, wanted)) for number, file in enumerate(self._files))
        return {number: pl.Series(found) for number, found in common if len(found)}

    def _places(self, hashes: _Hashes) -> tuple[npt.NDArray[np.intp], _Hashes]:
        """Where the bits of each hash are: the word, and the bits in it."""
        low = hashes & np.uint64((1 << _LOW) - 1)
        return (hashes >> self._shift).view(np.intp), self._bits.take(low.view(np.intp))


def repeated(prints: pl.Series) -> pl.Series:
    """Those that come more than once: sorting tells it several times as quickly as a hash table."""
    hashes = np.sort(prints.to_numpy())
    return pl.Series(hashes[1:][hashes[1:] == hashes[:-1]])


def _common(file: _Hashes, wanted: _Hashes) -> _Hashes:
    """Those of a sorted array that are in another, which is not empty."""
    found: _Hashes = wanted[file.take(file.searchsorted(wanted), mode="clip") == wanted]
    return found
