"""A source's ingestion as a Dagster job, as `lakehouse run` has it, for whoever measures it in a process of its own."""

from datetime import timedelta

import dagster as dg

from assets.wiring import ingest
from assets.wiring.partitions import delivery_days
from lakehouse.clock import Clock
from lakehouse.settings import Settings
from lakehouse.source import Source
from resources.lake import LakeResource
from resources.landing import LandingResource

QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def ingestion(source: Source, settings: Settings) -> dg.JobDefinition:
    """A job that ingests what has landed for the source."""
    days = delivery_days([source], Clock(settings.as_of))
    assets = ingest.build(source, days, timedelta(days=366), settings.batch_bytes)
    return dg.Definitions(
        assets=[assets],
        jobs=[dg.define_asset_job("ingest", selection=[assets])],
        resources={"lake": LakeResource.of(settings), "landing": LandingResource(settings)},
    ).resolve_job_def("ingest")
