"""Where the time of a first `lakehouse demo` goes, and how much of it is Dagster's event log.

    python bench/demo.py

Lands the pilot study in a temporary home and runs it once in this process, counting the time spent inside the event
log's storage (every event stored, one by one or in batches).
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster_postgres.event_log import PostgresEventLogStorage

from assets import catalog
from assets.pilot.land import LAST_DAY, land
from lakehouse import definitions, postgres
from lakehouse.settings import Settings, export
from resources import instance

spent = {"seconds": 0.0, "calls": 0, "depth": 0}


def timed(store: Callable[..., Any]) -> Callable[..., Any]:
    """The storage's method, with the time spent in it counted once, however it calls itself."""

    def count(*given: Any, **named: Any) -> Any:
        spent["depth"] += 1
        begun = time.perf_counter()
        try:
            return store(*given, **named)
        finally:
            spent["depth"] -= 1
            if spent["depth"] == 0:
                spent["seconds"] += time.perf_counter() - begun
                spent["calls"] += 1

    return count


def main() -> None:
    """Run the study once and print the steps, the whole, and the event log's share."""
    for name in ("store_event", "store_event_batch"):
        setattr(PostgresEventLogStorage, name, timed(getattr(PostgresEventLogStorage, name)))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        day = LAST_DAY.fromordinal(LAST_DAY.toordinal() + 1)
        settings = Settings(home=Path(folder) / "state", landing=Path(folder) / "landing", as_of=day)
        begun = time.perf_counter()
        land(settings.landing)
        landed = time.perf_counter()
        with postgres.serving(settings) as url:
            export(instance.environment(settings, url))
            started = time.perf_counter()
            failed = definitions.run(settings, [source.name for source in catalog.sources()], None, print)
            done = time.perf_counter()
    assert not failed, failed
    print(
        f"landing {landed - begun:.1f} s, PostgreSQL's first start {started - landed:.1f} s, run {done - started:.1f} s"
    )
    share = spent["seconds"] / (done - started)
    print(f"event log: {spent['seconds']:.1f} s in {spent['calls']} writes, {share:.0%} of the run")


if __name__ == "__main__":
    main()
