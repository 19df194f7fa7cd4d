"""A changed contract shows in Dagster until a run has brought the tables up to date."""

import io
from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import dataframely as dy
import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.instance_for_test import instance_for_test
from dagster._core.loader import LoadingContextForTest
from house import House
from thermometer import THERMOMETER, Reading

from assets.wiring import ingest
from lakehouse.feeds.tables import DatabaseTable
from lakehouse.formats.parquet import Parquet
from lakehouse.settings import Settings
from lakehouse.source import Source
from resources.lake import LakeResource
from resources.landing import LandingResource

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2020-01-05")
LANDED = ("2020-01-01", "2020-01-03")


class Stricter(Reading):
    """The same readings, of which fewer can be."""

    celsius = dy.Float64(nullable=True, max=10)


@pytest.fixture
def dagster():
    with instance_for_test() as instance:
        yield instance


def defined(house: House) -> dg.Definitions:
    settings = Settings(lake=house.lake.root, landing=house.landing, as_of=date(2020, 1, 4), settle_seconds=0)
    return dg.Definitions(
        assets=[ingest.build(house.source, DAYS, timedelta(days=1), settings.batch_bytes)],
        resources={"lake": LakeResource.of(settings), "landing": LandingResource(settings)},
        executor=dg.in_process_executor,
    )


def run(house: House, dagster: dg.DagsterInstance) -> None:
    assert defined(house).resolve_implicit_global_asset_job_def().execute_in_process(instance=dagster).success


def stale(house: House, dagster: dg.DagsterInstance) -> dict[str, list[str]]:
    """By layer and landed day, why Dagster takes it for stale."""
    graph = defined(house).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(dagster, graph, LoadingContextForTest(dagster))
    found = {}
    for layer, key in ingest.keys(house.source).items():
        for day in LANDED:
            causes = resolver.get_stale_causes(key, day)
            found[f"{layer} {day}"] = [cause.reason for cause in causes]
    return found


# Files that are brought, and a system that is pulled from; what it gave has landed.
FED = replace(
    THERMOMETER,
    feed=DatabaseTable(system="station", table="public.readings", watermark="at"),
    path="{site}/{name}/{day}_{part}.csv",
    dialect=Parquet(),
)


@pytest.mark.parametrize("source", [THERMOMETER, FED], ids=["brought", "pulled"])
def test_a_changed_contract_marks_every_layer_stale_and_a_run_clears_it(house: House, dagster, source: Source) -> None:
    house.source = source
    for day in LANDED:
        if source.feed:
            body = io.BytesIO()
            pl.DataFrame({"SENSOR": ["a"], "HOUR": [day[-1]], "CELSIUS": ["50"]}).write_parquet(body)
            house.land(f"station/thermometer/{day}_all@{day}~{day}.csv", body.getvalue())
        else:
            house.land(f"A/thermometer_{day}.csv", f"a,{day[-1]},50\n")
    run(house, dagster)
    assert house.table("processed").height == len(LANDED)
    assert not any(stale(house, dagster).values())
    house.source = replace(source, contract=Stricter)
    marked = stale(house, dagster)
    assert {reason for causes in marked.values() for reason in causes} >= {"has a new code version"}
    assert all(marked.values())
    run(house, dagster)
    assert not any(stale(house, dagster).values())
    assert house.table("processed").is_empty()
