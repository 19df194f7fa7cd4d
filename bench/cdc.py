"""How many changes a second go from PostgreSQL's log to Parquet, and how much memory one large transaction takes.

    python bench/cdc.py [--rows 1000000]

Peak memory is that of a process of its own, which does nothing but pull.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lakehouse"))

from logical import execute, rows, serving

from lakehouse.feeds import Reached
from lakehouse.feeds.changes import Changes

MOST_BYTES = 32 * 2**20
FEED = Changes(system="edc", table="public.visits", key=("id",))
SOURCE: Any = SimpleNamespace(name="visits")
TABLE = """
    create table visits (id bigint primary key, subject text, name text, day date, weight numeric, note text)
"""
ROW = (
    "'01-701-' || i % 1000, 'WEEK ' || i % 26, date '2014-01-01' + (i % 300)::int, 50 + i % 400 / 10.0, 'seen by ' || i"
)


def pulled(url: str, ends: dict[str, str]) -> dict[str, float]:
    """Pull to the end; seconds, bytes of Parquet, and this process's peak of memory in MB."""
    began, size = time.perf_counter(), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for extract in FEED.pull(url, SOURCE, Reached(dict(ends)), MOST_BYTES):
        size += len(extract.data)
        ends[extract.part.stream] = max(ends.get(extract.part.stream, ""), extract.part.end)
    FEED.release(url, SOURCE, Reached(ends))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
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
    with serving() as url:
        execute(url, TABLE)
        ends = {}
        apart(url, ends)
        for name, (statements, changes) in work.items():
            execute(url, *statements)
            told = apart(url, ends)
            print(
                f"{name}: {told['seconds']:.1f} s, {changes / told['seconds']:,.0f} changes/s, "
                f"{told['bytes'] / 2**20:.1f} MB, peak {told['peak_mb']:.0f} MB (before {told['before_mb']:.0f})"
            )
        assert rows(url, "select count(*) from visits")


if __name__ == "__main__":
    main()
