"""How to reach the brokers of a system, and which messages of a topic are next."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lakehouse.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_SCHEMES = {"kafka": "plaintext", "kafka+ssl": "ssl"}
_SECONDS = 10.0
_BATCH = 500
# What the client asks of brokers to have each message at once: no waiting for more, and soon again after an empty turn.
_SOON = {"fetch.wait.max.ms": 10, "fetch.min.bytes": 1, "fetch.queue.backoff.ms": 5, "fetch.error.backoff.ms": 100}
# Not more than this is read ahead, in kilobytes. Answers of some servers are larger than the client takes by default.
_AHEAD = {"queued.max.messages.kbytes": 16_384, "receive.message.max.bytes": 2**30}


def configuration(system: str, url: str) -> dict[str, Any]:
    """What the Kafka client is told: kafka://[user:password@]host:port[,host:port…], kafka+ssl:// for TLS.

    Raises ConfigurationError, without the URL, when it is written otherwise.
    """
    scheme, separator, rest = url.partition("://")
    login, _, hosts = rest.rstrip("/").rpartition("@")
    if scheme not in _SCHEMES or not separator or not hosts or any(sign in hosts for sign in "/?# "):
        raise ConfigurationError(
            f"LAKEHOUSE_SYSTEM_{system.upper()} is no address of brokers; write it as "
            "kafka://[user:password@]host:port[,host:port], or kafka+ssl://… for TLS"
        )
    settings: dict[str, Any] = {"bootstrap.servers": hosts, "security.protocol": _SCHEMES[scheme], "log_level": 0}
    if login:
        user, _, password = login.partition(":")
        protocol = f"sasl_{_SCHEMES[scheme]}"
        settings |= {"security.protocol": protocol, "sasl.mechanism": "PLAIN"}
        settings |= {"sasl.username": unquote(user), "sasl.password": unquote(password)}
    return settings


class Log:
    """The partitions of a topic, each read from a position on. Raises UnavailableError when the brokers fail at once.

    Brokers that go away later are waited for; `trouble` says so in words meanwhile. waiting: how many messages there
    were to read at the last `look`.
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

    def _failed(self, error: "KafkaError") -> None:
        self.trouble = f"the brokers do not answer ({error.name()})"

    def follow(self, positions: Mapping[int, int]) -> list[int]:
        """Read on from these positions, other partitions from their beginning; those that were not followed before."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            topic = self._consumer.list_topics(self._topic, timeout=_SECONDS).topics[self._topic]
        except KafkaException as error:
            raise UnavailableError(f"the brokers do not answer ({error.args[0].name()}); nothing was lost") from None
        if topic.error:
            raise UnavailableError(f"topic {self._topic} cannot be read ({topic.error.name()}); is its name right?")
        new = sorted(topic.partitions.keys() - self.positions.keys())
        for partition in new:
            self.positions[partition] = self._held(partition, positions.get(partition))
        if new:
            at = [TopicPartition(self._topic, partition, self.positions[partition]) for partition in new]
            self._consumer.incremental_assign(at)
        return new

    def _held(self, partition: int, position: int | None) -> int:
        """The position itself, or the first that the brokers still hold after it."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            first, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=_SECONDS)
        except KafkaException as error:
            raise UnavailableError(f"the brokers do not answer ({error.args[0].name()}); nothing was lost") from None
        if position is None:
            return int(first)
        if position > end:
            raise UnavailableError(
                f"partition {partition} of topic {self._topic} ends at {end}, and was read up to {position}: the topic "
                "was made anew, or its brokers lost messages. What is on record is kept; declare the stream under a "
                "new name to read the topic from its beginning"
            )
        if position < first:
            self._lost(partition, first - position)
        return max(position, int(first))

    def next(self, wait: float) -> "list[Message]":
        """The messages that there are, at most some hundreds; waits so many seconds for the first."""
        first = self._consumer.poll(wait)
        if first is None:
            return []
        found = []
        # Asked for many with a wait, the client would wait for all of them.
        for message in (first, *self._consumer.consume(_BATCH, timeout=0)):
            if error := message.error():
                self._mend(message, error)
                continue
            self.trouble = None
            partition, offset = message.partition(), message.offset()
            assert partition is not None, "a message has a place"
            assert offset is not None, "a message has a place"
            if offset >= self.positions[partition]:
                self.positions[partition] = offset + 1
                found.append(message)
        return found

    def _mend(self, message: "Message", error: "KafkaError") -> None:
        from confluent_kafka import KafkaError, TopicPartition

        if error.code() == KafkaError._AUTO_OFFSET_RESET and (partition := message.partition()) is not None:
            self.positions[partition] = self._held(partition, self.positions[partition])
            at = TopicPartition(self._topic, partition, self.positions[partition])
            self._consumer.incremental_unassign([at])
            self._consumer.incremental_assign([at])
        else:
            self._failed(error)

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
            waiting += max(0, end - position)
        self.waiting, self.trouble = waiting, None

    def close(self) -> None:
        self._consumer.close()
