"""Pulling: what a feed gives out lands as files, and what came of each pull is kept, so that a system that keeps
failing is left alone for a while.

How far a feed has got is the names of what has landed or is on record, and nothing beside. So whatever dies, a pull
goes on where the files end; what two attempts landed twice is told apart by the source's key.
"""

import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast

import polars as pl

from lakehouse import ledger
from lakehouse.clock import Clock
from lakehouse.errors import SupersededError
from lakehouse.feeds import BusyError, Extract, Feed, FeedError, Lag, Part, Reached, in_words
from lakehouse.lake import Change, Lake
from lakehouse.landing import listing
from lakehouse.putting import put, sweep
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
_READING = "reading", "what was pulled before is kept"
# Seconds to wait for what systems say that are looked at; a tick of Dagster's sensor has a minute.
_PATIENCE = 20
# Looks under way, by lake and source: the system, and what will come of it. The next look waits for the same, so
# that a system that takes long is not asked by more and more at a time.
_LOOKS: dict[tuple[str, str], tuple[str, Future[Lag]]] = {}
_LOOKS_GUARD = threading.Lock()


@dataclass(frozen=True)
class Pulled:
    """What a pull landed: how many files and bytes; trouble: why it ended before its end, if it did."""

    extracts: int = 0
    bytes: int = 0
    trouble: str | None = None


@dataclass(frozen=True)
class Breaker:
    """Whether a system is to be left alone. failures: of pulls in a row, and of looks in a row, up to now; looks: those
    of looks; until: when it may be asked again; said: whether it has said so itself.
    """

    failures: int = 0
    looks: int = 0
    until: datetime | None = None
    why: str | None = None
    said: bool = False

    def wait(self, now: datetime | None = None) -> timedelta | None:
        """For how much longer to leave the system alone; None when it may be asked."""
        left = self.until - (now or _now()) if self.until else timedelta(0)
        return left if left > timedelta(0) else None


@dataclass(frozen=True)
class _Seen:
    """Of a ledger up to its row `last`: each stream's newest end, and its checksum; and the newest day of delivery."""

    last: ledger.Last = ledger.NONE
    ends: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    day: date | None = None


# A look comes every few seconds, and a ledger is long: this process reads each row of it once.
_SEEN: dict[tuple[str, str, str], _Seen] = {}


def table(source: Source) -> str:
    """Where what came of a source's pulls is kept."""
    return f"feeds/{source.name}"


def reached(lake: Lake, source: Source, landing: Path | None = None) -> Reached:
    """How far the source's feed has got: by what is on record and, with `landing`, by what has landed as well."""
    return _reached(lake, source, landing, _on_record(lake, source))


def _reached(lake: Lake, source: Source, landing: Path | None, seen: _Seen) -> Reached:
    places: dict[str, tuple[str, str | None, Path | None]] = {
        stream: (end, checksum, None) for stream, (end, checksum) in seen.ends.items()
    }
    for path, part in _landed(landing, source):
        if part.stream not in places or part.end > places[part.stream][0]:
            places[part.stream] = (part.end, None, path)

    def last(stream: str) -> bytes | None:
        if stream not in places:
            return None
        _, checksum, path = places[stream]
        return path.read_bytes() if path else lake.kept(str(checksum))

    at = _read_at(lake, source) if source.feed and source.feed.reads_all else None
    return Reached({stream: end for stream, (end, _, _) in places.items()}, last, at)


def _on_record(lake: Lake, source: Source) -> _Seen:
    """What is on record of the source."""
    pattern = source.pattern
    own = (lake.root, source.name, pattern.pattern)
    before = _SEEN.get(own, _Seen())
    rows, anew = ledger.after(lake, source, before.last, ("act", "_file", "_checksum", "_delivered"))
    before = _Seen() if anew else before
    if rows.is_empty():
        return before
    path = pl.col("_file").str.extract(f"^{pattern.pattern}$", pattern.groupindex["part"])
    newest = (
        rows.lazy()
        .filter(pl.col("act") == ledger.DELIVERED)
        .select("seq", "_checksum", part=Part.fields(path))
        .unnest("part")
        .drop_nulls("end")
        .sort("end", "seq")
        .group_by("stream")
        .last()
        .collect()
    )
    ends = dict(before.ends)
    for stream, end, checksum in newest.select("stream", "end", "_checksum").iter_rows():
        if stream not in ends or end >= ends[stream][0]:
            ends[stream] = (end, checksum)
    days = [day for day in (before.day, cast("date | None", rows["_delivered"].max())) if day]
    _SEEN[own] = _Seen((rows["seq"][-1], rows["_received_at"][-1]), ends, max(days, default=None))
    return _SEEN[own]


def _read_at(lake: Lake, source: Source) -> datetime | None:
    """When a pull last went through."""
    done = lake.scan(table(source), schema=SCHEMA).filter(pl.col("outcome").is_in([BROUGHT, UNCHANGED]))
    return cast("datetime | None", done.select(pl.col("at").max()).collect().item())


def _landed(landing: Path | None, source: Source) -> Iterator[tuple[Path, Part]]:
    if landing is None or not landing.is_dir():
        return
    assert source.feed is not None
    # What comes before the first field that varies: nothing else can hold what this feed has landed.
    fixed, _, _ = source.path.replace("{name}", source.name).replace("{site}", source.feed.system).partition("{")
    for file in listing(landing, [source], fixed.rpartition("/")[0]).claimed[source.name]:
        match = source.pattern.fullmatch(file.path)
        assert match
        if part := Part.of(match["part"]):
            yield landing / file.path, part


def breaker(lake: Lake, source: Source) -> Breaker:
    """How the source's system has answered lately."""
    rows, outcome = _lately(lake, source), pl.col("outcome")
    since = rows.filter(outcome.is_in([BROUGHT, UNCHANGED]).cum_sum(reverse=True) == 0)
    # That a system answers a look does not say that it can be pulled from.
    silent = (outcome == SILENT) & ((outcome == ANSWERED).cum_sum(reverse=True) == 0)
    return _judged(since.filter((outcome == FAILED) | silent))


def _releases(lake: Lake, source: Source) -> Breaker:
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
    until, said = at + pause if pause else None, cast("datetime | None", failed["until"][-1])
    if said and (until is None or said > until):
        return Breaker(count, looks, said, failed["why"][-1], said=True)
    return Breaker(count, looks, until, failed["why"][-1])


def pull(
    lake: Lake,
    source: Source,
    landing: Path,
    url: str,
    clock: Clock,
    most_bytes: int,
    days: Collection[date] = (),
    say: Callable[[Pulled], None] = lambda _: None,
) -> Pulled:
    """Land what the source's system has that is new, or what it has of some `days`, where it can be asked again; what
    came of it.

    A system that fails is no failure of ours: it is told as `trouble`, and what was landed before stays.
    say: is told of every file that lands. Raises UnavailableError when the lake or the landing folder cannot be
    written.
    """
    feed = source.feed
    assert feed is not None
    if unasked(source, days, clock):
        return Pulled()
    days = days if feed.replays else ()
    state = breaker(lake, source)
    if (left := state.wait()) and (state.said or not days):
        return Pulled(trouble=f"{_open(feed, state)}; it is asked again in {left.total_seconds():.0f} s")
    pulled, until = Pulled(), None
    seen = _on_record(lake, source)
    newest = seen.day or date.min
    if newest > clock.last_day:
        words = f"{newest}, of which there are deliveries, is after {clock.last_day}: set the lakehouse's clock right"
        return Pulled(trouble=words)
    try:
        done = _reached(lake, source, landing, seen)
        if days:
            extracts = feed.replay(url, source, done, days, most_bytes)
        else:
            extracts = feed.pull(url, source, done, most_bytes)
        with in_words(*_READING), closing(cast("Generator[Extract, None, None]", extracts)):
            for extract in extracts:
                # By the clock of an ended study, what is pulled now was delivered on its last day; and never before
                # what was delivered already, which would win.
                path = _path(source, feed, extract, max(newest, min(extract.day, clock.today)))
                if not pulled.extracts:
                    # Once: it looks through the folder, which may hold the files of days.
                    sweep(landing, [path])
                with put(landing, path) as write:
                    write(extract.data)
                pulled = Pulled(pulled.extracts + 1, pulled.bytes + len(extract.data))
                say(pulled)
    except FeedError as error:
        pulled, until = Pulled(pulled.extracts, pulled.bytes, str(error)), _until(error)
    # Most looks find nothing, and there are many. That past days cannot be had says nothing of the next pull.
    if pulled.extracts or until or (not days and (pulled.trouble or state.failures or feed.reads_all)):
        ended = UNCHANGED if feed.reads_all and not pulled.extracts else BROUGHT
        _keep(lake, source, FAILED if pulled.trouble else ended, pulled, until)
    return pulled


def unasked(source: Source, days: Collection[date], clock: Clock) -> str | None:
    """Why the source's system is not asked when a run is for some `days`; None when it is."""
    feed = source.feed
    if feed is None or feed.replays or not days or clock.today in days:
        return None
    return (
        f"{feed.system} cannot be asked again for past days, so that nothing was pulled; what is on record of them "
        f"stands, and lakehouse rebuild --source {source.name} judges all kept deliveries anew"
    )


def release(lake: Lake, source: Source, url: str) -> str | None:
    """Tell the system how much of what it keeps for us is on record; what is wrong, if it cannot be told.

    Raises UnavailableError when the lake cannot be read, or that it cannot be told cannot be put on record.
    """
    assert source.feed is not None
    if type(source.feed).release is Feed.release:
        return None
    done = reached(lake, source)
    try:
        with in_words(*_READING):
            if done.ends:
                source.feed.release(url, source, done)
    except FeedError as error:
        _keep(lake, source, HELD, Pulled(trouble=str(error)), _until(error))
        return str(error)
    if _releases(lake, source).failures:
        _keep(lake, source, RELEASED, Pulled())
    return None


def lag(lake: Lake, source: Source, landing: Path, url: str) -> Lag:
    """What waits in the source's system; `trouble` when it does not answer, or is left alone, as looks can bring about.

    Raises UnavailableError when the lake cannot be read, or that the system fails cannot be put on record.
    """
    assert source.feed is not None
    state = breaker(lake, source)
    if state.wait():
        return Lag(trouble=_open(source.feed, state))
    try:
        with in_words(*_READING):
            found = source.feed.lag(url, source, reached(lake, source, landing))
    except FeedError as error:
        found = Lag(trouble=str(error))
        _keep(lake, source, SILENT, Pulled(trouble=str(error)), _until(error))
    else:
        if state.looks:
            _keep(lake, source, ANSWERED, Pulled())
    if found.held and (kept := _releases(lake, source)).wait():
        # Only a run can release it, and runs have failed to: the next waits a while.
        return replace(found, held=False, trouble=found.trouble or f"what was pulled is not released: {kept.why}")
    return found


def lags(lake: Lake, landing: Path, asked: Mapping[str, tuple[Source, str]]) -> dict[str, Lag]:
    """What waits in the systems of some sources, all asked at once: one that says nothing keeps no other back.

    One system is asked for one source after another, and not again before the look before has ended.
    asked: by source name, the source and its system's URL. Raises what `lag` raises.
    """

    def look(names: list[str], before: list[Future[Lag]]) -> None:
        wait(before)
        for name in names:
            source, url = asked[name]
            try:
                found[name].set_result(lag(lake, source, landing, url))
            except BaseException as error:  # noqa: BLE001 raised where the answer is taken
                found[name].set_exception(error)
            del _LOOKS[lake.root, name]

    with _LOOKS_GUARD:
        new: dict[str, list[str]] = {}
        under_way = list(_LOOKS.values())
        for name, (source, _) in asked.items():
            assert source.feed is not None
            if (lake.root, name) not in _LOOKS:
                _LOOKS[lake.root, name] = source.feed.system, Future()
                new.setdefault(source.feed.system, []).append(name)
        found = {name: _LOOKS[lake.root, name][1] for name in asked}
    for system, names in new.items():
        before = [answer for there, answer in under_way if there == system]
        # Not those of a pool, for which a command would wait when it ends.
        threading.Thread(target=look, args=(names, before), name=f"look at {', '.join(names)}", daemon=True).start()
    wait(found.values(), _PATIENCE)
    silent = Lag(trouble=f"the system has not answered for {_PATIENCE} s")
    return {name: answer.result() if answer.done() else silent for name, answer in found.items()}


def _now() -> datetime:
    return datetime.now(UTC)


def _until(error: FeedError) -> datetime | None:
    """Until when a system that failed asks to be left alone."""
    return _now() + min(error.wait, _LONGEST_ASKED) if isinstance(error, BusyError) else None


def _open(feed: Feed, state: Breaker) -> str:
    until = f" until {state.until:%Y-%m-%d %H:%M:%S} UTC" if state.until else ""
    if state.said:
        return f"{feed.system} is left alone{until}: {state.why}"
    return f"{feed.system} has failed {state.failures} times in a row and is left alone{until}: {state.why}"


def _path(source: Source, feed: Feed, extract: Extract, day: date) -> str:
    """Where an extract lands. Raises FeedError when the source would not take it from there."""
    path = source.path.format(name=source.name, site=feed.system, day=day.isoformat(), part=extract.part)
    if not source.pattern.fullmatch(path):
        raise FeedError(f"{feed.system}: {path} is no path of source {source.name}; nothing of it was landed")
    return path


def _keep(lake: Lake, source: Source, outcome: str, pulled: Pulled, until: datetime | None = None) -> None:
    """Put on record what came of a pull, or of a look."""
    row = {"at": _now(), "outcome": outcome, "extracts": pulled.extracts, "bytes": pulled.bytes}
    rows = pl.DataFrame([{**row, "why": pulled.trouble, "until": until}], schema=SCHEMA)
    instead = f"outcome = '{outcome}'" if outcome in _ONE_ROW else None
    for attempt in range(_ATTEMPTS):
        delta = lake.create(table(source), SCHEMA)
        try:
            lake.commit(delta, Change(rows), "pulls", (delta.transaction_version("pulls") or 0) + 1, replace=instead)
            return
        except SupersededError:
            if attempt == _ATTEMPTS - 1:
                raise
