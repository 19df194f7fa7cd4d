"""The account, counted anew: what it says of a delivery is compared with the rows that the tables have of it."""

import polars as pl
import pytest
from house import House

from lakehouse import account, manifest

COUNTS = ["records", *account.COUNTS, "told"]


def recount(house: House, deliveries: pl.DataFrame, **versions: int) -> list[tuple[object, ...]]:
    """The path of each delivery that does not balance, and its counts. versions: of layers that are read as of then."""
    known = manifest.versions(house.lake) | {f"{layer}/thermometer": version for layer, version in versions.items()}
    return account.recount(house.lake, "thermometer", known, deliveries).select("_file", *COUNTS).sort("_file").rows()


@pytest.fixture
def rows(house: House) -> pl.DataFrame:
    """The account of two deliveries of one day: three lines, of which two are good and one is the newer; and one."""
    house.land("A/thermometer_2020-01-01.csv", "a1,1,1\na1,1,2\nx,1,hot\n")
    house.land("B/thermometer_2020-01-01.csv", "b1,1,1\n")
    house.run()
    return house.table("account").sort("_file")


def test_what_balances_is_not_told(house: House, rows: pl.DataFrame) -> None:
    for some in (rows, rows.head(1), rows.tail(1), rows.clear()):
        assert recount(house, some) == []


@pytest.mark.parametrize("many", [1, 2])
def test_a_delivery_that_is_said_to_have_more_records(house: House, rows: pl.DataFrame, many: int) -> None:
    told = rows.with_columns(records=pl.when(pl.col("_file").str.starts_with("A/")).then(4).otherwise("records"))
    assert recount(house, told.head(many)) == [("A/thermometer_2020-01-01.csv", 3, 1, 1, 1, 4)]


@pytest.mark.parametrize("many", [1, 2])
def test_a_delivery_some_of_whose_rows_are_gone(house: House, rows: pl.DataFrame, many: int) -> None:
    # Before anything came.
    found = recount(house, rows.tail(many), processed=0)
    ours = [("A/thermometer_2020-01-01.csv", 3, 0, 1, 1, 3), ("B/thermometer_2020-01-01.csv", 1, 0, 0, 0, 1)]
    assert found == ours[-many:]
