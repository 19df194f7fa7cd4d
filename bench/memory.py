"""The memory that one very large file takes on its way to raw, processed and quarantine, at the default settings.

    python bench/memory.py [--rows 10000000] [--limit-mb 1229]

Writes the file (about 100 bytes a record), ingests it in a process of its own that is killed when its memory passes the
limit, and prints that process's high-water mark, the time it took and what became of the records.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import dataframely as dy
import polars as pl

from lakehouse import account, manifest
from lakehouse.clock import Clock
from lakehouse.contract import Contract
from lakehouse.ingest import ingest, pending
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.settings import Settings
from lakehouse.source import Source

PATH = "701/results_2020-01-01.csv"
_BLOCK = 500_000


class Result(Contract):
    """One measured value of one subject, as a device or a laboratory sends it."""

    study = dy.String()
    subject = dy.String(regex=r"^701-\d+$")
    test = dy.String(min_length=2)
    number = dy.Int64(min=0)
    at = dy.String()
    value_text = dy.String(nullable=True)
    value = dy.Float64(nullable=True, min=0, max=1000)
    unit = dy.String(nullable=True)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Numbers beside their text."""
    return raw.select(
        pl.col("^_.*$").exclude("_extra"),
        study="STUDY",
        subject="SUBJECT",
        test="TEST",
        number=pl.col("NUMBER").cast(pl.Int64, strict=False),
        at="AT",
        value_text="VALUE",
        value=pl.col("VALUE").cast(pl.Float64, strict=False),
        unit="UNIT",
    )


RESULTS = Source(
    name="results",
    description="Measured values.",
    owner="team:bench",
    contract=Result,
    tidy=tidy,
    key=("subject", "test", "number"),
    columns=("STUDY", "SUBJECT", "TEST", "NUMBER", "AT", "VALUE", "UNIT", "COMMENT"),
)


def write(file: Path, rows: int) -> None:
    """A file of so many records, one in a thousand of them out of range."""
    file.parent.mkdir(parents=True)
    with file.open("wb") as stream:
        for begin in range(0, rows, _BLOCK):
            n = pl.int_range(begin, min(begin + _BLOCK, rows), eager=True).alias("n")
            frame = pl.DataFrame(n).select(
                STUDY=pl.lit("CDISCPILOT01"),
                SUBJECT=pl.format("701-{}", 1000 + pl.col("n") % 5000),
                TEST=pl.lit("TEMPERATURE"),
                NUMBER=pl.col("n") // 5000,
                AT=pl.format("2020-01-01T{}:{}", 10 + pl.col("n") % 14, 10 + pl.col("n") % 50),
                VALUE=pl.when(pl.col("n") % 1000 == 0).then(99999.5).otherwise((pl.col("n") * 7919 % 10000) / 10),
                UNIT=pl.lit("degrees Celsius"),
                COMMENT=pl.lit("measured twice, mean taken").str.replace(",", ";"),
            )
            frame.write_csv(stream, include_header=begin == 0)


def run(home: Path) -> None:
    """Ingest what has landed."""
    lake, landing = Lake(str(home / "lake")), home / "landing"
    work = pending(lake, RESULTS, listing(landing, [RESULTS]).claimed["results"])
    ingest(lake, RESULTS, landing, work.unseen, Clock(date(2020, 12, 31)), Settings.load().batch_bytes)


def main() -> None:
    """Write, ingest under watch, and tell."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--limit-mb", type=int, default=1229)
    options.add_argument("--in", dest="home", type=Path, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.home:
        run(asked.home)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write(home / "landing" / PATH, asked.rows)
        size = (home / "landing" / PATH).stat().st_size
        begun = time.monotonic()
        child = subprocess.Popen([sys.executable, __file__, "--in", folder])
        peak = 0

        def watch() -> None:
            nonlocal peak
            while child.poll() is None:
                lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
                peak = max([peak, *(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))])
                if peak > asked.limit_mb:
                    child.kill()
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        failed = child.wait()
        watcher.join()
        took = time.monotonic() - begun
        if failed:
            raise SystemExit(f"the process ended with code {failed} at {peak:,} MB")
        lake = Lake(str(home / "lake"))
        told = account.deliveries(lake, ["results"], manifest.versions(lake)).collect()
        print(f"{size / 1e6:,.0f} MB, {told['records'].sum():,} records: {told['accepted'].sum():,} accepted")
        print(f"{took:.0f} s, high-water mark {peak:,} MB")


if __name__ == "__main__":
    main()
