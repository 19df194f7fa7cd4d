"""Feeds in Dagster: the systems that sources pull from, what waits in them, and the sensor that looks."""

import json
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

import dagster as dg

from assets.wiring import runs
from lakehouse.feeds import Lag, pulling
from lakehouse.feeds.pulling import Pulled
from lakehouse.lake import Lake
from lakehouse.plan import Plan
from lakehouse.replay import mended
from lakehouse.source import Source
from resources.lake import LakeResource
from resources.landing import LandingResource

GROUP = "systems"
LANDING = dg.AssetKey([GROUP, "landing_folder"])
CHECK = "lag"
# The tag of a run that asks even systems that are left alone because they failed: `true`.
NOW = "lakehouse/now"
_WORDS = "Its system answers, and nothing has waited there for longer than the source allows."


def upstream(source: Source) -> list[dg.AssetKey]:
    """The asset that stands for the system a source pulls from; for the landing folder where files are brought."""
    return [dg.AssetKey([GROUP, source.feed.system]) if source.feed else LANDING]


def systems(sources: Sequence[Source]) -> list[dg.AssetSpec]:
    """The systems that sources pull from, as assets that this lakehouse does not make."""
    fed = {source.feed.system: source.feed for source in sources if source.feed}
    return [
        dg.AssetSpec(
            [GROUP, name],
            description=f"Where {', '.join(item.name for item in sources if item.feed and item.feed.system == name)} "
            f"come from. Its address is the setting LAKEHOUSE_SYSTEM_{name.upper()}.",
            group_name=GROUP,
            kinds={feed.kind},
        )
        for name, feed in sorted(fed.items())
    ]


def check_specs(source: Source, raw: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The check that a source with a feed has besides the others."""
    return [dg.AssetCheckSpec(CHECK, asset=raw, description=_WORDS)] if source.feed else []


def pull(
    context: dg.AssetExecutionContext,
    source: Source,
    lake: Lake,
    landing: LandingResource,
    asked: Collection[date] | None,
    most_bytes: int,
) -> Pulled:
    """Land what the source's system has that is new; or of the days asked for, where it can be asked again.

    Of other systems the present day's is what is new, and past days' is on record, see `again`.
    """
    url = landing.url(source)
    if source.feed is None or url is None:
        return Pulled()
    days, now = asked or (), context.run.tags.get(NOW) == "true"
    pulled = pulling.pull(lake, source, landing.settings.landing, url, landing.clock, most_bytes, days, now=now)
    if pulled.extracts:
        context.log.info(
            f"{source.name}: {pulled.extracts:,} deliveries ({pulled.bytes:,} bytes) came from {source.feed.system}"
        )
    if pulled.trouble:
        context.log.warning(f"{source.name}: {pulled.trouble}")
    return pulled


def again(
    context: dg.AssetExecutionContext,
    source: Source,
    lake: Lake,
    landing: LandingResource,
    asked: Collection[date] | None,
    most_bytes: int,
) -> tuple[str | None, list[Plan]]:
    """Past days of a system that cannot be asked again: what is on record of them is judged again and, if a table holds
    something else, all of the source is made anew.

    What came of it in words, None where past days were not asked for; and what was made anew.
    """
    if not asked or not (why := pulling.unasked(source, asked, landing.clock)):
        return None, []
    found, plans = mended(lake, source, landing.settings.landing, asked, landing.clock, most_bytes)
    told = f"{why}; {found.deliveries:,} deliveries with {found.records:,} records"
    if found.differing:
        some = ", ".join(found.differing[:3])
        told += f", {len(found.differing)} of which tables held otherwise ({some}): all was made anew"
        context.log.warning(f"{source.name}: {told}")
    else:
        told += ", which all tables hold so"
        context.log.info(f"{source.name}: {told}")
    return told, plans


def release(source: Source, lake: Lake, landing: LandingResource) -> str | None:
    """Tell the system what is on record; why not, if it cannot be told."""
    url = landing.url(source)
    return pulling.release(lake, source, url) if url else None


def checks(
    context: dg.AssetExecutionContext,
    source: Source,
    lake: Lake,
    landing: LandingResource,
    raw: dg.AssetKey,
    pulled: Pulled,
    released: str | None,
    days: str | None = None,
) -> Iterator[dg.AssetCheckResult]:
    """What waits in the source's system after a run, or what is wrong with it.

    days: what came of past days that were asked for, in words.
    """
    if source.feed is None:
        return
    url, past = landing.url(source), {"days": days} if days else {}
    if url is None:
        told = {"system": f"not connected: LAKEHOUSE_SYSTEM_{source.feed.system.upper()} is not set", **past}
        yield dg.AssetCheckResult(asset_key=raw, check_name=CHECK, passed=True, metadata=told)
        return
    trouble = pulled.trouble or released
    lag = Lag(trouble=trouble) if trouble else pulling.lag(lake, source, landing.settings.landing, url)
    if lag.any and pulled.extracts:
        context.log.info(f"{source.name}: more waits in {source.feed.system}; the next run goes on")
    passed, words, facts = judged(source, lag)
    metadata = {**facts, **past}
    yield dg.AssetCheckResult(asset_key=raw, check_name=CHECK, passed=passed, description=words, metadata=metadata)


def judged(source: Source, lag: Lag) -> tuple[bool, str | None, dict[str, float | None]]:
    """Whether a lag is one to live with; what is wrong, in words; and its figures, `_at_least` where more may wait, and
    `_about` where they are reckoned.
    """
    assert source.feed is not None
    limit = source.feed.lag_limit.total_seconds()
    late = lag.seconds is not None and lag.seconds > limit
    least = "_at_least" if lag.more else ""
    facts: dict[str, float | None] = {
        f"events{least}": lag.events,
        f"bytes{'_about' if lag.about else least}": lag.bytes,
        "seconds": lag.seconds,
        "allowed_seconds": limit,
    }
    words = lag.trouble or (f"what waits has waited for {lag.seconds:.0f} s, more than {limit:.0f}" if late else None)
    return words is None, words, facts


def build(
    sources: Sequence[Source],
    keys: Mapping[str, Mapping[str, dg.AssetKey]],
    job: str,
    downstream: Sequence[dg.AssetKey],
) -> list[dg.SensorDefinition]:
    """The sensor that looks at the systems, as often as each feed says; none without feeds.

    keys: by source and layer. downstream: what is brought up to date with the sources.
    """
    fed = {source.name: source for source in sources if source.feed}
    if not fed:
        return []

    @dg.sensor(
        name="systems",
        job_name=job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at the systems that sources pull from, and starts one run for all that have something new.",
    )
    def _systems(
        context: dg.SensorEvaluationContext, lake: LakeResource, landing: dg.ResourceParam[LandingResource]
    ) -> dg.SensorResult | dg.SkipReason:
        urls = {name: url for name, source in fed.items() if (url := landing.url(source))}
        looked: dict[str, dict[str, object]] = json.loads(context.cursor or "{}")
        now = time.time()
        due = [name for name in urls if now - float(str(looked.get(name, {}).get("at", 0))) >= _every(fed[name])]
        if not due:
            return dg.SkipReason("no system is connected" if not urls else "no system is to be looked at yet")
        active = runs.alive(context.instance, job)
        waiting, events = [], []
        asked = {name: (fed[name], urls[name]) for name in due}
        for name, lag in pulling.lags(lake.lake, landing.settings.landing, asked).items():
            passed, words, facts = judged(fed[name], lag)
            if told(words) != told(looked.get(name, {}).get("words")):
                # What goes wrong, or comes right again, while no run is at work must show all the same.
                events.append(dg.AssetCheckEvaluation(keys[name]["raw"], CHECK, passed, facts, description=words))
            looked[name] = {"at": now, "words": words}
            if lag.any:
                waiting.append(name)
        cursor = json.dumps(looked)
        if active or not waiting:
            return dg.SensorResult(cursor=cursor, asset_events=events, skip_reason=None if waiting else "nothing waits")
        chosen = [key for name in waiting for key in keys[name].values()]
        tags = {"lakehouse/sources": ",".join(waiting), **runs.mine()}
        request = dg.RunRequest(f"systems-{now:.0f}", tags=tags, asset_selection=[*chosen, *downstream])
        return dg.SensorResult([request], cursor=cursor, asset_events=events)

    return [_systems]


def told(words: object) -> str | None:
    """Words without their figures, which are others at each look: the same trouble is told once."""
    return re.sub(r"[0-9][0-9.,]*", "", str(words)) if words else None


def _every(source: Source) -> float:
    assert source.feed is not None
    return source.feed.every.total_seconds()
