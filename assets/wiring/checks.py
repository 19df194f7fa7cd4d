"""Checks on all that is there, whatever a run did; time alone can fail some. Dagster's freshness policies look at
the last run; these look at the data, by the lakehouse's one clock: how old is each source's newest delivery day, which
sites have fallen silent, for how long rejected lines have been waiting, and which columns nobody asked for.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg
import polars as pl

from assets.wiring.describe import bars, plain_schema
from assets.wiring.ingest import keys
from lakehouse import account, manifest, quarantine
from lakehouse import arrivals as expected
from lakehouse.clock import Clock
from lakehouse.drift import SCHEMA, unknown_columns
from lakehouse.lake import Lake
from lakehouse.source import Source
from resources.lake import LakeResource
from resources.landing import LandingResource

# By the layer of the asset and the name of the check.
_NAMES = {
    ("raw", "drift"): "Nothing but the columns that the source knows is delivered.",
    ("processed", "newest_day"): "The newest delivery day is not older than the source allows.",
    ("processed", "late_sites"): "Every site has delivered within twice its usual gap, or the time the source allows.",
    ("quarantine", "overdue"): "Nothing has been waiting in quarantine for longer than the source allows.",
}
# A file with a thousand columns is a mistake that the first of them tell.
_SHOWN = 50
_ARRIVAL = ("_site", "last_day", "days_since_last", "cadence_days", "expected_by", "status")
_DRIFT = plain_schema({name: kind for name, kind in SCHEMA.items() if name != "source"})


def build(sources: Sequence[Source]) -> dg.AssetChecksDefinition:
    """Every check for every source, in one step."""
    specs = [
        dg.AssetCheckSpec(name, asset=keys(source)[layer], description=words)
        for source in sources
        for (layer, name), words in _NAMES.items()
    ]

    @dg.multi_asset_check(name="arrivals", specs=specs, can_subset=True)
    def _arrivals(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, landing: dg.ResourceParam[LandingResource]
    ) -> Iterator[dg.AssetCheckResult]:
        asked = context.selected_asset_check_keys
        versions = manifest.versions(lake.lake)
        for source in sources:
            asked_for = source.feed is None or bool(landing.url(source))
            results = [
                drift(lake.lake, source, versions),
                *arrivals(lake.lake, source, landing.clock, versions, asked_for=asked_for),
                overdue(lake.lake, source, landing.clock, versions),
            ]
            for result in results:
                assert result.asset_key
                if dg.AssetCheckKey(result.asset_key, str(result.check_name)) in asked:
                    yield result

    return _arrivals


def arrivals(
    lake: Lake, source: Source, clock: Clock, versions: dict[str, int], *, asked_for: bool = True
) -> Iterator[dg.AssetCheckResult]:
    """Whether the source's newest day and each site's last delivery are recent enough.

    A study that has ended (its clock is set) expects nothing more: it shows who delivered last, and does not alarm. Nor
    does a source that is not `asked_for`: nobody has connected its system.
    """
    deliveries = account.deliveries(lake, [source.name], versions)
    due = expected.arrivals(deliveries, expected.expectations([source], clock).lazy())
    sites = expected.judged(due, clock.today).sort("_site").collect()
    newest: date | None = None if sites.is_empty() else max(sites["last_day"])
    waited_for = sites.filter(pl.col("status") != "on time").sort("expected_by", "_site")
    named = {status: waited_for.filter(status=status)["_site"].sort().to_list() for status in ("late", "silent")}
    ended = clock.as_of is not None or not asked_for
    age = None if newest is None else (clock.today - newest).days
    facts = {
        "today": clock.today.isoformat(),
        "newest_day": str(newest),
        "days_old": age if age is not None else "no delivery yet",
        "allowed_days": source.late_after.days,
        "study_ended": clock.as_of is not None,
    }
    key = keys(source)["processed"]
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="newest_day",
        passed=ended or (age is not None and age <= source.late_after.days),
        metadata=facts,
    )
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="late_sites",
        passed=ended or waited_for.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            **facts,
            **{f"{status}_sites": ", ".join(names) or "none" for status, names in named.items()},
            "sites": sites.height,
            "waited_for": dg.MetadataValue.table(
                [dg.TableRecord({name: str(row[name]) for name in _ARRIVAL}) for row in waited_for.to_dicts()],
                dg.TableSchema([dg.TableColumn(name) for name in _ARRIVAL]),
            ),
        },
    )


def drift(lake: Lake, source: Source, versions: dict[str, int]) -> dg.AssetCheckResult:
    """Whether columns arrive that the source does not know. Tells their names, where they came first and how full."""
    found = unknown_columns(lake, [source], versions).drop("source")
    shown = found.head(_SHOWN).with_columns(pl.col("first_day").cast(pl.String), pl.col("filled", "share").round(3))
    return dg.AssetCheckResult(
        asset_key=keys(source)["raw"],
        check_name="drift",
        passed=found.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{found.height} unknown columns are kept in raw: lakehouse drift --source {source.name}",
        metadata={
            "columns": found.height,
            "unknown": dg.MetadataValue.table([dg.TableRecord(row) for row in shown.to_dicts()], _DRIFT),
        },
    )


def overdue(lake: Lake, source: Source, clock: Clock, versions: dict[str, int]) -> dg.AssetCheckResult:
    """Whether a rejected line has been open for longer than the source allows. Tells reasons and counts, no lines."""
    late = quarantine.overdue(lake, source, clock.today, versions)
    limit = source.quarantine_limit.days
    return dg.AssetCheckResult(
        asset_key=keys(source)["quarantine"],
        check_name="overdue",
        passed=late.is_empty(),
        description=f"{late.height} reasons have been open for more than {limit} days: "
        f"lakehouse quarantine --source {source.name} --by reason",
        metadata={
            "today": clock.today.isoformat(),
            "allowed_days": limit,
            "oldest_day": str(late["oldest"].min()),
            "lines_by_reason": bars("reason", dict(late.select("reason", "lines").iter_rows())),
            "files_by_reason": bars("reason", dict(late.select("reason", "files").iter_rows())),
        },
    )
