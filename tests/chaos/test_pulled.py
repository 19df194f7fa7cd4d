"""A few kills of a server and cuts of lines; `make chaos-feeds` does as many as asked, of those who pull as well."""

from pathlib import Path

import pulled
import pytest


@pytest.mark.parametrize("kind", ["database server", "table server", "database line", "api line"])
def test_whatever_dies_each_event_is_in_the_lake_once(tmp_path: Path, kind: str) -> None:
    done = pulled.campaign(kind, tmp_path, kills=2, seed=7)
    assert done["kills"] >= 2
    assert done["events"] > 0
