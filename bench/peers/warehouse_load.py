"""Loads the same rows into an empty PostgreSQL table, one way, and tells how long it took.

    python bench/peers/warehouse_load.py adbc|adbc-keyed|copy|to_sql|lakehouse FOLDER

FOLDER has the rows as `rows.parquet` and `rows.csv`, and the lake they come from. ADBC and pandas have them in memory
when the time begins, COPY reads the CSV within it. lakehouse reads its own Delta table within it, makes the key unique
and gathers statistics, as it always does; adbc-keyed does the latter two as well.
"""

import json
import os
import sys
import time
from pathlib import Path

URL = os.environ["PEER_POSTGRES"]
KEY = ("usubjid", "vstestcd", "visitnum", "vstptnum")
# The columns that are not text.
KINDS = {
    "_line": "bigint",
    "_delivered": "date",
    "_received_at": "timestamptz",
    "vsstresn": "double precision",
    "visitnum": "double precision",
    "vsdt": "date",
    "vstptnum": "double precision",
}


def adbc(folder: Path) -> float:
    """Arrow through ADBC, into a table that it makes."""
    import polars as pl
    from adbc_driver_postgresql import dbapi

    rows = pl.read_parquet(folder / "rows.parquet").to_arrow(compat_level=pl.CompatLevel.oldest())
    begun = time.perf_counter()
    with dbapi.connect(URL) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("loaded", rows, mode="create")
        connection.commit()
    return time.perf_counter() - begun


def adbc_keyed(folder: Path) -> float:
    """The same, with a unique key and statistics."""
    from lakehouse.postgres import transaction

    seconds, begun = adbc(folder), time.perf_counter()
    with transaction(URL) as cursor:
        cursor.execute("set local maintenance_work_mem = '256MB'")
        cursor.execute(f"create unique index on loaded ({', '.join(KEY)}) nulls not distinct")
        cursor.execute("analyze loaded")
    return seconds + time.perf_counter() - begun


def copy(folder: Path) -> float:
    """COPY of a CSV file through psycopg."""
    import psycopg2

    with (folder / "rows.csv").open() as stream:
        header = stream.readline().strip().split(",")
        stream.seek(0)
        begun = time.perf_counter()
        connection = psycopg2.connect(URL)
        with connection, connection.cursor() as cursor:
            columns = ", ".join(f"{name} {KINDS.get(name, 'text')}" for name in header)
            cursor.execute(f"create table loaded ({columns})")
            cursor.copy_expert("copy loaded from stdin with (format csv, header)", stream)
        connection.close()
        return time.perf_counter() - begun


def to_sql(folder: Path) -> float:
    """pandas' to_sql."""
    import pandas as pd
    from sqlalchemy import create_engine

    text = pd.read_csv(folder / "rows.csv", nrows=0).columns.difference(list(KINDS))
    days = [name for name, kind in KINDS.items() if kind in ("date", "timestamptz")]
    rows = pd.read_csv(folder / "rows.csv", dtype=dict.fromkeys(text, "str"), parse_dates=days)
    begun = time.perf_counter()
    with create_engine(URL).begin() as connection:
        rows.to_sql("loaded", connection, index=False, chunksize=100_000)
    return time.perf_counter() - begun


def lakehouse(folder: Path) -> float:
    """The project's own loader."""
    from scaled import VITALS

    from lakehouse import manifest
    from lakehouse.lake import Lake
    from lakehouse.warehouse import Table, publish

    lake = Lake(str(folder / "lake"))
    table = Table("processed/vitals", "public", "loaded", VITALS.row, VITALS.key, VITALS.description)
    begun = time.perf_counter()
    publish(lake, URL, [table], manifest.versions(lake))
    return time.perf_counter() - begun


if __name__ == "__main__":
    ways = {"adbc": adbc, "adbc-keyed": adbc_keyed, "copy": copy, "to_sql": to_sql, "lakehouse": lakehouse}
    print(json.dumps({"seconds": ways[sys.argv[1]](Path(sys.argv[2]))}))
