"""Kill the streaming service with signal 9, or its broker, or cut its lines to broker and webhook, again and again,
while events come in; then compare what it told.

    python tests/chaos/stream.py [--kills 100] [--seed 1] [--only service,lines,broker]

After each kill it is started again, as a supervisor would; cut off, or without its broker, it has to go on by itself.
Some of the lines are slow. The broker keeps what it acknowledged; it is killed while somebody goes on producing, and
has the topic of alerts as well. In the end the table must have each alert that follows from the log once, and the topic
and the webhook each at least once.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent / "lakehouse"))
sys.path.insert(0, str(Path(__file__).parent.parent / "lakehouse" / "streaming"))
sys.path.insert(0, str(Path(__file__).parent.parent / "lakehouse" / "feeds"))

import broker
import topics
from lines import Line
from rates import Receiver, declared, expected, ids_on_record, in_topic, message, receiving, started, until
from steady import Steady

from lakehouse.lake import Lake

PARTITIONS = 2
EVENTS = 40
# Of a broker that is killed, which takes a message of each in a second.
MANY_PARTITIONS = 20
KINDS = ("service", "lines", "broker")


@dataclass(frozen=True)
class Place:
    """Where the service works. address: the webhook's URL, as the service has it. lines, server: what is cut or killed,
    where it is not the service.
    """

    kafka: broker.Broker
    address: str
    lines: tuple[Line, ...] = ()
    server: topics.Durable | None = None


def events(chance: random.Random, turn: int, partition: int) -> list[bytes]:
    """Readings of a few keys, some out of order, some late, some no readings at all."""
    begin = turn * 20
    good = [
        message(
            f"k{partition}{chance.randrange(5)}", begin + chance.uniform(-12, 20), chance.choice([50, 80, 125, 140])
        )
        for _ in range(EVENTS)
    ]
    return [*good, *([b"{broken"] if chance.random() < 0.3 else [])]


def steady(kafka: broker.Broker, topic: str, chance: random.Random) -> Steady:
    """The like, one at a time, each with an id; as long as it lasts."""
    own, number = random.Random(chance.random()), count()

    def one(partition: int) -> bytes:
        at = next(number)
        if own.random() < 0.02:
            return b"{broken %d" % at
        who, second = f"k{partition}{own.randrange(3)}", at * 5 / MANY_PARTITIONS + own.uniform(-12, 20)
        said = json.loads(message(who, second, own.choice([50, 80, 125, 140])))
        return json.dumps({**said, "id": at}).encode()

    return Steady(kafka, topic, MANY_PARTITIONS, one, own)


@contextmanager
def serving(kind: str, chance: random.Random, webhook: Receiver) -> Iterator[Place]:
    """A broker, and what is between it, the webhook and the service."""
    if kind == "service":
        with broker.serving() as kafka:
            yield Place(kafka, webhook.url)
        return
    if kind == "broker":
        with topics.durable() as server:
            yield Place(server.kafka, webhook.url, server=server)
        return
    near = socket.create_server(("127.0.0.1", 0))
    url = urlsplit(webhook.url)
    line = Line(near, ("127.0.0.1", url.port or 0), chance)
    with topics.behind_a_line(chance) as (kafka, to_broker):
        try:
            address = url._replace(netloc=f"127.0.0.1:{near.getsockname()[1]}").geturl()
            yield Place(kafka, address, (to_broker, line))
        finally:
            line.close()


def told_in(kafka: broker.Broker, topic: str) -> list[str]:
    """The alerts in the topic of alerts, by their names."""
    return [item["id"] for item in in_topic(kafka.client, f"{topic}-alerts")]


def campaign(folder: Path, kills: int, seed: int, kind: str = "service") -> dict[str, int]:
    """What was done and found, by word. Raises AssertionError when an alert is missing or is in the table twice.

    kind: what is killed: the `service`, its `lines`, or its `broker`.
    """
    chance = random.Random(seed)
    lake, log = Lake(str(folder / "lake")), {partition: list[bytes | None]() for partition in range(PARTITIONS)}
    done = Counter[str]()
    with receiving() as webhook, serving(kind, chance, webhook) as place, ExitStack() as last:
        kafka = place.kafka
        topic = kafka.topic(MANY_PARTITIONS if place.server else PARTITIONS)
        kafka.topic(1, f"{topic}-alerts")
        process = started(lake, kafka.url(), topic, place.address)
        # Whatever is found wrong, the service of that moment goes with it.
        last.callback(lambda: process.kill())
        producer = steady(kafka, topic, chance) if place.server else None
        for turn in range(kills):
            if not producer:
                for partition, values in log.items():
                    new = events(chance, turn, partition)
                    kafka.produce(topic, new, partition)
                    values += new
            # Refused, its courier is silent for longer and longer, and tells by it no more when the service is at work.
            if not place.server and chance.random() < 0.2:
                webhook.status = 503 if webhook.status < 300 else 204
            # Most kills hit it at work, some while it starts.
            if chance.random() < 0.8:
                until(partial(webhook.asked_more_than, webhook.asked), every=0.001 if place.server else 0.05)
            # The topic takes an alert in some milliseconds, while the webhook has it.
            time.sleep(chance.uniform(0, 0.01 if place.server and chance.random() < 0.6 else 0.6))
            assert process.poll() is None, "the service ended by itself"
            if place.server:
                place.server.kill(down=chance.choice([0, chance.uniform(0, 1)]))
            elif place.lines:
                for line in chance.choice([place.lines[:1], place.lines[1:], place.lines]):
                    line.cut()
            else:
                process.kill()
                process.wait()
                process = started(lake, kafka.url(), topic, place.address)
            done["kills"] += 1
            done["kills with alerts on record"] += lake.open("alerts/rates") is not None and bool(ids_on_record(lake))
        webhook.status = 204
        if producer:
            producer.end()
            log = producer.log()
            done["messages sent again"] = producer.again
        ids = expected(declared(topic), log)
        until(lambda: set(ids) <= webhook.ids and len(ids_on_record(lake)) >= len(ids), "all alerts")
        # The two ways out take turns of their own: what one has told, the other may still have before it.
        until(lambda: set(ids) <= set(told_in(kafka, topic)), "all alerts in the topic")
        process.terminate()
        assert process.wait(60) == 0, "it does not stop in order"
        table = ids_on_record(lake)
        sent = told_in(kafka, topic)
        assert table == ids, f"the table has {len(table)} alerts, {len(ids)} follow from the log"
        assert set(sent) == set(ids), "the topic lacks alerts, or has others"
        assert webhook.ids == set(ids), "the webhook lacks alerts, or got others"
    held = [value for values in log.values() for value in values if value is not None]
    done["events"], done["alerts"] = len(held), len(ids)
    if place.lines:
        done["lines cut"] = sum(line.cuts for line in place.lines)
    if producer:
        done["events twice in the log"] = len(held) - len(set(held))
        done["places without an event"] = sum(map(len, log.values())) - len(held)
    done["sent twice to the topic"] = len(sent) - len(ids)
    done["posted twice to the webhook"] = len(webhook.got) - len(ids)
    return dict(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(KINDS))
    asked = parser.parse_args()
    for kind in asked.only.split(","):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            done = campaign(Path(folder), asked.kills, asked.seed, kind)
        told = ", ".join(f"{number:,} {what}" for what, number in done.items())
        print(f"{kind}: {told} in {time.monotonic() - begun:.0f} s", flush=True)
    print("The table has each alert once, the topic and the webhook each at least once; none is missing.")


if __name__ == "__main__":
    main()
