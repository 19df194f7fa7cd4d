"""Contenders that do the same work take turns, each time in a fresh process; medians and ratios are printed."""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

# Brings the files of the first folder into tables in the second.
Contender = Callable[[Path, Path], None]


def main(about: str | None, prepare: Callable[[Path], None], contenders: Mapping[str, Contender], rounds: int) -> None:
    """Compare every contender with the first. Only their bodies are measured, not start and imports.

    prepare: writes the files that all of them read.
    """
    options = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=rounds)
    options.add_argument("--only", nargs=3, metavar=("CONTENDER", "LANDING", "LAKE"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.only:
        name, landing, lake = given.only
        print(json.dumps(_body(contenders[name], Path(landing), Path(lake))))
        return
    # Nothing is removed before the end: ext4 makes files slowly for a while after many were.
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as lakes:
        prepare(Path(folder))
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for number in range(given.rounds):
            for name, figures in taken.items():
                figures.append(_measured(name, Path(folder), Path(lakes) / f"{name} {number}"))
    first = next(iter(contenders))
    for figure in taken[first][0]:
        middle = {name: statistics.median(item[figure] for item in figures) for name, figures in taken.items()}
        told = "   ".join(f"{name} {value:8.2f}" for name, value in middle.items())
        ratios = [f"{value / middle[first]:.2f}" for name, value in middle.items() if name != first]
        print(f"{figure:8} {told}   ratio {', '.join(ratios)}")


def _measured(name: str, landing: Path, lake: Path) -> dict[str, float]:
    words = [sys.executable, "-W", "ignore", sys.argv[0], "--only", name, str(landing), str(lake)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]


def _body(contender: Contender, landing: Path, lake: Path) -> dict[str, float]:
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    contender(landing, lake)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": wall, "peak_mb": after.ru_maxrss / 1024}
