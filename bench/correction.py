"""What correcting one file of 1,000 records costs in a table of ten million.

    python bench/correction.py [--rows 10000000]

A year of daily files makes the table, housekeeping puts its files together, and then one small file of the year is sent
again, half of its values changed. Prints how many of each table's data files that replaces, the delivery days these
hold, and what the ingestion takes, beside that of a small file that corrects nothing.
"""

import argparse
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from made import RESULTS, write

from lakehouse.clock import Clock
from lakehouse.housekeeping import housekeep
from lakehouse.ingest import LAYERS, ingest, pending
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.settings import Settings

_FIRST, _DAYS, _SMALL = date(2020, 1, 1), 365, 1000


def bring_in(landing: Path, lake: Lake) -> tuple[float, float]:
    """Ingest what has landed; seconds on the clock and of CPU."""
    begun, cpu = time.perf_counter(), time.process_time()
    work = pending(lake, RESULTS, listing(landing, [RESULTS]).claimed[RESULTS.name])
    ingest(lake, RESULTS, landing, work.unseen, Clock(_FIRST + timedelta(days=_DAYS)), Settings().batch_bytes)
    return time.perf_counter() - begun, time.process_time() - cpu


def files(lake: Lake) -> dict[str, set[str]]:
    """The data files of each layer."""
    found = {}
    for layer in LAYERS:
        delta = lake.open(f"{layer}/{RESULTS.name}")
        assert delta is not None
        found[layer] = set(delta.file_uris())
    return found


def main() -> None:
    """Make the table, correct a file, and tell."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=10_000_000)
    rows = options.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        landing, lake = Path(folder) / "landing", Lake(f"{folder}/lake")
        for day in range(_DAYS):
            share = rows // _DAYS
            write(landing / f"701/results_{_FIRST + timedelta(days=day)}.csv", share, day * share)
        small = landing / f"702/results_{_FIRST + timedelta(days=_DAYS // 2)}.csv"
        write(small, _SMALL, 2 * rows)
        wall, _ = bring_in(landing, lake)
        housekeep(lake, timedelta(0))
        print(f"{rows:,} records in {wall:.0f} s, housekept")
        write(landing / f"702/results_{_FIRST + timedelta(days=_DAYS - 1)}.csv", _SMALL, 3 * rows)
        wall, cpu = bring_in(landing, lake)
        print(f"a new file of {_SMALL:,} records: {wall:.2f} s, {cpu:.2f} s of CPU")
        small.write_text(small.read_text().replace(".5,", ".25,"))
        before = files(lake)
        wall, cpu = bring_in(landing, lake)
        print(f"a correction of one:        {wall:.2f} s, {cpu:.2f} s of CPU")
        for layer, now in files(lake).items():
            replaced = sorted(file.removeprefix("file://") for file in before[layer] - now)
            days = pl.scan_parquet(replaced).select("_delivered").unique().collect().height if replaced else 0
            print(f"  {layer:10} {len(before[layer]):3} data files, {len(replaced)} replaced, of {days} delivery days")


if __name__ == "__main__":
    main()
