"""What ingesting the pilot study costs beside a bare Polars script that does the least of the same work.

    python bench/pilot.py [--rounds 5]

Both read the study's vitals and laboratory files (4,022 of them), tidy and validate every record by the same contracts,
and write Delta. The bare script writes one table for each source and keeps nothing else; lakehouse keeps the bytes, the
ledger, raw, processed, quarantine, what was superseded, and the account. Each run is a fresh process; only its body is
measured, not its start and imports. The two take turns.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from assets.labs import LABS
from assets.pilot.land import land
from assets.vitals import VITALS
from lakehouse.clock import Clock
from lakehouse.ingest import ingest, pending
from lakehouse.lake import Lake
from lakehouse.landing import listing

SOURCES = (VITALS, LABS)


def bare(landing: Path, lake: Path) -> None:
    """All files of a source in one scan, tidied, filtered by the contract, written to one Delta table."""
    for source in SOURCES:
        day, site = (
            pl.col("_file").str.extract(r"_(\d{4}-\d\d-\d\d)\.csv$"),
            pl.col("_file").str.extract(r"([^/]+)/[^/]+$"),
        )
        raw = pl.scan_csv(
            sorted(landing.glob(f"*/{source.name}_*.csv")),
            schema=dict.fromkeys(source.header, pl.String()),
            include_file_paths="_file",
            row_index_name="_line",
        ).with_columns(
            pl.col("_line").cast(pl.Int64),
            _checksum=pl.lit(""),
            _delivered=day.str.to_date("%Y-%m-%d"),
            _site=site,
            _received_at=pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")),
            _extra=pl.lit(None, pl.String),
        )
        good, _ = source.contract.filter(source.tidy(raw).collect(), cast=False)
        good.write_delta(str(lake / source.name))


def whole(landing: Path, lake: Path) -> None:
    """What `lakehouse run` does for the two sources, from the landing folder to the account."""
    place, clock = Lake(str(lake)), Clock(date(2015, 3, 6))
    for source in SOURCES:
        work = pending(place, source, listing(landing, [source]).claimed[source.name])
        ingest(place, source, landing, work.unseen, clock, 2**27)


def _measure(contender: str, landing: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-W", "ignore", __file__, "--only", contender, str(landing), folder]
        return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]


def _body(contender: str, landing: Path, lake: Path) -> None:
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    {"bare": bare, "lakehouse": whole}[contender](landing, lake)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu": cpu, "wall": wall, "peak_mb": after.ru_maxrss / 1024}))


def main() -> None:
    """Land the study, let the two take turns, and print medians and their ratio."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", nargs=3, metavar=("CONTENDER", "LANDING", "LAKE"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.only:
        _body(given.only[0], Path(given.only[1]), Path(given.only[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder)
        land(landing)
        for path in landing.glob("999/*"):
            path.unlink()
        taken: dict[str, list[dict[str, float]]] = {"bare": [], "lakehouse": []}
        for _ in range(given.rounds):
            for contender, rounds in taken.items():
                rounds.append(_measure(contender, landing))
    for figure in ("cpu", "wall", "peak_mb"):
        middle = {name: statistics.median(item[figure] for item in rounds) for name, rounds in taken.items()}
        ratio = middle["lakehouse"] / middle["bare"]
        print(f"{figure:8} bare {middle['bare']:8.2f}   lakehouse {middle['lakehouse']:8.2f}   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
