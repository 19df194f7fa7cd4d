"""What one more day costs in a table of 1,000 days, beside one of 10.

    python bench/history.py [--rows 10000] [--days 1000]

Both tables get their history first, and housekeeping as after a night. Then they take turns at ingesting a day more,
eleven times; medians are compared. Bytes are those the process reads from the disk, log and data, and writes to it: the
operating system is told to forget every file before each day. The folder has to be on a disk (TMPDIR).
"""

import argparse
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from flat import FIRST, Cost, deliver, forget, median, now
from made import RESULTS

from lakehouse.clock import Clock
from lakehouse.housekeeping import housekeep
from lakehouse.ingest import ingest, pending
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.settings import Settings

_MORE = 11


def days(root: Path, history: int, rows: int) -> Iterator[Cost]:
    """A lake with so many days of history; then what each day more takes."""
    landing, lake, clock = root / "landing", Lake(str(root / "lake")), Clock(FIRST + timedelta(days=history + _MORE))

    def bring_in() -> Cost:
        begun = now()
        work = pending(lake, RESULTS, listing(landing, [RESULTS]).claimed[RESULTS.name])
        ingest(lake, RESULTS, landing, work.unseen, clock, Settings().batch_bytes)
        return Cost(*(after - before for before, after in zip(begun, now(), strict=True)))

    for day in range(history):
        deliver(landing, day, rows, day + 1)
    bring_in()
    housekeep(lake, timedelta(0))
    for day in range(history, history + _MORE):
        deliver(landing, day, rows, day + 1)
        forget(root)
        yield bring_in()


def main() -> None:
    """Let a short and a long history take turns, and print medians and their ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=10_000, help="records a day")
    options.add_argument("--days", type=int, default=1000, help="days of the long history")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as short, tempfile.TemporaryDirectory() as long:
        turns = zip(days(Path(short), 10, given.rows), days(Path(long), given.days, given.rows), strict=True)
        few, many = map(median, zip(*turns, strict=True))
    for name, kind in Cost.__annotations__.items():
        before, after = getattr(few, name), getattr(many, name)
        unit = "kB" if kind is int else "s"
        scale = 1000 if kind is int else 1
        print(
            f"{name:8} after 10 days {before / scale:8.2f} {unit}   after {given.days} days {after / scale:8.2f} {unit}"
            f"   ratio {after / before:.2f}"
        )


if __name__ == "__main__":
    main()
