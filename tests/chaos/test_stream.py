"""Ten kills of the streaming service; `tests/chaos/stream.py` does as many as asked."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import stream


def test_killed_at_any_moment_it_tells_each_alert(tmp_path: Path) -> None:
    done = stream.campaign(tmp_path, kills=10, seed=7)
    assert done["kills"] == 10
    assert done["kills with alerts on record"] > 3
    assert done["alerts"] > 50
