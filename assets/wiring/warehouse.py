"""The PostgreSQL tables as Dagster assets: loaded in one step and one transaction."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import dagster as dg

from assets.wiring.describe import contract_schema, published_lineage
from assets.wiring.failures import told_apart
from lakehouse import manifest
from lakehouse.code import fingerprint
from lakehouse.warehouse import Table
from resources.lake import LakeResource
from resources.warehouse import WarehouseResource


def key(table: Table) -> dg.AssetKey:
    """The table's asset key, the one dbt gives its source."""
    return dg.AssetKey([table.schema, table.name])


def build(tables: Sequence[Table], freshness: timedelta) -> dg.AssetsDefinition:
    """One step that loads every published table, each with a check that PostgreSQL has as many rows as the lake."""
    specs = [
        dg.AssetSpec(
            key(table),
            deps=[dg.AssetKey(table.source.split("/"))],
            description=f"{table.description} Loaded from {table.source}.",
            group_name=table.schema,
            kinds={"postgres"},
            owners=["team:platform"],
            code_version=fingerprint([table.contract.__module__]),
            metadata={
                "dagster/column_schema": contract_schema(table.contract),
                "dagster/table_name": f"{table.schema}.{table.name}",
            },
            freshness_policy=dg.FreshnessPolicy.time_window(fail_window=freshness),
        )
        for table in tables
    ]
    checks = [
        dg.AssetCheckSpec("complete", asset=key(table), blocking=True, description="As many rows as in the lake.")
        for table in tables
    ]

    @dg.multi_asset(name="load_warehouse", specs=specs, check_specs=checks, pool="warehouse")
    def _load(
        context: dg.AssetExecutionContext, lake: LakeResource, warehouse: dg.ResourceParam[WarehouseResource]
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        with told_apart(context):
            loads = warehouse.publish(lake.lake, tables)
            made_by = manifest.made_by(lake.lake)
        done = {load.table.source: load for load in loads}
        inserted, deleted = (sum(getattr(load, what) for load in loads) for what in ("inserted", "deleted"))
        context.log.info(f"PostgreSQL: {inserted:,} rows put in, {deleted:,} taken out")
        for table in tables:
            load = done.get(table.source)
            if load is None:
                context.log.info(f"{table.schema}.{table.name} is empty: nothing was delivered for {table.source} yet")
                yield dg.MaterializeResult(asset_key=key(table), metadata={"dagster/row_count": 0})
                yield dg.AssetCheckResult(asset_key=key(table), check_name="complete", passed=True)
                continue
            delta = lake.lake.open(table.source, load.version)
            assert delta is not None
            in_lake = delta.count()
            yield dg.MaterializeResult(
                asset_key=key(table),
                metadata={
                    "dagster/row_count": load.rows,
                    "dagster/column_lineage": published_lineage(table.source, table.contract),
                    "inserted": load.inserted,
                    "deleted": load.deleted,
                    "table_version": load.version,
                    "contract_version": fingerprint([table.contract.__module__]),
                    "code_version": made_by[table.source],
                },
            )
            yield dg.AssetCheckResult(
                asset_key=key(table),
                check_name="complete",
                passed=load.rows == in_lake,
                metadata={"in_postgres": load.rows, "in_lake": in_lake},
            )

    return _load
