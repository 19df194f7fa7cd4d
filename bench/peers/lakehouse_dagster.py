"""lakehouse: raw, processed, quarantine and the account, as Dagster runs it; then the summary from processed."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import measured
import polars as pl
from scaled import FIRST, VITALS

from assets.wiring import ingest as wiring
from assets.wiring.partitions import delivery_days
from lakehouse import manifest
from lakehouse.clock import Clock
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from resources.lake import LakeResource
from resources.landing import LandingResource

# Dagster's storage is there before a run begins, as a Spark session is.
INSTANCE = dg.DagsterInstance.ephemeral()


def work(files: list[Path], out: Path) -> dict:
    landing = files[0].parents[1]
    settings = Settings(home=out, landing=landing, as_of=FIRST + timedelta(days=6000), settle_seconds=0)
    days = delivery_days([VITALS], Clock(settings.as_of))
    source = wiring.build(VITALS, days, timedelta(days=366), settings.batch_bytes)
    definitions = dg.Definitions(
        assets=[source],
        jobs=[dg.define_asset_job("ingest", selection=[source])],
        resources={"lake": LakeResource.of(settings), "landing": LandingResource(settings)},
    )
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    assert definitions.resolve_job_def("ingest").execute_in_process(quiet, instance=INSTANCE).success
    lake = Lake(settings.lake_uri)
    versions = manifest.versions(lake)
    table = {layer: lake.scan(f"{layer}/vitals", versions[f"{layer}/vitals"]) for layer in ("processed", "quarantine")}
    summary = (
        table["processed"]
        .drop_nulls("vsstresn")
        .group_by("site", "vstestcd", pl.col("vsdt").dt.strftime("%Y-%m").alias("month"))
        .agg(pl.len().alias("results"), pl.col("vsstresn").mean().alias("mean"))
    )
    summary.collect(engine="streaming").write_csv(out / "summary.csv")
    by_rule = table["quarantine"].select(pl.col("reasons").explode().value_counts()).unnest("reasons")
    accepted = table["processed"].select(pl.len()).collect().item()
    return {"accepted": accepted, "rejected": dict(by_rule.sort("reasons").collect().iter_rows())}


if __name__ == "__main__":
    measured.main(work)
