"""Streams in Dagster: the tables that `lakehouse stream` keeps, and the check whether each is at work.

No run of Dagster makes them: the service is a process of its own, and one that is dead would be all green.
"""

import json
import time
from collections.abc import Iterator, Sequence

import dagster as dg

from assets.wiring.describe import contract_schema
from assets.wiring.feeds import CHECK, GROUP, told
from lakehouse.streaming import AlertRow, Stream
from lakehouse.streaming.pulse import Standing, looks
from resources.lake import LakeResource
from resources.landing import LandingResource

_WORDS = "Its service is at work, or nothing waits to be judged; and its alerts go out."
_EVERY = 30
# Figures alone are told so often, in seconds.
_FIGURES_EVERY = 600


def key(stream: Stream) -> dg.AssetKey:
    """The asset of a stream's alerts."""
    return dg.AssetKey(stream.table.split("/"))


def specs(streams: Sequence[Stream]) -> list[dg.AssetSpec]:
    """The tables that `lakehouse stream` keeps, as assets that no run of Dagster makes."""
    return [
        dg.AssetSpec(
            key(stream),
            deps=[dg.AssetKey([GROUP, stream.system])],
            description=f"{stream.description} Kept by lakehouse stream {stream.name}, by the contract of source "
            f"{stream.source.name}.",
            group_name="alerts",
            kinds={"kafka", "deltalake"},
            owners=[stream.owner],
            metadata={"dagster/column_schema": contract_schema(AlertRow)},
        )
        for stream in streams
    ]


def checks(streams: Sequence[Stream]) -> dg.AssetChecksDefinition:
    """What the sensor tells by itself, when a person asks for it."""
    specs = [dg.AssetCheckSpec(CHECK, asset=key(stream), description=_WORDS) for stream in streams]

    @dg.multi_asset_check(name="streams_at_work", specs=specs, can_subset=True)
    def _streams_at_work(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, landing: dg.ResourceParam[LandingResource]
    ) -> Iterator[dg.AssetCheckResult]:
        keys = {check.asset_key for check in context.selected_asset_check_keys}
        asked = [stream for stream in streams if key(stream) in keys]
        for stream, passed, words, facts in _looked(asked, lake, landing):
            yield dg.AssetCheckResult(
                asset_key=key(stream), check_name=CHECK, passed=passed, description=words, metadata=facts
            )

    return _streams_at_work


def _looked(
    streams: Sequence[Stream], lake: LakeResource, landing: LandingResource
) -> Iterator[tuple[Stream, bool, str | None, dict[str, str | float | None]]]:
    """Each stream, and how it is judged."""
    found = looks(lake.lake, [(stream, landing.settings.system(stream.system)) for stream in streams])
    for stream, standing in zip(streams, found, strict=True):
        yield stream, *judged(stream, standing)


def judged(stream: Stream, found: Standing) -> tuple[bool, str | None, dict[str, str | float | None]]:
    """Whether a stream is as it should be; what is wrong, in words; and its figures."""
    facts: dict[str, str | float | None] = {
        "state": found.state,
        "events": found.events,
        "seconds": found.seconds,
        "heard_seconds_ago": found.heard,
        "allowed_seconds": stream.lag_limit.total_seconds(),
    }
    return (
        found.trouble is None,
        found.trouble,
        {**facts, **{f"count of {name}": n for name, n in found.counts.items()}},
    )


def build(streams: Sequence[Stream]) -> list[dg.SensorDefinition]:
    """The sensor that looks whether streams are at work; none without streams."""
    if not streams:
        return []

    @dg.sensor(
        name="streams",
        minimum_interval_seconds=_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks whether the services of streams are at work; the check `lag` of their alerts tells it.",
    )
    def _streams(
        context: dg.SensorEvaluationContext, lake: LakeResource, landing: dg.ResourceParam[LandingResource]
    ) -> dg.SensorResult:
        before: dict[str, dict[str, object]] = json.loads(context.cursor or "{}")
        now, events = time.time(), []
        for stream, passed, words, facts in _looked(streams, lake, landing):
            known = before.get(stream.name, {})
            due = now - float(str(known.get("at", 0))) >= _FIGURES_EVERY and known.get("counts") != facts
            if not known or told(words) != told(known.get("words")) or due:
                before[stream.name] = {"at": now, "words": words, "counts": facts}
                events.append(dg.AssetCheckEvaluation(key(stream), CHECK, passed, facts, description=words))
        return dg.SensorResult(
            skip_reason=f"{len(events)} streams have news", cursor=json.dumps(before), asset_events=events
        )

    return [_streams]
