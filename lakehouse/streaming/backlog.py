"""The alerts that a way out may still have to deliver: those in memory, and all others in the table."""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from lakehouse.rules import Alert
from lakehouse.streaming.record import Numbered

# So many alerts that are on record stay in memory; a way out that is further behind reads them from the table.
_KEPT = 1000


class Backlog:
    """Alerts in order, numbered. One thread adds, any may read.

    It holds those that are not on record yet, whose number is bounded by how often they are put there, and the last
    ones that are.
    """

    def __init__(self, ordinal: int, recorded: Callable[[int, int], list[Numbered]]) -> None:
        """Go on after alert `ordinal`; `recorded` reads, after a number, at most so many from the table."""
        self._recorded = recorded
        self._held: deque[Numbered] = deque()
        self._more = threading.Condition()
        self.ordinal = self._on_record = ordinal

    @property
    def unrecorded(self) -> int:
        """How many alerts are not on record."""
        return self.ordinal - self._on_record

    def add(self, alerts: Iterable[Alert]) -> None:
        """Number alerts and put them at the end."""
        with self._more:
            for alert in alerts:
                self.ordinal += 1
                self._held.append((self.ordinal, alert))
            self._more.notify_all()

    def pending(self) -> list[Numbered]:
        """The alerts that are not on record."""
        with self._more:
            return [item for item in self._held if item[0] > self._on_record]

    def recorded(self, ordinal: int) -> None:
        """All up to this one are on record."""
        with self._more:
            self._on_record = ordinal
            while self._held and self._held[0][0] <= ordinal - _KEPT:
                self._held.popleft()

    def after(self, ordinal: int, limit: int, wait: float) -> list[Numbered]:
        """The next alerts after this one, in order, at most so many; waits a while (in seconds) for the first."""
        with self._more:
            self._more.wait_for(lambda: self.ordinal > ordinal, wait)
            if self.ordinal <= ordinal:
                return []
            if self._held and self._held[0][0] <= ordinal + 1:
                begin = ordinal + 1 - self._held[0][0]
                return [self._held[place] for place in range(begin, min(begin + limit, len(self._held)))]
            at_most = min(limit, self._on_record - ordinal)
        return self._recorded(ordinal, at_most)

    def wake(self) -> None:
        """Let whoever waits look again."""
        with self._more:
            self._more.notify_all()
