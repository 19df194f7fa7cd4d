"""SQL over the lake: one consistent state of its tables, and nothing else of this machine."""

from pathlib import Path

import polars as pl
import pytest
from house import House

from lakehouse import manifest
from lakehouse.errors import LakehouseError
from lakehouse.lake import Change, Lake
from lakehouse.query import sql


@pytest.fixture
def full(house: House) -> House:
    house.land("A/thermometer_2020-01-01.csv", "a,1,1.5\nb,,2\nbad,1,hot\n")
    house.run()
    return house


def test_tables_are_named_as_in_the_lake(full: House) -> None:
    rows = sql(full.lake, "select sensor, hour, celsius, _delivered::text from processed.thermometer order by 1")
    assert rows.rows() == [("a", 1, 1.5, "2020-01-01"), ("b", None, 2.0, "2020-01-01")]
    assert sql(full.lake, "select reasons from quarantine.thermometer").item().to_list() == ["temperature_is_a_number"]
    joined = "select count(*) from account.thermometer join raw.thermometer using (_file, _checksum)"
    assert sql(full.lake, joined).item() == 3


def test_rows_are_found_by_text_after_a_correction(full: House) -> None:
    """A merge writes text in a way of its own."""
    full.land("A/thermometer_2020-01-01.csv", "a,1,1.5\nb,,3\n")
    full.run()
    found = sql(full.lake, "select celsius from processed.thermometer where sensor = 'b' and _site in ('A', 'B')")
    assert found.rows() == [(3.0,)]


def test_what_is_not_in_the_manifest_yet_is_not_read(full: House) -> None:
    delta = full.lake.open("processed/thermometer")
    assert delta
    rows = full.lake.scan("processed/thermometer").collect()
    full.lake.commit(delta, Change(rows), "ledger", 99 << 20)
    assert full.lake.scan("processed/thermometer").collect().height == 4
    assert sql(full.lake, "select count(*) from processed.thermometer").item() == 2


def test_what_cannot_be_run_is_told_in_duckdbs_words_with_the_tables_there_are(full: House) -> None:
    with pytest.raises(LakehouseError) as raised:
        sql(full.lake, "select * from processed.barometer")
    told = str(raised.value)
    assert "barometer does not exist" in told
    assert "Tables: account.thermometer, processed.thermometer, quarantine.thermometer, raw.thermometer" in told
    with pytest.raises(LakehouseError, match="syntax error"):
        sql(full.lake, "selekt 1")
    with pytest.raises(LakehouseError, match="the statement selects nothing"):
        sql(full.lake, "create table x (y int)")


def test_a_file_that_is_gone_is_told_with_what_to_do_and_without_a_stack(full: House) -> None:
    for file in Path(full.lake.root, "processed", "thermometer").glob("*.parquet"):
        file.unlink()
    with pytest.raises(LakehouseError) as raised:
        sql(full.lake, "select * from processed.thermometer")
    told = str(raised.value)
    assert "A data file cannot be read: restore it from a backup" in told
    assert "lakehouse rebuild" in told
    assert "polars/" not in told


def test_an_empty_lake_says_what_makes_tables(house: House) -> None:
    with pytest.raises(LakehouseError, match="Tables: none yet: lakehouse run makes them"):
        sql(house.lake, "select * from processed.thermometer")
    assert sql(house.lake, "select 1 as one").item() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "select * from read_parquet('{lake}/processed/thermometer/*.parquet')",
        "copy (select 1) to '{folder}/out.csv'",
        "copy processed.thermometer to '{folder}/out.parquet'",
        "attach '{folder}/out.db' as other",
        "export database '{folder}/out'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "select 1; set enable_external_access = true; select * from read_csv('/etc/passwd')",
    ],
)
def test_a_statement_reaches_the_lakes_tables_and_nothing_else(full: House, tmp_path: Path, statement: str) -> None:
    with pytest.raises(LakehouseError):
        sql(full.lake, statement.format(folder=tmp_path, lake=full.lake.root))
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("name", ["delta", "lake", "versions", "statement", "secret", "frame"])
def test_variables_of_the_program_are_no_tables(full: House, name: str) -> None:
    secret = frame = pl.DataFrame({"word": ["s3cret"]})
    assert secret.height + frame.height == 2
    with pytest.raises(LakehouseError, match="does not exist"):
        sql(full.lake, f"select * from {name}")


def test_a_statement_changes_nothing(full: House) -> None:
    before = manifest.versions(full.lake)
    with pytest.raises(LakehouseError):
        sql(full.lake, "delete from processed.thermometer")
    with pytest.raises(LakehouseError):
        sql(full.lake, "insert into processed.thermometer select * from processed.thermometer")
    assert manifest.versions(full.lake) == before
    assert full.table("processed").height == 2


def test_every_type_of_column_can_be_queried(lake: Lake) -> None:
    rows = pl.DataFrame(
        {
            "_delivered": pl.Series([None], dtype=pl.Date),
            "at": pl.Series([None], dtype=pl.Datetime("us", "UTC")),
            "local": pl.Series([None], dtype=pl.Datetime("us")),
            "names": pl.Series([["x"]]),
            "flag": [True],
        }
    )
    version = lake.commit(lake.create("curated/all", dict(rows.schema)), Change(rows), "app", 1)
    manifest.record(lake, manifest.State("curated", 1, {"curated/all": version}))
    assert sql(lake, "select names[1], flag, local from curated.all").rows() == [("x", True, None)]
