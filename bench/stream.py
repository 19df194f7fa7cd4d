"""How long an alert takes: from the call that produces a reading to its arrival at a webhook, by the real service.

    python bench/stream.py [--rate 2000] [--seconds 60] [--share 0.02]

A broker of the tests (noida-db), the service in a process of its own with its usual commits, a receiver in this one.
`share` of the readings are so high that each leads to an alert; each is known by its offset. What one machine gives all
of them together is measured: producer, broker, service and receiver share its cores.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "lakehouse" / "streaming"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "lakehouse" / "feeds"))

import broker
from confluent_kafka import Producer
from rates import ids_on_record, message, receiving, until

from lakehouse.lake import Lake

KEYS = 500
# The service commits as it does in real life, not as in tests.
SERVICE = "import rates; rates.COMMIT_SECONDS = 30.0; rates.main()"


def produce(producer: Producer, topic: str, rate: int, seconds: float, share: float) -> dict[int, float]:
    """Send readings at an even rate; by offset, when each that leads to an alert was produced."""
    produced: dict[int, float] = {}
    high: dict[int, int] = {}
    begun = time.time()
    for number in range(int(rate * seconds)):
        wait = begun + number / rate - time.time()
        if wait > 0.002:
            producer.poll(0)
            time.sleep(wait)
        key = number % KEYS
        # Two high readings one after the other are an alert; the one after them ends it.
        if key not in high and random.random() < share:
            high[key] = 3
        value = 80
        if key in high:
            high[key] -= 1
            value = 130 if high[key] else 80
            if high[key] == 1:
                produced[number] = time.time()
            if not high[key]:
                del high[key]
        # A key's readings are a quarter of a second apart, all in one partition, so that the number is the offset.
        producer.produce(topic, message(f"k{key}", number / rate, value), partition=0)
    producer.flush(30)
    return produced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--share", type=float, default=0.02, help="of readings that begin an alert")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, broker.serving() as kafka, receiving() as webhook:
        lake, topic = Lake(f"{name}/lake"), kafka.topic(1)
        kafka.topic(1, f"{topic}-alerts")
        path = str(Path(__file__).parent.parent / "tests" / "lakehouse" / "streaming")
        words = [sys.executable, "-c", SERVICE, lake.root, kafka.url(), topic, webhook.url]
        service = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path})
        try:
            producer = kafka.producer(**{"linger.ms": 0})
            # The first alert also makes the connections.
            kafka.produce(topic, [message("warm", at, 130) for at in (0, 0.1)])
            until(lambda: len(webhook.got) == 1)
            produced = produce(producer, topic, asked.rate, asked.seconds, asked.share)
            until(lambda: len(webhook.ids) >= 1 + len(produced))
            service.terminate()
            assert service.wait(60) == 0, "the service does not stop in order"
        finally:
            service.kill()
        arrived = dict(zip((item["offset"] - 2 for item in webhook.got), webhook.when, strict=True))
        took = sorted(1000 * (arrived[number] - at) for number, at in produced.items() if number in arrived)
        assert len(ids_on_record(lake)) == 1 + len(produced) == len(webhook.ids), "alerts are missing or too many"
        cuts = statistics.quantiles(took, n=100)
        print(f"{int(asked.rate * asked.seconds):,} readings at {asked.rate:,} a second, {len(took):,} alerts; ms:")
        print(f"p50 {cuts[49]:.1f}  p99 {cuts[98]:.1f}  max {took[-1]:.1f}; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
