"""What Dagster loads. `build` is the one place where sources, curated tables, warehouse, dbt and resources meet; tests
call it with settings of their own."""

from datetime import date, timedelta

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG as _TO
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG as _FROM

from assets import catalog
from assets.wiring import checks, curated, dbt, ingest, sensor, warehouse
from assets.wiring.partitions import delivery_days
from lakehouse.clock import Clock
from lakehouse.settings import Settings, export
from resources.dbt import DbtResource
from resources.lake import LakeResource
from resources.landing import LandingResource
from resources.warehouse import WarehouseResource

# Without it Dagster writes the materializations of a range one by one.
export({"DAGSTER_EVENT_BATCH_SIZE": "1000"})


def build(settings: Settings) -> dg.Definitions:
    """The whole lakehouse as Dagster definitions."""
    clock = Clock(settings.as_of)
    sources, tables, published = catalog.sources(), catalog.curated(), catalog.published()
    # A live study is fed daily; one that has ended is only run again now and then.
    freshness = timedelta(days=366) if clock.as_of else timedelta(hours=36)
    days = delivery_days(sources, clock)
    models = DbtResource(settings)
    downstream = [
        curated.build(tables, sources, freshness),
        warehouse.build(published, freshness),
        dbt.build(models, freshness),
    ]
    arrivals = checks.build(sources)
    job = dg.define_asset_job(
        sensor.JOB,
        selection=dg.AssetSelection.all(),
        description="Ingest everything pending and bring every table and model after it up to date.",
    )
    lateness = dg.define_asset_job(
        "look_for_late_sites", selection=dg.AssetSelection.checks(arrivals), description="Judge what has not arrived."
    )
    return dg.Definitions(
        assets=[*(ingest.build(source, days, freshness, settings.batch_bytes) for source in sources), *downstream],
        asset_checks=[arrivals],
        jobs=[job, lateness],
        sensors=[sensor.build(sources, [key for step in downstream for key in step.keys], interval=5)],
        schedules=[
            dg.ScheduleDefinition(
                job=lateness, cron_schedule="0 6 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
            )
        ],
        resources={
            "lake": LakeResource.of(settings),
            "landing": LandingResource(settings),
            "warehouse": WarehouseResource(settings),
            "dbt": models,
        },
        # Everything in one process: starting one for each step takes longer than the steps.
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger.configured({"log_level": "INFO"})},
    )


@dg.definitions
def definitions() -> dg.Definitions:
    """The definitions for the settings of this machine."""
    return build(Settings.load())


def execute(
    definitions: dg.Definitions, instance: dg.DagsterInstance, sources: list[str], days: tuple[date, date] | None
) -> list[str]:
    """Run everything for these sources in this process, recorded in `instance`; the names of the steps that failed."""
    job = definitions.resolve_job_def(sensor.JOB)
    chosen = {key for name in sources for key in ingest.keys(catalog.source(name)).values()}
    every = {key for name in catalog.sources() for key in ingest.keys(name).values()}
    selection = [key for key in job.asset_layer.executable_asset_keys if key in chosen or key not in every]
    tags = {} if days is None else {_FROM: days[0].isoformat(), _TO: days[1].isoformat()}
    result = job.execute_in_process(instance=instance, asset_selection=selection, tags=tags, raise_on_error=False)
    return [event.step_key or "" for event in result.all_events if event.is_step_failure]
