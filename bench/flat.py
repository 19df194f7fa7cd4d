"""Whether a table's files, its log and the time of an ingestion stay flat over years of daily deliveries.

    python bench/flat.py [--days 2000] [--every 100] [--never]

Delivers a file of 20 readings a day to a small source, ingests each day on its own, and keeps house every so many
days. Days pass in a second here, so nothing is kept for its age: what is left is what a lakehouse needs whose old
versions have aged out. Every tenth day corrects the file of five days before, so that rows are also taken out.
CPU time is shown: other work on the machine changes it less than the clock's.
"""

import argparse
import os
import statistics
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import dataframely as dy
import polars as pl

from lakehouse import ingest
from lakehouse.clock import Clock
from lakehouse.contract import Contract
from lakehouse.housekeeping import housekeep
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.source import Source

_FIRST = date(2020, 1, 1)


class Reading(Contract):
    """One temperature of one sensor."""

    sensor = dy.String(description="Sensor's name.")
    hour = dy.Int64(min=0, max=23, description="Hour of the day.")
    celsius = dy.Float64(nullable=True, max=100, description="Temperature in degrees Celsius.")


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Raw readings, typed."""
    hour, celsius = pl.col("HOUR").cast(pl.Int64, strict=False), pl.col("CELSIUS").cast(pl.Float64, strict=False)
    return raw.select(pl.col("^_.*$").exclude("_extra"), sensor="SENSOR", hour=hour, celsius=celsius)


SOURCE = Source(
    name="thermometer",
    description="Temperatures.",
    owner="team:weather",
    contract=Reading,
    tidy=tidy,
    key=("sensor", "hour"),
    columns=("SENSOR", "HOUR", "CELSIUS"),
)


def deliver(landing: Path, day: int, celsius: int, at: int) -> None:
    """The file of a day, 20 readings of one sensor; `at` is its time, which tells a correction."""
    file = landing / f"A/thermometer_{_FIRST + timedelta(days=day)}.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text("SENSOR,HOUR,CELSIUS\n" + "".join(f"s{day},{hour},{celsius}\n" for hour in range(20)))
    os.utime(file, (at, at))


def measure(root: Path, days: int, every: int) -> list[float]:
    """CPU seconds that each day's ingestion takes; prints the state of the tables as it goes. every: 0 for never."""
    landing, lake, clock = root / "landing", Lake(str(root / "lake")), Clock(_FIRST + timedelta(days=days))
    landing.mkdir()
    taken = []
    print("  day  ingest CPU s  open ms  files  largest  log  largest   disk MB   tidy s")
    for day in range(days):
        deliver(landing, day, 20, day + 1)
        if day % 10 == 9:
            deliver(landing, day - 5, 21, day + 1)
        begun = time.process_time()
        work = ingest.pending(lake, SOURCE, listing(landing, [SOURCE]).claimed[SOURCE.name])
        ingest.ingest(lake, SOURCE, landing, work.unseen, clock, 2**27)
        taken.append(time.process_time() - begun)
        if (day + 1) % (every or 100) == 0:
            begun = time.perf_counter()
            if every:
                housekeep(lake, timedelta(0))
            tidying = time.perf_counter() - begun
            print(f"{day + 1:5}  {statistics.median(taken[-50:]):12.3f}  {_state(lake)}  {tidying:7.2f}", flush=True)
    return taken


def _state(lake: Lake) -> str:
    opened, files, logs = [], [], []
    for table in lake.tables():
        begun = time.perf_counter()
        delta = lake.open(table)
        opened.append(time.perf_counter() - begun)
        assert delta is not None
        files.append(len(delta.file_uris()))
        logs.append(sum(path.suffix == ".json" for path in (Path(lake.root) / table / "_delta_log").iterdir()))
    stored = [path.stat().st_size for path in Path(lake.root).rglob("*") if path.is_file()]
    return (
        f"{1000 * statistics.median(opened):7.1f}  {sum(files):5}  {max(files):7}  {sum(logs):3}  {max(logs):7}"
        f"  {sum(stored) / 1e6:8.1f}"
    )


def main() -> None:
    """Let the days pass, then compare the early ones with the late ones."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--days", type=int, default=2000)
    options.add_argument("--every", type=int, default=100, help="days from one housekeeping to the next")
    options.add_argument("--never", action="store_true", help="no housekeeping, for comparison")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        taken = measure(Path(folder), given.days, 0 if given.never else given.every)
    early, late = statistics.median(taken[50:100]), statistics.median(taken[-100:])
    print(
        f"median ingestion in CPU seconds, days 51 to 100: {early:.3f}; the last 100 days: {late:.3f}; "
        f"ratio {late / early:.2f}"
    )


if __name__ == "__main__":
    main()
