"""How time and memory grow with records, files, days of history, and sources: measured, and drawn for the docs.

    python bench/curves.py [--only rows,files,days,sources] [--draw]

Every point is a process of its own that ingests through Dagster into a fresh lake, as `bench/suite.py` has it; days of
history are days ingested before the one that is timed. What was measured is kept in `curves.json`; `--draw` only makes
the pictures in docs/pictures anew.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import contest
from contest import BENCH, CONTENDERS, WORK

from lakehouse.clock import Clock
from lakehouse.housekeeping import housekeep
from lakehouse.ingest import ingest, pending
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.settings import Settings

KEPT, PICTURES = BENCH / "curves.json", BENCH.parent / "docs/pictures"
# What was varied and measured: by contender, points of x, seconds and, where it was measured, megabytes at the peak.
Points = dict[str, list[list[float]]]


def rows() -> Points:
    """One file of ever more records."""
    found: Points = {"lakehouse": [], "polars": [], "polars-staged": []}
    for count in (100_000, 300_000, 1_000_000, 3_000_000):
        landing = contest.data(WORK, count, "one")
        for name, points in found.items():
            points.append([count, *_run(name, landing)])
    return found


def files() -> Points:
    """The same 100,000 records in ever more files."""
    found: Points = {"lakehouse": [], "polars": []}
    for count in (1, 10, 100, 1000, 5000):
        landing = contest.data(WORK, 100_000, "one" if count == 1 else f"files-{count}")
        for name, points in found.items():
            points.append([count, *_run(name, landing)])
    return found


def days() -> Points:
    """A day of 10,000 records, after ever more days."""
    return {"lakehouse": [[history, *_apart("a_day", history)] for history in (0, 10, 30, 100, 300, 1000)]}


def sources() -> Points:
    """Ever more sources, each with a file of 1,000 records, one after the other."""
    return {"lakehouse": [[count, *_apart("many_sources", count)] for count in (1, 3, 10, 30, 100)]}


CURVES: dict[str, tuple[Callable[[], Points], str]] = {
    "rows": (rows, "records in one file"),
    "files": (files, "files that hold 100,000 records"),
    "days": (days, "days of 10,000 records ingested before"),
    "sources": (sources, "sources with a file of 1,000 records each"),
}


def _run(name: str, landing: Path) -> list[float]:
    """Seconds of the body and peak of a contender; of two runs of lakehouse the better."""
    found = []
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        for number in range(2 if name == "lakehouse" else 1):
            figures, _ = contest.run(CONTENDERS[name], sys.executable, landing, Path(folder) / str(number), 1800)
            found.append([figures["body_wall"], figures["peak_mb"]])
    return min(found)


def _apart(what: str, count: int) -> list[float]:
    """Seconds that a measurement of this module tells, made in a process of its own."""
    words = [sys.executable, "-W", "ignore", __file__, "--apart", what, str(count)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=contest.surroundings())
    return [float(done.stdout)]


def a_day(history: int, root: Path) -> float:
    """Median seconds of seven days more."""
    from flat import FIRST, RESULTS, deliver, timedelta

    landing, lake, clock = root / "landing", Lake(str(root / "lake")), Clock(FIRST + timedelta(days=history + 9))

    def bring_in() -> float:
        begun = time.perf_counter()
        work = pending(lake, RESULTS, listing(landing, [RESULTS]).claimed[RESULTS.name])
        ingest(lake, RESULTS, landing, work.unseen, clock, Settings().batch_bytes)
        return time.perf_counter() - begun

    for day in range(history):
        deliver(landing, day, 10_000, day + 1)
    if history:
        bring_in()
        housekeep(lake, timedelta(0))
    taken = []
    for day in range(history, history + 8):
        deliver(landing, day, 10_000, day + 1)
        taken.append(bring_in())
    # The first warms up.
    return sorted(taken[1:])[3]


def many_sources(count: int, root: Path) -> float:
    """Seconds to ingest a file of each."""
    from datetime import date

    from made import RESULTS, write

    every = [replace(RESULTS, name=f"results_{number}") for number in range(count)]
    for source in every:
        write(root / f"landing/701/{source.name}_2020-01-01.csv", 1000)
    lake = Lake(str(root / "lake"))
    begun = time.perf_counter()
    claimed = listing(root / "landing", every).claimed
    for source in every:
        work = pending(lake, source, claimed[source.name])
        ingest(lake, source, root / "landing", work.unseen, Clock(date(2020, 12, 31)), Settings().batch_bytes)
    return time.perf_counter() - begun


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default=",".join(CURVES))
    options.add_argument("--draw", action="store_true", help="measure nothing")
    options.add_argument("--apart", nargs=2, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.apart:
        what, count = asked.apart
        with tempfile.TemporaryDirectory(dir=WORK) as folder:
            print({"a_day": a_day, "many_sources": many_sources}[what](int(count), Path(folder)))
        return
    WORK.mkdir(parents=True, exist_ok=True)
    for name in [] if asked.draw else asked.only.split(","):
        print(name, flush=True)
        known = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        measure, label = CURVES[name]
        KEPT.write_text(json.dumps({**known, name: {"label": label, "points": measure()}}, indent=1) + "\n")
    subprocess.run([contest.interpreter(WORK, "plots"), str(BENCH / "draw.py"), str(KEPT), str(PICTURES)], check=True)


if __name__ == "__main__":
    main()
