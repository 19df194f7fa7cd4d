"""The curated and quality tables as Dagster assets: made in one step, so that all show one state of their inputs."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import dagster as dg

from assets.wiring.describe import (
    COLUMN_LINEAGE,
    asset_of,
    bars,
    contract_schema,
    curated_lineage,
    known_tables,
    shown_before,
)
from assets.wiring.failures import told_apart
from lakehouse.clock import Clock
from lakehouse.code import fingerprint
from lakehouse.curate import GROUP, code_version, curate, ordered
from lakehouse.curated import Curated
from lakehouse.sent import record_of
from lakehouse.source import Source
from resources.lake import LakeResource


def key(table: Curated) -> dg.AssetKey:
    """The table's asset key."""
    return dg.AssetKey([table.layer, table.name])


def _deps(table: Curated, sources: Sequence[Source]) -> list[dg.AssetKey]:
    """The assets a table is made from; `account`, `quarantine` and `warnings` stand for those of every source."""
    layers = {"account": "processed", "quarantine": "quarantine", "warnings": "processed"}
    found = [dg.AssetKey([layers[name], source.name]) for name in table.inputs if name in layers for source in sources]
    named = [asset_of(name).split("/") for name in table.inputs if "/" in name and name != record_of(table)]
    return list(dict.fromkeys([*found, *(dg.AssetKey(name) for name in named)]))


def build(
    curated: Sequence[Curated], sources: Sequence[Source], freshness: timedelta, clock: Clock
) -> dg.AssetsDefinition:
    """One step that makes every curated table, with a check for each that a table declares."""
    version = code_version(curated, sources, clock)
    specs = [
        dg.AssetSpec(
            key(table),
            deps=_deps(table, sources),
            description=table.description,
            group_name=table.layer,
            kinds={"deltalake", "polars"},
            owners=[table.owner],
            code_version=version,
            metadata={"dagster/column_schema": contract_schema(table.contract), "dagster/uri": f"lake:{table.table}"},
            freshness_policy=dg.FreshnessPolicy.time_window(fail_window=freshness),
        )
        for table in curated
    ]
    checks = [
        dg.AssetCheckSpec(name, asset=key(table), description=(check.__doc__ or name).strip().splitlines()[0])
        for table in curated
        for name, check in table.checks.items()
    ]

    @dg.multi_asset(name="curate", specs=specs, check_specs=checks, pool=GROUP)
    def _curate(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        with told_apart(context):
            done = {item.table: item for item in curate(lake.lake, curated, sources, clock)}
        changed = [f"{item.table} ({item.rows:,} rows)" for item in done.values() if item.changed]
        context.log.info(f"changed: {', '.join(changed) or 'nothing'}")
        tables = known_tables(tuple(sources), tuple(curated))
        lineage = shown_before(context.instance, context.selected_asset_keys, version)
        for table in ordered(curated):
            result = done[table.table]
            yield dg.MaterializeResult(
                asset_key=key(table),
                metadata={
                    **(lineage.get(key(table)) or {COLUMN_LINEAGE: curated_lineage(table, tables)}),
                    "dagster/row_count": result.rows,
                    "table_version": result.version,
                    "contract_version": fingerprint([table.contract.__module__]),
                    "code_version": version,
                    "changed": result.changed,
                    "rows_by_site": bars("site", result.summary),
                },
            )
            for name, breaches in result.breaches.items():
                yield dg.AssetCheckResult(
                    asset_key=key(table),
                    check_name=name,
                    passed=breaches == 0,
                    metadata={"rows_in_breach": breaches},
                )

    return _curate
