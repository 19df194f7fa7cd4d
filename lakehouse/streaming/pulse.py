"""Whether a stream is at work: what its service says of itself every half minute, and what waits when it says nothing.

It is told in a small file of the lake, `streams/<name>/pulse.json`, and decides nothing: where the service goes on is
in its record.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import obstore

from lakehouse.errors import LakehouseError, unavailable
from lakehouse.feeds import Reached
from lakehouse.lake import Lake
from lakehouse.streaming import Stream


@dataclass(frozen=True)
class Pulse:
    """What a service says of itself.

    at: when. moved: when it last judged messages, or had none to judge. positions: by partition of this `generation`,
    the offset of the next message. waiting: messages that were to be read. counts: by word, what became of all
    messages. trouble: what keeps it from judging or delivering, in words. stopped: it has ended in order.
    """

    at: datetime
    moved: datetime
    positions: Mapping[int, int]
    generation: int = 0
    waiting: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    trouble: str | None = None
    stopped: bool = False


@dataclass(frozen=True)
class Standing:
    """How a stream is doing.

    events: messages that wait to be judged. seconds: since when none was judged while they wait. heard: seconds since
    the service said something; None when it never did. trouble: what a person must do, if so. state: in a few words.
    """

    state: str
    events: int | None = None
    seconds: float | None = None
    heard: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    trouble: str | None = None


def give(lake: Lake, stream: str, pulse: Pulse) -> None:
    """Say how it goes. Raises UnavailableError when the lake cannot be written."""
    try:
        obstore.put(lake.store, _file(stream), msgspec.json.encode(pulse))
    except Exception as error:
        raise unavailable(error, f"how stream {stream} is doing cannot be told") from error


def last(lake: Lake, stream: str) -> Pulse | None:
    """What the service said last. Raises UnavailableError when the lake cannot be read."""
    try:
        return msgspec.json.decode(bytes(obstore.get(lake.store, _file(stream)).bytes()), type=Pulse)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise unavailable(error, f"how stream {stream} is doing cannot be read") from error


def looks(lake: Lake, asked: Sequence[tuple[Stream, str | None]]) -> list[Standing]:
    """How some streams are doing, each with the URL of its brokers if it is set; all are looked at at once."""

    def one(of: tuple[Stream, str | None]) -> Standing:
        stream, url = of
        if url is None:
            return Standing(f"not connected: set LAKEHOUSE_SYSTEM_{stream.system.upper()}")
        try:
            return look(lake, stream, url)
        except LakehouseError as error:
            return Standing("unknown", trouble=str(error))

    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        return list(pool.map(one, asked))


def look(lake: Lake, stream: Stream, url: str, now: datetime | None = None) -> Standing:
    """How a stream is doing: as its service says or, when that is silent, as its brokers at `url` do.

    Raises UnavailableError when the lake cannot be read.
    """
    pulse, now = last(lake, stream.name), now or datetime.now(UTC)
    limit = stream.lag_limit.total_seconds()
    heard = max(0.0, (now - pulse.at).total_seconds()) if pulse else None
    if pulse and not pulse.stopped and heard is not None and heard <= limit:
        behind = max(0.0, (pulse.at - pulse.moved).total_seconds())
        words = f"for {behind:.0f} s no message was judged, and {pulse.waiting:,} wait" if pulse.waiting else None
        trouble = pulse.trouble or (words if behind > limit else None)
        return Standing("at work", pulse.waiting, behind if pulse.waiting else 0.0, heard, pulse.counts, trouble)
    counts = pulse.counts if pulse else {}
    state = "not started" if pulse is None else "stopped" if pulse.stopped else "silent"
    positions = pulse.positions if pulse and pulse.generation == stream.feed.generation else {}
    ends = {stream.feed.stream(at): f"{position - 1:020}" for at, position in positions.items() if position}
    try:
        lag = stream.feed.lag(url, stream.source, Reached(ends))
    except LakehouseError as error:
        return Standing(state, heard=heard, counts=counts, trouble=str(error))
    waited = lag.seconds or 0.0
    seconds = min(waited, heard) if heard is not None else waited
    trouble = lag.trouble
    if lag.events and seconds > limit:
        since = f"has said nothing for {heard:.0f} s" if heard is not None else "never ran"
        trouble = f"its service {since}, and {lag.events:,} messages wait: start lakehouse stream {stream.name}"
    return Standing(state, lag.events, seconds, heard, counts, trouble)


def _file(stream: str) -> str:
    return f"streams/{stream}/pulse.json"
