"""What comes next is made while the one before is worked on."""

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Generator[Item]:
    """The same items; each is made in a thread beside while the one before it is used. Raises what making one raises.

    Worth it where items take a while to make, in code that lets other threads run: reading, hashing, unpacking.
    """
    each = iter(items)
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(next, each, None)
        while (item := coming.result()) is not None:
            coming = beside.submit(next, each, None)
            yield item
