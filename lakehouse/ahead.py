"""What comes next is made while the one before is worked on."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], most: int = 1) -> Generator[Item]:
    """The same items; up to `most` are made in a thread beside while one is used. Raises what making one raises.

    Worth it where items take a while to make, in code that lets other threads run: reading, hashing, unpacking.
    """
    each, beside = iter(items), ThreadPoolExecutor(1)
    try:
        coming = deque(beside.submit(next, each, None) for _ in range(most))
        while (item := coming.popleft().result()) is not None:
            coming.append(beside.submit(next, each, None))
            yield item
    finally:
        # Who stops early waits for no more than the one that is being made.
        beside.shutdown(cancel_futures=True)
