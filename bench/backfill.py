"""A run over every delivery day of the pilot beside one over the same records in one file, and a run with nothing to do
beside Dagster's own least run.

    python bench/backfill.py [--rounds 5]

Vital signs, ingested through Dagster into a fresh lake, in an instance on the embedded PostgreSQL as `lakehouse up` has
it. A run's body is what is left when the seconds spent storing events are taken away; the days report a materialization
each, for raw, processed and quarantine. The least run does nothing, on the same instance, and has as many
outputs and checks.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
from dagster_postgres.event_log import PostgresEventLogStorage
from demo import spent, timed
from job import QUIET, ingestion
from scaled import COLUMNS, VITALS

from assets.pilot.land import EXPORTS, collected
from assets.wiring import ingest as wiring
from lakehouse import postgres
from lakehouse.settings import Settings, export
from resources import instance

AS_OF = date(2015, 3, 6)


def land(landing: Path) -> None:
    """The pilot's vital signs, as a file for each site and day, and all of them in one."""
    rows = collected(EXPORTS["vitals"])
    parts = [((site, day), part) for (site, day), part in rows.partition_by("_site", "_day", as_dict=True).items()]
    for place, ((site, day), part) in [*(("days", item) for item in parts), ("one", (("701", AS_OF), rows))]:
        file = landing / place / site / f"vitals_{day}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        part.select(COLUMNS).write_csv(file)


def least() -> dg.JobDefinition:
    """A job of an asset with as many outputs and checks as an ingestion has, which does nothing."""
    keys = [dg.AssetKey([layer, "nothing"]) for layer in ("raw", "processed", "quarantine")]
    checks = {"account": keys[1], "corrections": keys[1], "empty": keys[2]}

    @dg.multi_asset(
        specs=[dg.AssetSpec(key) for key in keys],
        check_specs=[dg.AssetCheckSpec(name, asset=key) for name, key in checks.items()],
    )
    def nothing() -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        for key in keys:
            yield dg.MaterializeResult(key)
        for name, key in checks.items():
            yield dg.AssetCheckResult(passed=True, asset_key=key, check_name=name)

    return dg.Definitions(assets=[nothing], jobs=[dg.define_asset_job("least", selection=[nothing])]).resolve_job_def(
        "least"
    )


def measured(job: dg.JobDefinition, storage: dg.DagsterInstance) -> tuple[float, float]:
    """Seconds of a run without its events, and those of making and storing them."""
    before, begun = spent["seconds"], time.perf_counter()
    assert job.execute_in_process(QUIET, instance=storage).success
    events = spent["seconds"] - before
    return time.perf_counter() - begun - events, events


def main() -> None:
    """Let the four take turns, and print medians and ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    for name in ("store_event", "store_event_batch"):
        setattr(PostgresEventLogStorage, name, timed(getattr(PostgresEventLogStorage, name)))
    # Most of them are of days: Dagster makes, logs and stores each.
    vars(wiring)["report_days"] = timed(wiring.report_days)
    taken: dict[str, list[tuple[float, float]]] = {"one": [], "days": [], "least": [], "idle": []}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        root = Path(folder)
        root.chmod(0o755)
        land(root / "landing")
        with postgres.serving(Settings(home=root / "state")) as url:
            export(instance.environment(Settings(home=root / "state"), url) | {"DAGSTER_EVENT_BATCH_SIZE": "1000"})
            with dg.DagsterInstance.get() as storage:
                trivial = least()
                measured(trivial, storage)
                for number in range(rounds):
                    for place in ("one", "days"):
                        home, landing = root / f"{place} {number}", root / "landing" / place
                        job = ingestion(VITALS, Settings(home=home, landing=landing, as_of=AS_OF, settle_seconds=0))
                        taken[place].append(measured(job, storage))
                    taken["least"].append(measured(trivial, storage))
                    taken["idle"].append(measured(job, storage))
    middle = {name: [statistics.median(runs) for runs in zip(*found, strict=True)] for name, found in taken.items()}
    frame = pl.DataFrame({"run": list(middle), "body, s": [body for body, _ in middle.values()]})
    frame = frame.with_columns(pl.Series("its events, s", [events for _, events in middle.values()]))
    print(frame)
    (one, _), (every, _), least_run, idle = (middle[name] for name in taken)
    print(f"days / one: {every / one:.2f} in the body")
    print(f"idle / least: {sum(idle) / sum(least_run):.2f} in all, {idle[0] / least_run[0]:.2f} in the body")


if __name__ == "__main__":
    main()
