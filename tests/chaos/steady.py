"""A producer that goes on while its broker is killed again and again, and holds the broker to what it acknowledged."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial

import broker
from confluent_kafka import KafkaError, Message
from rates import held

# A broker on an object store tells a right end of a partition only while no two of its messages are of one second, by
# the clock; and whoever is told an end before what was read has to take the topic for another one.
_APART = 1.05


class Steady:
    """Puts messages into the partitions of a topic on and on, each again until it is acknowledged.

    One that was not acknowledged may be in the log all the same, and so twice: no two messages are alike.
    """

    def __init__(
        self, kafka: broker.Broker, topic: str, partitions: int, make: Callable[[int], bytes], chance: random.Random
    ) -> None:
        """make: given a partition, its next message."""
        self._kafka, self._topic, self._make, self._chance = kafka, topic, make, chance
        self._ending = threading.Event()
        # By partition: what is not acknowledged; when to send it, or the next.
        self._open: dict[int, bytes] = {}
        self._due = {partition: time.monotonic() + chance.uniform(0, _APART) for partition in range(partitions)}
        self._partitions = partitions
        self._acknowledged: dict[tuple[int, int], bytes] = {}
        self.again = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # Sent again by the client itself, a message might come in the second of the first attempt.
        producer = self._kafka.producer(**{"retries": 0, "message.timeout.ms": 3000})
        while self._open or not self._ending.is_set():
            now = time.monotonic()
            for partition in [partition for partition, at in self._due.items() if at <= now]:
                if partition not in self._open:
                    if self._ending.is_set():
                        continue
                    self._open[partition] = self._make(partition)
                del self._due[partition]
                heard = partial(self._heard, partition)
                producer.produce(self._topic, self._open[partition], partition=partition, on_delivery=heard)
            producer.poll(0.01)

    def _heard(self, partition: int, error: KafkaError | None, message: Message) -> None:
        self._due[partition] = time.monotonic() + _APART + self._chance.uniform(0, 0.3)
        if error:
            self.again += 1
            return
        offset = message.offset()
        assert offset is not None, "a message that is acknowledged has a place"
        self._acknowledged[partition, offset] = self._open.pop(partition)

    def end(self) -> None:
        """Send nothing new, and wait until all is acknowledged."""
        self._ending.set()
        self._thread.join(60)
        assert not self._open, f"{len(self._open)} messages are not acknowledged"

    def log(self) -> dict[int, list[bytes | None]]:
        """What each partition has at each offset; None where it has nothing. Raises AssertionError when the broker has
        not kept its word.
        """
        found = held(self._kafka.client, self._topic, self._partitions)
        lost = [at for at, value in self._acknowledged.items() if found[at[0]].get(at[1]) != value]
        assert not lost, f"the broker acknowledged messages that it has not, at {lost[:5]}"
        there = {value for values in found.values() for value in values.values()}
        assert there == {*self._acknowledged.values()}, "the broker has messages that nobody sent"
        # Where it died after it gave an offset to a message, and before it kept the message, there is none.
        return {
            partition: [values.get(offset) for offset in range(max(values, default=-1) + 1)]
            for partition, values in found.items()
        }
