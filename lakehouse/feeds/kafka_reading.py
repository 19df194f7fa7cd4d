"""Reading spans of a topic's partitions: messages by partition in columns, in pieces that memory can hold."""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_AT_ONCE = 10_000
# A cluster that gives nothing for so long, of what it says it has, has failed.
_QUIET_SECONDS = 30.0
# What a message takes beside its bytes.
_OVERHEAD = 100


_COLUMNS = ("offset", "timestamp", "key", "value", "headers")


@dataclass(frozen=True)
class Span:
    """Offsets of a partition to read, from `begin` up to but not with `stop`.

    check: the offset and print of a message that was read before; if another is there now, this is another topic.
    lost: what is to be told of messages that should have come before.
    """

    partition: int
    begin: int
    stop: int
    check: tuple[int, str] | None = None
    lost: str | None = None

    @property
    def first(self) -> int:
        """Where reading begins."""
        return self.check[0] if self.check else self.begin


@dataclass
class Held:
    """Messages of one partition that were read, in columns; they cover the offsets `begin` to `end`, both included."""

    partition: int
    begin: int
    end: int = -1
    size: int = 0
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})
    last: Any = None

    def about(self) -> dict[str, str]:
        """What is kept of the last message, to know the topic again by."""
        if self.last is None:
            return {}
        return {"last_offset": str(self.last.offset()), "last_print": printed(self.last)}


Limits = tuple[int, int, float]


def read(
    consumer: "Consumer",
    topic: str,
    spans: list[Span],
    limits: Limits,
    failed: Callable[[str], None],
    another: Callable[[str], None],
) -> Iterator[Held]:
    """The messages of some spans. What is held at a time is bounded: the largest part goes out when there is too much.

    limits: bytes that may be held, messages of one part, and when (by time.monotonic) to end with what there is.
    failed: told the name of an error that ends reading. another: told in words that a partition is not the one that
        was read before; it is left alone. What was read comes out all the same.
    """
    from confluent_kafka import TopicPartition

    most_bytes, most_records, until = limits
    left = {span.partition: span for span in spans if span.stop > span.begin}
    held = {at: Held(at, span.begin) for at, span in left.items()}
    if not left:
        return
    consumer.assign([TopicPartition(topic, at, span.first) for at, span in left.items()])
    total, heard = 0, time.monotonic()

    def done(at: int) -> None:
        consumer.pause([TopicPartition(topic, at)])
        held[at].end = left.pop(at).stop - 1

    while left and time.monotonic() < until:
        batch: list[Any] = consumer.consume(_AT_ONCE, timeout=0.05)
        heard = time.monotonic() if batch else heard
        if time.monotonic() - heard > _QUIET_SECONDS:
            failed("_TIMED_OUT")
            break
        for message in batch:
            at = message.partition()
            if at not in left:
                continue
            if (error := message.error()) is not None:
                if error.name() != "_PARTITION_EOF":
                    failed(error.name())
                    left.clear()
                    break
                if message.offset() >= left[at].stop:
                    done(at)
                continue
            offset = message.offset()
            span, part = left[at], held[at]
            if offset < span.begin:
                if span.check and offset == span.check[0] and printed(message) != span.check[1]:
                    another(f"partition {at} has another message at offset {offset} than the one that was read")
                    del left[at], held[at]
                continue
            if offset >= span.stop:
                done(at)
                continue
            size = _add(part, message)
            total += size
            if offset + 1 == span.stop:
                done(at)
            if total >= most_bytes or len(part.columns["offset"]) >= most_records:
                out = max(held.values(), key=lambda one: one.size)
                if len(part.columns["offset"]) >= most_records:
                    out = part
                total -= out.size
                held[out.partition] = Held(out.partition, out.end + 1)
                yield out
                heard = time.monotonic()
    yield from (part for part in held.values() if part.columns["offset"])


def _add(part: Held, message: Any) -> int:
    """Take a message into a part; what it takes of memory, in bytes."""
    key, value, headers = message.key(), message.value(), message.headers()
    kind, moment = message.timestamp()
    columns = part.columns
    columns["offset"].append(message.offset())
    # 0 means that the broker has none.
    columns["timestamp"].append(moment if kind else None)
    columns["key"].append(key)
    columns["value"].append(value)
    told = _headers(headers) if headers else None
    columns["headers"].append(told)
    part.end, part.last = message.offset(), message
    size = (len(value) if value else 0) + (len(key) if key else 0) + len(told or "") + _OVERHEAD
    part.size += size
    return size


def _headers(headers: list[tuple[str, bytes | None]]) -> str:
    """Headers as JSON, a list of [name, value]; a value that is no text as {"base64": ...}."""
    return json.dumps([[name, _header(value)] for name, value in headers], ensure_ascii=False)


def _header(value: bytes | str | None) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def printed(message: Any) -> str:
    """Tells a message from any other at its place."""
    whole = hashlib.sha256()
    for part in (str(message.timestamp()[1]).encode(), message.key(), message.value()):
        whole.update(b"-" if part is None else f"{len(part)}:".encode() + part)
    return whole.hexdigest()[:32]
