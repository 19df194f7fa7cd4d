"""The sensor that reacts to landed files: one run for whatever is pending, never two for the same work."""

import hashlib
from collections.abc import Sequence

import dagster as dg

from assets.wiring import landing as folder
from assets.wiring import runs
from assets.wiring.ingest import keys
from lakehouse import ledger, manifest
from lakehouse.errors import LakehouseError
from lakehouse.ingest import Work, pending
from lakehouse.landing import Landed, Listing
from lakehouse.source import Source
from resources.lake import LakeResource
from resources.landing import LandingResource

JOB = "bring_up_to_date"
# Without it the run's own output repeats every event that Dagster keeps anyway.
_QUIET = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}


def build(sources: Sequence[Source], downstream: Sequence[dg.AssetKey], interval: int) -> dg.SensorDefinition:
    """Watches the landing folder; on by default."""
    by_name = {source.name: source for source in sources}

    @dg.sensor(
        name="landing_files",
        job_name=JOB,
        minimum_interval_seconds=interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one run for all new and changed files that were left alone long enough to be complete.",
    )
    def _landing_files(
        context: dg.SensorEvaluationContext, lake: LakeResource, landing: dg.ResourceParam[LandingResource]
    ) -> dg.SensorResult | dg.SkipReason:
        # A run takes everything pending, so what lands while one is at work waits for it and goes into the next, whole.
        active = runs.alive(context.instance, JOB)
        if active:
            return dg.SkipReason(f"run {active[0].run_id} is at work; what lands meanwhile goes into the next run")
        try:
            found, unpacked = landing.look(sources)
        except LakehouseError as error:
            return dg.SkipReason(str(error))
        events, cursor = folder.told(folder.ARCHIVES, unpacked.wrong, context.cursor)
        answer = _asked(context.instance, lake, landing, by_name, found, downstream)
        if not events:
            return answer
        if isinstance(answer, dg.SkipReason):
            return dg.SensorResult(skip_reason=answer, cursor=cursor, asset_events=events)
        return dg.SensorResult(answer.run_requests, cursor=cursor, asset_events=events)

    return _landing_files


def _asked(
    instance: dg.DagsterInstance,
    lake: LakeResource,
    landing: LandingResource,
    sources: dict[str, Source],
    found: Listing,
    downstream: Sequence[dg.AssetKey],
) -> dg.SensorResult | dg.SkipReason:
    """The run for what has landed, or why there is none."""
    works = {name: _settled(lake, landing, sources[name], files) for name, files in found.claimed.items()}
    due = {name: work for name, work in works.items() if work.any}
    if not due:
        return _again(instance, downstream)
    selection = [key for name in due for key in keys(sources[name]).values()]
    work = _fingerprint(lake, sources, due)
    failures, wait = runs.failed(instance, JOB, work)
    if wait > 0:
        return dg.SkipReason(f"this work has failed {failures} times; the next attempt is in {wait:.0f} s")
    files = sum(len(item.unseen) for item in due.values())
    tags = {"lakehouse/files": str(files), "lakehouse/sources": ",".join(due), runs.WORK: work, **runs.mine()}
    request = dg.RunRequest(f"{work}-{failures}", _QUIET, tags, asset_selection=[*selection, *downstream])
    return dg.SensorResult([request])


def _again(instance: dg.DagsterInstance, downstream: Sequence[dg.AssetKey]) -> dg.SensorResult | dg.SkipReason:
    """Everything that landed is in the tables; a run that failed after that left what comes after them behind."""
    newest, wait = runs.failing(instance, JOB)
    if newest is None:
        return dg.SkipReason("nothing new has landed")
    if wait > 0:
        return dg.SkipReason(f"nothing new has landed; what run {newest} left undone is tried again in {wait:.0f} s")
    return dg.SensorResult([dg.RunRequest(f"after-{newest}", _QUIET, runs.mine(), asset_selection=list(downstream))])


def _settled(lake: LakeResource, landing: LandingResource, source: Source, files: list[Landed]) -> Work:
    complete = [file for file in files if file.settled(landing.settle_seconds(source))]
    return pending(lake.lake, source, complete)


def _fingerprint(lake: LakeResource, sources: dict[str, Source], due: dict[str, Work]) -> str:
    """Names this very work, so that Dagster starts no second run for it: the files, and what is on record already."""
    digest = hashlib.sha256()
    states = manifest.states(lake.lake)
    for name, work in sorted(due.items()):
        on_record = ledger.last_seq(ledger.read(lake.lake, sources[name], ("seq",)))
        reached = states[name].seq if name in states else 0
        digest.update(f"{name} {on_record} {reached}\n".encode())
        for file in work.unseen:
            digest.update(f"{file.path!r} {file.size} {file.mtime_ns}\n".encode())
    return digest.hexdigest()
