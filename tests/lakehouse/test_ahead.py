"""What comes next is made meanwhile: in order, no further than the next, and failures come where they happened."""

import threading
from collections.abc import Iterator

import pytest

from lakehouse.ahead import ahead


def test_the_next_is_made_while_one_is_used() -> None:
    made, begun = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                begun.set()
            yield number

    found = ahead(items())
    assert next(found) == 0
    assert begun.wait(10)
    assert [1, *found] == [1, 1, 2, 3, 4]
    assert made == [0, 1, 2, 3, 4]


def test_who_stops_early_leaves_no_more_than_one_unused() -> None:
    made = []
    found = ahead(made.append(number) or number for number in range(1, 100))  # type: ignore[func-returns-value]
    assert next(found) == 1
    found.close()
    assert made in ([1], [1, 2])


def test_a_failure_comes_after_what_was_made_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="no more"):
        next(found)
