"""Tables made anew from what is on record: by order, and by themselves when a contract changes."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest
from house import House
from test_crash import copy, from_the_record, killed_after
from thermometer import THERMOMETER, Reading
from thermometer import tidy as as_delivered

from lakehouse import ledger
from lakehouse.contract import Contract
from lakehouse.errors import LakehouseError


class Stricter(Reading):
    """The same readings, of which fewer can be."""

    celsius = dy.Float64(nullable=True, max=10)


class Fahrenheit(Contract):
    """Another table altogether: a column less, a column more, and another type."""

    sensor = dy.String()
    hour = dy.String(nullable=True)
    fahrenheit = dy.Float64(nullable=True)


def in_fahrenheit(raw: pl.LazyFrame) -> pl.LazyFrame:
    celsius = pl.col("CELSIUS").cast(pl.Float64, strict=False)
    return raw.select(pl.col("^_.*$").exclude("_extra"), sensor="SENSOR", hour="HOUR", fahrenheit=celsius * 9 / 5 + 32)


STRICTER = replace(THERMOMETER, contract=Stricter)
FAHRENHEIT = replace(THERMOMETER, contract=Fahrenheit, tidy=in_fahrenheit)


@pytest.fixture
def eventful(house: House) -> House:
    """Corrections, a late file, a contested key, rejected lines and a refused file, in several batches."""
    house.batch_bytes = 60
    house.land("A/thermometer_2020-01-01.csv", "a,1,50\nb,1,1\nbad,1,hot\n")
    house.land("A/thermometer_2020-01-03.csv", "a,1,5\nc,1,5\n")
    house.run()
    house.land("A/thermometer_2020-01-02.csv", "a,1,70\nd,1,20\n")
    house.land("A/thermometer_2020-01-03.csv", "c,1,6\n")
    house.land("B/thermometer_2020-01-02.csv", "b,1,1\ne,1,1\n")
    house.land("B/thermometer_2020-01-03.csv", b"")
    house.run()
    return house


def order(house: House, why: str = "a test") -> None:
    ledger.rebuild(house.lake, house.source, "someone", why, house.batch_bytes)


def test_a_rebuild_changes_nothing_while_the_contract_is_the_same(eventful: House, tmp_path: Path) -> None:
    before = eventful.read()
    order(eventful)
    assert not eventful.idle()
    plans = eventful.run()
    assert len(plans) > 1
    after = eventful.read()
    assert {layer: sorted(rows.rows(), key=repr) for layer, rows in after.items()} == {
        layer: sorted(rows.rows(), key=repr) for layer, rows in before.items()
    }
    assert eventful.tables() == from_the_record(eventful, tmp_path / "scratch")
    assert eventful.idle()


def test_a_rebuild_is_on_record_with_who_and_why(eventful: House) -> None:
    order(eventful, "the lab changed its units")
    acts = ledger.read(eventful.lake, eventful.source).filter(pl.col("who").is_not_null())
    assert acts.select("act", "who", "why").rows() == [("rebuild", "someone", "the lab changed its units")]


def test_two_orders_are_one_rebuild(eventful: House) -> None:
    eventful.batch_bytes = 10**6
    order(eventful)
    order(eventful)
    assert len(eventful.run()) == 1
    assert eventful.idle()


def test_a_contract_that_is_changed_back_is_followed_back(eventful: House) -> None:
    before = eventful.tables()
    for source in (STRICTER, THERMOMETER):
        eventful.source = source
        eventful.run()
    assert eventful.tables() == before


def test_a_rebuild_of_nothing_is_not_put_on_record(house: House) -> None:
    order(house)
    assert ledger.read(house.lake, house.source).is_empty()


SEVERE = replace(
    THERMOMETER, severities={"hour|max": "warn", "temperature_is_a_number": "file"}, contract=Stricter, file_limit=0.5
)


@pytest.mark.parametrize("source", [STRICTER, FAHRENHEIT, SEVERE, replace(THERMOMETER, key=("sensor",))])
def test_tables_follow_a_changed_contract(eventful: House, tmp_path: Path, source: object) -> None:
    eventful.source = source  # type: ignore[assignment]
    assert not eventful.idle()
    eventful.run()
    assert eventful.unbalanced().is_empty()
    assert eventful.tables() == from_the_record(eventful, tmp_path / "scratch")
    assert eventful.idle()


def test_new_files_and_a_changed_contract_go_together(eventful: House, tmp_path: Path) -> None:
    eventful.source = STRICTER
    eventful.land("A/thermometer_2020-01-04.csv", "f,1,30\ng,1,3\n")
    eventful.run()
    assert eventful.unbalanced().is_empty()
    assert eventful.table("processed").filter(pl.col("celsius") > 10).is_empty()
    assert "g" in eventful.table("processed")["sensor"]
    assert eventful.tables() == from_the_record(eventful, tmp_path / "scratch")


def test_a_record_judged_anew_by_a_stricter_contract_is_not_lost(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a,1,50\nb,1,1\n")
    house.land("A/thermometer_2020-01-02.csv", "a,1,5\nb,2,1\n")
    house.run()
    house.source = STRICTER
    # The record that beat the one of the first day goes, and that one would come back if it were still good.
    house.land("A/thermometer_2020-01-02.csv", "b,2,1\n")
    house.run()
    assert house.unbalanced().is_empty()
    assert house.table("processed").filter(pl.col("celsius") > 10).is_empty()
    rejected = house.table("quarantine").select("_file", "_line", "reasons").rows()
    assert rejected == [("A/thermometer_2020-01-01.csv", 2, ["celsius|max"])]


def test_judging_otherwise_without_another_contract_stops_before_anything_is_lost(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a,1,50\n")
    house.land("A/thermometer_2020-01-02.csv", "a,1,5\nb,2,1\n")
    house.run()
    before = house.tables()
    fickle = replace(THERMOMETER, tidy=lambda raw: as_delivered(raw).with_columns(sensor=pl.lit(None, pl.String)))
    fickle.__dict__["contract_version"] = THERMOMETER.contract_version
    house.source = fickle
    house.land("A/thermometer_2020-01-02.csv", b"SENSOR,HOUR,CELSIUS\n")
    with pytest.raises(LakehouseError, match="lakehouse rebuild --source thermometer"):
        house.run()
    assert house.tables() == before


@pytest.mark.parametrize("ordered", [True, False])
def test_a_rebuild_survives_a_kill_after_every_commit(
    eventful: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    before = eventful.tables()
    if ordered:
        order(eventful)
    else:
        eventful.source = STRICTER
        eventful.land("A/thermometer_2020-01-04.csv", "f,1,30\ng,1,3\n")
    after = from_the_record(eventful, tmp_path / "scratch")
    for step in range(1, 200):
        victim = copy(eventful, tmp_path / f"lake-{step}")
        ended = killed_after(monkeypatch, victim, step, ("commit",))
        # Readers see the tables as they were or as they will be, and nothing in between.
        assert victim.tables() == (after if ended else before) or victim.tables() == after
        victim.run()
        assert victim.tables() == after
        assert victim.idle()
        if ended:
            break
    assert step > 12


def test_a_rebuild_under_way_starts_over_when_the_contract_changes_again(
    eventful: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventful.source = STRICTER
    assert not killed_after(monkeypatch, eventful, 9, ("commit",))
    eventful.source = FAHRENHEIT
    eventful.land("A/thermometer_2020-01-05.csv", "h,1,3\n")
    eventful.run()
    assert "fahrenheit" in eventful.table("processed").columns
    assert eventful.tables() == from_the_record(eventful, tmp_path / "scratch")
    assert eventful.unbalanced().is_empty()


def test_a_rebuild_replaces_a_batch_that_was_given_up(
    eventful: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (5, 6, 7):
        eventful.land(f"A/thermometer_{date(2020, 1, day)}.csv", f"h,{day},30\n")
    assert not killed_after(monkeypatch, eventful, 3, ("commit",))
    eventful.source = STRICTER
    eventful.run()
    assert eventful.tables() == from_the_record(eventful, tmp_path / "scratch")


def test_one_more_file_after_a_rebuild_is_an_ordinary_batch(eventful: House) -> None:
    order(eventful)
    eventful.run()
    eventful.land("A/thermometer_2020-01-08.csv", "z,1,3\n")
    (plan,) = eventful.run()
    assert plan.deliveries["_file"].to_list() == ["A/thermometer_2020-01-08.csv"]
    assert plan.deliveries["accepted"].to_list() == [1]


@pytest.mark.parametrize("commits", range(1, 7))
def test_what_another_contract_left_half_done_is_judged_by_this_one(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a,1,50\nb,1,1\n")
    assert not killed_after(monkeypatch, house, commits, ("commit",))
    house.source = STRICTER
    house.run()
    assert house.table("processed")["celsius"].to_list() == [1.0]
    assert house.unbalanced().is_empty()
    assert house.idle()
    assert house.tables() == from_the_record(house, tmp_path / "scratch")


@pytest.mark.parametrize("commits", range(1, 6))
def test_a_rebuild_that_died_is_not_finished_by_another_contract(
    eventful: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    eventful.source = FAHRENHEIT
    assert not killed_after(monkeypatch, eventful, commits, ("commit",))
    eventful.source = STRICTER
    eventful.run()
    assert eventful.unbalanced().is_empty()
    assert eventful.tables() == from_the_record(eventful, tmp_path / "scratch")
