"""A few kills of a server and cuts of lines; `make chaos-feeds` does as many as asked, of those who pull as well."""

from pathlib import Path

import pulled
import pytest


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        *[("database server", 2), ("table server", 2), ("kafka server", 1)],
        *[("database line", 2), ("api line", 2), ("kafka line", 2)],
    ],
    ids=lambda value: str(value),
)
def test_whatever_dies_each_event_is_in_the_lake_once(tmp_path: Path, kind: str, kills: int) -> None:
    done = pulled.campaign(kind, tmp_path, kills=kills, seed=7)
    assert done["kills"] >= kills
    assert done["events"] > 0
