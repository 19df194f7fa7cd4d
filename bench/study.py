"""The whole graph for the study scaled up: from scratch, and then one site's new day at a time.

    python bench/study.py [--times 1,100] [--days 5] [--work FOLDER]

The pilot is repeated with new sites and subjects, and every site sends all it has in one file for each source. A run of
everything then builds the tables, loads PostgreSQL and builds the models from nothing. After that one site sends the
vital signs and laboratory results of an unplanned visit of five subjects, on as many days as asked for, each followed
by a run. Tells wall and CPU time, the most memory of all processes together, and where the time went, by step.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from contest import BENCH, Run, watched

from assets import catalog
from assets.pilot.land import EXPORTS, LAST_DAY, collected
from lakehouse import definitions, postgres
from lakehouse.settings import Settings, export
from resources import instance

_STEP = re.compile(r"✓\[/green\] (\S+) ([0-9.]+) s")
# Unplanned visits have decimals.
_UNPLANNED = 90.1


def land(landing: Path, times: int) -> int:
    """All that `times` such studies have, each site's in one file for each source; how many records."""
    records = 0
    for name, item in EXPORTS.items():
        for (site,), rows in collected(item).drop("_day").partition_by("_site", as_dict=True).items():
            for number in range(times):
                _write(landing, name, f"{site}{number or ''}", rows, site, LAST_DAY)
                records += rows.height
    return records


def land_a_visit(landing: Path, site: str, day: date, number: int) -> int:
    """An unplanned visit of five subjects of a site; how many records."""
    records = 0
    for name, test in (("vitals", "VS"), ("labs", "LB")):
        rows = collected(EXPORTS[name]).filter(pl.col("_site") == site, pl.col("VISITNUM") == "3").drop("_day")
        some = rows["USUBJID"].unique().sort().head(5)
        visit = rows.filter(pl.col("USUBJID").is_in(some.implode())).with_columns(
            VISITNUM=pl.lit(str(_UNPLANNED + number)), VISIT=pl.lit("UNSCHEDULED"), **{f"{test}DTC": pl.lit(str(day))}
        )
        _write(landing, name, site, visit, site, day)
        records += visit.height
    return records


def _write(landing: Path, name: str, site: str, rows: pl.DataFrame, origin: str, day: date) -> None:
    (landing / site).mkdir(parents=True, exist_ok=True)
    renamed = pl.col("USUBJID").str.replace(f"-{origin}-", f"-{site}-", literal=True)
    rows = rows.drop("_site").with_columns(renamed)
    if "SITEID" in rows.columns:
        rows = rows.with_columns(SITEID=pl.lit(site))
    rows.write_csv(landing / site / f"{name}_{day}.csv")


def build(home: Path, as_of: date) -> None:
    """Run everything in this process; what each step took, as JSON."""
    settings = Settings(home=home, landing=home / "landing", as_of=as_of, settle_seconds=0)
    steps: dict[str, float] = {}

    def say(line: str) -> None:
        if done := _STEP.search(line):
            steps[done[1]] = float(done[2])

    with postgres.serving(settings) as url:
        export(instance.environment(settings, url))
        failed = definitions.run(settings, [source.name for source in catalog.sources()], None, say)
    assert not failed, failed
    print(json.dumps(steps))


def measured(home: Path, as_of: date, patience: float) -> tuple[Run, dict[str, float]]:
    """A run in a fresh process: its figures, and seconds by step."""
    command = [sys.executable, "-W", "ignore", str(BENCH / "study.py"), "--build", str(home), str(as_of)]
    figures, told = watched(patience, 0, command)
    return figures, {name: float(str(seconds)) for name, seconds in told.items()}


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--times", default="1,100")
    options.add_argument("--days", type=int, default=5)
    options.add_argument("--work", type=Path)
    options.add_argument("--patience", type=float, default=7200)
    options.add_argument("--build", nargs=2, metavar=("HOME", "DAY"), help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.build:
        build(Path(asked.build[0]), date.fromisoformat(asked.build[1]))
        return
    daily: dict[int, float] = {}
    for times in map(int, asked.times.split(",")):
        with tempfile.TemporaryDirectory(dir=asked.work) as name:
            home = Path(name)
            # PostgreSQL runs as a user of its own, which has to reach its folder.
            home.chmod(0o755)
            records = land(home / "landing", times)
            last = LAST_DAY + timedelta(days=asked.days + 1)
            figures, steps = measured(home, last, asked.patience)
            print(f"{times} times the study, {records:,} records, from scratch: {_told(figures, steps)}", flush=True)
            days = []
            for number in range(asked.days):
                sent = land_a_visit(home / "landing", "701", LAST_DAY + timedelta(days=number + 1), number)
                days.append(measured(home, last, asked.patience))
                print(f"  a day of {sent} records: {_told(*days[-1])}", flush=True)
            daily[times] = statistics.median(figures["wall"] for figures, _ in days)
    least, most = min(daily), max(daily)
    print({times: round(seconds, 1) for times, seconds in daily.items()})
    print(f"a day in {most} times the study takes {daily[most] / daily[least]:.2f} times what it takes in {least}")


def _told(figures: Run, steps: dict[str, float]) -> str:
    longest = sorted(steps.items(), key=lambda item: -item[1])
    where = ", ".join(f"{name} {seconds:.1f}" for name, seconds in longest if seconds >= 0.5)
    return f"{figures['wall']:.1f} s ({figures['cpu']:.1f} CPU), {figures['peak_mb']:,.0f} MB; {where}"


if __name__ == "__main__":
    main()
