"""Where everything stands: what is left to do, and what the account says. Needs neither Dagster nor dbt to answer."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from lakehouse import account, manifest, warehouse
from lakehouse.clock import Clock
from lakehouse.curate import stale
from lakehouse.curated import Curated
from lakehouse.ingest import Work, pending
from lakehouse.lake import Lake
from lakehouse.landing import Listing
from lakehouse.source import Source

_DBT_PARTS = ("dbt_project.yml", "profiles.yml", "models", "macros", "tests", "seeds", "snapshots", "analyses")


@dataclass(frozen=True)
class Due:
    """What is left to do, step by step. works: by source, what landed and is not in the tables yet."""

    works: dict[str, Work]
    curated: bool
    load: bool
    models: bool

    @property
    def any(self) -> bool:
        return any(work.any for work in self.works.values()) or self.curated or self.load or self.models


def due(
    lake: Lake,
    url: str,
    sources: Sequence[Source],
    curated: Sequence[Curated],
    tables: Sequence[warehouse.Table],
    listing: Listing,
    dbt_project: Path,
    clock: Clock,
    days: Collection[date] | None = None,
    only: str | None = None,
) -> Due:
    """What a run would find to do, of all sources or of `only` one and what is made of it.

    Raises UnavailableError when PostgreSQL at `url` does not answer.
    """
    asked = [source for source in sources if only in (None, source.name)]
    works = {source.name: pending(lake, source, listing.claimed[source.name], days) for source in asked}
    versions = manifest.versions(lake)
    shown = warehouse.loaded(url)
    behind = [
        table
        for table in tables
        if table.source in versions and shown.get(table.name_in_loads, ("", -1))[1] != versions[table.source]
    ]
    built = warehouse.models_built(url)
    return Due(works, stale(lake, curated, sources, clock), bool(behind), built != fingerprint(dbt_project))


def fingerprint(dbt_project: Path) -> str:
    """Names a dbt project's code: changes with any file that dbt reads."""
    digest = hashlib.sha256()
    for part in _DBT_PARTS:
        path = dbt_project / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(str(file.relative_to(dbt_project)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def by_source_and_site(lake: Lake, sources: Sequence[Source]) -> pl.DataFrame:
    """The account, summed per source and site: files, records, the three counts, newest day."""
    deliveries = account.deliveries(lake, [source.name for source in sources], manifest.versions(lake))
    return (
        deliveries.group_by("source", site="_site")
        .agg(
            files=pl.len().cast(pl.Int64),
            records=pl.col("records").sum(),
            accepted=pl.col("accepted").sum(),
            quarantined=pl.col("quarantined").sum(),
            superseded=pl.col("superseded").sum(),
            refused_files=(pl.col("state") == "rejected").sum().cast(pl.Int64),
            newest_day=pl.col("_delivered").max(),
        )
        .sort("source", "site")
        .collect()
    )


def by_source(lake: Lake, sources: Sequence[Source]) -> pl.DataFrame:
    """The account, summed per source; a source that received nothing has a row of zeros."""
    names = pl.DataFrame({"source": [source.name for source in sources]}, schema={"source": pl.String})
    counts = ["files", "records", "accepted", "quarantined", "superseded", "refused_files"]
    sums = (
        by_source_and_site(lake, sources)
        .group_by("source")
        .agg(pl.col("site").n_unique().cast(pl.Int64).alias("sites"), pl.col(counts).sum(), pl.col("newest_day").max())
    )
    return names.join(sums, on="source", how="left").with_columns(pl.col("sites", *counts).fill_null(0)).sort("source")
