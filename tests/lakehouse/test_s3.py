"""The whole lakehouse on an S3-compatible store: corrections, the manifest, SQL, curated tables, the warehouse."""

import dataframely as dy
import polars as pl
import pytest
from house import House
from s3 import Bucket
from stale import CHANGES, stale_is_refused
from test_crash import first, killed_after, more
from test_warehouse import ask
from thermometer import THERMOMETER

from lakehouse import curate, manifest, query, warehouse
from lakehouse.curated import Curated
from lakehouse.errors import UnavailableError
from lakehouse.lake import Change, Lake


class Count(dy.Schema):
    """How many readings a sensor has."""

    sensor = dy.String()
    readings = dy.Int64()


COUNTS = Curated(
    name="counts",
    description="Readings by sensor.",
    owner="team:weather",
    contract=Count,
    key=("sensor",),
    inputs=("processed/thermometer",),
    transform=lambda processed: processed.group_by("sensor").agg(readings=pl.len().cast(pl.Int64)),
)
LOADED = [
    warehouse.Table("processed/thermometer", "lake", "thermometer", THERMOMETER.contract, THERMOMETER.key, "All."),
    warehouse.Table(COUNTS.table, "lake", COUNTS.name, Count, COUNTS.key, COUNTS.description),
]


@pytest.fixture
def remote(house: House, bucket: Bucket, request: pytest.FixtureRequest) -> House:
    """A house whose lake is in the bucket."""
    house.lake = Lake(bucket.root("".join(filter(str.isalpha, request.node.name))), bucket.options)
    return house


def test_a_lake_in_a_bucket_holds_what_a_lake_in_a_folder_holds(
    house: House, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    local = house.lake
    tables = []
    # Once with the options told, once with nothing but the usual variables.
    for lake in (local, Lake(bucket.root("told"), bucket.options), Lake(bucket.root("environment"))):
        for file in house.landing.rglob("*.csv"):
            file.unlink()
        house.lake = lake
        first(house)
        house.run()
        more(house)
        house.run()
        assert house.unbalanced().is_empty()
        assert house.idle()
        tables.append(house.tables())
    assert tables[0] == tables[1] == tables[2]


def test_an_attempt_that_dies_is_completed(remote: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first(remote)
    remote.run()
    more(remote)
    # After the commits of the ledger, raw and processed.
    assert not killed_after(monkeypatch, remote, 3, ("commit",))
    remote.run()
    assert remote.unbalanced().is_empty()
    assert remote.idle()


@pytest.mark.parametrize(("change", "options"), CHANGES)
def test_a_writer_with_a_stale_table_is_refused(remote: House, change: Change, options: dict[str, str]) -> None:
    stale_is_refused(remote.lake, change, options)


def test_curated_tables_sql_and_the_warehouse(remote: House, server: str) -> None:
    first(remote)
    remote.run()
    curate.curate(remote.lake, [COUNTS], [remote.source], remote.clock)
    try:
        for again in (False, True):
            if again:
                more(remote)
                remote.run()
                curate.curate(remote.lake, [COUNTS], [remote.source], remote.clock)
            warehouse.publish(remote.lake, server, LOADED, manifest.versions(remote.lake))
            expected = remote.table("processed").group_by("sensor").agg(readings=pl.len().cast(pl.Int64)).sort("sensor")
            statement = "select sensor, readings from {} order by sensor"
            assert query.sql(remote.lake, statement.format("curated.counts")).equals(expected)
            assert ask(server, statement.format("lake.counts")) == expected.rows()
            shown = ask(server, "select sensor, hour, _checksum from lake.thermometer")
            assert sorted(map(repr, shown)) == sorted(
                map(repr, remote.table("processed").select("sensor", "hour", "_checksum").rows())
            )
    finally:
        ask(server, "drop schema if exists lake cascade")


@pytest.mark.parametrize(
    ("root", "change", "advice"),
    [
        ("s3://nowhere/lake", {}, "the bucket does not exist"),
        ("s3://lake/lake", {"aws_secret_access_key": "wrong"}, "refuses these credentials"),
        ("s3://lake/lake", {"aws_endpoint_url": "http://127.0.0.1:1", "max_retries": "0"}, "does not answer"),
    ],
)
def test_a_lake_that_cannot_be_read_says_what_to_do(
    bucket: Bucket, root: str, change: dict[str, str], advice: str
) -> None:
    with pytest.raises(UnavailableError, match=advice) as raised:
        Lake(root, {**bucket.options, **change}).scan("raw/thermometer")
    assert bucket.options["aws_secret_access_key"] not in str(raised.value)


def test_bytes_that_cannot_be_kept_or_read_say_what_to_do(bucket: Bucket) -> None:
    lake = Lake(bucket.root("lake"), {**bucket.options, "aws_secret_access_key": "wrong"})
    with pytest.raises(UnavailableError, match="refuses these credentials"):
        lake.keep(b"bytes", "0" * 64)
    with pytest.raises(UnavailableError, match="refuses these credentials"):
        lake.kept("0" * 64)
    with pytest.raises(UnavailableError, match="gone or damaged"):
        Lake(bucket.root("lake"), bucket.options).kept("0" * 64)
