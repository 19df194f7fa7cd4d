"""A small version of `make chaos`: every promise about dying, at a few boundaries."""

import signal
from pathlib import Path

from chaos import Campaign, fates
from worker import BOUNDARIES


def test_nothing_is_lost_doubled_or_torn(tmp_path: Path, server: str) -> None:
    tally = Campaign(tmp_path, server, seed=3, progress=lambda _: None).run(kills=8, at_once=1)
    assert tally.kills == 8
    assert tally.zombies >= 1
    assert tally.polls > 8
    assert tally.states > 8
    assert tally.loads > 2
    assert tally.cuts > 2


def test_every_boundary_comes_up() -> None:
    coming = fates(1)
    some = [next(coming) for _ in range(100)]
    assert {fate.where for fate in some} == {*BOUNDARIES, "any moment"}
    assert {(fate.how, fate.when) for fate in some} >= {
        (signal.SIGKILL, "before"),
        (signal.SIGKILL, "during"),
        (signal.SIGKILL, "after"),
        (signal.SIGSTOP, "before"),
        (signal.SIGSTOP, "after"),
    }
