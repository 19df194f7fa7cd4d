"""The memory that one very large file takes on its way to raw, processed and quarantine, at the default settings.

    python bench/memory.py [--rows 10000000] [--limit-mb 1229]

Writes the file (about 100 bytes a record), ingests it through Dagster in a process of its own that is killed when its
memory passes the limit, and prints that process's high-water mark, the time it took and what became of the records.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import dagster as dg
from job import QUIET, ingestion
from made import RESULTS, write

from lakehouse import account, manifest
from lakehouse.lake import Lake
from lakehouse.settings import Settings

PATH = "701/results_2020-01-01.csv"


def run(home: Path) -> None:
    """Ingest what has landed, as Dagster does it: one run of the source's assets and checks."""
    settings = Settings(home=home, landing=home / "landing", as_of=date(2020, 12, 31), settle_seconds=0)
    with dg.DagsterInstance.ephemeral() as instance:
        assert ingestion(RESULTS, settings).execute_in_process(QUIET, instance=instance).success


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
