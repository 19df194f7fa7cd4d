"""What a stream checks when it is declared, what a message says, and the command that runs one."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rates import declared, messages

from lakehouse.dialect import PLAIN
from lakehouse.errors import SourceError
from lakehouse.judge import Judge
from lakehouse.rules import Alert, Event, Threshold
from lakehouse.streaming import record
from lakehouse.streaming.backlog import Backlog
from lakehouse.streaming.events import Reader
from lakehouse.streaming.sinks import Courier, Done, Letter, written

STREAM = declared("rates")
HIGH = Threshold("high", "rate", above=120)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Rates"}, "lower snake case"),
        ({"webhook": "the-pager"}, "lower snake case"),
        ({"rules": ()}, "nothing to tell"),
        ({"rules": (HIGH, HIGH)}, "declared twice"),
        ({"alerts_topic": "rates"}, "come back as events"),
        ({"key": "rate"}, r"rules read \['rate'\]"),
        ({"key": "whom"}, r"has no columns \['whom'\]"),
        ({"time": "who"}, "its time one of moments"),
        ({"rules": (Threshold("high", "at", above=1),), "time": "_received_at"}, r"\['at'\], which are no numbers"),
        ({"lateness": timedelta(-1)}, "lateness is 0 or more"),
        ({"forget": timedelta(seconds=10)}, "forget must be longer"),
    ],
)
def test_a_stream_checks_itself(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        replace(STREAM, **change)


def test_a_stream_is_of_a_source_with_a_topic() -> None:
    with pytest.raises(SourceError, match="has to have a KafkaTopic"):
        replace(STREAM, source=replace(STREAM.source, feed=None, path="{site}/{day}"))
    with pytest.raises(SourceError, match="is read by the dialect Messages, and not by Dialect"):
        replace(STREAM.source, dialect=PLAIN)
    with pytest.raises(SourceError, match="alerts lead back by them"):
        replace(STREAM, source=replace(STREAM.source, columns=("kafka_offset",)))
    assert (STREAM.topic, STREAM.system) == ("rates", "devices")


def read(*values: bytes | None, sent: int | None = None) -> tuple[list[Event | None], dict[str, int]]:
    reader = Reader(STREAM)
    return reader.read(messages(values, sent)), {**reader.counts}


def said(**other: object) -> bytes:
    return json.dumps({"who": "a", "at": 0, "rate": 70, **other}).encode()


def test_an_event_is_what_a_message_says() -> None:
    moments = ["2023-11-14T23:13:20.123456+01:00", "2023-11-14T22:13:20Z"]
    found, counts = read(said(at=1_700_000_000_123), said(at=moments[0]), said(at=moments[1], rate=None))
    assert found == [
        ("a", 1_700_000_000_123_000, (70.0,), 0),
        ("a", 1_700_000_000_123_456, (70.0,), 1),
        ("a", 1_700_000_000_000_000, (None,), 2),
    ]
    assert counts == {}


def test_an_event_of_long_after_its_message_is_ahead() -> None:
    found, counts = read(said(at=301_000), said(at=301_001), sent=1_000)
    assert [event is None for event in found] == [False, True]
    assert counts == {"ahead": 1}


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "poison"),
        (b"", "poison"),
        (b"\xff", "poison"),
        (b"[]", "poison"),
        (b"[" * 100_000, "poison"),
        *(
            (b'{"who": "x", "m": ' + b'{"m":' * levels + b"1" + b"}" * (levels + 1), "poison")
            for levels in (100, 990, 996)
        ),
        (said(who="a\0b"), "poison"),
        (said(who=""), "rejected"),
        (said(who=None), "rejected"),
        (said(at=True), "rejected"),
        (said(at="yesterday"), "rejected"),
        (said(at="2023-11-14T22:13:20"), "rejected"),
        (said(at="0001-01-01T00:00:00+14:00"), "unfit: no time"),
        (said(at="9999-12-31T23:59:59-12:00"), "unfit: no time"),
        (said(at=10**15), "unfit: no time"),
        (said(at=10**30), "rejected"),
        (said(rate="70x"), "rejected"),
        (said(rate=True), "rejected"),
        (said(rate=501), "rejected"),
    ],
)
def test_what_is_no_event_is_counted_and_stops_no_other(value: bytes | None, word: str) -> None:
    found, counts = read(said(), value, said(who="b"))
    assert [event and event.key for event in found] == ["a", None, "b"]
    assert counts == {word: 1}


def test_what_tidy_cannot_bear_stops_no_other() -> None:
    def strict(raw: pl.LazyFrame) -> pl.LazyFrame:
        return STREAM.source.tidy(raw.with_columns(pl.col("rate").cast(pl.Float64).cast(pl.String)))

    reader = Reader(replace(STREAM, source=replace(STREAM.source, tidy=strict)))
    found = reader.read(messages([said(), said(rate="x"), said(who="b")]))
    assert [event and event.key for event in found] == ["a", None, "b"]
    assert reader.counts == {"poison: cannot be read": 1}


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(),
    st.datetimes(timezones=st.timezones()).map(str),
    st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "+12345-01-01T00:00:00Z", "NaN", "1e999"]
    ),
)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
MESSAGES = st.one_of(
    st.binary(max_size=30),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({}, optional={"who": st.sampled_from("ab") | JSON, "at": JSON, "rate": JSON}).map(
        lambda value: json.dumps(value).encode()
    ),
    st.builds(lambda at, rate: said(at=at, rate=rate), st.integers(-(10**6), 10**6), st.floats(allow_nan=False)),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MESSAGES, max_size=20), st.none() | st.integers(0, 2**62))
def test_whatever_comes_can_be_judged_recorded_and_sent(values: list[bytes], sent: int | None) -> None:
    """From any bytes to what goes out: never an exception, which would come again with every start."""
    reader, judge = Reader(STREAM), Judge("rates", 0, STREAM.rules, STREAM.lateness, STREAM.forget, STREAM.most_keys)
    events = reader.read(messages(values, sent))
    assert sum(reader.counts.values()) == events.count(None)
    alerts = [alert for event in events if event for alert in judge.see(event)]
    for alert in alerts:
        assert json.loads(written("rates", alert))["id"] == alert.id
    assert record._frame(list(enumerate(alerts, 1))).height == len(alerts)
    again = Judge("rates", 0, STREAM.rules, STREAM.lateness, STREAM.forget, STREAM.most_keys)
    packed = record.State(judges={0: judge.saved()}).packed()
    again.restore(msgspec.json.decode(zstandard.decompress(packed))["judges"]["0"])
    assert again.saved() == judge.saved()


def test_an_alert_that_cannot_be_written_is_set_aside_and_stops_no_other() -> None:
    """No event leads to one; one that is on record from before would be met again with every start."""
    letters: list[Letter] = []

    class Box:
        name = "box"

        def deliver(self, sent: Sequence[Letter], done: Done) -> None:
            for letter in sent:
                letters.append(letter)
                done(letter.ordinal)

        def close(self) -> None: ...

    sound = Alert("1", "high", "rate above 120", "a", 0, 0, 130.0, 2, 0, 0, 1)
    held = Backlog(0, lambda *_: [])
    courier = Courier("rates", Box(), held, 0)
    held.add([sound, sound._replace(id="2", first_at=-(10**17)), sound._replace(id="3")])
    for _ in range(3):
        courier._deliver()
    assert (courier.delivered, [letter.id for letter in letters]) == (3, ["1", "3"])
    assert [(one.id, one.why) for one in courier.refused] == [("2", "the alert cannot be written")]


def test_the_command_says_what_is_missing(
    call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    unset = call("stream", "wearable", home=tmp_path)
    assert unset.returncode == 1
    assert "LAKEHOUSE_SYSTEM_WEARABLES is not set" in unset.stderr
    unknown = call("stream", "nothing", home=tmp_path)
    assert "there is no stream 'nothing'; there are wearable" in unknown.stderr
