"""Partial dates against every day of the calendar that they can mean."""

from datetime import date, timedelta

import polars as pl
import pytest

from assets.cdisc import dtc_earliest, dtc_in_order, dtc_latest, number, number_or_nan

DAYS = [date(2011, 1, 1) + timedelta(days) for days in range(6 * 366)]


def meant(text: str) -> list[date]:
    """The days of 2011 to 2016 that a partial date without a missing year can mean, found by looking at each."""
    # 2013---15 is a 15th of a month nobody knows.
    year, month, day = [*text.replace("---", "-?-").split("-"), "?", "?"][:3]
    wanted = [None if part == "?" else int(part) for part in (year, month, day)]
    return [
        found
        for found in DAYS
        if all(part in (None, of) for part, of in zip(wanted, (found.year, found.month, found.day), strict=True))
    ]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2013", "2013-01-01", "2013-12-31"),
        ("2013-02", "2013-02-01", "2013-02-28"),
        ("2012-02", "2012-02-01", "2012-02-29"),
        ("2013-04-", None, None),
        ("2013-04--", "2013-04-01", "2013-04-30"),
        ("2013---31", "2013-01-31", "2013-12-31"),
        ("2013-02-28T09:30", "2013-02-28", "2013-02-28"),
        ("2013-02-30", None, None),
        ("--02-14", None, None),
        ("28FEB2013", None, None),
        (None, None, None),
    ],
)
def test_first_and_last_day_a_partial_date_can_mean(text: str | None, first: str | None, last: str | None) -> None:
    row = pl.select(dtc_earliest(pl.lit(text, pl.String)), last=dtc_latest(pl.lit(text, pl.String))).row(0)

    assert [day and day.isoformat() for day in row] == [first, last]


def test_in_order_is_whether_any_two_days_are() -> None:
    texts = [
        *(str(year) for year in (2012, 2013)),
        *(f"{year}-{month:02}" for year in (2012, 2013) for month in (1, 2, 12)),
        *(f"{year}---{day:02}" for year in (2012, 2013) for day in (1, 31)),
        *(f"{year}-{month:02}-{day:02}" for year in (2012, 2013) for month in (2, 3) for day in (1, 28)),
        "2012-02-29",
    ]
    pairs = pl.DataFrame({"start": texts}).join(pl.DataFrame({"end": texts}), how="cross")

    told = pairs.select(dtc_in_order(pl.col("start"), pl.col("end"))).to_series().to_list()

    assert told == [min(meant(start)) <= max(meant(end)) for start, end in pairs.iter_rows()]
    assert 0 < told.count(False) < len(told)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("120", 120.0),
        ("+036.60", 36.6),
        ("8.1999999999999993", 8.2),
        ("9" * 17, 1e17),
        (f"0.{'0' * 16}1", 1e-17),
        (f"-0.{'0' * 16}1", -1e-17),
        ("0", 0.0),
        ("-0.00", 0.0),
        (f"0.{'0' * 400}", 0.0),
    ],
)
def test_a_number_written_plainly(text: str, value: float) -> None:
    found = pl.select(number(pl.lit(text))).item()
    assert (found, str(found)) == (value, str(value))


@pytest.mark.parametrize(
    "text",
    ["1e2", "9" * 18, f"0.{'0' * 17}1", f"0.{'0' * 308}1", f"-0.{'0' * 400}1", "", "-", ".5", "5.", "inf", "nan"],
)
def test_what_is_written_otherwise_or_measures_nothing_is_no_number(text: str) -> None:
    given = pl.lit(text)
    assert pl.select(number(given)).item() is None
    assert pl.select(number_or_nan(given).is_nan()).item()
