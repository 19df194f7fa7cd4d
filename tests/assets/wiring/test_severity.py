"""Severities in Dagster: what warns is plotted, and what blocks fails the step that would publish it."""

from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
from thermometer import THERMOMETER

from assets.wiring import curated, ingest
from lakehouse.clock import Clock
from lakehouse.quality import REJECTIONS
from lakehouse.release import release
from lakehouse.settings import Settings
from resources.lake import LakeResource
from resources.landing import LandingResource

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2020-01-05")


def test_what_warns_is_plotted_and_what_blocks_waits_for_a_person(house) -> None:
    house.source = replace(THERMOMETER, severities={"hour|max": "warn", "celsius|max": "block"})
    settings = Settings(lake=house.lake.root, landing=house.landing, as_of=date(2020, 1, 4), settle_seconds=0)
    defined = dg.Definitions(
        assets=[
            ingest.build(house.source, DAYS, timedelta(days=1), settings.batch_bytes),
            curated.build([REJECTIONS], [house.source], timedelta(days=1), Clock(settings.as_of)),
        ],
        resources={"lake": LakeResource.of(settings), "landing": LandingResource(settings)},
        executor=dg.in_process_executor,
    )
    dagster = dg.DagsterInstance.ephemeral()
    job = defined.resolve_implicit_global_asset_job_def()

    def run() -> dg.ExecuteInProcessResult:
        return job.execute_in_process(instance=dagster, raise_on_error=False)

    house.land("A/thermometer_2020-01-01.csv", "a,30,1\nb,40,1\nc,1,7770.03551\n")
    result = run()
    assert not result.success
    processed = dagster.get_latest_materialization_event(dg.AssetKey(["processed", "thermometer"]))
    assert processed
    assert processed.asset_materialization
    assert "hour|max | 2" in processed.asset_materialization.metadata["warned_by_rule"].value
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "curate"
    told = failure.step_failure_data.user_failure_data.description
    assert "1 records in 1 files of thermometer break celsius|max" in told
    assert "lakehouse release thermometer --reason" in told
    assert not any("7770.03551" in repr(event) for event in result.all_events)

    release(house.lake, house.source, "someone", "a test")
    assert run().success
