"""By when a site's next delivery is due, and what it is called when it does not come."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER

from lakehouse import arrivals, manifest
from lakehouse.clock import Clock
from lakehouse.curate import curate, stale
from lakehouse.quality import ARRIVALS
from lakehouse.source import Source

FIRST = date(2020, 1, 1)
RUNNING = Clock()


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def due(numbers: list[int | None], source: Source = THERMOMETER, clock: Clock = RUNNING) -> pl.LazyFrame:
    """Arrivals of one site that delivered on these days."""
    given = {"source": source.name, "_site": "A", "_delivered": [None if n is None else day(n) for n in numbers]}
    deliveries = pl.LazyFrame(given, schema_overrides={"_delivered": pl.Date})
    return arrivals.arrivals(deliveries, arrivals.expectations([source], clock).lazy())


@pytest.mark.parametrize(
    ("numbers", "source", "cadence", "expected_by", "silent_after"),
    [
        # Too few gaps to learn from: the time the source allows, 7 days.
        ([0], THERMOMETER, 7, 14, 28),
        ([0, 30], THERMOMETER, 7, 44, 58),
        ([0, 30, 30, 60], THERMOMETER, 7, 74, 88),
        # Learned: the median gap, rounded up.
        ([0, 10, 20, 50], THERMOMETER, 10, 70, 90),
        ([0, 10, 21, 31, 42], THERMOMETER, 11, 64, 86),
        # However short the gaps, nobody is late before the time the source allows.
        ([0, 1, 2, 3], THERMOMETER, 1, 10, 17),
        # Declared beats learned.
        ([0, 10, 20, 30], replace(THERMOMETER, cadence=timedelta(days=5)), 5, 40, 50),
        ([0, None], THERMOMETER, 7, 14, 28),
    ],
)
def test_the_next_delivery_is_due_by_the_rhythm_of_those_before(
    numbers: list[int | None], source: Source, cadence: int, expected_by: int, silent_after: int
) -> None:
    row = due(numbers, source).collect().row(0, named=True)
    assert (row["cadence_days"], row["expected_by"], row["silent_after"]) == (
        cadence,
        day(expected_by),
        day(silent_after),
    )
    assert (row["first_day"], row["last_day"]) == (FIRST, max(day(n) for n in numbers if n is not None))


@pytest.mark.parametrize(("today", "status"), [(14, "on time"), (15, "late"), (28, "late"), (29, "silent")])
def test_a_site_is_late_and_then_silent(today: int, status: str) -> None:
    row = arrivals.judged(due([0]), day(today)).collect().row(0, named=True)
    assert (row["status"], row["days_since_last"]) == (status, today)


def test_a_site_that_never_sent_a_valid_day_is_not_waited_for() -> None:
    assert due([None]).collect().is_empty()


def test_a_declared_cadence_and_a_clock_that_is_set_make_the_table_anew(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a,1,1\n")
    house.run()
    clock, source = Clock(), house.source

    def rows() -> tuple[object, ...]:
        curate(house.lake, [ARRIVALS], [source], clock)
        assert not stale(house.lake, [ARRIVALS], [source], clock)
        table = house.lake.scan("quality/arrivals", manifest.versions(house.lake)["quality/arrivals"])
        return table.select("_site", "cadence_days", "expected_by", "as_of").collect().row(0)

    assert rows() == ("A", 7, day(14), None)
    source = replace(source, cadence=timedelta(days=10))
    assert stale(house.lake, [ARRIVALS], [source], clock)
    assert rows() == ("A", 10, day(20), None)
    clock = Clock(day(100))
    assert stale(house.lake, [ARRIVALS], [source], clock)
    assert rows() == ("A", 10, day(20), day(100))
