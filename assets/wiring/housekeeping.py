"""Housekeeping as Dagster assets: each source's tables in one step, all others in another, every night.

A step waits in the pool of those who write its tables, so that neither has to do its work twice; should they meet all
the same, housekeeping gives way.
"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from assets.wiring.failures import told_apart
from lakehouse import ledger
from lakehouse.curate import GROUP as CURATED
from lakehouse.housekeeping import Tidied, housekeep
from lakehouse.ingest import tables
from lakehouse.lake import Lake
from lakehouse.source import Source
from lakehouse.warehouse import Table
from resources.lake import LakeResource
from resources.warehouse import WarehouseResource

GROUP = "housekeeping"


def build(sources: Sequence[Source], published: Sequence[Table], keep: timedelta) -> list[dg.AssetsDefinition]:
    """The steps: one for each source, and one for the curated tables, the manifest and whatever else there is."""
    every = [_step(source.name, [source], sources, published, keep, f"source_{source.name}") for source in sources]
    return [*every, _step("shared", [], sources, published, keep, CURATED)]


def schedule(steps: Sequence[dg.AssetsDefinition]) -> dg.ScheduleDefinition:
    """Every night, on by default."""
    job = dg.define_asset_job("keep_house", selection=steps, description="Few files and a short log for every table.")
    return dg.ScheduleDefinition(job=job, cron_schedule="30 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)


def _step(
    name: str, own: Sequence[Source], sources: Sequence[Source], published: Sequence[Table], keep: timedelta, pool: str
) -> dg.AssetsDefinition:
    @dg.asset(
        key=dg.AssetKey([GROUP, name]),
        description=f"Small files of {name} put together; versions older than {keep.days} days removed.",
        group_name=GROUP,
        kinds={"deltalake"},
        owners=["team:platform"],
        pool=pool,
    )
    def _tidy(
        context: dg.AssetExecutionContext, lake: LakeResource, warehouse: dg.ResourceParam[WarehouseResource]
    ) -> dg.MaterializeResult[None]:
        with told_apart(context):
            wanted = _tables(lake.lake, own, sources)
            done = housekeep(lake.lake, keep, warehouse.pinned(published), wanted)
        return dg.MaterializeResult(metadata=_shown(done))

    return _tidy


def _tables(lake: Lake, own: Sequence[Source], sources: Sequence[Source]) -> set[str]:
    """The tables of the sources in `own`; with none, all tables that belong to no source."""

    def of(some: Sequence[Source]) -> set[str]:
        return {table for source in some for table in (ledger.table(source), *tables(source).values())}

    return of(own) or set(lake.tables()) - of(sources)


def _shown(done: Sequence[Tidied]) -> dict[str, int | str]:
    busy = [item.table for item in done if item.gave_way]
    return {
        "tables": len(done),
        "files_before": sum(item.files_before for item in done),
        "files": sum(item.files for item in done),
        "log_entries": sum(item.log for item in done),
        "bytes_freed": sum(item.freed for item in done),
        "left_to_the_next_time": ", ".join(busy) or "none",
    }
