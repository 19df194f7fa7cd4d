"""Past days are judged again from the record: whatever came of files, tables are found right, and damage is found."""

from datetime import date

import polars as pl
import pytest
from house import House

from lakehouse import manifest
from lakehouse.lake import Change
from lakehouse.ledger import withdraw
from lakehouse.replay import Replayed, replay

FIRST, SECOND, THIRD = "A/thermometer_2020-01-01.csv", "A/thermometer_2020-01-02.csv", "B/thermometer_2020-01-03.csv"
DAYS = [date(2020, 1, day) for day in (1, 2, 3, 4)]


@pytest.fixture
def busy(house: House) -> House:
    """Something of every kind: accepted, quarantined, corrected, withdrawn, contended for, superseded, refused."""
    house.land(FIRST, "a,1,20\nb,1,21\nc,1,hot\nd,1,22\n")
    house.land("A/thermometer_2020-01-04.csv", "n,1,1\n")
    house.run()
    house.land(FIRST, "a,1,20.5\nb,1,21\nc,1,hot\nd,1,22\n")
    house.land(SECOND, "b,1,23\ne,1,24\n")
    house.land(THIRD, "d,1,25\nf,1,26\n")
    for path in ("A/thermometer_2020-01-03.csv", "B/thermometer_2020-01-04.csv"):
        house.land(path, "no header\n", header="")
    house.run()
    house.land("A/thermometer_2020-01-03.csv", "g,1,27\n")
    withdraw(house.lake, house.source, "A/thermometer_2020-01-04.csv", "a person", "a mistake")
    house.run()
    assert {layer for layer, rows in house.read().items() if rows.is_empty()} == set()
    return house


@pytest.mark.parametrize("most_bytes", [1, 10**6])
def test_what_is_right_is_found_right(busy: House, most_bytes: int) -> None:
    account = busy.table("account")
    assert replay(busy.lake, busy.source, DAYS, most_bytes) == Replayed(account.height, account["records"].sum())
    assert replay(busy.lake, busy.source, DAYS[1:2], most_bytes) == Replayed(1, 2)
    assert replay(busy.lake, busy.source, [date(2021, 1, 1)], most_bytes) == Replayed()


def test_of_a_source_of_which_nothing_was_delivered_nothing_is_judged(house: House) -> None:
    assert replay(house.lake, house.source, DAYS, 10**6) == Replayed()


def holds(house: House, layer: str, rows: pl.DataFrame) -> None:
    """Have a layer's table hold something else."""
    name = f"{layer}/{house.source.name}"
    delta = house.lake.open(name)
    assert delta is not None
    version = house.lake.commit(delta, Change(rows), "a mishap", 1, replace="true")
    state = manifest.states(house.lake)[house.source.name]
    new = manifest.State(state.name, state.seq + 1, {**state.versions, name: version}, state.inputs, state.code)
    manifest.record(house.lake, new)


WRONG = {
    "a record is gone": ("raw", pl.col("_line") != 3, {}),
    "a record reads otherwise": ("raw", True, {"SENSOR": pl.lit("z")}),
    "a row is gone": ("processed", pl.col("sensor") != "e", {}),
    "a row has another value": ("processed", True, {"celsius": pl.lit(1.0)}),
    "a rejected record is gone": ("quarantine", pl.col("_line") != 4, {}),
    "a record is rejected for something else": ("quarantine", True, {"reasons": pl.concat_list(pl.lit("other"))}),
    "a file that was refused is gone": ("quarantine", pl.col("_line") != 0, {}),
    "a superseded record is gone": ("superseded", pl.col("_kind") != "key", {}),
}


@pytest.mark.parametrize("what", WRONG)
def test_damage_is_found(busy: House, what: str) -> None:
    layer, stays, changed = WRONG[what]
    rows = busy.table(layer)
    wrong = rows.filter(stays).with_columns(**changed)
    assert not wrong.equals(rows)
    touched = pl.concat([rows, wrong]).filter(pl.concat([rows, wrong]).is_unique() if layer != "quarantine" else True)
    holds(busy, layer, wrong)
    found = replay(busy.lake, busy.source, DAYS, 10**6).differing
    assert found
    assert {*found} <= {*touched["_file"]}
