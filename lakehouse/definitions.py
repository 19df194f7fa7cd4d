"""What Dagster loads. `build` is the one place where sources, curated tables, warehouse, dbt and resources meet; tests
call it with settings of their own."""

import logging
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import date, timedelta

import dagster as dg
import dagster_dbt  # noqa: F401  loaded after Polars and dataframely, it takes a quarter of a second longer
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG as _TO
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG as _FROM

from assets import catalog
from assets.wiring import (
    checks,
    curated,
    dbt,
    feeds,
    housekeeping,
    ingest,
    landing,
    report,
    runs,
    sensor,
    streams,
    warehouse,
)
from assets.wiring.partitions import delivery_days
from lakehouse.clock import Clock
from lakehouse.settings import Settings, export
from resources.dbt import DbtResource
from resources.lake import LakeResource
from resources.landing import LandingResource
from resources.warehouse import WarehouseResource

# Steps whose own log lines a person wants to read; dagster-dbt's are about its command line.
_SPEAKING = ("ingest_", "curate", "load_warehouse")

_CONSOLE = dg.colored_console_logger

# Without it Dagster writes the materializations of a range one by one.
export({"DAGSTER_EVENT_BATCH_SIZE": "1000"})


def build(settings: Settings, console: dg.LoggerDefinition = _CONSOLE) -> dg.Definitions:
    """The whole lakehouse as Dagster definitions; `console` is told what its runs log."""
    clock = Clock(settings.as_of)
    sources, tables, published = catalog.sources(), catalog.curated(), catalog.published()
    # A live study is fed daily; one that has ended is only run again now and then.
    freshness = timedelta(days=366) if clock.as_of else timedelta(hours=36)
    days = delivery_days(sources, clock)
    models = DbtResource(settings)
    downstream = [
        curated.build(tables, sources, freshness, clock),
        warehouse.build(published, freshness),
        dbt.build(models, freshness),
    ]
    made = [key for step in downstream for key in step.keys]
    arrivals, folder, at_work = checks.build(sources), landing.checks(sources), streams.checks(catalog.streams())
    tidying = housekeeping.build(sources, published, timedelta(days=settings.keep_days))
    page = report.build(settings, sources, tables, days, freshness)
    job = dg.define_asset_job(
        sensor.JOB,
        # Both have times of their own: who waits for a file need not wait for them.
        selection=dg.AssetSelection.all()
        - dg.AssetSelection.groups(housekeeping.GROUP, report.GROUP)
        # Looked at by the sensors, and by lakehouse run before it starts a run.
        - dg.AssetSelection.checks(folder, at_work),
        description="Ingest everything pending and bring every table and model after it up to date.",
    )
    lateness = dg.define_asset_job(
        "look_for_late_sites", selection=dg.AssetSelection.checks(arrivals), description="Judge what has not arrived."
    )
    return dg.Definitions(
        assets=[
            landing.spec(),
            *feeds.systems(sources),
            *streams.specs(catalog.streams()),
            *(ingest.build(source, days, freshness, settings.batch_bytes) for source in sources),
            *downstream,
            *tidying,
            page,
        ],
        asset_checks=[arrivals, folder, at_work],
        jobs=[job, lateness],
        sensors=[
            sensor.build(sources, made, interval=5),
            landing.build(sources),
            *feeds.build(sources, {source.name: ingest.keys(source) for source in sources}, sensor.JOB, made),
            *streams.build(catalog.streams()),
        ],
        schedules=[
            dg.ScheduleDefinition(
                job=lateness, cron_schedule="0 6 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
            ),
            housekeeping.schedule(tidying),
            report.schedule(page, settings),
        ],
        resources={
            "lake": LakeResource.of(settings),
            "landing": LandingResource(settings),
            "warehouse": WarehouseResource(settings),
            "dbt": models,
        },
        # Everything in one process: starting one for each step takes longer than the steps.
        executor=dg.in_process_executor,
        loggers={"console": console},
    )


@dg.definitions
def definitions() -> dg.Definitions:
    """The definitions for the settings of this machine."""
    return build(Settings.load())


def run(
    settings: Settings,
    sources: list[str],
    days: tuple[date, date] | None,
    say: Callable[[str], None],
    *,
    now: bool = False,
) -> dict[str, str]:
    """Run everything for these sources in this process, recorded in Dagster; why each step that failed did.

    days: only these delivery days, both ends included. say: is told of each step. now: ask even systems that are left
    alone because they failed. What dbt prints goes into a log file.
    """
    job = build(settings, _told(say)).resolve_job_def(sensor.JOB)
    chosen = {key for name in sources for key in ingest.keys(catalog.source(name)).values()}
    every = {key for source in catalog.sources() for key in ingest.keys(source).values()}
    selection = [key for key in job.asset_layer.executable_asset_keys if key in chosen or key not in every]
    tags = runs.mine() | ({feeds.NOW: "true"} if now else {})
    if days is not None:
        tags |= {_FROM: days[0].isoformat(), _TO: days[1].isoformat()}
    log = settings.dagster / "last-run.log"
    with dg.DagsterInstance.get() as dagster, log.open("w") as stream, redirect_stdout(stream):
        result = job.execute_in_process(
            instance=dagster,
            asset_selection=selection,
            tags=tags,
            run_config={"loggers": {"console": {}}},
            raise_on_error=False,
        )
    return {event.step_key or "": _why(event) for event in result.all_events if event.is_step_failure}


def _why(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return data.error.cause.message if data.error and data.error.cause else "see the run in lakehouse up"


def _told(say: Callable[[str], None]) -> dg.LoggerDefinition:
    """A Dagster logger that tells of steps as they end, and of what assets have to say."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            meta = getattr(record, "dagster_meta", {})
            event = meta.get("dagster_event")
            if event is None and record.levelno >= logging.INFO and meta.get("step_key", "").startswith(_SPEAKING):
                say(f"  {meta['orig_message']}")
            elif event is not None and event.is_step_success:
                say(f"  [green]✓[/green] {event.step_key} {event.event_specific_data.duration_ms / 1000:.1f} s")
            elif event is not None and event.is_step_failure:
                say(f"  [red]✗[/red] {event.step_key}")

    @dg.logger
    def told(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("lakehouse.run", logging.DEBUG)
        logger.addHandler(Handler())
        return logger

    return told
