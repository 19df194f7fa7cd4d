"""Columns nobody asked for: kept, told, and promoted into the contract without a new delivery."""

from dataclasses import replace
from datetime import date

import dataframely as dy
import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER, Reading, tidy

from lakehouse import drift

HUMID = "SENSOR,HOUR,CELSIUS,HUMIDITY\n"


class Damp(Reading):
    """Readings with the humidity that some sites began to send."""

    humidity = dy.Float64(nullable=True, max=100)


def with_humidity(raw: pl.LazyFrame) -> pl.LazyFrame:
    humidity = raw.select(humidity=pl.col("HUMIDITY").cast(pl.Float64, strict=False))
    return pl.concat([tidy(raw), humidity], how="horizontal")


DAMP = replace(THERMOMETER, contract=Damp, tidy=with_humidity, optional=("NOTE", "HUMIDITY"))


@pytest.fixture
def drifting(house: House) -> House:
    """Two days as declared, then two sites that send the humidity as well, the later of them first."""
    house.land("A/thermometer_2020-01-01.csv", "a,1,50\n")
    house.run()
    house.land("B/thermometer_2020-01-03.csv", "b,1,1,40\nb,2,1,\n", header=HUMID)
    house.run()
    house.land("A/thermometer_2020-01-02.csv", "a,2,1,41.5\na,3,1,200\n", header=HUMID)
    house.run()
    return house


def found(house: House) -> list[dict[str, object]]:
    return drift.unknown_columns(house.lake, [house.source]).to_dicts()


def test_an_unknown_column_is_told_with_its_first_file_its_sites_and_how_full_it_is(drifting: House) -> None:
    assert found(drifting) == [
        {
            "source": "thermometer",
            "column": "HUMIDITY",
            "first_day": date(2020, 1, 2),
            "first_file": "A/thermometer_2020-01-02.csv",
            "sites": "A B",
            "files": 2,
            "records": 4,
            "filled": 0.75,
            "type": "number",
            "share": 1.0,
        }
    ]


def test_declared_columns_and_an_export_sent_back_are_no_drift(house: House) -> None:
    assert found(house) == []
    house.land("A/thermometer_2020-01-01.csv", "wrong,a,1,50,x\n", header="_reasons,SENSOR,HOUR,CELSIUS,NOTE\n")
    house.run()
    assert found(house) == []


@pytest.mark.parametrize(
    ("values", "kind", "share"),
    [
        (["1", "-2", "30"], "whole number", 1.0),
        (["1", "2.5", "1e3", ".5"], "number", 1.0),
        (["007", "012"], "text", 1.0),
        (["2020-01-01", "2020-01-01T10:00"], "date", 1.0),
        (["yes", "1"], "text", 1.0),
        (["", ""], "empty", 1.0),
        (["1"] * 99 + ["x"], "whole number", 0.99),
        (["1"] * 9 + ["x"], "text", 1.0),
    ],
)
def test_the_type_is_what_nearly_all_values_look_like(house: House, values: list[str], kind: str, share: float) -> None:
    body = "".join(f"a{number},1,1,{value}\n" for number, value in enumerate(values))
    house.land("A/thermometer_2020-01-01.csv", body, header=HUMID)
    house.run()
    [row] = found(house)
    assert (row["type"], row["share"]) == (kind, pytest.approx(share))


def test_odd_names_are_names(house: House) -> None:
    names = ["a b", "it's", "$.x[0]", "ключ"]
    house.land("A/thermometer_2020-01-01.csv", "a,1,1,2,3,4,5\n", header=f"SENSOR,HOUR,CELSIUS,{','.join(names)}\n")
    house.run()
    assert sorted(str(row["column"]) for row in found(house)) == sorted(names)
    assert {row["filled"] for row in found(house)} == {1.0}


def test_a_file_without_a_header_shows_none_of_its_values_as_columns(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", b"secret,1,2\nsecret,2,3\n")
    house.run()
    assert house.table("raw")["_extra"].str.contains("secret").all()
    assert found(house) == []


def test_a_promoted_column_is_filled_in_for_history_with_no_new_delivery(drifting: House) -> None:
    deliveries = drifting.table("account").drop("accepted", "quarantined", "sound")
    drifting.source = DAMP
    assert not drifting.idle()
    drifting.run()
    assert drifting.idle()
    rows = drifting.table("processed").sort("sensor", "hour").select("sensor", "hour", "humidity").rows()
    # What was delivered before it began is null; what the new rule refuses is in quarantine.
    assert rows == [("a", 1, None), ("a", 2, 41.5), ("b", 1, 40.0), ("b", 2, None)]
    assert drifting.table("quarantine")["reasons"].to_list() == [["humidity|max"]]
    assert drifting.table("raw").sort("_file", "_line")["HUMIDITY"].to_list() == [None, "41.5", "200", "40", None]
    assert found(drifting) == []
    same = drifting.table("account").drop("accepted", "quarantined", "sound")
    assert same.sort("_file").equals(deliveries.sort("_file"))


def test_a_missing_optional_column_is_null_a_required_one_refuses_the_file_a_changed_type_its_rows(
    house: House,
) -> None:
    house.source = DAMP
    house.land("A/thermometer_2020-01-01.csv", "a,1,1\n")
    house.land("A/thermometer_2020-01-02.csv", "b,1\n", header="SENSOR,HOUR\n")
    house.land("A/thermometer_2020-01-03.csv", "c,1,1,9\nd,1,cold,9\n", header=HUMID)
    house.run()
    assert house.table("processed").sort("sensor").select("sensor", "humidity").rows() == [("a", None), ("c", 9.0)]
    rejected = house.table("quarantine").sort("_file", "_line").select("_file", "_line", "reasons").rows()
    assert rejected == [
        ("A/thermometer_2020-01-02.csv", 0, ["file:header"]),
        ("A/thermometer_2020-01-02.csv", 2, ["file:header"]),
        ("A/thermometer_2020-01-03.csv", 3, ["temperature_is_a_number"]),
    ]
