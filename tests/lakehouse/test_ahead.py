"""What comes next is made meanwhile: in order, no further than asked for, and failures come where they happened."""

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


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_are_made_than_asked_for(most: int) -> None:
    made, last = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == most:
                last.set()
            yield number

    found = ahead(items(), most)
    assert next(found) == 0
    assert last.wait(10)
    found.close()
    assert made == [*range(most + 1)]


def test_a_failure_comes_after_what_was_made_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="no more"):
        next(found)


def test_who_stops_early_waits_for_no_more_than_is_begun() -> None:
    made, begun, go_on = [], threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number
            begun.set()
            go_on.wait(10)

    found = ahead(items(), 4)
    assert next(found) == 0
    assert begun.wait(10)
    threading.Timer(0.2, go_on.set).start()
    found.close()
    assert made == [0, 1]
