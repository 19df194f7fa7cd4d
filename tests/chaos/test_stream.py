"""Ten kills of the streaming service, and cuts of its lines; `tests/chaos/stream.py` does as many as asked."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import stream


def test_killed_at_any_moment_it_tells_each_alert(tmp_path: Path) -> None:
    done = stream.campaign(tmp_path, kills=10, seed=7)
    assert done["kills"] == 10
    assert done["kills with alerts on record"] > 3
    assert done["alerts"] > 50


def test_cut_off_from_broker_and_webhook_it_goes_on_by_itself(tmp_path: Path) -> None:
    done = stream.campaign(tmp_path, kills=4, seed=7, kind="lines")
    assert done["lines cut"] >= 4
    assert done["alerts"] > 10


def test_its_broker_is_killed_and_it_goes_on_by_itself(tmp_path: Path) -> None:
    done = stream.campaign(tmp_path, kills=2, seed=7, kind="broker")
    assert done["kills"] == 2
    assert done["alerts"] > 3
