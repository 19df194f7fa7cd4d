"""How many messages of 1 KB a second go from a topic into raw and processed.

    python bench/kafka.py [--messages 300000] [--partitions 2]

The broker is the tests' own and works on the same cores. Producing comes before and is not counted.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lakehouse"))

import dataframely as dy
import polars as pl
from fed import Fed, told
from feeds.broker import serving

from lakehouse.contract import Contract
from lakehouse.feeds.kafka import KafkaTopic
from lakehouse.formats.messages import Messages
from lakehouse.source import Source

_SIZE = 1024


class Reading(Contract):
    """A device's reading and its samples."""

    reading_id = dy.Int64(min=0)
    device = dy.String(regex="^d[0-9]+$")
    event_time = dy.Datetime(time_unit="us", time_zone="UTC")
    rate = dy.Float64(min=20, max=250)
    samples = dy.String(min_length=1)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Readings in their types."""
    moment = pl.col("event_time").str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    numbers = (pl.col("reading_id").cast(pl.Int64, strict=False), pl.col("rate").cast(pl.Float64, strict=False))
    return raw.with_columns(*numbers, moment.alias("event_time")).select(Reading.column_names())


def source(topic: str) -> Source:
    """The topic's readings."""
    return Source(
        name="readings",
        description="Readings.",
        owner="team:bench",
        contract=Reading,
        tidy=tidy,
        key=("reading_id",),
        columns=("kafka_offset",),
        optional=("reading_id", "device", "event_time", "rate", "samples"),
        path="{site}/{name}/{day}_{part}.parquet",
        dialect=Messages(),
        feed=KafkaTopic(system="bench", topic=topic, most_seconds=3600),
    )


def value(number: int) -> bytes:
    """A reading as JSON, 1,024 bytes long."""
    said = {"reading_id": number, "device": f"d{number % 500}", "event_time": "2014-01-02T03:04:05Z", "rate": 70.5}
    text = json.dumps({**said, "samples": ""}, separators=(",", ":"))[:-2].encode()
    samples = b"%x" % (number * 2654435761) * _SIZE
    return text + samples[: _SIZE - len(text) - 2] + b'"}'


def main() -> None:
    """Produce, bring, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--partitions", type=int, default=2)
    asked = parser.parse_args()
    count, partitions = asked.messages, asked.partitions
    with serving() as broker, tempfile.TemporaryDirectory() as folder:
        topic = broker.topic(partitions)
        for at in range(partitions):
            broker.produce(topic, (value(number) for number in range(at, count, partitions)), at)
        fed = Fed(source(topic), broker.url(), Path(folder, "lake"))
        figures = fed.bring()
        assert fed.rows("raw") == fed.rows("processed") == count
    print(f"{count} messages of {_SIZE} bytes, {partitions} partitions, {figures['extracts']:.0f} deliveries")
    print(told("messages", count, figures))


if __name__ == "__main__":
    main()
