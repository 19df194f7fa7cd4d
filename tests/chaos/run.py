"""`make chaos`: kill, retry, compare, and tell what was done in a table."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lakehouse"))

from chaos import Chaos, Tally, run
from conftest import postgres_home
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from worker import BOUNDARIES

from lakehouse import postgres

MOMENTS = ("before", "during", "after", "zombie before", "zombie during", "zombie after")


def table(tally: Tally) -> Table:
    """Kills and zombies, by boundary and moment."""
    shown = Table(title="Workers killed, and stopped and resumed, by boundary")
    shown.add_column("boundary")
    for moment in (*MOMENTS, "ended before", "zombies that gave up"):
        shown.add_column(moment, justify="right")
    sums = [0] * (len(MOMENTS) + 2)
    for where in (*BOUNDARIES, "any moment"):
        cells = [
            sum(n for (at, when, outcome), n in tally.outcomes.items() if (at, when) == (where, moment) and outcome != "ended before")
            for moment in MOMENTS
        ]
        for told in ("ended before", "gave up"):
            cells.append(sum(n for (at, _, outcome), n in tally.outcomes.items() if (at, outcome) == (where, told)))
        sums = [old + new for old, new in zip(sums, cells, strict=True)]
        shown.add_row(where, *(str(cell or "") for cell in cells))
    shown.add_section()
    shown.add_row("all", *map(str, sums))
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="the same seed delivers and kills in the same order")
    asked = parser.parse_args()
    out = Console()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    columns = (TextColumn("killed"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[zombies]} zombies"))
    began = time.monotonic()
    with postgres_home() as settings, postgres.serving(settings) as url:
        with Progress(*columns, TimeElapsedColumn(), console=out) as bar:
            task = bar.add_task("", total=asked.kills, zombies=0)
            try:
                tally = run(
                    folder,
                    url,
                    asked.kills,
                    asked.seed,
                    lambda tally: bar.update(task, completed=tally.kills, zombies=tally.zombies),
                )
            except Chaos as broken:
                out.print(f"[red]{broken}[/red]\nWhat is left of the lakehouse is in {folder}.")
                return 1
    shutil.rmtree(folder)
    out.print(table(tally))
    out.print(
        f"{tally.kills} kills and {tally.zombies} zombies in {time.monotonic() - began:.0f} s; a reader polled "
        f"{tally.polls} times and compared {tally.states} states of the lake and {tally.loads} of PostgreSQL: no "
        "duplicate, no gap, no torn read; every surviving table equals a clean rebuild."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
