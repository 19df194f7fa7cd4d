"""Contenders that do the same task with files on the disk: their environments, their runs and what they took."""

import csv
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import scaled

from lakehouse.postgres import serving, transaction
from lakehouse.settings import Settings

BENCH = Path(__file__).resolve().parent
PEERS = BENCH / "peers"
# Data and environments are kept here from one time to the next.
WORK = Path(tempfile.gettempdir()) / "lakehouse-bench"
ROWS, ROUNDS, PATIENCE = 1_000_000, 3, 1800.0
# Figures of a run, and the answer that the contender tells.
Run = dict[str, float]
Answer = dict[str, object]
# The runs of each contender.
Taken = dict[str, list[Run]]


@dataclass(frozen=True)
class Contender:
    """A script below peers/, and what it runs in.

    packages: the environment below peers/requirements; none is the project's own. server: it works with a PostgreSQL.
    elsewhere: its body's work is done by other processes, whose CPU only the figure for the whole has.
    """

    script: str
    flags: tuple[str, ...] = ()
    packages: str | None = None
    server: bool = False
    elsewhere: bool = False


CONTENDERS = {
    "lakehouse": Contender("lakehouse_dagster.py"),
    "polars": Contender("polars_delta.py"),
    "polars-staged": Contender("polars_delta.py", ("--staged",)),
    "duckdb": Contender("duckdb_parquet.py", packages="duckdb"),
    "duckdb-all": Contender("duckdb_parquet.py", ("--all",), "duckdb"),
    "dask": Contender("dask_parquet.py", packages="dask"),
    "spark": Contender("spark_parquet.py", packages="spark", elsewhere=True),
    "pandas": Contender("pandas_postgres.py", packages="pandas", server=True, elsewhere=True),
    "dlt": Contender("dlt_delta.py", packages="dlt"),
    "dlt-arrow": Contender("dlt_delta.py", ("--arrow",), "dlt"),
}


class FailedError(Exception):
    """A contender did not get to its end."""


def data(work: Path, rows: int, shape: str) -> Path:
    """The folder with the records, written once for each version of the script that makes them."""
    version = hashlib.sha256(Path(scaled.__file__).read_bytes()).hexdigest()[:8]
    folder = work / "data" / f"{shape}-{rows}-{version}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        # In a process of its own: what it takes is to be gone before anything is measured.
        words = [sys.executable, "-W", "ignore", str(BENCH / "scaled.py"), str(unfinished)]
        subprocess.run([*words, "--rows", str(rows), "--shape", shape], check=True, env=surroundings())
        unfinished.rename(folder)
    return folder


def surroundings(**more: str) -> dict[str, str]:
    """The environment that contenders run in."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (BENCH.parent, BENCH, PEERS))), **more}


def interpreter(work: Path, packages: str | None) -> str:
    """The Python of an environment, made anew when its requirements are others than they were."""
    if packages is None:
        return sys.executable
    folder, wanted = work / "env" / packages, PEERS / "requirements" / f"{packages}.txt"
    made, python = folder / "requirements.txt", str(folder / "bin/python")
    if not made.exists() or made.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "-r", wanted], check=True)
        shutil.copy(wanted, made)
    return python


@contextmanager
def database() -> Iterator[tuple[str, int]]:
    """A fresh embedded PostgreSQL: its URL, and the process id of its server."""
    with tempfile.TemporaryDirectory() as home:
        # The server runs as a user of its own, which has to reach its folder.
        Path(home).chmod(0o755)
        settings = Settings(home=Path(home))
        with serving(settings) as url:
            yield url, int((settings.postgres / "postmaster.pid").read_text().split()[0])


def watched(patience: float, server: int, command: Sequence[str], **more: str) -> tuple[Run, Answer]:
    """Run a command; what it took with everything it started, and the JSON that it said last."""
    words = [sys.executable, str(BENCH / "watched.py"), str(patience), str(server), *command]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=surroundings(**more))
    told = json.loads(done.stdout)
    if told["wall"] > patience:
        raise FailedError(f"not done within {patience:.0f} s")
    if told["code"]:
        raise FailedError(f"ended with {told['code']}: {told['complained'].splitlines()[-1:]}")
    return {name: told[name] for name in ("wall", "cpu", "peak_mb")}, json.loads(told["said"])


def run(contender: Contender, python: str, landing: Path, out: Path, patience: float) -> tuple[Run, Answer]:
    """One run in a fresh process: its figures and its answer. Raises FailedError."""
    command = [python, "-W", "ignore", str(PEERS / contender.script), str(landing), str(out), *contender.flags]
    if contender.server:
        with database() as (url, server):
            figures, told = watched(patience, server, command, PEER_POSTGRES=url)
            with transaction(url) as cursor:
                cursor.execute("select pg_database_size(current_database())")
                size = cursor.fetchone()
            assert size is not None
            written = size[0]
    else:
        figures, told = watched(patience, 0, command)
        written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file() and not path.is_symlink())
    body = {name: told.pop(name) for name in ("body_wall", "body_cpu")}
    if contender.elsewhere:
        del body["body_cpu"]
    return {**body, **figures, "written_mb": written / 1e6}, told


def wrong(told: Answer, out: Path, expected: Answer, reference: Path) -> str:
    """What is wrong with an answer; "" when it is right."""
    for name in ("accepted", "rejected"):
        if told[name] != expected[name]:
            return f"{name} are {told[name]}, not {expected[name]}"
    summary, right = _summary(out), _summary(reference)
    if summary.keys() != right.keys():
        return f"{len(summary.keys() ^ right.keys())} groups of the summary are not in both"
    for group, (count, mean) in right.items():
        if summary[group][0] != count or not math.isclose(summary[group][1], mean, rel_tol=1e-9):
            return f"the summary has {summary[group]} for {group}, not {(count, mean)}"
    return ""


def _summary(out: Path) -> dict[tuple[str, ...], tuple[int, float]]:
    with (out / "summary.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {(row["site"], row["vstestcd"], row["month"]): (int(row["results"]), float(row["mean"])) for row in rows}


def hold(names: Sequence[str], landing: Path, work: Path, rounds: int, patience: float) -> tuple[Taken, dict[str, str]]:
    """The runs of every contender that gives the right answer, and what is wrong with the others'.

    rounds: 0 takes the first runs, whose answers are compared, for all there are.
    """
    expected = json.loads((landing / "expected.json").read_text())
    pythons = {name: interpreter(work, CONTENDERS[name].packages) for name in names}
    taken: Taken = {}
    left_out: dict[str, str] = {}
    # Nothing is removed before the end: ext4 makes files slowly for a while after many were.
    with tempfile.TemporaryDirectory(dir=work) as folder:
        outs = Path(folder)
        for name in names:
            try:
                figures, told = run(CONTENDERS[name], pythons[name], landing, outs / name, patience)
                why = wrong(told, outs / name, expected, outs / "lakehouse")
            except FailedError as error:
                why = str(error)
            if why and name == "lakehouse":
                raise SystemExit(f"lakehouse's own answer is wrong: {why}")
            print(f"  {name:10} " + (f"left out: {why}" if why else f"right, {figures['wall']:.1f} s"), flush=True)
            if why:
                left_out[name] = why
            else:
                taken[name] = [] if rounds else [figures]
        for number in range(rounds):
            for name in list(taken):
                try:
                    figures, _ = run(CONTENDERS[name], pythons[name], landing, outs / f"{name} {number}", patience)
                    taken[name].append(figures)
                except FailedError as error:
                    if name == "lakehouse":
                        raise
                    del taken[name]
                    left_out[name] = f"in round {number + 1}: {error}"
            print(f"  round {number + 1} of {rounds}", flush=True)
    return taken, left_out
