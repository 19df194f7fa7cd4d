"""A source of readings from a topic, in a lakehouse of its own, for tests of streams."""

from datetime import date
from pathlib import Path

import dataframely as dy
import polars as pl
from house import House

from lakehouse.clock import Clock
from lakehouse.contract import Contract
from lakehouse.feeds import pulling
from lakehouse.feeds.kafka import KafkaTopic
from lakehouse.formats.messages import Messages
from lakehouse.formats.payloads import Json, Payload
from lakehouse.lake import Lake
from lakehouse.source import Source

CLOCK = Clock(date(2100, 1, 1))


class Step(Contract):
    """One message."""

    partition = dy.Int64()
    offset = dy.Int64()
    generation = dy.Int64()
    n = dy.Int64()


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Messages with their numbers."""
    names = {"partition": "kafka_partition", "offset": "kafka_offset", "generation": "kafka_generation", "n": "n"}
    return raw.with_columns(
        pl.col(column).cast(pl.Int64, strict=False).alias(name) for name, column in names.items()
    ).select(Step.column_names())


def source(topic: str, payload: Payload | None = None, **feed: object) -> Source:
    return Source(
        name="steps",
        description="Steps.",
        owner="team:tests",
        contract=Step,
        tidy=tidy,
        key=("generation", "partition", "offset"),
        columns=("kafka_partition", "kafka_offset", "kafka_generation"),
        optional=("n",),
        path="{site}/{name}/{day}_{part}.parquet",
        dialect=Messages(payload=payload or Json()),
        feed=KafkaTopic(system="wristbands", topic=topic, **feed),
    )


def house(folder: Path, topic: str, payload: Payload | None = None, **feed: object) -> House:
    (folder / "landing").mkdir(exist_ok=True)
    return House(folder / "landing", Lake(str(folder / "lake")), source(topic, payload, **feed), CLOCK)


def pull(house: House, url: str, most_bytes: int = 10**7, days: tuple[date, ...] = ()) -> pulling.Pulled:
    """Land what is new, or what there is of some days, and ingest it."""
    pulled = pulling.pull(house.lake, house.source, house.landing, url, house.clock, most_bytes, days)
    house.run()
    return pulled


def steps(house: House) -> list[tuple[int, int, int]]:
    """What processed holds: partition, offset and n, in order."""
    rows = house.table("processed").select("partition", "offset", "n")
    return sorted(rows.rows())
