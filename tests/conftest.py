"""What tests of the whole lakehouse share: the pilot study, run once."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import hypothesis
import polars as pl
import pytest
from adbc_driver_postgresql import dbapi
from click.testing import Result
from typer.testing import CliRunner

from assets import catalog
from assets.pilot.land import LAST_DAY, land
from lakehouse import definitions, manifest, postgres
from lakehouse.cli.__main__ import app
from lakehouse.lake import Lake
from lakehouse.settings import PROJECT, Settings, export
from resources import instance

# No test is judged by its time: the machine may be busy.
hypothesis.settings.register_profile("calm", deadline=None)
hypothesis.settings.load_profile("calm")
# Chosen by `--hypothesis-profile=soak`.
hypothesis.settings.register_profile("soak", max_examples=20_000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--histories N`: how many random histories the property test of ingestion goes through; `make soak` asks more."""
    parser.addoption("--histories", type=int, default=40, help="random histories for the property test of ingestion")


# Before xdist reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which tests one process runs one after another: those of files that use the whole pilot, so that it is made once;
    else those of a file. What takes long is begun first.
    """
    uses: dict[Path, set[str]] = defaultdict(set)
    for item in items:
        uses[item.path].update(getattr(item, "fixturenames", ()))
    items.sort(key=lambda item: ("trial" not in uses[item.path], not uses[item.path] & {"home", "call"}))
    for item in items:
        group = "pilot" if "trial" in uses[item.path] else item.path.relative_to(PROJECT).as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Long bytes do not name a test: packed ones tell when they were, and every process is to know it by one name."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 20 else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Not with a pytest whose groups pytest-xdist cannot tell: every process would make the pilot, for an hour."""
    if hasattr(session.config, "workerinput") and not all("@" in item.nodeid for item in session.items):
        raise pytest.UsageError("this pytest-xdist keeps no groups with this pytest; make setup brings those that fit")


LAKEHOUSE = [sys.executable, "-W", "ignore", "-m", "lakehouse.cli"]


def _call(*words: str, project: Path = PROJECT, **settings: object) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "DAGSTER_"))}
    given = {f"LAKEHOUSE_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**kept, **given, "PYTHONPATH": str(project), "COLUMNS": "200"}
    return subprocess.run(
        [*LAKEHOUSE, *words], env=environment, cwd=project, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="session")
def call() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls the command line: its words, and settings by name; `project` is the folder whose code runs."""
    return _call


def _ask(*words: str, **settings: object) -> Result:
    kept = dict.fromkeys(name for name in os.environ if name.startswith(("LAKEHOUSE_", "DAGSTER_")))
    given = {f"LAKEHOUSE_{name.upper()}": str(value) for name, value in settings.items()}
    return CliRunner().invoke(app, words, env={**kept, **given})


@pytest.fixture(scope="session")
def ask() -> Callable[..., Result]:
    """Like `call`, in this process: for many questions, whose answers take less time than starting one."""
    return _ask


@dataclass(frozen=True)
class Trial:
    """A lakehouse with the pilot study in it, and its PostgreSQL up."""

    settings: Settings
    url: str

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_uri)

    def table(self, name: str) -> pl.DataFrame:
        """Rows of a lake table, in the state the manifest names."""
        return self.lake.scan(name, manifest.versions(self.lake)[name]).collect()

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Rows from PostgreSQL."""
        with dbapi.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def run(self, sources: list[str] | None = None) -> dict[str, str]:
        """Bring everything up to date; why each failed step did."""
        names = sources or [source.name for source in catalog.sources()]
        return definitions.run(self.settings, names, None, lambda _: None)

    @property
    def dagster(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.get()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for a lakehouse's state: a socket's path must be short, and the server's user must reach it."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def trial() -> Iterator[Trial]:
    """The whole pilot study and the fictional site 999, landed and run once through Dagster. Tests do not change it."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-", dir="/tmp"))
    folder.chmod(0o755)
    today = LAST_DAY.fromordinal(LAST_DAY.toordinal() + 1)
    settings = Settings(home=folder / "state", landing=folder / "landing", as_of=today, settle_seconds=0)
    land(settings.landing)
    with postgres.serving(settings) as url:
        export(instance.environment(settings, url))
        ready = Trial(settings, url)
        assert ready.run() == {}
        yield ready
    shutil.rmtree(folder)
