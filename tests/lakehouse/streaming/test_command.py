"""The command that judges streams, as people run and stop it: it ends in order, and one that fails ends all."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import broker
import polars as pl
import pytest
from rates import in_topic, until

from assets.alerts import WEARABLE_ALERTS
from lakehouse.lake import Lake
from lakehouse.settings import PROJECT

BEGIN = datetime.now(UTC) - timedelta(hours=1)
OTHER = """
from dataclasses import replace
from assets.alerts import WEARABLE_ALERTS
from assets.wearable import WEARABLE
OTHER = replace(
    WEARABLE_ALERTS, name="other", source=replace(WEARABLE, feed=replace(WEARABLE.feed, topic="nowhere"))
)
"""


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[broker.Broker]:
    """A server of our own, whatever cluster other tests use: the topics have the names that the stream declares."""
    (tmp_path / "kafka").mkdir()
    with broker.started(broker.free_port(), tmp_path / "kafka") as up:
        up.topic(1, WEARABLE_ALERTS.topic)
        up.topic(1, WEARABLE_ALERTS.alerts_topic)
        yield up


def fast(who: str, rate: int = 150) -> list[bytes]:
    """Readings of a heart that beats too fast: one alert follows, if they keep the source's contract."""
    each = {"usubjid": who, "device": who, "heart_rate": rate, "steps": 0}
    times = [(BEGIN + timedelta(seconds=at)).isoformat() for at in range(5)]
    return [json.dumps({**each, "reading_id": at, "event_time": time}).encode() for at, time in enumerate(times)]


def on_record(home: Path) -> list[tuple[object, ...]]:
    found = Lake(str(home / "lake")).scan(WEARABLE_ALERTS.table, schema={"key": pl.String(), "rule": pl.String()})
    return sorted(found.select("key", "rule").collect().rows())


@contextmanager
def started(*words: str, home: Path, url: str, project: Path = PROJECT) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own, which is gone after the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    ours = {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_SYSTEM_WEARABLES": url, "PYTHONPATH": str(project)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "lakehouse.cli", "stream", *words],
        cwd=project,
        env={**kept, **ours, "COLUMNS": "200"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit code and what it said; it has to end by itself."""
    said = process.communicate(timeout=60)[1]
    assert "Traceback" not in said
    return process.returncode, said


def test_it_ends_when_all_is_judged_and_in_order_when_it_is_told_to(kafka: broker.Broker, tmp_path: Path) -> None:
    kafka.produce(WEARABLE_ALERTS.topic, [*fast("a"), *fast("c", 999)])
    with started("wearable", "--once", home=tmp_path, url=kafka.url()) as process:
        code, said = ended(process)
    assert code == 0, said
    assert "wearable: 5 events, 1 alerts, 5 rejected, 0 to read; stopped" in said
    assert on_record(tmp_path) == [("a", "tachycardia")]
    with started(home=tmp_path, url=kafka.url()) as process:
        kafka.produce(WEARABLE_ALERTS.topic, fast("b"))
        until(lambda: len(in_topic(kafka.client, str(WEARABLE_ALERTS.alerts_topic))) == 2, "the second alert")
        process.send_signal(signal.SIGTERM)
        code, said = ended(process)
    assert code == 0, said
    assert "wearable: 10 events, 2 alerts, 5 rejected, 0 to read; stopped" in said
    # Long before the minute and a half after which alerts come on record.
    assert on_record(tmp_path) == [("a", "tachycardia"), ("b", "tachycardia")]


def test_one_stream_that_fails_ends_all_and_is_told(kafka: broker.Broker, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "assets").mkdir(parents=True)
    for one in (PROJECT / "lakehouse", PROJECT / "resources", *(PROJECT / "assets").iterdir()):
        (project / one.relative_to(PROJECT)).symlink_to(one)
    (project / "assets" / "other.py").write_text(OTHER)
    with started(home=tmp_path, url=kafka.url(), project=project) as process:
        code, said = ended(process)
    assert code == 1, said
    assert "stream other: topic nowhere cannot be read" in said
    # The other one ended in order.
    assert "wearable: 0 events, 0 alerts, 0 to read; stopped" in said
    assert "stream wearable:" not in said
