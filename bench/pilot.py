"""What ingesting the pilot study costs beside a bare Polars script that does the least of the same work.

    python bench/pilot.py [--rounds 5]

Both read the study's vitals and laboratory files (4,022 of them), tidy and validate every record by the same contracts,
and write Delta. The bare script writes one table for each source and keeps nothing else; lakehouse keeps the bytes, the
ledger, raw, processed, quarantine, what was superseded, and the account. Each run is a fresh process; only its body is
measured, not its start and imports. The two take turns.
"""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
from turns import main

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


def prepare(landing: Path) -> None:
    """The study as its sites deliver it, without the fictional one."""
    land(landing)
    for path in landing.glob("999/*"):
        path.unlink()


if __name__ == "__main__":
    main(__doc__, prepare, {"bare": bare, "lakehouse": whole}, rounds=5)
