"""Pulling: what a feed gives out lands as files.

How far a feed has got is the names of what has landed or is on record, and nothing beside. So whatever dies, a pull
goes on where the files end; what two attempts landed twice is told apart by the source's key.
"""

import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import cast

import polars as pl

from lakehouse import ledger
from lakehouse.clock import Clock
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Part, Reached, answers, in_words
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.putting import put, sweep
from lakehouse.source import Source

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
class _Seen:
    """Of a ledger up to its row `last`: each stream's newest end, and its checksum; and the newest day of delivery."""

    last: ledger.Last = ledger.NONE
    ends: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    day: date | None = None


# A look comes every few seconds, and a ledger is long: this process reads each row of it once.
_SEEN: dict[tuple[str, str, str], _Seen] = {}


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

    at = answers.read_at(lake, source) if source.feed and source.feed.reads_all else None
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


def pull(
    lake: Lake,
    source: Source,
    landing: Path,
    url: str,
    clock: Clock,
    most_bytes: int,
    days: Collection[date] = (),
    say: Callable[[Pulled], None] = lambda _: None,
    *,
    now: bool = False,
) -> Pulled:
    """Land what the source's system has that is new, or what it has of some `days`, where it can be asked again; what
    came of it.

    A system that fails is no failure of ours: it is told as `trouble`, and what was landed before stays.
    say: is told of every file that lands. now: ask even a system that is left alone, unless it has asked for that.
    Raises UnavailableError when the lake or the landing folder cannot be written.
    """
    feed = source.feed
    assert feed is not None
    if unasked(source, days, clock):
        return Pulled()
    days = days if feed.replays else ()
    state = answers.breaker(lake, source)
    if (left := state.wait()) and (state.said or not (days or now)):
        return Pulled(trouble=f"{answers.left_alone(source, state)}; it is asked again in {left.total_seconds():.0f} s")
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
        pulled, until = Pulled(pulled.extracts, pulled.bytes, str(error)), answers.asked_until(error)
    # Most looks find nothing, and there are many. That past days cannot be had says nothing of the next pull, nor is a
    # system to be left alone for longer because a person has tried.
    tells = pulled.trouble or state.failures or feed.reads_all
    if pulled.extracts or until or (tells and not days and not (left and pulled.trouble)):
        ended = answers.UNCHANGED if feed.reads_all and not pulled.extracts else answers.BROUGHT
        outcome = answers.FAILED if pulled.trouble else ended
        told = {"extracts": pulled.extracts, "size": pulled.bytes}
        answers.keep(lake, source, outcome, **told, why=pulled.trouble, until=until)
    return pulled


def unasked(source: Source, days: Collection[date], clock: Clock) -> str | None:
    """Why the source's system is not asked when a run is for some `days`; None when it is."""
    feed = source.feed
    if feed is None or feed.replays or not days or clock.today in days:
        return None
    return f"{feed.system} cannot be asked again for past days: what is on record of them is judged again instead"


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
        answers.keep(lake, source, answers.HELD, why=str(error), until=answers.asked_until(error))
        return str(error)
    if answers.releases(lake, source).failures:
        answers.keep(lake, source, answers.RELEASED)
    return None


def lag(lake: Lake, source: Source, landing: Path, url: str, *, now: bool = False) -> Lag:
    """What waits in the source's system; `trouble` when it does not answer, or is left alone, as looks can bring about.

    now: ask even a system that is left alone, unless it has asked for that. Raises UnavailableError when the lake
    cannot be read, or that the system fails cannot be put on record.
    """
    assert source.feed is not None
    state = answers.breaker(lake, source)
    if state.wait() and (state.said or not now):
        return Lag(trouble=answers.left_alone(source, state))
    try:
        with in_words(*_READING):
            found = source.feed.lag(url, source, reached(lake, source, landing))
    except FeedError as error:
        found, until = Lag(trouble=str(error)), answers.asked_until(error)
        # A person's try is not to make the system be left alone for longer.
        if until or not state.wait():
            answers.keep(lake, source, answers.SILENT, why=str(error), until=until)
    else:
        if state.looks:
            answers.keep(lake, source, answers.ANSWERED)
    if found.held and (kept := answers.releases(lake, source)).wait():
        # Only a run can release it, and runs have failed to: the next waits a while.
        return replace(found, held=False, trouble=found.trouble or f"what was pulled is not released: {kept.why}")
    return found


def lags(lake: Lake, landing: Path, asked: Mapping[str, tuple[Source, str]], *, now: bool = False) -> dict[str, Lag]:
    """What waits in the systems of some sources, all asked at once: one that says nothing keeps no other back.

    One system is asked for one source after another, and not again before the look before has ended.
    asked: by source name, the source and its system's URL. now: as in `lag`, which says what is raised as well.
    """

    def look(names: list[str], before: list[Future[Lag]]) -> None:
        wait(before)
        for name in names:
            source, url = asked[name]
            try:
                found[name].set_result(lag(lake, source, landing, url, now=now))
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


def _path(source: Source, feed: Feed, extract: Extract, day: date) -> str:
    """Where an extract lands. Raises FeedError when the source would not take it from there."""
    path = source.path.format(name=source.name, site=feed.system, day=day.isoformat(), part=extract.part)
    if not source.pattern.fullmatch(path):
        raise FeedError(f"{feed.system}: {path} is no path of source {source.name}; nothing of it was landed")
    return path
