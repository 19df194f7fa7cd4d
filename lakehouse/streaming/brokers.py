"""Which messages of a topic are next, and whether it still is the topic that was read before."""

import time
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from lakehouse.errors import UnavailableError
from lakehouse.feeds.kafka_reading import printed

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_SECONDS = 10.0
# At work, brokers that do not answer sooner are asked again later: alerts are to come on record meanwhile.
_SOON_SECONDS = 2.0
_BATCH = 500
# So long after the first message for others to come: judging ten costs hardly more than judging one.
_GATHER_SECONDS = 0.005
# What the client asks of brokers to have each message at once: no waiting for more, and soon again after an empty turn.
_SOON = {"fetch.wait.max.ms": 10, "fetch.min.bytes": 1, "fetch.queue.backoff.ms": 5, "fetch.error.backoff.ms": 100}
# Not more than this is read ahead, in kilobytes. Answers of some servers are larger than the client takes by default.
_AHEAD = {"queued.max.messages.kbytes": 16_384, "receive.message.max.bytes": 2**30}
_GONE = {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}


class AnotherTopicError(UnavailableError):
    """A topic is not the one that was read before, or has lost what was read of it."""


class Log:
    """The partitions of a topic, each read from a position on. Raises UnavailableError when the brokers fail at once.

    Brokers that go away later are waited for; `trouble` says so in words meanwhile. waiting: how many messages there
    were to read at the last `look`. prints: by partition, what tells the message before its position from any other.

    A topic that is made anew has other messages at the same offsets. So after a start, and whenever there was trouble,
    the message before a position is read once more, and only if it is still the same what follows is taken.
    """

    def __init__(self, topic: str, brokers: Mapping[str, Any], lost: Callable[[int, int], None]) -> None:
        """lost: is told of a partition how many messages were gone before they were read."""
        from confluent_kafka import Consumer

        self._topic, self._lost = topic, lost
        self.trouble: str | None = None
        self.waiting: int | None = None
        self._consumer = Consumer(
            {
                **brokers,
                **_SOON,
                **_AHEAD,
                "group.id": "lakehouse-stream",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "error_cb": self._failed,
            }
        )
        self.positions: dict[int, int] = {}
        self.prints: dict[int, str] = {}
        # Partitions whose place has to be looked for again; whose next message is to be the one before the position.
        self._adrift: set[int] = set()
        self._checks: set[int] = set()
        self._doubted = False

    def _failed(self, error: "KafkaError") -> None:
        gone = error.name() in _GONE
        self.trouble = f"{f'topic {self._topic} is gone' if gone else 'the brokers do not answer'} ({error.name()})"
        self._doubted = True

    def follow(self, positions: Mapping[int, int], prints: Mapping[int, str] | None = None) -> list[int]:
        """Read on from these positions, other partitions from their beginning; those that were not followed before.

        prints: as `self.prints` was at these positions. Raises AnotherTopicError, UnavailableError.
        """
        from confluent_kafka import KafkaException, TopicPartition

        try:
            topic = self._consumer.list_topics(self._topic, timeout=_SECONDS).topics[self._topic]
            if topic.error:
                raise UnavailableError(f"topic {self._topic} cannot be read ({topic.error.name()}); is its name right?")
            new = sorted(topic.partitions.keys() - self.positions.keys())
            # One that was not there when others were followed begins with its first message.
            others = 0 if positions or self.positions else None
            at = {
                partition: self._begin(
                    partition, positions.get(partition, others), (prints or {}).get(partition), _SECONDS
                )
                for partition in new
            }
        except KafkaException as error:
            raise UnavailableError(f"the brokers do not answer ({error.args[0].name()}); nothing was lost") from None
        if new:
            self._consumer.incremental_assign([TopicPartition(self._topic, *place) for place in at.items()])
        return new

    def _begin(self, partition: int, position: int | None, told: str | None, seconds: float) -> int:
        """Set a partition's position, or the first that the brokers still hold after it; where to begin to read.

        told: the print of the message before the position. Raises AnotherTopicError and KafkaException.
        """
        from confluent_kafka import TopicPartition

        first, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=seconds)
        if position is not None and position > end:
            raise self._another(
                f"partition {partition} of topic {self._topic} ends at {end}, and was read up to", position
            )
        self._checks.discard(partition)
        self.prints.pop(partition, None)
        self.positions[partition] = begin = max(position or 0, int(first))
        if position is not None and position < first:
            self._lost(partition, first - position)
        elif told is not None and begin > first:
            self.prints[partition] = told
            self._checks.add(partition)
            return begin - 1
        return begin

    def _another(self, what: str, position: int) -> AnotherTopicError:
        return AnotherTopicError(
            f"{what} {position}: the topic was made anew, or its brokers lost messages. What is on record is kept; "
            "add one to the `generation` of its source's feed to read the topic from its beginning"
        )

    def next(self, wait: float) -> "list[Message]":
        """The messages that there are, at most some hundreds; waits so many seconds for the first.

        Raises AnotherTopicError.
        """
        if self._adrift:
            self._place()
        first = self._consumer.poll(wait)
        if first is None:
            return []
        time.sleep(_GATHER_SECONDS)
        # Asked for many with a wait, the client would wait for all of them.
        taken = [first, *self._consumer.consume(_BATCH, timeout=0)]
        sound = list(takewhile(lambda message: not message.error(), taken))
        if self._doubted or self._adrift:
            sound = []
        found = [message for message in sound if self._is_next(message)]
        for message in {message.partition(): message for message in found}.values():
            partition = message.partition()
            assert partition is not None, "a message has a place"
            self.prints[partition] = printed(message)
        for message in taken:
            if error := message.error():
                self._mend(error)
        if self._doubted and any(not message.error() for message in taken[len(sound) :]):
            # The brokers are back. What was given away here comes again, if it is still the same topic.
            self._doubted = False
            self._adrift.update(self.positions)
        return found

    def _is_next(self, message: "Message") -> bool:
        """Whether it is one to take; its partition's position is after it then."""
        self.trouble = None
        partition, offset = message.partition(), message.offset()
        assert partition is not None, "a message has a place"
        assert offset is not None, "a message has a place"
        position = self.positions[partition]
        if partition in self._checks:
            # Compaction may have taken it: then nothing can be told.
            self._checks.remove(partition)
            if offset == position - 1 and printed(message) != self.prints[partition]:
                what = (
                    f"partition {partition} of topic {self._topic} has another message at offset {offset} than it had"
                )
                raise self._another(f"{what} when it was read up to", position)
        if offset < position:
            return False
        self.positions[partition] = offset + 1
        return True

    def _mend(self, error: "KafkaError") -> None:
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._adrift.update(self.positions)
        else:
            self._failed(error)

    def _place(self) -> None:
        """Read partitions that are adrift on from their positions; if the brokers do not answer, it is tried again."""
        from confluent_kafka import KafkaException, TopicPartition

        for partition in sorted(self._adrift):
            try:
                begin = self._begin(partition, self.positions[partition], self.prints.get(partition), _SOON_SECONDS)
                at = TopicPartition(self._topic, partition, begin)
                self._consumer.incremental_unassign([at])
                self._consumer.incremental_assign([at])
            except KafkaException as error:
                self._failed(error.args[0])
                return
            self._adrift.remove(partition)

    def look(self) -> None:
        """Ask the brokers how many messages wait; what is known stays when they do not say, in 3 s."""
        from confluent_kafka import KafkaException, TopicPartition

        # What the client has in its cache it does not give away while the brokers are gone, nor does it return.
        waiting, until = 0, time.monotonic() + 3.0
        for partition, position in self.positions.items():
            place = TopicPartition(self._topic, partition)
            try:
                _, end = self._consumer.get_watermark_offsets(place, timeout=max(0.01, until - time.monotonic()))
            except KafkaException as error:
                self._failed(error.args[0])
                return
            if end < position:
                self._adrift.add(partition)
            waiting += max(0, end - position)
        self.waiting, self.trouble = waiting, None
        if self._doubted:
            # They are back, and it need not be the same topic even if it ends where the one that was read did.
            self._doubted = False
            self._adrift.update(self.positions)

    def close(self) -> None:
        self._consumer.close()
