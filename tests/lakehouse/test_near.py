"""What is left unread, because a table's files say that it cannot be wanted."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from house import House
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import manifest
from lakehouse.lake import Change, Lake
from lakehouse.near import near

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2020, 1, 1, 0, 0, 0, 5000))
# Values that statistics tend to get wrong: cut off, rounded, unordered.
KINDS = {
    "text": (pl.String(), st.text(st.sampled_from("aé\U0010ffff"), max_size=3).map(lambda end: "é" * 60 + end)),
    "float": (pl.Float64(), st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 0.1, 0.1 + 0.2])),
    "int": (pl.Int64(), st.sampled_from([-(2**63), 2**63 - 1, 2**53, 2**53 + 1, 0])),
    "date": (pl.Date(), st.dates(date(2020, 1, 1), date(2020, 1, 9))),
    "time": (pl.Datetime("us"), TIMES),
    "zoned": (pl.Datetime("us", "UTC"), TIMES.map(lambda time: time.replace(tzinfo=UTC))),
    "decimal": (pl.Decimal(12, 2), st.integers(0, 10**12 - 1).map(lambda cents: Decimal(cents) / 100)),
    "long decimal": (pl.Decimal(18, 2), st.integers(10**17, 10**17 + 9).map(lambda cents: Decimal(cents).scaleb(-2))),
    "flag": (pl.Boolean(), st.booleans()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_that_is_wanted_is_left_unread(kind, tmp_path_factory):
    dtype, values = KINDS[kind]
    rows = st.lists(st.tuples(values | st.none(), st.integers(0, 2)), min_size=1, max_size=3)

    def frame(found: list[tuple[object, int]]) -> pl.DataFrame:
        return pl.DataFrame(found, schema={"value": dtype, "number": pl.Int64()}, orient="row", strict=False)

    @settings(max_examples=40)
    @given(files=st.lists(rows, min_size=1, max_size=3), wanted=rows)
    def holds(files: list, wanted: list) -> None:
        lake = Lake(str(tmp_path_factory.mktemp("lake")))
        for number, file in enumerate(files, 1):
            lake.commit(lake.create("layer/table", frame(file).schema), Change(frame(file)), "test", number)
        keys = frame(wanted).unique()
        stored = lake.scan("layer/table")

        def among(found: pl.LazyFrame) -> list[str]:
            joined = found.join(keys.lazy(), on=["value", "number"], how="semi", nulls_equal=True)
            return sorted(map(repr, joined.collect().rows()))

        assert among(stored.filter(near(keys))) == among(stored)

    holds()


def test_days_that_python_has_no_name_for_are_found_like_any_other(tmp_path):
    lake = Lake(str(tmp_path))
    day = pl.Series("day", ["0000-01-01", "2020-01-01", "+12020-01-01"]).str.to_date("%Y-%m-%d").to_frame()
    for number in range(day.height):
        lake.commit(lake.create("layer/table", day.schema), Change(day[number]), "test", number + 1)
    for number in range(day.height):
        found = lake.scan("layer/table").filter(near(day[number])).select(pl.col("day").to_physical()).collect()
        assert found["day"].to_list() == [day["day"].to_physical()[number]]


def test_nothing_is_near_no_rows():
    rows = pl.DataFrame({"number": [1, None]})
    assert rows.filter(near(rows.clear())).is_empty()


def _data_files(house: House, layer: str) -> set[Path]:
    delta = house.lake.open(f"{layer}/thermometer")
    return {Path(uri.removeprefix("file://")) for uri in delta.file_uris()}


def test_a_new_day_reads_no_file_of_days_that_share_none_of_its_keys(house):
    days = [(f"A/thermometer_2020-01-0{day}.csv", f"s{day},1,20\nbad,1,hot\n") for day in (1, 2, 3)]
    before = {}
    for path, body in days:
        house.land(path, body)
        house.run()
        before[path] = _data_files(house, "processed") | _data_files(house, "quarantine")
    # Not even a file that is gone is missed, as long as nothing of it is needed.
    for file in before[days[0][0]]:
        file.unlink()
    house.land("A/thermometer_2020-01-04.csv", "s4,1,20\n")
    house.run()
    house.land(days[2][0], "s3,1,21\ns5,1,20\n")
    house.run()
    latest = {
        (row["sensor"], row["celsius"])
        for file in _data_files(house, "processed") - before[days[0][0]]
        for row in pl.read_parquet(file).iter_rows(named=True)
    }
    assert latest == {("s2", 20.0), ("s3", 21.0), ("s4", 20.0), ("s5", 20.0)}
    assert manifest.versions(house.lake)["processed/thermometer"] == house.lake.open("processed/thermometer").version()
