"""What 20,000 small files cost beside a bare Polars script that writes the same tables.

    python bench/small.py [--rounds 3]

200 days of 100 sites, 50 records a file, one record in a thousand out of range. Both write raw (every record as text,
with its file), processed (typed, valid by the contract, one row per key) and quarantine to Delta. The bare script keeps
nothing else; lakehouse keeps the bytes of every file, too, the ledger, what was superseded, and the account.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import polars.selectors as cs
from made import RESULTS, write
from turns import main

from lakehouse.clock import Clock
from lakehouse.ingest import ingest, pending
from lakehouse.lake import Lake
from lakehouse.landing import listing

_DAYS, _SITES, _ROWS = 200, 100, 50
_FIRST = date(2020, 1, 1)


def prepare(landing: Path) -> None:
    """A file for each day and site."""
    for number in range(_DAYS * _SITES):
        day, site = divmod(number, _SITES)
        path = landing / f"{100 + site}/results_{_FIRST + timedelta(days=day)}.csv"
        write(path, _ROWS, number * _ROWS)


def bare(landing: Path, lake: Path) -> None:
    """All files in one scan; raw, what the contract takes, and what it does not."""
    file = pl.col("_file")
    raw = (
        pl.scan_csv(
            sorted(landing.glob("*/results_*.csv")),
            schema=dict.fromkeys(RESULTS.header, pl.String()),
            include_file_paths="_file",
            row_index_name="_line",
        )
        .with_columns(
            pl.col("_line").cast(pl.Int64),
            _checksum=pl.lit(""),
            _delivered=file.str.extract(r"_(\d{4}-\d\d-\d\d)\.csv$").str.to_date("%Y-%m-%d"),
            _site=file.str.extract(r"([^/]+)/[^/]+$"),
            _received_at=pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")),
            _extra=pl.lit(None, pl.String),
        )
        .collect()
    )
    raw.write_delta(str(lake / "raw"))
    good, bad = RESULTS.contract.filter(RESULTS.tidy(raw.lazy()).collect(), cast=False)
    good.sort("_delivered", "_file", "_line").unique(RESULTS.key, keep="last").write_delta(str(lake / "processed"))
    bad.details().with_columns((cs.enum() | cs.categorical()).cast(pl.String)).write_delta(str(lake / "quarantine"))


def whole(landing: Path, lake: Path) -> None:
    """What `lakehouse run` does for the source, from the landing folder to the account."""
    place = Lake(str(lake))
    work = pending(place, RESULTS, listing(landing, [RESULTS]).claimed[RESULTS.name])
    ingest(place, RESULTS, landing, work.unseen, Clock(_FIRST + timedelta(days=_DAYS)), 2**23)


if __name__ == "__main__":
    main(__doc__, prepare, {"bare": bare, "lakehouse": whole}, rounds=3)
