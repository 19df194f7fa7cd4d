"""What a person sent of a curated table: on record, given back to the table, and settled when it no longer holds."""

from dataclasses import replace

import dataframely as dy
import polars as pl
import pytest
from house import House

from lakehouse import manifest, sent
from lakehouse.curate import GROUP, Curation, curate, stale
from lakehouse.curated import Curated
from lakehouse.housekeeping import housekeep

TABLE = "curated/questions"


class Question(dy.Schema):
    """One sensor that is too warm, or was when it was asked about."""

    sensor = dy.String()
    status = dy.String()
    sent_by = dy.String(nullable=True)
    sent_at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")


def questions(readings: pl.LazyFrame, asked: pl.LazyFrame) -> pl.LazyFrame:
    warm = readings.filter(pl.col("celsius") > 40).select("sensor").unique()
    first = asked.group_by("sensor").agg(pl.col("sent_by", "sent_at").sort_by("sent_at").first())
    still = warm.join(first, on="sensor", how="left").with_columns(status=pl.lit("open"))
    settled = first.join(warm, on="sensor", how="anti").with_columns(status=pl.lit("closed"))
    return pl.concat([rows.select(Question.column_names()) for rows in (still, settled)])


QUESTIONS = Curated(
    name="questions",
    description="Sensors that are too warm.",
    owner="team:weather",
    contract=Question,
    key=("sensor",),
    by="sensor",
    inputs=("processed/thermometer", "sent/questions"),
    transform=questions,
)


@pytest.fixture
def full(house: House) -> House:
    house.land("A/thermometer_2020-01-01.csv", "".join(f"s{n:02},1,{20 + n}\n" for n in range(24)))
    house.run()
    run(house)
    return house


def run(house: House, table: Curated = QUESTIONS) -> list[Curation]:
    return curate(house.lake, [table], [house.source], house.clock)


def read(house: House) -> pl.DataFrame:
    return house.lake.scan(TABLE, manifest.versions(house.lake)[TABLE]).collect().sort("sensor")


def told(house: House) -> list[tuple[object, ...]]:
    return read(house).select("sensor", "status", "sent_by").rows()


def send(house: House, who: str, *sensors: str) -> pl.DataFrame:
    return sent.record(house.lake, QUESTIONS, read(house).filter(pl.col("sensor").is_in(sensors)), who)


def equals_anew(house: House) -> None:
    """The table is what it would be if it were made from nothing now."""
    versions = {**manifest.versions(house.lake), **sent.versions(house.lake, [QUESTIONS])}
    inputs = [house.lake.scan(name, versions[name]) for name in QUESTIONS.inputs]
    assert QUESTIONS.transform(*inputs).collect().sort("sensor").equals(read(house))


def test_what_was_sent_is_open_until_it_no_longer_holds(full: House) -> None:
    assert told(full) == [(f"s{n}", "open", None) for n in (21, 22, 23)]

    assert send(full, "ada", "s22", "s23")["sent_by"].to_list() == ["ada", "ada"]
    assert stale(full.lake, [QUESTIONS], [full.source], full.clock)
    run(full)
    assert not stale(full.lake, [QUESTIONS], [full.source], full.clock)
    assert told(full) == [("s21", "open", None), ("s22", "open", "ada"), ("s23", "open", "ada")]

    # s21 was never asked about: nobody waits for an answer.
    full.land("A/thermometer_2020-01-02.csv", "s21,1,20\ns22,1,20\n")
    full.run()
    run(full)
    assert told(full) == [("s22", "closed", "ada"), ("s23", "open", "ada")]
    equals_anew(full)

    full.land("A/thermometer_2020-01-03.csv", "s22,1,99\n")
    full.run()
    run(full)
    assert told(full) == [("s22", "open", "ada"), ("s23", "open", "ada")]
    equals_anew(full)


def test_what_was_sent_survives_other_code_and_housekeeping(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    send(full, "ada", "s21")
    send(full, "bob", "s21", "s22")
    run(full)
    for _ in range(2):
        housekeep(full.lake, keep=full.clock.today - full.clock.today)
    monkeypatch.setattr("lakehouse.curate.code_version", lambda *_: "other")
    run(full)
    assert told(full) == [("s21", "open", "ada"), ("s22", "open", "bob"), ("s23", "open", None)]
    equals_anew(full)


def test_only_what_was_sent_is_made_anew(full: House) -> None:
    asked: list[list[str]] = []

    def watched(readings: pl.LazyFrame, before: pl.LazyFrame) -> pl.LazyFrame:
        asked.append(readings.select(pl.col("sensor").unique().sort()).collect()["sensor"].to_list())
        return questions(readings, before)

    send(full, "ada", "s21")
    run(full)
    send(full, "bob", "s22")
    run(full, replace(QUESTIONS, transform=watched))
    assert asked == [["s22"]]
    assert manifest.states(full.lake)[GROUP].seq == 3


def test_nothing_sent_is_nothing_on_record(full: House) -> None:
    before = sent.versions(full.lake, [QUESTIONS])
    assert send(full, "ada").is_empty()
    assert sent.versions(full.lake, [QUESTIONS]) == before
    assert sent.versions(full.lake, [replace(QUESTIONS, inputs=("processed/thermometer",))]) == {}
