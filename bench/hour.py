"""An hour of a stream: how many versions its tables get, and whether reading them is flat after housekeeping.

    python bench/hour.py [--turns 40] [--messages 9000]

A feed pulls every minute and a half, here one turn after another: each finds so many messages, lands and ingests them,
makes a curated table of them, and puts one alert on record. Then house is kept, and the tables are read before and
after, and a table that was written at once beside them; the seconds are the best of five. The broker is the tests' own.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lakehouse"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lakehouse" / "streaming"))

import dataframely as dy
import polars as pl
from feeds.broker import serving
from feeds.steps import house, pull
from rates import declared

from lakehouse.curate import curate
from lakehouse.curated import Curated
from lakehouse.housekeeping import housekeep
from lakehouse.lake import Lake
from lakehouse.rules import Alert
from lakehouse.streaming.record import Record, State

STREAM = declared("rates")
ALERT = Alert("", "high", "rate above 120", "a", 0, 0, 130.0, 2, 0, 0, 1)


class Counted(dy.Schema):
    """How many messages of each partition."""

    partition = dy.Int64(primary_key=True)
    messages = dy.Int64()


COUNTS = Curated(
    name="counts",
    description="Messages by partition.",
    owner="team:bench",
    contract=Counted,
    key=("partition",),
    inputs=("processed/steps",),
    transform=lambda steps: steps.group_by("partition").agg(messages=pl.len().cast(pl.Int64)),
)


def best(work: Callable[[], object]) -> float:
    """In milliseconds, the quickest of five."""
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - begun))
    return min(took)


def read(lake: Lake, table: str) -> float:
    """How long it takes to read all of a table."""
    return best(lambda: lake.scan(table).select(pl.all().count()).collect())


def main() -> None:
    """Live through the hour, keep house, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--messages", type=int, default=9000, help="of each turn")
    asked = parser.parse_args()
    with serving() as broker, tempfile.TemporaryDirectory() as folder:
        topic = broker.topic(2)
        one = house(Path(folder), topic)
        record = Record(one.lake, STREAM)
        record.load()
        for turn in range(asked.turns):
            for at in range(2):
                values = (json.dumps({"n": number}).encode() for number in range(asked.messages // 2))
                broker.produce(topic, values, at)
            done = pull(one, broker.url())
            assert done.trouble is None, done.trouble
            curate(one.lake, [COUNTS], [one.source], one.clock)
            record.save([(turn + 1, ALERT)], turn + 1, State(turn + 1).packed())
        tables = ["raw/steps", "processed/steps", "account/steps", COUNTS.table, STREAM.table]
        versions = {table: delta.version() for table in one.lake.tables() if (delta := one.lake.open(table))}
        most = max(versions, key=lambda table: versions[table])
        print(f"{asked.turns} turns of {asked.messages:,} messages: at most {versions[most]} versions ({most})")
        before = {table: read(one.lake, table) for table in tables}
        tidied = {item.table: item for item in housekeep(one.lake, timedelta(0))}
        for table in tables:
            rows = one.lake.scan(table).collect()
            rows.write_delta(f"{folder}/once/{table}")
            once = read(Lake(f"{folder}/once"), table)
            item = tidied[table]
            print(
                f"{table:16} {rows.height:>9,} rows  files {item.files_before:>4} then {item.files}  "
                f"read {before[table]:7.1f} ms, then {read(one.lake, table):6.1f}; written at once {once:6.1f}"
            )


if __name__ == "__main__":
    main()
