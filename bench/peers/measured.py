"""What every contender's script has in common: its arguments, and how its work is measured once all is imported."""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main(work: Callable[[list[Path], Path], dict]) -> None:
    """Run `work(files, out)` on the landed files and print what it tells, with the seconds it took.

    It writes its tables and `summary.csv` (site, test, month, results, mean) below `out`, and returns `accepted` rows
    and `rejected` rows by rule.
    """
    landing, out = Path(sys.argv[1]), Path(sys.argv[2])
    files = sorted(landing.glob("*/*.csv"))
    out.mkdir(parents=True, exist_ok=True)
    before, begun = _cpu(), time.perf_counter()
    told = work(files, out)
    wall, cpu = time.perf_counter() - begun, _cpu() - before
    print(json.dumps({**told, "body_wall": wall, "body_cpu": cpu}))


def _cpu() -> float:
    """Seconds of CPU of this process and of those it started that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)
