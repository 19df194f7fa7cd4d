"""Reading spans of a topic's partitions: messages by partition in columns, in pieces that memory can hold."""

import base64
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
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

    lost: what is to be told of messages that should have come before.
    """

    partition: int
    begin: int
    stop: int
    lost: str | None = None


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


@dataclass(frozen=True)
class Limits:
    """Bounds of reading.

    most_bytes: that may be held. most_records: of one part. until: when (by time.monotonic) to end with what there is.
    all_bytes, all_records: after which to end. One message always passes.
    """

    most_bytes: int
    most_records: int
    until: float = math.inf
    all_bytes: float = math.inf
    all_records: float = math.inf


def differing(consumer: "Consumer", topic: str, checks: Mapping[int, tuple[int, str]]) -> tuple[list[int], list[int]]:
    """Of some partitions, by the offset and print of a message that each had: those that have another message there,
    and those that have the same. What compaction took leaves a partition in neither. Raises KafkaException.
    """
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

    left, changed, same = dict(checks), list[int](), list[int]()
    if left:
        consumer.assign([TopicPartition(topic, at, offset) for at, (offset, _) in left.items()])
    until = time.monotonic() + _QUIET_SECONDS
    while left:
        message: Any = consumer.poll(0.2)
        if message is None:
            if time.monotonic() > until:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            continue
        if (error := message.error()) is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        check = left.pop(message.partition(), None)
        if check and error is None and message.offset() == check[0]:
            (same if printed(message) == check[1] else changed).append(message.partition())
    return sorted(changed), same


def read(
    consumer: "Consumer", topic: str, spans: list[Span], limits: Limits, failed: Callable[[str], None]
) -> Iterator[Held]:
    """The messages of some spans. What is held at a time is bounded: the largest part goes out when there is too much.

    failed: told the name of an error that ends reading; what was read comes out all the same.
    """
    from confluent_kafka import TopicPartition

    left = {span.partition: span for span in spans if span.stop > span.begin}
    held = {at: Held(at, span.begin) for at, span in left.items()}
    if not left:
        return
    consumer.assign([TopicPartition(topic, at, span.begin) for at, span in left.items()])
    # Of all that was read: without a message there is no end by time, or nothing would ever go on.
    size, count, total, heard = 0, 0, 0, time.monotonic()

    def done(at: int) -> None:
        consumer.pause([TopicPartition(topic, at)])
        held[at].end = left.pop(at).stop - 1

    def enough() -> bool:
        return (count > 0 and time.monotonic() >= limits.until) or (
            size >= limits.all_bytes or count >= limits.all_records
        )

    while left and not enough():
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
            span, part = left[at], held[at]
            if message.offset() >= span.stop:
                done(at)
                continue
            if size >= limits.all_bytes or count >= limits.all_records:
                break
            more = _add(part, message)
            total, size, count = total + more, size + more, count + 1
            if message.offset() + 1 == span.stop:
                done(at)
            if total >= limits.most_bytes or len(part.columns["offset"]) >= limits.most_records:
                out = max(held.values(), key=lambda one: one.size)
                if len(part.columns["offset"]) >= limits.most_records:
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
