"""Readings of wristbands: what is made up comes out as it was made, whatever order it comes in."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets.curated.activity_sessions import GAP, activity_sessions
from assets.pilot.wearables import Stream, stream
from assets.wearable import WEARABLE
from lakehouse import ingest, manifest
from lakehouse.clock import Clock
from lakehouse.formats.messages import packed
from lakehouse.lake import Lake
from lakehouse.landing import listing

SUBJECTS = ("01-701-1015", "01-701-1023")
BEGAN = datetime(2014, 1, 2, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def made() -> Stream:
    return stream(SUBJECTS)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, made: Stream) -> Lake:
    """A lake that has the stream, landed in two files as the feed lands them."""
    folder = tmp_path_factory.mktemp("wearable")
    half = len(made.messages) // 2
    for begin, messages in ((0, made.messages[:half]), (half, made.messages[half:])):
        count = len(messages)
        data = packed(
            {
                "topic": ["wearable.readings"] * count,
                "partition": [0] * count,
                "offset": list(range(begin, begin + count)),
                "timestamp": [int(one.received.timestamp() * 1000) for one in messages],
                "key": [one.key for one in messages],
                "value": [one.value for one in messages],
                "headers": [None] * count,
                "schema": [None] * count,
            }
        )
        file = folder / "landing" / f"wearables/wearable/2014-01-03_p0@{begin:020}~{begin + count - 1:020}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    lake = Lake(str(folder / "lake"))
    landing: Path = folder / "landing"
    files = listing(landing, [WEARABLE]).claimed["wearable"]
    unseen = ingest.pending(lake, WEARABLE, files).unseen
    ingest.ingest(lake, WEARABLE, landing, unseen, Clock(date(2014, 1, 4)), 10**8)
    return lake


def table(lake: Lake, layer: str) -> pl.DataFrame:
    return lake.scan(f"{layer}/wearable", manifest.versions(lake)[f"{layer}/wearable"]).collect()


def test_every_reading_is_there_once_and_the_rest_is_quarantined(lake: Lake, made: Stream) -> None:
    processed, quarantine = table(lake, "processed"), table(lake, "quarantine")
    assert processed.height == processed.n_unique(["device", "reading"]) == made.readings
    assert quarantine.height == made.poison
    assert set(quarantine["reasons"].explode()) == {"record:payload"}
    account = table(lake, "account")
    assert account["superseded"].sum() == made.twice
    assert account["records"].sum() == len(made.messages) == made.readings + made.twice + made.poison


def test_late_readings_are_as_many_as_are_made(lake: Lake, made: Stream) -> None:
    late = table(lake, "processed").filter(pl.col("received") - pl.col("event_time") >= timedelta(hours=1))
    assert late.height == made.late


def test_each_subject_has_its_two_walks_whatever_the_order(lake: Lake) -> None:
    readings = table(lake, "processed")
    sessions = activity_sessions(readings.lazy()).collect()
    first = datetime(2014, 1, 2, 8, tzinfo=UTC)
    walks = [
        (first, first + timedelta(minutes=35), 8),
        (first + timedelta(hours=9), first + timedelta(minutes=595), 12),
    ]
    assert sessions.select("usubjid", "began", "ended", "readings").rows() == [
        (subject, *walk) for subject in SUBJECTS for walk in walks
    ]
    order = random.Random(1).sample(range(readings.height), readings.height)
    assert activity_sessions(readings[order].lazy()).collect().equals(sessions)


def sessions_of(*minutes: float) -> list[tuple[timedelta, timedelta]]:
    rows = pl.DataFrame(
        {
            "usubjid": ["s"] * len(minutes),
            "event_time": [BEGAN + timedelta(minutes=minute) for minute in minutes],
            "received": [BEGAN] * len(minutes),
            "heart_rate": [100] * len(minutes),
            "steps": [10] * len(minutes),
        }
    )
    found = activity_sessions(rows.lazy()).collect()
    return [(began - BEGAN, ended - BEGAN) for began, ended in found.select("began", "ended").rows()]


def test_a_gap_ends_a_session_and_a_late_reading_joins_two() -> None:
    gap = GAP / timedelta(minutes=1)
    assert len(sessions_of(0, gap)) == 1
    assert len(sessions_of(0, gap + 0.1)) == 2
    assert sessions_of(20, 0, 10) == [(timedelta(0), timedelta(minutes=20))]
    assert len(sessions_of(0, 20)) == 2


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"heart_rate": "19"}, "heart_rate_plausible"),
        ({"heart_rate": "x"}, "heart_rate_plausible"),
        ({"steps": "20001"}, "steps_plausible"),
        ({"event_time": "2014-01-02T10:01:01Z"}, "taken_before_receipt"),
        ({"event_time": "2011-12-31T10:00:00Z"}, "taken_in_study"),
        ({"event_time": "yesterday"}, "event_time|nullability"),
        ({"reading_id": None}, "reading|nullability"),
        ({}, None),
    ],
)
def test_rules(members: dict[str, str | None], rule: str | None) -> None:
    sound = {"usubjid": "01-701-1015", "device": "d", "reading_id": "1", "event_time": "2014-01-02T10:00:59Z"}
    raw = {**sound, "heart_rate": "70", "steps": "0", "kafka_timestamp": "2014-01-02T10:00:00.000+00:00", **members}
    origin = {"_file": "f", "_line": 1, "_checksum": "c", "_delivered": date(2014, 1, 2), "_site": "w"}
    frame = pl.DataFrame([{**raw, **origin, "_received_at": BEGAN}], schema_overrides={"reading_id": pl.String})
    row = WEARABLE.tidy(frame.lazy()).collect()
    broken = WEARABLE.contract.filter(row, cast=True).failure.counts()
    assert list(broken) == ([rule] if rule else [])
