"""Ways in other than files: each pulls from a system what is new and gives it out as immutable deliveries.

A feed only extracts. What it yields lands as a file that is named by what it holds, and from there on everything is as
for a file of a site: bytes kept under their checksum, ledger, contract, quarantine, account, trace. So how far a feed
has got is not remembered anywhere beside: it is the names of what is on record, and the lake commits it with the data.
"""

import re
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from lakehouse.errors import LakehouseError, UnavailableError
from lakehouse.formats import Format

if TYPE_CHECKING:
    import polars as pl

    from lakehouse.source import Source

_PART = re.compile(r"(?P<stream>[a-z0-9_]+)@(?P<begin>[A-Za-z0-9.+-]+)~(?P<end>[A-Za-z0-9.+-]+)")


class FeedError(UnavailableError):
    """A system could not be read; what was pulled before stays. Says what to do, and holds no row's values."""


class BusyError(FeedError):
    """A system asks to be left alone. wait: for how long, from now on."""

    def __init__(self, words: str, wait: timedelta) -> None:
        super().__init__(words)
        self.wait = wait


@contextmanager
def in_words(doing: str, kept: str) -> Iterator[None]:
    """What fails in `doing` beside what is known of it becomes a FeedError without its words, which may hold a row, an
    address or a secret: its kind, and where in the code. What we raise ourselves is told as it is.
    """
    try:
        yield
    except UnavailableError:
        raise
    except LakehouseError as error:
        raise FeedError(str(error)) from error
    except Exception as error:
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        place = "/".join(Path(frame.f_code.co_filename).parts[-2:])
        raise FeedError(f"{doing} failed ({type(error).__name__} at {place}:{line}); {kept}") from error


@dataclass(frozen=True)
class Part:
    """What a delivery of a feed holds: positions of a stream from `begin` to `end`, both included.

    stream: a table, a partition of a topic; lower case letters, digits and `_`. begin, end: positions in text of fixed
    width, so that texts are ordered as positions are; letters, digits, `.`, `+` and `-`.
    """

    stream: str
    begin: str
    end: str

    def __str__(self) -> str:
        return f"{self.stream}@{self.begin}~{self.end}"

    @classmethod
    def of(cls, text: str) -> "Part | None":
        """The part that is written so; None when none is."""
        match = _PART.fullmatch(text)
        return cls(**match.groupdict()) if match else None

    @staticmethod
    def fields(text: "pl.Expr") -> "pl.Expr":
        """The parts that are written so, as structs of `stream`, `begin` and `end`; nulls in them where none is."""
        return text.str.extract_groups(f"^{_PART.pattern}$")


@dataclass(frozen=True)
class Extract:
    """Some of what a system holds, to be landed as one delivery.

    part: what of it. data: the bytes, as the source's format reads them; many are mapped from a file, so that memory
    need not hold them. day: the day it was pulled.
    """

    part: Part
    data: bytes | mmap
    day: date


@dataclass(frozen=True)
class Reached:
    """How far a feed has got.

    ends: by stream, the greatest position that was pulled. last: reads the bytes of a stream's newest delivery.
    at: of a feed that reads all, when a pull last went through, whether or not it brought anything; None where not
    known.
    """

    ends: Mapping[str, str] = field(default_factory=dict)
    last: Callable[[str], bytes | None] = lambda _: None
    at: datetime | None = None


@dataclass(frozen=True)
class Lag:
    """What waits in a system, as far as it can be told: None where it cannot. trouble: what a person must do, if so.

    due: only a pull can tell whether something is new, and it is time for one; `seconds` is how long it is overdue.
    more: whether there may be more events and bytes than those, which were all that a look has seen.
    about: whether bytes are reckoned from the size of some events.
    held: what was pulled is still held for us, and nothing tells whether anything waits behind it.
    """

    events: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    trouble: str | None = None
    due: bool = False
    more: bool = False
    about: bool = False
    held: bool = False

    @property
    def any(self) -> bool:
        """Whether there is, or may be, something to pull."""
        return bool(self.events or self.bytes or self.seconds or self.due or self.held)


@dataclass(frozen=True, kw_only=True)
class Feed(ABC):
    """A way into one system, declared by a source. Raises SourceError when made in a way that cannot work.

    system: names the system, lower snake case; its address is the setting LAKEHOUSE_SYSTEM_<NAME>, credentials
        included, and deliveries have it as their site. every: how long to leave the system alone between two looks.
    lag_limit: how long what waits may have waited before a check fails. lands: the format of what lands,
        None where that may be any.
    """

    system: str
    every: timedelta = timedelta(seconds=5)
    lag_limit: timedelta = timedelta(hours=1)
    kind: ClassVar[str]
    lands: ClassVar[type[Format] | None] = None

    @property
    def snapshots(self) -> bool:
        """Whether each extract is all that there is."""
        return False

    @property
    def replays(self) -> bool:
        """Whether the system can be asked again for past days."""
        return False

    @property
    def reads_all(self) -> bool:
        """Whether a pull reads all that there is, because nothing less tells if something is new."""
        return False

    def check(self, name: str) -> None:  # noqa: B027
        """Raises SourceError when a source of this name cannot have this feed."""

    @abstractmethod
    def pull(self, url: str, source: "Source", reached: Reached, most_bytes: int) -> Iterator[Extract]:
        """What is new, in order, in extracts of about `most_bytes`; ends when it has what there was at the beginning.

        Holds no more than one extract in memory. After a crash it is asked again, with what was landed counted in
        `reached`, and goes on from there. Raises FeedError when the system fails: what was yielded before is kept.
        """

    @abstractmethod
    def lag(self, url: str, source: "Source", reached: Reached) -> Lag:
        """What waits, by a cheap look. Raises FeedError when the system fails."""

    def due(self, reached: Reached) -> Lag:
        """Whether it is time to read all again: `every` says how often."""
        if reached.at is None:
            return Lag(due=True)
        age = datetime.now(UTC) - reached.at
        # Looks are `every` apart, and the pull that one asks for comes a while after it. A clock may be set back.
        early = timedelta(0) <= age < self.every / 2
        return Lag(due=not early, seconds=max(0.0, (age - self.every).total_seconds()))

    def release(self, url: str, source: "Source", reached: Reached) -> None:  # noqa: B027
        """All up to `reached` is on record in the lake: the system need not keep it for us. Raises FeedError."""

    def replay(
        self, url: str, source: "Source", reached: Reached, days: Collection[date], most_bytes: int
    ) -> Iterator[Extract]:
        """What the system has of some days, whether or not it was pulled before, in streams of their own.

        Only of feeds that `replays`. Raises FeedError when the system fails or keeps nothing of these days.
        """
        raise NotImplementedError
