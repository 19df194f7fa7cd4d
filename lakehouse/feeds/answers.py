"""What came of asking a source's system, on record, and whether to leave it alone: a circuit breaker.

One that has failed three times in a row is left alone for half a minute, and for twice as long after each failure that
follows; one that asks to be left alone is, for as long as it says.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl

from lakehouse.errors import SupersededError
from lakehouse.feeds import BusyError, FeedError
from lakehouse.lake import Change, Lake
from lakehouse.source import Source

SCHEMA: dict[str, pl.DataType] = {
    "at": pl.Datetime("us", "UTC"),
    "outcome": pl.String(),
    "extracts": pl.Int64(),
    "bytes": pl.Int64(),
    "why": pl.String(),
    # Until when the system asks to be left alone.
    "until": pl.Datetime("us", "UTC"),
}
BROUGHT, UNCHANGED, FAILED = "brought", "unchanged", "failed"
# Of looks at what waits: only what tells failures from their end.
SILENT, ANSWERED = "no answer", "answered"
# Of what is on record, telling the system so.
HELD, RELEASED = "not released", "released"
# Told by the newest row of its kind; others would come with every look.
_ONE_ROW = {UNCHANGED, ANSWERED, RELEASED}
# So many failures in a row, and the system is left alone; twice as long after each that follows.
_FAILURES = 3
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
# Of the waits that a system asks for: one of weeks is rather a mistake.
_LONGEST_ASKED = timedelta(days=1)
# Failures before that say nothing: 64 in a row, of the longest waits, take less.
_LATELY = timedelta(days=4)
_ATTEMPTS = 5


@dataclass(frozen=True)
class Breaker:
    """Whether a system is to be left alone. failures: of pulls in a row, and of looks in a row, up to now; looks: those
    of looks; until: when it may be asked again; own: until when it has asked itself to be left alone.
    """

    failures: int = 0
    looks: int = 0
    until: datetime | None = None
    why: str | None = None
    own: datetime | None = None

    @property
    def said(self) -> bool:
        """Whether it is by its own word that it is left alone now."""
        return self.own is not None and self.own > _now()

    def wait(self, now: datetime | None = None) -> timedelta | None:
        """For how much longer to leave the system alone; None when it may be asked."""
        left = self.until - (now or _now()) if self.until else timedelta(0)
        return left if left > timedelta(0) else None


def table(source: Source) -> str:
    """Where what came of a source's pulls is kept."""
    return f"feeds/{source.name}"


def read_at(lake: Lake, source: Source) -> datetime | None:
    """When a pull last went through."""
    done = lake.scan(table(source), schema=SCHEMA).filter(pl.col("outcome").is_in([BROUGHT, UNCHANGED]))
    return cast("datetime | None", done.select(pl.col("at").max()).collect().item())


def breaker(lake: Lake, source: Source) -> Breaker:
    """How the source's system has answered lately."""
    rows, outcome = _lately(lake, source), pl.col("outcome")
    since = rows.filter(outcome.is_in([BROUGHT, UNCHANGED]).cum_sum(reverse=True) == 0)
    # That a system answers a look does not say that it can be pulled from.
    silent = (outcome == SILENT) & ((outcome == ANSWERED).cum_sum(reverse=True) == 0)
    return _judged(since.filter((outcome == FAILED) | silent))


def releases(lake: Lake, source: Source) -> Breaker:
    """The same of telling it what is on record, which keeps nobody from pulling."""
    outcome = pl.col("outcome")
    failed = (outcome == HELD) & ((outcome == RELEASED).cum_sum(reverse=True) == 0)
    return _judged(_lately(lake, source).filter(failed))


def _lately(lake: Lake, source: Source) -> pl.DataFrame:
    # Delta passes over files that have nothing as new.
    lately = pl.col("at") > _now() - _LATELY
    found = lake.scan(table(source), schema=SCHEMA).filter(lately).sort("at").tail(64).collect()
    # An older version put down no `until`.
    return pl.concat([pl.DataFrame(schema=SCHEMA), found], how="diagonal")


def _judged(failed: pl.DataFrame) -> Breaker:
    """What so many failures in a row come to."""
    if failed.is_empty():
        return Breaker()
    count, at = failed.height, cast("datetime", failed["at"].max())
    pause = min(_FIRST_WAIT * 2 ** min(count - _FAILURES, 16), _LONGEST_WAIT) if count >= _FAILURES else None
    looks = failed.filter(pl.col("outcome") == SILENT).height
    own = cast("datetime | None", failed["until"][-1])
    ends = [end for end in (at + pause if pause else None, own) if end]
    return Breaker(count, looks, max(ends, default=None), failed["why"][-1], own)


def keep(
    lake: Lake,
    source: Source,
    outcome: str,
    *,
    extracts: int = 0,
    size: int = 0,
    why: str | None = None,
    until: datetime | None = None,
) -> None:
    """Put on record what came of a pull, of so many `extracts` and `size` bytes, or of a look."""
    row = {"at": _now(), "outcome": outcome, "extracts": extracts, "bytes": size, "why": why, "until": until}
    rows = pl.DataFrame([row], schema=SCHEMA)
    instead = f"outcome = '{outcome}'" if outcome in _ONE_ROW else None
    for attempt in range(_ATTEMPTS):
        delta = lake.create(table(source), SCHEMA)
        try:
            lake.commit(delta, Change(rows), "pulls", (delta.transaction_version("pulls") or 0) + 1, replace=instead)
            return
        except SupersededError:
            if attempt == _ATTEMPTS - 1:
                raise


def asked_until(error: FeedError) -> datetime | None:
    """Until when a system that failed asks to be left alone."""
    return _now() + min(error.wait, _LONGEST_ASKED) if isinstance(error, BusyError) else None


def left_alone(source: Source, state: Breaker) -> str:
    """That the source's system is not asked, in words: until when, why, and what asks it all the same."""
    assert source.feed is not None
    system, until = source.feed.system, f" until {state.until:%Y-%m-%d %H:%M:%S} UTC" if state.until else ""
    if state.said:
        return f"{system} is left alone{until}: {state.why}"
    return (
        f"{system} has failed {state.failures} times in a row and is left alone{until} (lakehouse run --source "
        f"{source.name} asks at once): {state.why}"
    )


def _now() -> datetime:
    return datetime.now(UTC)
