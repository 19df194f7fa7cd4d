"""Whether a table's files, its log and the cost of an ingestion stay flat over years of daily deliveries.

    python bench/flat.py [--days 2010] [--rows 200] [--every 100]

Delivers a file a day to a small source, ingests each day on its own, and keeps house every so many days. Days pass in a
second here, so nothing is kept for its age: what is left is what a lakehouse needs whose old versions have aged out.
Every tenth day corrects the file of five days before, so that rows are also taken out.

Before the ten days that follow each housekeeping, the operating system is told to forget every file of the lake: what
those ingestions read then comes from the disk, log and data, and is counted, as is what they write. Delta remembers for
a day which files were removed, and here all days are one: what is read grows by that. CPU time is shown because other
work on the machine changes it less than the clock's. The folder has to be on a disk (TMPDIR).
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from made import RESULTS, write

from lakehouse import ingest
from lakehouse.clock import Clock
from lakehouse.housekeeping import housekeep
from lakehouse.lake import Lake
from lakehouse.landing import listing

FIRST = date(2020, 1, 1)
# So many days of each round are watched closely.
_WATCHED = 10


@dataclass(frozen=True)
class Cost:
    """What ingesting a day takes: seconds, and bytes of the lake read and written."""

    cpu: float
    wall: float
    read: int
    written: int


def deliver(landing: Path, day: int, rows: int, at: int, more: int = 0) -> None:
    """The file of a day, a record for each of 50 subjects in turn; `at` is its time, `more` tells a correction."""
    file = landing / f"701/results_{FIRST + timedelta(days=day)}.csv"
    write(file, rows - more, day * rows, subjects=50)
    os.utime(file, (at, at))


def measure(root: Path, days: int, rows: int, every: int) -> list[Cost]:
    """What each watched day's ingestion takes; prints the state of the tables as it goes."""
    landing, lake, clock = root / "landing", Lake(str(root / "lake")), Clock(FIRST + timedelta(days=days))
    landing.mkdir()
    watched: list[Cost] = []
    print("  day  CPU s  wall s  read kB  written kB  open ms  files  largest  log  largest   disk MB   tidy s")
    for day in range(days):
        deliver(landing, day, rows, day + 1)
        if day % 10 == 9:
            deliver(landing, day - 5, rows, day + 1, more=1)
        close = day % every < _WATCHED
        if close:
            forget(root)
        begun = now()
        work = ingest.pending(lake, RESULTS, listing(landing, [RESULTS]).claimed[RESULTS.name])
        ingest.ingest(lake, RESULTS, landing, work.unseen, clock, 2**27)
        ended = now()
        if close:
            watched.append(Cost(*(after - before for before, after in zip(begun, ended, strict=True))))
        if day % every == _WATCHED - 1:
            print(f"{day + 1:5}  {_told(watched[-_WATCHED:])}  {_state(lake)}", end="", flush=True)
        if (day + 1) % every == 0:
            since = time.perf_counter()
            housekeep(lake, timedelta(0))
            print(f"  {time.perf_counter() - since:7.2f}", flush=True)
    return watched


def now() -> tuple[float, float, int, int]:
    """CPU seconds, the clock, and bytes read from and written to disks, of this process."""
    counted = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return time.process_time(), time.perf_counter(), int(counted["read_bytes"]), int(counted["write_bytes"])


def forget(root: Path) -> None:
    """Have the operating system read every file below from the disk again."""
    for path in root.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def median(costs: Sequence[Cost]) -> Cost:
    """Of each figure by itself."""
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in Cost.__annotations__))


def _told(costs: list[Cost]) -> str:
    cost = median(costs)
    return f"{cost.cpu:5.2f}  {cost.wall:6.2f}  {cost.read / 1e3:7.0f}  {cost.written / 1e3:10.0f}"


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
    options.add_argument("--days", type=int, default=2010)
    options.add_argument("--rows", type=int, default=200, help="records a day")
    options.add_argument("--every", type=int, default=100, help="days from one housekeeping to the next")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        watched = measure(Path(folder), given.days, given.rows, given.every)
    early, late = median(watched[_WATCHED : 2 * _WATCHED]), median(watched[-_WATCHED:])
    print(f"\nday {given.every + 1} on {early}\nthe last days  {late}")
    ratios = {name: getattr(late, name) / getattr(early, name) for name in Cost.__annotations__}
    print("ratio: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))


if __name__ == "__main__":
    main()
