"""A source as Dagster assets: raw, processed and quarantine for each delivery day, made in one step.

One step, because the three move together: a delivery is read once, and every record of it ends up in one of them.
"""

from collections.abc import Collection, Iterator
from datetime import date, timedelta

import dagster as dg
import polars as pl

from assets.wiring import feeds
from assets.wiring.describe import bars, contract_schema, plain_schema, source_lineage
from assets.wiring.events import UNSEEN, report_days, reported
from assets.wiring.failures import told_apart
from assets.wiring.partitions import asked_days
from lakehouse import account, manifest
from lakehouse.clearing import clear
from lakehouse.ingest import ingest, pending, schemas
from lakehouse.lake import DELIVERY, Lake
from lakehouse.plan import Plan
from lakehouse.source import Source
from resources.lake import LakeResource
from resources.landing import LandingResource

_LAYERS = {
    "raw": "Every record of every delivery of {name} as text, as received. {description}",
    "processed": "{description} Typed, validated, one row per {key}.",
    "quarantine": "Every rejected record of {name}, with all its reasons, its text, its file and line.",
}
_SHOWN = ("files", "records", "accepted", "quarantined", "superseded")


def keys(source: Source) -> dict[str, dg.AssetKey]:
    """The source's asset keys by layer."""
    return {layer: dg.AssetKey([layer, source.name]) for layer in _LAYERS}


def specs(source: Source, freshness: timedelta) -> list[dg.AssetSpec]:
    """What the UI shows of a source's three assets."""
    key = keys(source)
    tables = schemas(source)
    columns = {layer: plain_schema(tables[layer]) for layer in ("raw", "quarantine")}
    columns["processed"] = contract_schema(source.row)
    return [
        dg.AssetSpec(
            key[layer],
            deps=feeds.upstream(source) if layer == "raw" else [key["raw"]],
            description=text.format(name=source.name, description=source.description, key=" and ".join(source.key)),
            group_name=layer,
            kinds={"deltalake", "polars"},
            owners=[source.owner],
            code_version=source.contract_version,
            metadata={"dagster/column_schema": columns[layer], "dagster/uri": f"lake:{layer}/{source.name}"},
            freshness_policy=dg.FreshnessPolicy.time_window(fail_window=freshness),
        )
        for layer, text in _LAYERS.items()
    ]


def build(
    source: Source, days: dg.DailyPartitionsDefinition, freshness: timedelta, batch_bytes: int
) -> dg.AssetsDefinition:
    """The source's assets and the checks that come with them."""
    key = keys(source)

    @dg.multi_asset(
        name=f"ingest_{source.name}",
        specs=specs(source, freshness),
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[
            dg.AssetCheckSpec(
                "account",
                asset=key["processed"],
                blocking=True,
                description="Every record of every delivery is accepted, quarantined or superseded.",
            ),
            dg.AssetCheckSpec(
                "corrections",
                asset=key["processed"],
                description="No file that was sent again to correct an earlier one was refused whole.",
            ),
            dg.AssetCheckSpec("empty", asset=key["quarantine"], description="Nothing is waiting in quarantine."),
            *feeds.check_specs(source, key["raw"]),
        ],
        # One writer at a time for each source; writers that slip through are told apart by the tables themselves.
        pool=f"source_{source.name}",
    )
    def _ingest(
        context: dg.AssetExecutionContext,
        lake: LakeResource,
        landing: dg.ResourceParam[LandingResource],
    ) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
        with told_apart(context):
            asked = asked_days(context)
            pulled = feeds.pull(context, source, lake.lake, landing, asked, batch_bytes)
            work = pending(lake.lake, source, landing.settled(source), asked)
            plans = ingest(lake.lake, source, landing.settings.landing, work.unseen, landing.clock, batch_bytes)
            past, remade = feeds.again(context, source, lake.lake, landing, asked, batch_bytes)
            plans += remade
            if cleared := clear(lake.lake, source, landing.settings.landing):
                context.log.info(f"{source.name}: {cleared:,} landed files were cleared away, as its policy says")
            released = feeds.release(source, lake.lake, landing)
            versions = manifest.versions(lake.lake)
            # A backfill waits for every day it asked for, whether or not it holds anything.
            answered = asked if asked and "dagster/backfill" in context.run.tags else set()
            _report(context, lake.lake, source, plans, versions, answered)
            for layer in _LAYERS:
                yield reported(key[layer])
            yield from feeds.checks(context, source, lake.lake, landing, key["raw"], pulled, released, past)
            yield from _checks(
                lake.lake, source, plans, versions, passed_before=_passed(context, key["processed"], "account")
            )

    return _ingest


def _report(
    context: dg.AssetExecutionContext,
    lake: Lake,
    source: Source,
    plans: list[Plan],
    versions: dict[str, int],
    answered: Collection[date],
) -> None:
    """Materializations of the days this run touched and of those to be `answered`; a log line for what has no day."""
    deliveries = _deliveries(plans)
    undated = deliveries.filter(pl.col("_delivered").is_null()).height
    if undated:
        context.log.warning(f"{source.name}: {undated} files have no valid day; lakehouse quarantine tells why")
    days = _by_day(deliveries)
    version = source.contract_version
    if answered:
        table = f"account/{source.name}"
        known = lake.scan(table, versions.get(table), schema=account.SCHEMA).filter(
            pl.col("_delivered").is_in(answered)
        )
        days = {**{day: dict.fromkeys(_SHOWN, 0) for day in answered}, **_by_day(known.collect()), **days}
    totals = deliveries.select(pl.len().alias("files"), pl.col(_SHOWN[1:]).sum()).row(0, named=True)
    told = ", ".join(f"{count:,} {name}" for name, count in totals.items()) if plans else "nothing new has landed"
    context.log.info(f"{source.name}: {told}")
    for layer, asset_key in keys(source).items() if days else ():
        newest = _newest(lake, source, layer, plans, deliveries, versions) if plans else {}
        above = dict.fromkeys(feeds.upstream(source), UNSEEN) if layer == "raw" else {keys(source)["raw"]: version}
        report_days(context, asset_key, days, newest, version, above)


def _newest(
    lake: Lake, source: Source, layer: str, plans: list[Plan], deliveries: pl.DataFrame, versions: dict[str, int]
) -> dict[str, object]:
    """What a run did to a layer, and where its table stands after it."""
    table = f"{layer}/{source.name}"
    newest: dict[str, object] = {
        "table_version": versions[table],
        "contract_version": source.contract_version,
        "code_version": source.contract_version,
        "run_files": deliveries.height,
        "run_records": int(deliveries["records"].sum()),
        "files_by_site": bars("site", dict(deliveries.group_by("_site").len().sort("_site").iter_rows())),
        "dagster/row_count": lake.scan(table, versions[table]).select(pl.len()).collect().item(),
    }
    if layer == "processed":
        newest["dagster/column_lineage"] = source_lineage(source)
        if source.rules("warn"):
            newest["warned_by_rule"] = bars("rule", _by_rule([plan.warned for plan in plans]))
    if layer != "raw":
        broken = {rule: lines for rule, lines in _by_rule([plan.rules for plan in plans]).items() if rule}
        newest["rejected_by_rule"] = bars("rule", broken)
    return newest


def _by_day(deliveries: pl.DataFrame) -> dict[date, dict[str, int]]:
    """What a run did to each delivery day: files, and what became of their records."""
    days = (
        deliveries.filter(pl.col("_delivered").is_not_null())
        .group_by("_delivered")
        .agg(pl.len().alias("files"), pl.col(_SHOWN[1:]).sum())
    )
    return {row["_delivered"]: {name: row[name] for name in _SHOWN} for row in days.iter_rows(named=True)}


def _by_rule(counts: list[pl.DataFrame]) -> dict[str, int]:
    """Lines by the rule they break, added up over a run's batches."""
    return dict(
        pl.concat([frame.select("rule", "lines") for frame in counts])
        .group_by("rule")
        .agg(pl.col("lines").sum())
        .sort("rule")
        .iter_rows()
    )


def _deliveries(plans: list[Plan]) -> pl.DataFrame:
    """The account rows of what a run has touched, as they are after it: a large delivery takes several batches."""
    rows = pl.concat([pl.DataFrame(schema=account.SCHEMA), *(plan.deliveries for plan in plans)])
    return rows.unique(DELIVERY, keep="last", maintain_order=True)


def _passed(context: dg.AssetExecutionContext, asset: dg.AssetKey, check: str) -> bool:
    """Whether a check has never failed, or has passed since."""
    key = dg.AssetCheckKey(asset, check)
    last = context.instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    evaluation = last and last.event and last.event.dagster_event and last.event.dagster_event.event_specific_data
    return not isinstance(evaluation, dg.AssetCheckEvaluation) or evaluation.passed


def _checks(
    lake: Lake, source: Source, plans: list[Plan], versions: dict[str, int], *, passed_before: bool
) -> Iterator[dg.AssetCheckResult]:
    key = keys(source)
    touched = _deliveries(plans)
    if not passed_before and (table := f"account/{source.name}") in versions:
        # What was found wrong stays wrong until it is mended, whatever this run has touched.
        touched = lake.scan(table, versions[table]).collect()
    wrong = touched if touched.is_empty() else account.recount(lake, source.name, versions, touched)
    yield dg.AssetCheckResult(
        asset_key=key["processed"],
        check_name="account",
        passed=wrong.is_empty(),
        metadata={"deliveries": touched.height, "unbalanced": wrong.height},
    )
    table = f"account/{source.name}"
    whole = lake.scan(table, versions.get(table), schema=account.SCHEMA)
    refused = (
        whole.filter(pl.col("state") == "rejected")
        .join(whole.filter(pl.col("state") == "in effect"), on="_file", how="semi")
        .select(pl.len())
    )
    waiting = whole.select(pl.col("quarantined").sum(), (pl.col("state") == "rejected").sum())
    corrections, (lines, files) = refused.collect().item(), waiting.collect().row(0)
    yield dg.AssetCheckResult(
        asset_key=key["processed"],
        check_name="corrections",
        passed=corrections == 0,
        description=f"{corrections} corrections were refused; the versions before them stay in effect",
        metadata={"refused": corrections},
    )
    yield dg.AssetCheckResult(
        asset_key=key["quarantine"],
        check_name="empty",
        passed=lines == 0 and files == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{lines} lines and {files} whole files wait: lakehouse quarantine --source {source.name}",
        metadata={"lines": lines, "files": files},
    )
