"""lakehouse: raw, processed, quarantine and the account, as Dagster runs it; then the summary from processed."""

from datetime import timedelta
from pathlib import Path

# First, as `lakehouse run` and Dagster's processes have it: it says how Polars is to hold memory.
import lakehouse  # noqa: F401

# isort: split
import dagster as dg
import measured
import polars as pl
from job import QUIET, ingestion
from scaled import FIRST, VITALS

from lakehouse import manifest
from lakehouse.lake import Lake
from lakehouse.settings import Settings

# Dagster's storage is there before a run begins, as a Spark session is.
INSTANCE = dg.DagsterInstance.ephemeral()


def work(files: list[Path], out: Path) -> dict:
    landing = files[0].parents[1]
    settings = Settings(home=out, landing=landing, as_of=FIRST + timedelta(days=6000), settle_seconds=0)
    assert ingestion(VITALS, settings).execute_in_process(QUIET, instance=INSTANCE).success
    lake = Lake(settings.lake_uri)
    versions = manifest.versions(lake)
    table = {layer: lake.scan(f"{layer}/vitals", versions[f"{layer}/vitals"]) for layer in ("processed", "quarantine")}
    summary = (
        table["processed"]
        .drop_nulls("vsstresn")
        .group_by("site", "vstestcd", month=pl.col("vsdt").dt.month_start())
        .agg(pl.len().alias("results"), pl.col("vsstresn").mean().alias("mean"))
        .with_columns(pl.col("month").dt.strftime("%Y-%m"))
    )
    summary.collect(engine="streaming").write_csv(out / "summary.csv")
    by_rule = table["quarantine"].select(pl.col("reasons").explode().value_counts()).unnest("reasons")
    accepted = table["processed"].select(pl.len()).collect().item()
    return {"accepted": accepted, "rejected": dict(by_rule.sort("reasons").collect().iter_rows())}


if __name__ == "__main__":
    measured.main(work)
