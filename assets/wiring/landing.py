"""The landing folder in Dagster: where files are brought to it from, and the checks on what is not taken from there."""

import json
from collections.abc import Iterator, Sequence

import dagster as dg

from assets.wiring import feeds
from lakehouse.source import Source
from resources.lake import LakeResource
from resources.landing import LandingResource

KEY = feeds.LANDING
ARCHIVES, REMOTE = "archives", "remote"
_NAMES = {
    ARCHIVES: "Every archive of files that has landed could be unpacked.",
    REMOTE: "The folder elsewhere (LAKEHOUSE_REMOTE) answers, and all its files that are asked for can be fetched.",
}
# In seconds. Dagster gives a look a minute.
_EVERY, _AT_MOST = 30, 20.0


def spec() -> dg.AssetSpec:
    """The landing folder, as an asset that this lakehouse does not make."""
    return dg.AssetSpec(
        KEY,
        description="Where files are delivered, by sites or from elsewhere.",
        group_name=feeds.GROUP,
        kinds={"file"},
    )


def checks(sources: Sequence[Source]) -> dg.AssetChecksDefinition:
    """What the sensors tell by these checks as it changes, when a person asks for it: they look, as the sensors do."""
    specs = [dg.AssetCheckSpec(name, asset=KEY, description=words) for name, words in _NAMES.items()]

    @dg.multi_asset_check(name="landing_folder", specs=specs, can_subset=True)
    def _landing_folder(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, landing: dg.ResourceParam[LandingResource]
    ) -> Iterator[dg.AssetCheckResult]:
        asked = {key.name for key in context.selected_asset_check_keys}
        if REMOTE in asked:
            looked = landing.fetch(lake.lake, sources, _AT_MOST)
            words = looked.wrong if looked else None
            yield dg.AssetCheckResult(asset_key=KEY, check_name=REMOTE, passed=words is None, description=words)
        if ARCHIVES in asked:
            words = landing.look(sources)[1].wrong
            yield dg.AssetCheckResult(asset_key=KEY, check_name=ARCHIVES, passed=words is None, description=words)

    return _landing_folder


def told(check: str, words: str | None, cursor: str | None) -> tuple[list[dg.AssetCheckEvaluation], str]:
    """What a sensor has to say of a check: an evaluation if it is another than the last, and the cursor to keep.

    words: what is wrong. cursor: of the sensor, which tells what it said last.
    """
    before = json.loads(cursor)["words"] if cursor else None
    events = [] if words == before else [dg.AssetCheckEvaluation(KEY, check, words is None, {}, description=words)]
    return events, json.dumps({"words": words})


def build(sources: Sequence[Source]) -> dg.SensorDefinition:
    """The sensor that fetches from the folder elsewhere; the one for landed files takes it from there."""

    @dg.sensor(
        name="remote_folder",
        minimum_interval_seconds=_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fetches what is new in the folder elsewhere (LAKEHOUSE_REMOTE) into the landing folder.",
    )
    def _remote_folder(
        context: dg.SensorEvaluationContext, lake: LakeResource, landing: dg.ResourceParam[LandingResource]
    ) -> dg.SensorResult | dg.SkipReason:
        looked = landing.fetch(lake.lake, sources, _AT_MOST)
        if looked is None:
            return dg.SkipReason("there is no folder elsewhere: LAKEHOUSE_REMOTE is not set")
        events, cursor = told(REMOTE, looked.wrong, context.cursor)
        return dg.SensorResult(skip_reason=str(looked), cursor=cursor, asset_events=events)

    return _remote_folder
