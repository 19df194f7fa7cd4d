"""What tests of the streaming service share: a stream, what it must tell, a webhook's receiver, a service to kill.

    python rates.py LAKE BROKERS TOPIC [WEBHOOK]

runs the service of that stream until it is stopped or killed.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
from confluent_kafka import Consumer, KafkaError, TopicPartition

from lakehouse.contract import Contract
from lakehouse.feeds.kafka import KafkaTopic
from lakehouse.formats.messages import Messages
from lakehouse.formats.payloads import Json, Payload
from lakehouse.judge import Judge
from lakehouse.lake import Lake
from lakehouse.rules import Absence, Change, Threshold
from lakehouse.source import Source
from lakehouse.streaming import Stream
from lakehouse.streaming.events import Reader
from lakehouse.streaming.record import SCHEMA
from lakehouse.streaming.service import Addresses, Service

BEGIN = 1_700_000_000_000
COMMIT_SECONDS = 0.2
TABLE = "alerts/rates"


class Rate(Contract):
    """A message."""

    who = dy.String(min_length=1)
    at = dy.Datetime(time_unit="us", time_zone="UTC")
    rate = dy.Float64(nullable=True, max=500)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Messages with their moments, in ISO 8601 or in milliseconds since 1970, and their numbers."""
    since = pl.from_epoch(pl.col("at").cast(pl.Int64, strict=False), "ms").cast(pl.Datetime("us", "UTC"))
    moment = pl.col("at").str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    # What is no number is one that the contract rejects.
    rate = pl.col("rate").cast(pl.Float64, strict=False).fill_null(pl.when(pl.col("rate").is_not_null()).then(1e9))
    return raw.with_columns(at=pl.coalesce(since, moment), rate=rate).select(Rate.column_names())


def source(topic: str, payload: Payload | None = None) -> Source:
    """The rates of a topic."""
    return Source(
        name="rates",
        description="Rates.",
        owner="team:test",
        contract=Rate,
        tidy=tidy,
        key=("who", "at"),
        columns=("kafka_partition", "kafka_offset"),
        optional=("who", "at", "rate"),
        path="{site}/{name}/{day}_{part}.parquet",
        dialect=Messages(payload=payload or Json()),
        feed=KafkaTopic(system="devices", topic=topic),
    )


def declared(topic: str, payload: Payload | None = None) -> Stream:
    """Rules of each kind on a field `rate`."""
    return Stream(
        name="rates",
        description="Rates.",
        owner="team:test",
        source=source(topic, payload),
        key="who",
        time="at",
        rules=(
            Threshold("high", "rate", above=120, for_=2),
            Change("jump", "rate", by=60, within=timedelta(seconds=30)),
            Absence("silent", after=timedelta(minutes=5)),
        ),
        alerts_topic=f"{topic}-alerts",
        lateness=timedelta(seconds=10),
    )


def message(who: str, seconds: float, rate: float | None) -> bytes:
    return json.dumps({"who": who, "at": BEGIN + int(seconds * 1000), "rate": rate}).encode()


def expected(stream: Stream, log: Mapping[int, Sequence[bytes | None]]) -> list[str]:
    """Ids of the alerts that follow from the messages of each partition, judged straight through. None in the log is a
    place without a message.
    """
    reader, ids = Reader(stream), []
    for partition, values in log.items():
        judge = Judge(stream.judged, partition, stream.rules, stream.lateness, stream.forget, stream.most_keys)
        for event in reader.read(messages(values, partition=partition)):
            ids += [alert.id for alert in judge.see(event)] if event else []
    return sorted(ids)


def messages(values: Sequence[bytes | None], sent: int | None = None, partition: int = 0) -> dict[str, list[Any]]:
    """Messages of a partition from its beginning, as a reader is given them. sent: the broker's time of each."""
    each = {"topic": "rates", "partition": partition, "timestamp": sent, "key": None, "headers": None, "schema": None}
    columns = {name: [value] * len(values) for name, value in each.items()}
    return {**columns, "offset": list(range(len(values))), "value": list(values)}


def on_record(lake: Lake) -> pl.DataFrame:
    return lake.scan(TABLE, schema=SCHEMA).sort("ordinal").collect()


def ids_on_record(lake: Lake) -> list[str]:
    return sorted(on_record(lake)["id"])


class Receiver:
    """A webhook's receiver. Set `status` to have it refuse, `odd` to have it refuse alerts of one key for good (400);
    `down` and `up` take the server itself away and back.
    """

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.when: list[float] = []
        self.keys: list[str | None] = []
        self.status = 204
        self.odd: str | None = None
        self.refused = 0
        self._port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/alerts?token=secret"

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = 400 if said["key"] == receiver.odd else receiver.status
                if status >= 300:
                    receiver.refused += 1
                else:
                    receiver.when.append(time.time())
                    receiver.keys.append(self.headers["Idempotency-Key"])
                    receiver.got.append(said)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not on the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        # Whoever asks is killed and cut off in the middle of it.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def asked(self) -> int:
        """How often it was asked, whether or not it took what it was sent."""
        return len(self.got) + self.refused

    def asked_more_than(self, times: int) -> bool:
        return self.asked > times

    @property
    def ids(self) -> set[str]:
        return {item["id"] for item in self.got}


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.down()


class Running:
    """A service in a thread of this process."""

    def __init__(self, stream: Stream, lake: Lake, addresses: Addresses, commit_seconds: float) -> None:
        self.lines: list[str] = []
        self.error: Exception | None = None
        self.stop = threading.Event()
        self.service = Service(stream, lake, addresses, self.lines.append, commit_seconds)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.service.run(self.stop)
        except Exception as error:  # noqa: BLE001 looked at by the test
            self.error = error

    def end(self) -> None:
        """Stop it in order; what it failed with, it raises."""
        self.stop.set()
        self.join()
        if self.error:
            raise self.error

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


@contextmanager
def running(
    stream: Stream, lake: Lake, addresses: Addresses, commit_seconds: float = COMMIT_SECONDS
) -> Iterator[Running]:
    """A service that runs during the block and is stopped in order after it."""
    one = Running(stream, lake, addresses, commit_seconds)
    try:
        yield one
    except BaseException:
        one.stop.set()
        raise
    one.end()


def until(holds: Callable[[], bool], what: str = "", every: float = 0.05) -> None:
    """Wait for something that has to come; no test is judged by how soon. every: seconds between two looks."""
    # By the clock: some looks take a second.
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, f"it does not come: {what}"
        time.sleep(every)


def in_topic(client: dict[str, Any], topic: str) -> list[dict[str, Any]]:
    """What a topic of one partition holds."""
    return [json.loads(value) for value in held(client, topic, 1)[0].values()]


def held(client: dict[str, Any], topic: str, partitions: int) -> dict[int, dict[int, bytes]]:
    """What the partitions of a topic hold, by partition and offset."""
    consumer = Consumer({**client, "group.id": "look", "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        found: dict[int, dict[int, bytes]] = {partition: {} for partition in range(partitions)}
        ended = set[int]()
        # To the end that comes with the messages: a server may tell another, when it is asked.
        while len(ended) < partitions and (taken := consumer.poll(10)):
            partition, offset, value = taken.partition(), taken.offset(), taken.value()
            assert partition is not None, "what comes has a place"
            assert offset is not None, "what comes has a place"
            if error := taken.error():
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(partition)
            else:
                assert isinstance(value, bytes)
                found[partition][offset] = value
        assert len(ended) == partitions, f"{topic} gives {sum(map(len, found.values()))} messages and no end"
        return found
    finally:
        consumer.close()


def started(lake: Lake, url: str, topic: str, webhook: str) -> "subprocess.Popen[bytes]":
    """A service in a process of its own."""
    words = [sys.executable, "-W", "ignore", str(Path(__file__)), lake.root, url, topic, webhook]
    return subprocess.Popen(words)


def main() -> None:
    root, brokers, topic, *webhook = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    service = Service(declared(topic), Lake(root), Addresses(brokers, *webhook), lambda _: None, COMMIT_SECONDS)
    service.run(stop)


if __name__ == "__main__":
    main()
