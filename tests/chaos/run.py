"""`make chaos`: kill, retry, compare, and tell what was done in a table."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lakehouse"))

from chaos import ENDED, GAVE_UP, Campaign, PromiseBrokenError, Tally
from embedded import postgres_home
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from worker import BOUNDARIES

from lakehouse import postgres

KILLED = ("before", "during", "after")
ZOMBIES = tuple(f"zombie {moment}" for moment in KILLED)
COLUMNS = (*KILLED, *ZOMBIES, GAVE_UP, ENDED)


def table(tally: Tally) -> Table:
    """Kills and zombies, by boundary and moment."""
    shown = Table(
        title="Workers killed, and stopped and resumed, by boundary", box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0)
    )
    shown.add_column("boundary", no_wrap=True)
    for column in COLUMNS:
        shown.add_column(column.replace(" ", "\n", 1), justify="right")
    sums = Counter[str]()
    for where in (*BOUNDARIES, "any moment"):
        cells = Counter[str]()
        for (at, when, outcome), number in tally.outcomes.items():
            if at == where:
                cells[ENDED if outcome == ENDED else when] += number
                cells[GAVE_UP] += number if outcome == GAVE_UP else 0
        sums += cells
        shown.add_row(where.removesuffix("/thermometer"), *(str(cells[column] or "") for column in COLUMNS))
    shown.add_section()
    shown.add_row("all", *(str(sums[column]) for column in COLUMNS))
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="the same seed delivers and kills in the same order")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="lakehouses attacked at the same time")
    asked = parser.parse_args()
    out = Console()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    columns = (TextColumn("killed"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[zombies]} zombies"))
    began = time.monotonic()
    with (
        postgres_home() as settings,
        postgres.serving(settings) as url,
        Progress(*columns, TimeElapsedColumn(), console=out, refresh_per_second=2) as bar,
    ):
        task = bar.add_task("", total=asked.kills, zombies=0)

        def progress(tally: Tally) -> None:
            bar.update(task, completed=tally.kills, zombies=tally.zombies)

        try:
            tally = Campaign(folder, url, asked.seed, progress).run(asked.kills, asked.at_once)
        except PromiseBrokenError as broken:
            out.print(f"[red]{escape(str(broken))}[/red]\nWhat is left of the lakehouse is in {folder}.")
            return 1
    shutil.rmtree(folder)
    out.print(table(tally))
    out.print(
        f"{tally.kills} kills and {tally.zombies} zombies in {time.monotonic() - began:.0f} s; a reader polled "
        f"{tally.polls} times and compared {tally.states} states of the lake and {tally.loads} of PostgreSQL: no "
        "duplicate, no gap, no torn read; every surviving table equals a clean rebuild, and "
        f"{tally.cuts} data cuts read as when they were made."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
