"""What a stream checks when it is declared, what a message says, and the command that runs one."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rates import declared

from lakehouse.errors import SourceError
from lakehouse.rules import Threshold
from lakehouse.streaming.events import AheadError, PoisonError, Reader

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
        ({"lateness": timedelta(-1)}, "lateness is 0 or more"),
        ({"forget": timedelta(seconds=10)}, "forget must be longer"),
    ],
)
def test_a_stream_checks_itself(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        replace(STREAM, **change)


def read(sent: int | None = None, **said: object) -> tuple[str, int, tuple[float | None, ...], int]:
    return Reader(STREAM).read(json.dumps({"who": "a", "at": 0, "rate": 70, **said}).encode(), 5, sent)


def test_an_event_is_what_a_message_says() -> None:
    assert read(at=1_700_000_000_123) == ("a", 1_700_000_000_123_000, (70.0,), 5)
    assert read(at="2023-11-14T23:13:20.123456+01:00")[1] == 1_700_000_000_123_456
    assert read(at="2023-11-14T22:13:20Z", rate=None)[1:3] == (1_700_000_000_000_000, (None,))
    assert read(sent=1_000, at=301_000)[1] == 301_000_000
    with pytest.raises(AheadError):
        read(sent=1_000, at=301_001)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"who": ""}, "no key"),
        ({"who": 7}, "no key"),
        ({"at": True}, "no time"),
        ({"at": -1}, "no time"),
        ({"at": 10**15}, "no time"),
        ({"at": "yesterday"}, "no time"),
        ({"at": "2023-11-14T22:13:20"}, "time without zone"),
        ({"rate": "70"}, "no number"),
        ({"rate": True}, "no number"),
        ({"rate": 10**400}, "no number"),
    ],
)
def test_poison_says_why(said: dict[str, object], why: str) -> None:
    with pytest.raises(PoisonError, match=f"^{why}$"):
        read(**said)  # type: ignore[arg-type]


def test_the_command_says_what_is_missing(
    call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    unset = call("stream", "wearable", home=tmp_path)
    assert unset.returncode == 1
    assert "LAKEHOUSE_SYSTEM_WEARABLES is not set" in unset.stderr
    unknown = call("stream", "nothing", home=tmp_path)
    assert "there is no stream 'nothing'; there are wearable" in unknown.stderr
