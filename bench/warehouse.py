"""The ways to load a table into PostgreSQL, in turn: part of `bench/suite.py`."""

import tempfile
from pathlib import Path

import polars as pl
from contest import CONTENDERS, PEERS, Taken, data, database, interpreter, run, watched

from lakehouse import manifest
from lakehouse.lake import Lake
from lakehouse.postgres import transaction

# By name of the way: the environment that it runs in.
WAYS = {"adbc": None, "adbc-keyed": None, "copy": "pandas", "to_sql": "pandas", "lakehouse": None}


def loads(work: Path, rows: int, rounds: int, patience: float) -> Taken:
    """Load what lakehouse accepts of so many records into a fresh server, in every way; what each load took."""
    taken: Taken = {way: [] for way in WAYS}
    pythons = {way: interpreter(work, packages) for way, packages in WAYS.items()}
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        run(CONTENDERS["lakehouse"], pythons["lakehouse"], data(work, rows, "one"), folder, patience)
        count = _written(folder)
        for number in range(rounds):
            for way, runs in taken.items():
                with database() as (url, server):
                    command = [pythons[way], "-W", "ignore", str(PEERS / "warehouse_load.py"), way, str(folder)]
                    _, told = watched(patience, server, command, PEER_POSTGRES=url)
                    with transaction(url) as cursor:
                        cursor.execute("select count(*) from loaded")
                        found = cursor.fetchone()
                if found is None or found[0] != count:
                    raise SystemExit(f"{way} loaded {found} rows, not {count}")
                seconds = float(str(told["seconds"]))
                runs.append({"seconds": seconds, "rows_per_second": count / seconds})
            print(f"  round {number + 1} of {rounds}", flush=True)
    return taken


def _written(folder: Path) -> int:
    """Write the accepted rows as Parquet and CSV beside the lake; how many they are."""
    lake = Lake(str(folder / "lake"))
    rows = lake.scan("processed/vitals", manifest.versions(lake)["processed/vitals"]).collect()
    rows.write_parquet(folder / "rows.parquet")
    rows.with_columns(pl.col("_received_at").dt.to_string("iso:strict")).write_csv(folder / "rows.csv")
    return rows.height
