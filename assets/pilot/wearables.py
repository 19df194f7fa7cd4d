"""A stream of wristband readings of the pilot's subjects, made up, and the same each time.

The study had no wristbands. What is wrong with the stream is known by number, so that what becomes of it can be held
against it: readings that come late, in another order, twice, and messages that cannot be read.
"""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TOPIC = "wearable.readings"
_SEED = 2014
_EVERY = timedelta(minutes=5)
# Of a day's 288 readings, those of two walks.
_WALKS = (range(96, 104), range(204, 216))
# Episodes that somebody should hear of, of forty minutes: of every eighth subject a heart that beats too fast, of the
# one after it too slowly.
_EPISODE, _RATES = range(150, 158), {3: 145, 4: 36}


@dataclass(frozen=True)
class Sent:
    """One message: who it is of, its bytes, and when the stream gets it."""

    key: bytes
    value: bytes
    received: datetime


@dataclass(frozen=True)
class Stream:
    """Messages in the order they are sent. readings: how many different ones; the others are of that kind."""

    messages: Sequence[Sent]
    readings: int
    late: int
    twice: int
    poison: int


def stream(subjects: Sequence[str], days: int = 1, first: datetime = datetime(2014, 1, 2, tzinfo=UTC)) -> Stream:
    """Readings of every five minutes, sent at once; of each subject and day 6 an hour or more late (so out of order), 5
    twice, and 2 messages that cannot be read.
    """
    chance = random.Random(_SEED)
    messages: list[Sent] = []
    for number, subject in enumerate(subjects):
        for day in range(days):
            messages += _day(
                chance, subject, f"WB-{number:05}", day, first + timedelta(days=day), _RATES.get(number % 8)
            )
    # Stable: what comes at one moment comes in the order it was made.
    messages.sort(key=lambda one: one.received)
    count = len(subjects) * days
    per_day = timedelta(days=1) // _EVERY
    return Stream(messages, count * per_day, count * 6, count * 5, count * 2)


def _day(
    chance: random.Random, subject: str, device: str, day: int, begins: datetime, rate: int | None
) -> Iterator[Sent]:
    key, per_day = device.encode(), timedelta(days=1) // _EVERY
    odd = chance.sample(range(per_day), 11)
    late, twice = set(odd[:6]), set(odd[6:])
    for number in range(per_day):
        taken = begins + number * _EVERY
        walks = any(number in walk for walk in _WALKS)
        reading = {
            "usubjid": subject,
            "device": device,
            "reading_id": day * per_day + number,
            "event_time": taken.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "heart_rate": chance.randint(95, 130) if walks else chance.randint(55, 80),
            "steps": chance.randint(300, 550) if walks else 0,
        }
        if rate and number in _EPISODE:
            reading["heart_rate"] = rate
        value = json.dumps(reading, separators=(",", ":")).encode()
        received = taken + timedelta(seconds=2)
        if number in late:
            received += timedelta(minutes=chance.randint(60, 300))
        yield Sent(key, value, received)
        if number in twice:
            yield Sent(key, value, received + timedelta(seconds=30))
    yield Sent(key, b'{"usubjid":', begins + timedelta(hours=5))
    yield Sent(key, b"\xff\xfe", begins + timedelta(hours=6))


def produce(servers: str, messages: Iterable[Sent], topic: str = TOPIC, **settings: object) -> int:
    """Send messages to a topic, each device's to one partition; how many were taken. servers: host:port, of Kafka."""
    from confluent_kafka import Producer

    heard: list[bool] = []
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, **settings})
    for one in messages:
        while True:
            try:
                producer.produce(
                    topic,
                    one.value,
                    one.key,
                    timestamp=int(one.received.timestamp() * 1000),
                    on_delivery=lambda error, _: heard.append(error is None),
                )
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)
    return sum(heard)
