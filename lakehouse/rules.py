"""Rules on events: what in a stream of readings is worth an alert, and nothing of where the events come from.

A rule is declared as a frozen value and judges each key (a subject, a device) by itself. A rule on readings looks for a
run: readings of one key, one after another by their own time, that all break it. A run is told once, as soon as it is
long enough, however long it goes on. What decides is in the log alone (no clock of the machine, no batch), so the same
log always gives the same alerts, and an alert always has the same id.
"""

import hashlib
import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from lakehouse.errors import SourceError

MICROSECOND = timedelta(microseconds=1)
# A key that sends more in the time that is looked back at is judged by its last ones; memory has a bound.
_MOST_VALUES = 1000


class Event(NamedTuple):
    """One message, read.

    key: whom it is about. at: its own time, in microseconds since 1970 UTC. values: in the order of `fields`, None
    where it has none. offset: its place in the log of its partition.
    """

    key: str
    at: int
    values: tuple[float | None, ...]
    offset: int


class Alert(NamedTuple):
    """Something that a rule says of a key.

    id: the same whenever the same log is judged. at: time of the reading that made the run long enough; of a silence,
    when it had lasted too long. first_at: time of the run's first reading; of a silence, of the last event before it.
    value: of the reading at `at`. readings: how many the run had by then. first_offset, offset: places in the log of
    the first reading and of the one at `at`.
    """

    id: str
    rule: str
    says: str
    key: str
    at: int
    first_at: int
    value: float | None
    readings: int
    partition: int
    first_offset: int
    offset: int


@dataclass
class Run:
    """The readings of a key, one after another, that break one rule: as far as they have been looked at.

    told: an alert was given about it. lows, highs: (time, value) of earlier readings that may still be the lowest and
    the highest of those that are looked back at, oldest first; for rules that look back.
    """

    readings: int
    first_at: int
    first_offset: int
    told: bool
    lows: list[tuple[int, float]]
    highs: list[tuple[int, float]]

    @classmethod
    def none(cls) -> "Run":
        return cls(0, 0, 0, False, [], [])

    def copy(self) -> "Run":
        return Run(self.readings, self.first_at, self.first_offset, self.told, self.lows.copy(), self.highs.copy())


@dataclass(frozen=True)
class Rule(ABC):
    """Base of every rule. Raises SourceError when made in a way that cannot work. name: lower snake case."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise SourceError(f"rule {self.name!r}: a name is lower snake case, because alerts are told by it")
        self._check()

    @abstractmethod
    def _check(self) -> None: ...

    @property
    @abstractmethod
    def says(self) -> str:
        """What it looks for, in words."""

    def _positive(self, what: str, number: float | timedelta) -> None:
        if isinstance(number, timedelta):
            number = number.total_seconds()
        if not (math.isfinite(number) and number > 0):
            raise SourceError(f"rule {self.name}: {what} must be more than 0")


@dataclass(frozen=True)
class Reading(Rule):
    """A rule on the readings of one field. A message without the field is no reading for it."""

    field: str

    @abstractmethod
    def breaks(self, run: Run, at: int, value: float) -> bool:
        """Whether a reading breaks it, given what `run` remembers of earlier ones; it remembers this one too."""

    def lasts(self, run: Run, at: int) -> bool:
        """Whether a run whose newest reading is at `at` is long enough to be told."""
        return run.readings > 0 and at >= run.first_at

    def step(self, run: Run, at: int, offset: int, value: float, told: bool) -> bool:
        """Take the next reading, by time, into `run`; whether the run has to be told now.

        told: an alert was given before about a run that had this reading, so that this run counts as told.
        """
        if not self.breaks(run, at, value):
            run.readings, run.told = 0, False
            return False
        if not run.readings:
            run.first_at, run.first_offset = at, offset
        run.readings += 1
        run.told |= told
        return not run.told and self.lasts(run, at)


@dataclass(frozen=True)
class Threshold(Reading):
    """Readings of `field` above or below a limit, for so many readings or for so long, without one between that is not.

    above, below: one of the two. for_: how many readings; or for how long, from the time of the first to that of the
    last.
    """

    above: float | None = None
    below: float | None = None
    for_: int | timedelta = 1

    def _check(self) -> None:
        if (self.above is None) == (self.below is None):
            raise SourceError(f"rule {self.name}: a limit is either above= or below=; for a band declare two rules")
        self._positive("for_", self.for_)

    @property
    def says(self) -> str:
        limit = f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"
        return f"{self.field} {limit} for {f'{self.for_} readings' if isinstance(self.for_, int) else self.for_}"

    def breaks(self, run: Run, at: int, value: float) -> bool:  # noqa: ARG002 other rules look back, this one does not
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)

    def lasts(self, run: Run, at: int) -> bool:
        if isinstance(self.for_, int):
            return run.readings >= self.for_
        return at - run.first_at >= self.for_ // MICROSECOND


@dataclass(frozen=True)
class Change(Reading):
    """A reading of `field` that differs by `by` or more from an earlier one of the same key, at most `within` before.

    It is told when it begins; told anew after a reading that does not differ so. Of a key that sends more than a
    thousand readings in that time, the last thousand highest and lowest are looked at.
    """

    by: float = 0.0
    within: timedelta = timedelta(0)

    def _check(self) -> None:
        self._positive("by", self.by)
        self._positive("within", self.within)

    @property
    def says(self) -> str:
        return f"{self.field} changed by {self.by:g} or more within {self.within}"

    def breaks(self, run: Run, at: int, value: float) -> bool:
        since = at - self.within // MICROSECOND
        lows, highs = run.lows, run.highs
        for seen in (lows, highs):
            while seen and (seen[0][0] < since or len(seen) >= _MOST_VALUES):
                del seen[0]
        broken = bool(lows and value - lows[0][1] >= self.by) or bool(highs and highs[0][1] - value >= self.by)
        while lows and lows[-1][1] >= value:
            del lows[-1]
        while highs and highs[-1][1] <= value:
            del highs[-1]
        lows.append((at, value))
        highs.append((at, value))
        return broken


@dataclass(frozen=True)
class Absence(Rule):
    """A key that is silent for longer than `after`, by the events' own time.

    Time goes on with the events of the same partition: it is told when another key's (or the same key's next) event
    shows that so much time has passed. When all keys of a partition are silent, nothing is told.
    """

    after: timedelta = timedelta(0)

    def _check(self) -> None:
        self._positive("after", self.after)

    @property
    def says(self) -> str:
        return f"nothing for longer than {self.after}"


def fields(rules: tuple[Rule, ...]) -> tuple[str, ...]:
    """The fields that rules read, each once, in the order of an event's values."""
    return tuple(sorted({rule.field for rule in rules if isinstance(rule, Reading)}))


def identity(stream: str, rule: Rule, key: str, partition: int, first: int, last: int) -> str:
    """The id of an alert: made of what was judged and by which rule, the same whoever judges it, and however often."""
    told = "\0".join((stream, rule.name, rule.says, key, str(partition), str(first), str(last)))
    return hashlib.sha256(told.encode()).hexdigest()[:32]
