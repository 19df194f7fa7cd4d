"""The day's report as a Dagster asset: a page for each day, linked from the day's partition."""

from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from assets.report import charts, page
from assets.report import figures as made_of
from assets.report.figures import FLAGS, TABLES, gathered
from assets.wiring.failures import told_apart
from lakehouse.code import fingerprint
from lakehouse.curated import Curated
from lakehouse.settings import Settings
from lakehouse.source import Source
from resources.lake import LakeResource

GROUP = "report"


def build(
    settings: Settings,
    sources: Sequence[Source],
    curated: Sequence[Curated],
    days: dg.DailyPartitionsDefinition,
    freshness: timedelta,
) -> dg.AssetsDefinition:
    """One step that makes the page of each day asked for."""
    code = fingerprint([module.__name__ for module in (made_of, charts, page)], [page.TEMPLATE])
    there = {table.table for table in curated}
    made_from = [dg.AssetKey(table.split("/")) for table in (*TABLES, FLAGS) if table in there]

    @dg.asset(
        key=dg.AssetKey([GROUP, "daily"]),
        deps=[*made_from, *(dg.AssetKey(["processed", source.name]) for source in sources)],
        description="What arrived, what is late, what was rejected and why, and how the study goes: a page a day.",
        group_name=GROUP,
        code_version=code,
        kinds={"html", "matplotlib"},
        owners=["team:clinical-data"],
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.multi_run(),
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=freshness),
    )
    def _report(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[None]:
        with told_apart(context):
            figures = gathered(lake.lake, sources, date.fromisoformat(context.partition_key))
            path = page.write(figures, settings.home)
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.url(page.address(path, settings.reports)),
                "path": dg.MetadataValue.path(str(path)),
                "bytes": path.stat().st_size,
                "table_version": ", ".join(f"{table} {number}" for table, number in sorted(figures.versions.items())),
                "contract_version": code,
                "code_version": code,
            }
        )

    return _report


def schedule(asset: dg.AssetsDefinition, settings: Settings) -> dg.ScheduleDefinition:
    """Every morning the page of the day before, as the clock has it; on by default."""
    job = dg.define_asset_job("make_report", selection=[asset], description="The day's report, as a page.")

    @dg.schedule(
        name="make_report_every_morning",
        job=job,
        cron_schedule="30 5 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def _every_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = settings.as_of or context.scheduled_execution_time.date() - timedelta(days=1)
        return dg.RunRequest(run_key=str(context.scheduled_execution_time.date()), partition_key=str(day))

    return _every_morning
