"""How many changes a second go from PostgreSQL's log to Parquet, and on into raw and processed; and how much memory one
large transaction takes.

    python bench/cdc.py [--rows 1000000] [--large 5000000]

Peak memory is that of a process of its own, which does nothing but pull.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lakehouse"))

import dataframely as dy
import polars as pl
from fed import Fed, told
from logical import execute, rows, serving

from lakehouse.contract import Contract
from lakehouse.feeds import Reached
from lakehouse.feeds.changes import Changes
from lakehouse.formats.parquet import Parquet
from lakehouse.source import Source

MOST_BYTES = 32 * 2**20
FEED = Changes(system="edc", table="public.visits", key=("id",))
SOURCE: Any = SimpleNamespace(name="visits")
TABLE = """
    create table visits (id bigint primary key, subject text, name text, day date, weight numeric, note text)
"""
ROW = (
    "'01-701-' || i % 1000, 'WEEK ' || i % 26, date '2014-01-01' + (i % 300)::int, 50 + i % 400 / 10.0, 'seen by ' || i"
)


class Visit(Contract):
    """A change of a visit."""

    id = dy.Int64(nullable=True)
    subject = dy.String(nullable=True, regex="^01-")
    name = dy.String(nullable=True)
    day = dy.Date(nullable=True)
    weight = dy.Float64(nullable=True, min=20, max=300)
    note = dy.String(nullable=True)
    cdc_op = dy.String()
    cdc_lsn = dy.String()
    cdc_seq = dy.Int64()


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Changes in their types."""
    numbers = (pl.col("id", "cdc_seq").cast(pl.Int64, strict=False), pl.col("weight").cast(pl.Float64, strict=False))
    return raw.with_columns(*numbers, pl.col("day").str.to_date(strict=False)).select(Visit.column_names())


LAKE = Source(
    name="lake_visits",
    description="Changes of visits.",
    owner="team:bench",
    contract=Visit,
    tidy=tidy,
    key=("id", "cdc_lsn", "cdc_seq"),
    columns=("id", "subject", "name", "day", "weight", "note", "cdc_op", "cdc_lsn", "cdc_seq"),
    path="{site}/{name}/{day}_{part}.parquet",
    dialect=Parquet(),
    feed=FEED,
)


def peak_mb() -> float:
    """The most memory that this process has held; `getrusage` would tell its parent's if that was more."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def pulled(url: str, ends: dict[str, str]) -> dict[str, float]:
    """Pull to the end; seconds, bytes of Parquet, and this process's peak of memory in MB."""
    began, size = time.perf_counter(), 0
    before = peak_mb()
    told = True
    while told:
        told = False
        for extract in FEED.pull(url, SOURCE, Reached(dict(ends)), MOST_BYTES):
            told = True
            size += len(extract.data)
            ends[extract.part.stream] = max(ends.get(extract.part.stream, ""), extract.part.end)
        FEED.release(url, SOURCE, Reached(ends))
    peak = peak_mb()
    return {"seconds": time.perf_counter() - began, "bytes": size, "before_mb": before, "peak_mb": peak}


def apart(url: str, ends: dict[str, str]) -> dict[str, float]:
    """The same in a process of its own."""
    words = [sys.executable, "-W", "ignore", __file__, "--pull", url, "--ends", json.dumps(ends)]
    told = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    ends.update(told.pop("ends"))
    figures: dict[str, float] = told
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, help="Only one transaction of so many inserts.")
    parser.add_argument("--pull", help=argparse.SUPPRESS)
    parser.add_argument("--ends", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pull:
        ends: dict[str, str] = json.loads(given.ends)
        print(json.dumps({**pulled(given.pull, ends), "ends": ends}))
        return
    count = given.rows
    some = count // 5
    mixed = [
        f"do $$ begin for i in 1..{some} loop "
        "update visits set weight = weight + 1 where id = i; "
        f"insert into visits select {10 * count} + i, {ROW}; "
        "if i % 10 = 0 then delete from visits where id = i - 5; end if; "
        "if i % 10 = 1 then commit; end if; end loop; end $$"
    ]
    many = f"{some} updates, {some} inserts, {some // 10} deletes, {some // 10} transactions"
    work = {
        f"{count} inserts, one transaction": (
            [f"insert into visits select i, {ROW} from generate_series(1, {count}) i"],
            count,
        ),
        many: (mixed, some * 21 // 10),
    }
    if given.large:
        work = {
            f"{given.large} inserts, one transaction": (
                [f"insert into visits select i, {ROW} from generate_series(1, {given.large}) i"],
                given.large,
            )
        }
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        execute(url, TABLE)
        fed = Fed(LAKE, url, Path(folder, "lake"))
        ends = {}
        apart(url, ends)
        fed.bring()
        for name, (statements, changes) in work.items():
            execute(url, *statements)
            alone = apart(url, ends)
            print(
                f"{name}: {alone['seconds']:.1f} s, {changes / alone['seconds']:,.0f} changes/s, "
                f"{alone['bytes'] / 2**20:.1f} MB, peak {alone['peak_mb']:.0f} MB (before {alone['before_mb']:.0f})",
                flush=True,
            )
            before = fed.rows("processed")
            figures = fed.bring()
            while fed.rows("processed") - before < changes and (more := fed.bring())["extracts"]:
                figures = {name: figures[name] + more[name] for name in figures}
            assert fed.rows("processed") - before == changes
            print(told("  into raw and processed", changes, figures) + f", peak {peak_mb():.0f} MB", flush=True)
        assert rows(url, "select count(*) from visits")


if __name__ == "__main__":
    main()
