"""Topics of a cluster that speaks Kafka's protocol, in batches of messages.

Every partition is a stream of its own, `p0`, `p1` and so on, and a position is an offset. Nobody shares partitions out
among consumers: what is read begins one past what is on record, so no group, no rebalance and no committed offset
decides what is ours. Only messages of transactions that were committed are read; offsets without one (markers of
transactions, what compaction took) are passed over, and a delivery's range covers them.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, get_args

from lakehouse.errors import SourceError
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Part, Reached
from lakehouse.feeds.kafka_client import SECONDS, Address, consuming, failure
from lakehouse.feeds.kafka_reading import Limits, Span, differing, read
from lakehouse.feeds.registry import Registry
from lakehouse.formats import Format, messages

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from lakehouse.source import Source


# For a look at single messages: a server gives one at least, however large, and is soon asked for another partition.
_LITTLE = {"fetch.message.max.bytes": 1024, "queued.min.messages": 1, "fetch.queue.backoff.ms": 5}
_FEW = 100


class _Oldest(NamedTuple):
    """The first message of a partition that waits: its time (ms), and the mean size (bytes) of it and some after it."""

    moment: int
    size: float


class AnotherTopicError(FeedError):
    """A topic is not the one that was read before."""


@dataclass(frozen=True, kw_only=True)
class KafkaTopic(Feed):
    """One topic. Its source's dialect is `Messages`.

    every: a minute and a half unless said otherwise, so that an hour of messages adds 40 versions to a table, not 720.
    topic: its name. most_records: of one delivery.
    most_seconds, pull_records, pull_bytes: how long one pull reads, and how much (bytes as received), before what it
        has is ingested; the next goes on.
    on_loss: what to do when messages that were never read are gone from the topic: `stop` reading their partition until
        a person has looked, or `go on` with what is left, and tell it once.
    generation: one more each time that the topic is deleted and made again, so that what the new one holds is not taken
        for what the old one held; its streams are then `g1_p0`, and it is read from its beginning. A key made of
        partition and offset needs `kafka_generation` as well: offsets begin anew.
    """

    topic: str
    every: timedelta = timedelta(seconds=90)
    most_records: int = 200_000
    most_seconds: float = 60
    pull_records: int = 5_000_000
    pull_bytes: int = 4 * 2**30
    on_loss: Literal["stop", "go on"] = "stop"
    generation: int = 0
    kind: ClassVar[str] = "kafka"
    lands: ClassVar[type[Format] | None] = messages.Messages
    replays: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", self.topic):
            raise SourceError(f"feed of {self.system}: {self.topic!r} can be no topic's name")
        if self.on_loss not in get_args(KafkaTopic.__annotations__["on_loss"]):
            raise SourceError(f"feed of {self.system}: on_loss is 'stop' or 'go on', not {self.on_loss!r}")
        if min(self.most_records, self.most_seconds, self.pull_records, self.pull_bytes) <= 0 or self.generation < 0:
            raise SourceError(
                f"feed of {self.system}: most_records, most_seconds, pull_records and pull_bytes are more than 0, "
                "generation is not less"
            )

    def pull(self, url: str, source: "Source", reached: Reached, most_bytes: int) -> Iterator[Extract]:
        """Messages past what is reached, up to the ends at the beginning. What is wrong with one partition is told
        (FeedError) when the others have been read; of a topic that is another than before nothing is read.
        """
        with consuming(url, self.system, _group(source), **_LITTLE) as consumer:
            bounds = self._bounds(consumer)
            begins = self._begins(bounds, reached)
            spans, troubles = self._spans(bounds, self._ends(reached.ends), begins)
            self._know_again(consumer, [span.partition for span in spans if span.stop > span.begin], bounds, reached)
        limits = Limits(
            most_bytes, self.most_records, time.monotonic() + self.most_seconds, self.pull_bytes, self.pull_records
        )
        yielded = set()
        with consuming(url, self.system, _group(source)) as consumer:
            for extract in self._extracts(consumer, url, spans, limits, troubles, self.stream, begins):
                yielded.add(extract.part.stream)
                yield extract
        troubles += [span.lost for span in spans if span.lost and self.stream(span.partition) in yielded]
        if troubles:
            raise FeedError("; ".join(dict.fromkeys(troubles)))

    def lag(self, url: str, source: "Source", reached: Reached) -> Lag:
        """How many messages wait, for how long the oldest by its own time; trouble, when a partition cannot go on.

        Bytes are about so many: the protocol tells offsets alone, and the first messages that wait tell their size.
        """
        with consuming(url, self.system, _group(source), **_LITTLE) as consumer:
            try:
                bounds = self._bounds(consumer)
                # A look comes often, and what was lost of a partition with nothing to read is told once there is.
                filled = {at: bound for at, bound in bounds.items() if bound[0] < bound[1]}
                spans, troubles = self._spans(bounds, self._ends(reached.ends), self._begins(filled, reached))
            except AnotherTopicError as error:
                return Lag(events=0, seconds=0.0, trouble=str(error))
            oldest = self._oldest(consumer, [span for span in spans if span.stop > span.begin])
        # Where no message came there may be markers of transactions only.
        waiting = {span.partition: span.stop - span.begin for span in spans if span.partition in oldest}
        now = time.time()
        return Lag(
            events=sum(waiting.values()),
            bytes=round(sum(events * oldest[at].size for at, events in waiting.items())),
            seconds=max((max(now - one.moment / 1000, 0.0) for one in oldest.values()), default=0.0),
            trouble="; ".join(troubles) or None,
            about=True,
        )

    def release(self, url: str, source: "Source", reached: Reached) -> None:
        """Commit what is on record to the group `lakehouse-<source>`, for those who watch groups; nothing reads it."""
        from confluent_kafka import TopicPartition

        places = ((self._partition(stream), int(end) + 1) for stream, end in reached.ends.items())
        offsets = [TopicPartition(self.topic, at, offset) for at, offset in places if at is not None]
        if offsets:
            with consuming(url, self.system, _group(source)) as consumer:
                consumer.commit(offsets=offsets, asynchronous=False)

    def replay(
        self, url: str, source: "Source", reached: Reached, days: Collection[date], most_bytes: int
    ) -> Iterator[Extract]:
        """Messages of some days (UTC, by the time that the topic keeps of each), as far as the topic has them.

        Their deliveries are of streams of their own, `p0_again`: what was not pulled yet is not passed over for them.
        A message keeps its partition and offset. Raises FeedError when the topic has none of those days, or is another
        than before.
        """
        troubles: list[str] = []
        # However long it takes: there is no next replay that goes on.
        limits, found = Limits(most_bytes, self.most_records), False
        with consuming(url, self.system, _group(source), **_LITTLE) as consumer:
            bounds = self._bounds(consumer)
            self._spans(bounds, self._ends(reached.ends), {})
            self._know_again(consumer, list(bounds), bounds, reached)
        with consuming(url, self.system, _group(source)) as consumer:
            for day in sorted({*days}):
                begins, ends = self._at(consumer, bounds, day), self._at(consumer, bounds, day + timedelta(days=1))
                spans = [Span(at, begins[at], max(ends[at], begins[at])) for at in bounds]
                named = lambda at: f"{self.stream(at)}_again"  # noqa: E731
                for extract in self._extracts(consumer, url, spans, limits, troubles, named, {}):
                    found = True
                    yield extract
        if troubles:
            raise FeedError("; ".join(dict.fromkeys(troubles)))
        if not found:
            raise FeedError(f"{self.system}: topic {self.topic} has no messages of these days; nothing was pulled")

    def stream(self, partition: int) -> str:
        """Name of the stream that a partition is."""
        return f"g{self.generation}_p{partition}" if self.generation else f"p{partition}"

    def _partition(self, stream: str) -> int | None:
        """The partition whose stream this is; None when it is none of this generation's, or of a replay."""
        number = re.fullmatch(r"(?:g\d+_)?p(\d+)", stream)
        return int(number[1]) if number and self.stream(int(number[1])) == stream else None

    def _bounds(self, consumer: "Consumer") -> dict[int, tuple[int, int]]:
        """By partition, the offset of its first message and one past its last. Raises FeedError."""
        from confluent_kafka import TopicPartition

        found = consumer.list_topics(self.topic, timeout=SECONDS).topics[self.topic]
        if found.error is not None and found.error.name() == "UNKNOWN_TOPIC_OR_PART":
            raise FeedError(
                f"{self.system} has no topic {self.topic}: see that it was not deleted, and mend the feed's `topic`; "
                "what was pulled before is kept"
            )
        if found.error is not None:
            raise FeedError(failure(self.system, found.error.name()))
        bounds = {}
        for at in sorted(found.partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(self.topic, at), timeout=SECONDS)
            bounds[at] = (low, high)
        return bounds

    def _spans(
        self, bounds: dict[int, tuple[int, int]], ends: Mapping[int, int], begins: Mapping[int, int]
    ) -> tuple[list[Span], list[str]]:
        """What to read of each partition, and what is wrong with those that are left alone.

        ends: the last offsets that were read. begins: where to begin with partitions of which nothing was read.
        Raises AnotherTopicError when the bounds of one alone show that this is no longer the topic that was read.
        """
        shown = [f"partition {at} is gone" for at in sorted(ends.keys() - bounds.keys())]
        for at, (_, high) in bounds.items():
            if at in ends and high <= ends[at]:
                shown.append(f"partition {at} ends before offset {ends[at] + 1}, and {ends[at]} was read")
        if shown:
            raise self._another(", ".join(shown))
        spans, troubles = [], []
        for at, (low, high) in bounds.items():
            begin = ends[at] + 1 if at in ends else begins.get(at, low)
            if low > begin:
                lost = f"partition {at} lost offsets {begin} to {low - 1} ({low - begin}) before they were read"
                if self.on_loss == "stop":
                    advice = "ask for longer retention, and set the feed's on_loss to 'go on' to read what is left"
                    troubles.append(f"{self.system}: {lost}; what was pulled before is kept: {advice}")
                else:
                    told = f"{self.system}: {lost}; reading went on with offset {low}"
                    spans.append(Span(at, low, high, lost=told))
            else:
                spans.append(Span(at, begin, high))
        return spans, troubles

    def _begins(self, bounds: dict[int, tuple[int, int]], reached: Reached) -> dict[int, int]:
        """Where to begin with partitions of which nothing was read: where they began when others were, and with those
        that were added since at 0. What the cluster has no longer after that is lost.

        It is what the cluster has where no delivery tells, as at first. Reads whole deliveries, if some is gone.
        """
        ends = self._ends(reached.ends)
        lows = {at: low for at, (low, _) in bounds.items() if at not in ends}
        lasts = (reached.last(self.stream(at)) for at in (ends if any(lows.values()) else ()))
        told = [about["begins"] for data in lasts if data and "begins" in (about := messages.about(data))]
        known: dict[int, int] = {}
        for at, begin in chain.from_iterable(json.loads(text).items() for text in told):
            known[int(at)] = max(begin, known.get(int(at), 0))
        return {at: known.get(at, 0) for at in lows} if told else lows

    def _ends(self, reached: Mapping[str, str]) -> dict[int, int]:
        """By partition, the last offset that was read."""
        return {at: int(end) for stream, end in reached.items() if (at := self._partition(stream)) is not None}

    def _know_again(
        self, consumer: "Consumer", asked: Collection[int], bounds: dict[int, tuple[int, int]], reached: Reached
    ) -> None:
        """Look whether the last message that was read of these partitions is still there; where none can tell, of the
        others. Raises AnotherTopicError. Reads whole deliveries.
        """
        ends = self._ends(reached.ends)
        there = [at for at in ends if asked and bounds[at][0] <= ends[at]]
        for partitions in ([at for at in there if at in asked], [at for at in there if at not in asked]):
            lasts = ((at, _last(reached.last(self.stream(at)))) for at in partitions)
            checks = {at: last for at, last in lasts if last and last[0] >= bounds[at][0]}
            changed, same = differing(consumer, self.topic, checks)
            if changed:
                told = (f"partition {at} has another message at offset {checks[at][0]}" for at in changed)
                raise self._another(", ".join(told) + " than the one that was read")
            if same:
                return

    def _another(self, what: str) -> "AnotherTopicError":
        return AnotherTopicError(
            f"{self.system}: topic {self.topic} is not the one that was read before: {what}. Nothing of it was read, "
            "and what was pulled before is kept: if it was made again, add one to the feed's `generation`; a source "
            "whose key is partition and offset needs kafka_generation in it first, or new messages replace old ones"
        )

    def _extracts(
        self,
        consumer: "Consumer",
        url: str,
        spans: list[Span],
        limits: Limits,
        troubles: list[str],
        named: Callable[[int], str],
        begins: Mapping[int, int],
    ) -> Iterator[Extract]:
        """The messages of some spans, as deliveries of today. What is wrong is added to `troubles`.

        begins: where to begin with partitions of which nothing was read, to be kept with what is.
        """
        address = Address.of(url, self.system)

        def failed(name: str) -> None:
            troubles.append(failure(self.system, name))

        with Registry(address.registry or "", self.system, address.ca) as registry:
            for held in read(consumer, self.topic, spans, limits, failed):
                values = held.columns["value"]
                schemas = registry.schemas(values) if address.registry else [None] * len(values)
                topic = [self.topic] * len(values)
                columns = {**held.columns, "topic": topic, "partition": [held.partition] * len(values)}
                told = {**held.about(), "generation": str(self.generation), "begins": json.dumps(begins)}
                data = messages.packed({**columns, "schema": schemas}, told)
                part = Part(named(held.partition), f"{held.begin:020}", f"{held.end:020}")
                yield Extract(part, data, datetime.now(UTC).date())

    def _at(self, consumer: "Consumer", bounds: dict[int, tuple[int, int]], day: date) -> dict[int, int]:
        """By partition, the first offset whose message is of a day or later; one past the last where none is."""
        from confluent_kafka import TopicPartition

        moment = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        asked = [TopicPartition(self.topic, at, moment) for at in bounds]
        found = consumer.offsets_for_times(asked, timeout=SECONDS)
        for one in found:
            if one.error is not None:
                raise FeedError(failure(self.system, one.error.name()))
        return {one.partition: one.offset if one.offset >= 0 else bounds[one.partition][1] for one in found}

    def _oldest(self, consumer: "Consumer", spans: list[Span]) -> dict[int, _Oldest]:
        """By partition, the first message that waits, where there is one. Raises FeedError."""
        from confluent_kafka import TopicPartition

        if not spans:
            return {}
        left, moments, sizes = {span.partition for span in spans}, dict[int, int](), defaultdict[int, list[int]](list)
        consumer.assign([TopicPartition(self.topic, span.partition, span.begin) for span in spans])
        until = time.monotonic() + SECONDS
        while left and time.monotonic() < until:
            batch: list[Any] = consumer.consume(_FEW, timeout=0.05)
            for message in batch:
                at, error = message.partition(), message.error()
                if error is not None and error.name() != "_PARTITION_EOF":
                    raise FeedError(failure(self.system, error.name()))
                left.discard(at)
                if error is None:
                    moments.setdefault(at, message.timestamp()[1])
                    sizes[at].append(len(message.value() or b"") + len(message.key() or b""))
        if left:
            raise FeedError(failure(self.system, "_TIMED_OUT"))
        return {at: _Oldest(moment, fmean(sizes[at])) for at, moment in moments.items()}


def _group(source: "Source") -> str:
    return f"lakehouse-{source.name}"


def _last(data: bytes | None) -> tuple[int, str] | None:
    """The offset and print of the last message of a delivery; None when it holds none, or is not ours."""
    kept = messages.about(data) if data else {}
    return (int(kept["last_offset"]), kept["last_print"]) if "last_offset" in kept else None
