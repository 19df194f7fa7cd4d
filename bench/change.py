"""How long a change in the EDC's database takes to be in processed, with `lakehouse up` idle.

    lakehouse demo --with cdc
    python -m assets.pilot.edc .lakehouse/systems/edc                  in one terminal: it prints the address
    LAKEHOUSE_SYSTEM_EDC=… lakehouse up                                in another
    LAKEHOUSE_SYSTEM_EDC=… python bench/change.py [--changes 20]       in a third

Each change is an adverse event's outcome that a coordinator mends; the time runs from its commit to the moment readers
of `processed/edc_adverse_events` see it. The pauses between changes vary, so that they meet the sensor at any moment of
its interval. With short ones, `--pause 1`, a change mostly comes while the run of the one before is still at work on
what is made of it, and waits for its end.
"""

import argparse
import random
import time
from contextlib import closing

import polars as pl
import psycopg2

from lakehouse import manifest
from lakehouse.lake import Lake
from lakehouse.settings import Settings

TABLE = "processed/edc_adverse_events"
_PATIENCE = 120


def change(url: str, lake: Lake, number: int) -> float:
    """Seconds from a change's commit to readers."""
    by = f"bench-{time.time_ns()}"
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "update adverse_events set entered_by = %s, entered_at = now() where aeid = "
            "(select aeid from adverse_events order by aeid offset %s limit 1)",
            (by, number),
        )
        connection.commit()
    begun = time.monotonic()
    while time.monotonic() - begun < _PATIENCE:
        version = manifest.versions(lake).get(TABLE)
        if version is not None and lake.scan(TABLE, version).filter(entered_by=by).select(pl.len()).collect().item():
            return time.monotonic() - begun
        time.sleep(0.2)
    raise SystemExit(f"the change was not in {TABLE} after {_PATIENCE} s; is lakehouse up running?")


def main() -> None:
    """Make changes one after another and print the median, the 95th percentile and the slowest."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--changes", type=int, default=20)
    options.add_argument("--pause", type=float, default=25.0, help="least seconds between two changes")
    given = options.parse_args()
    settings = Settings.load()
    url = settings.system("edc")
    if url is None:
        raise SystemExit("set LAKEHOUSE_SYSTEM_EDC to the EDC's address first")
    lake, taken = Lake(settings.lake_uri), []
    for number in range(given.changes):
        taken.append(change(url, lake, number))
        print(f"{len(taken):3}  {taken[-1]:5.1f} s", flush=True)
        time.sleep(given.pause + random.uniform(0, 7))
    taken.sort()
    middle, high = taken[len(taken) // 2], taken[round(0.95 * len(taken)) - 1]
    print(f"median {middle:.1f} s, 95th percentile {high:.1f} s, slowest {taken[-1]:.1f} s")


if __name__ == "__main__":
    main()
