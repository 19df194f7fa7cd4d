"""Curated tables brought up to date: all of them from one consistent state of their inputs, and only what changed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import polars as pl

from lakehouse import account, arrivals, manifest, release
from lakehouse.clock import Clock
from lakehouse.code import fingerprint
from lakehouse.contract import PROVENANCE
from lakehouse.curated import Curated
from lakehouse.errors import DefinitionError
from lakehouse.evaluate import QUARANTINE
from lakehouse.ingest import schemas
from lakehouse.lake import Change, Lake
from lakehouse.lake import rows as stored
from lakehouse.source import Source

GROUP = "curated"
# What a table may be made from beside tables: rows of every source at once, and what the sources declare.
GIVEN: dict[str, dict[str, pl.DataType]] = {
    "account": account.SCHEMA,
    "quarantine": {**QUARANTINE, "source": pl.String()},
    "warnings": {**PROVENANCE, "_warnings": pl.String(), "source": pl.String()},
    "rules": {"source": pl.String(), "rule": pl.String(), "severity": pl.String()},
    "expectations": arrivals.EXPECTATIONS,
}


@dataclass(frozen=True)
class Curation:
    """One curated table brought up to date: rows, whether it changed, its version, and rows in breach by check."""

    table: str
    rows: int
    changed: bool
    version: int
    breaches: dict[str, int]
    summary: dict[str, int]


def code_version(curated: Sequence[Curated], sources: Sequence[Source], clock: Clock) -> str:
    """Names the transforms and what else they are given but rows: changes when the code that declares a curated table
    does, with what the sources expect of their sites, and with a clock that is set.
    """
    code = fingerprint(sorted({table.contract.__module__ for table in curated} | {arrivals.__name__}))
    declared = repr(arrivals.expectations(sources, clock).rows())
    return hashlib.sha256((code + declared).encode()).hexdigest()[:12]


def ordered(curated: Sequence[Curated]) -> list[Curated]:
    """The tables so that each comes after those it is made from. Raises DefinitionError on a circle."""
    by_table = {table.table: table for table in curated}
    try:
        order = TopologicalSorter(
            {name: [item for item in table.inputs if item in by_table] for name, table in by_table.items()}
        ).static_order()
        return [by_table[name] for name in order]
    except CycleError as error:
        raise DefinitionError(f"curated tables are made from each other in a circle: {error.args[1]}") from None


def inputs_reached(states: dict[str, manifest.State], sources: Sequence[Source]) -> dict[str, int]:
    """How far each source has come: what the curated tables are to reflect."""
    return {source.name: states[source.name].seq for source in sources if source.name in states}


def stale(lake: Lake, curated: Sequence[Curated], sources: Sequence[Source], clock: Clock) -> bool:
    """Whether any source, or the code of the transforms, is ahead of the curated tables."""
    states = manifest.states(lake)
    state = states.get(GROUP, manifest.State(GROUP))
    return (state.inputs or {}, state.code) != (inputs_reached(states, sources), code_version(curated, sources, clock))


def curate(lake: Lake, curated: Sequence[Curated], sources: Sequence[Source], clock: Clock) -> list[Curation]:
    """Bring every curated table up to date in one consistent step.

    A table whose rows come out as they are is not written. Raises DefinitionError when a transform yields something
    its contract refuses, SupersededError when another run is ahead, HeldError when a person has to release something
    first; the tables stay as they were.
    """
    # Opened before the state is read: a run that gets ahead after that makes the commits below fail.
    tables = {
        table.table: lake.open(table.table) or lake.create(table.table, table.contract.create_empty().schema)
        for table in curated
    }
    states = manifest.states(lake)
    reached = inputs_reached(states, sources)
    versions = manifest.readable(states)
    release.check(lake, sources, versions)
    before = states.get(GROUP, manifest.State(GROUP))
    generation = max([before.seq, *(delta.transaction_version(GROUP) or 0 for delta in tables.values())]) + 1
    made: dict[str, pl.LazyFrame] = {}
    done = []
    for table in ordered(curated):
        frames = [made[name] if name in made else _input(lake, name, sources, clock, versions) for name in table.inputs]
        rows = _checked(table, table.transform(*frames).collect())
        made[table.table] = rows.lazy()
        delta = tables[table.table]
        old = stored(delta)
        changed = delta.version() == 0 or old.collect_schema() != rows.schema or not rows.equals(old.collect())
        if changed:
            lake.commit(delta, Change(rows), GROUP, generation, replace="true")
        breaches = {name: check(*frames).select(pl.len()).collect().item() for name, check in table.checks.items()}
        done.append(Curation(table.table, rows.height, changed, delta.version(), breaches, _summary(rows)))
    reads = {item.table: item.version for item in done}
    manifest.record(lake, manifest.State(GROUP, generation, reads, reached, code_version(curated, sources, clock)))
    return done


def _input(lake: Lake, name: str, sources: Sequence[Source], clock: Clock, versions: dict[str, int]) -> pl.LazyFrame:
    if name == "expectations":
        return arrivals.expectations(sources, clock).lazy()
    if name == "account":
        return account.deliveries(lake, [source.name for source in sources], versions)
    if name == "rules":
        declared = [(source.name, *item) for source in sources for item in source.severities.items()]
        return pl.LazyFrame(declared, schema=GIVEN[name], orient="row")
    if name in GIVEN:
        layer = "quarantine" if name == "quarantine" else "processed"
        frames = [
            lake.scan(table, versions[table]).with_columns(source=pl.lit(source.name)).select(list(GIVEN[name]))
            for source in sources
            if (table := f"{layer}/{source.name}") in versions and (name == "quarantine" or source.rules("warn"))
        ]
        rows = pl.concat(frames) if frames else pl.LazyFrame(schema=GIVEN[name])
        return rows if name == "quarantine" else rows.drop_nulls("_warnings")
    if name in versions:
        return lake.scan(name, versions[name])
    layer, _, source_name = name.partition("/")
    for source in sources:
        if source.name == source_name:
            return pl.LazyFrame(schema=schemas(source)[layer])
    raise DefinitionError(f"no source or curated table makes {name}; there are {sorted(versions)}")


def _checked(table: Curated, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in their contract's columns and a stable order."""
    expected = dict(table.contract.create_empty().schema)
    if dict(rows.schema) != expected:
        wrong = {n: (rows.schema.get(n), expected.get(n)) for n in {**rows.schema, **expected}}
        told = "; ".join(f"{n} is {got}, not {want}" for n, (got, want) in wrong.items() if got != want)
        raise DefinitionError(f"{table.table}: the transform does not yield what its contract names: {told}")
    broken = {rule: count for rule, count in table.contract.filter(rows, cast=False)[1].counts().items() if count}
    if broken:
        raise DefinitionError(f"{table.table}: rows break its contract, by rule: {broken}; the table stays as it was")
    key = list(table.key)
    if rows.select(key).is_duplicated().any():
        raise DefinitionError(f"{table.table}: {key} does not name one row; the table stays as it was")
    return rows.select(list(expected)).sort(key)


def _summary(rows: pl.DataFrame) -> dict[str, int]:
    """How many rows each site has, for a plot; aggregates only."""
    site = next((name for name in ("siteid", "_site") if name in rows.columns), None)
    if site is None:
        return {}
    return dict(rows.group_by(site).len().sort(site).iter_rows())
