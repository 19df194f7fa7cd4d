"""Prints of keys: every file that has one is found, however few the bits are."""

import random

import polars as pl
import pytest

from lakehouse.prints import Prints, repeated


def prints(numbers: list[int]) -> pl.Series:
    return pl.Series(numbers, dtype=pl.UInt64)


@pytest.mark.parametrize("size", [0, 1, 64, 10_000, 10_000_000])
def test_the_files_are_those_that_have_one(size: int) -> None:
    random_ = random.Random(size)
    found, files = Prints(size), []
    for _ in range(20):
        known = [number for file in files for number in file]
        # Numbers that differ only above, or only below, have their word or its bits in common.
        new = {random_.getrandbits(64) for _ in range(30)} | {random_.getrandbits(10) << 32, random_.getrandbits(10)}
        asked = [*random_.sample(known, min(3, len(known))), random_.getrandbits(64), random_.getrandbits(10)]
        expected = {number: file & set(asked) for number, file in enumerate(files) if file & set(asked)}
        assert {number: set(which) for number, which in found.holding(prints(asked)).items()} == expected
        files.append(new - set(known))
        found.add(prints(sorted(files[-1], key=lambda number: number % 7)))


@pytest.mark.parametrize("size", [1 << 12, 1 << 20])
def test_few_are_looked_for_in_vain(size: int) -> None:
    random_, found = random.Random(size), Prints(size)
    records, looked = size // 100, []
    for _ in range(10):
        asked = [random_.getrandbits(64) for _ in range(records // 10)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lakehouse.prints._common", lambda _, wanted: looked.append(len(wanted)) or wanted[:0])
            assert found.holding(prints(asked)) == {}
        found.add(prints(asked))
    # Asked of each file that is there.
    assert sum(looked) <= records / 100


def test_nothing_is_in_no_file() -> None:
    found = Prints(100)
    assert found.holding(prints([1])) == {}
    found.add(prints([1]))
    assert found.holding(prints([2])) == {}
    assert found.holding(prints([])) == {}


@pytest.mark.parametrize(
    ("numbers", "twice"),
    [([], set()), ([1], set()), ([2**63, 1], set()), ([1, 5, 1, 2**63, 5, 1, 2**63], {1, 5, 2**63})],
)
def test_those_that_come_again_are_told(numbers: list[int], twice: set[int]) -> None:
    found = repeated(prints(numbers))
    assert set(found) == twice
    assert found.dtype == pl.UInt64
