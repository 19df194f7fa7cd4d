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
from lakehouse.lake import Lake
from lakehouse.remake import Rows, create, differences, remake
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


def sources_followed(state: manifest.State) -> dict[str, int]:
    """How far each source had come in what the curated tables of a state are made from."""
    return {name: seq for name, seq in (state.inputs or {}).items() if "/" not in name}


def stale(lake: Lake, curated: Sequence[Curated], sources: Sequence[Source], clock: Clock) -> bool:
    """Whether any source, or the code of the transforms, is ahead of the curated tables."""
    states = manifest.states(lake)
    state = states.get(GROUP, manifest.State(GROUP))
    return (sources_followed(state), state.code) != (
        inputs_reached(states, sources),
        code_version(curated, sources, clock),
    )


def curate(lake: Lake, curated: Sequence[Curated], sources: Sequence[Source], clock: Clock) -> list[Curation]:
    """Bring every curated table up to date in one consistent step.

    A table whose rows come out as they are is not written. Raises DefinitionError when a transform yields something
    its contract refuses, SupersededError when another run is ahead, HeldError when a person has to release something
    first; the tables stay as they were.
    """
    # Opened before the state is read: a run that gets ahead after that makes the commits below fail.
    tables = {table.table: lake.open(table.table) or create(lake, table) for table in curated}
    states = manifest.states(lake)
    reached = inputs_reached(states, sources)
    versions = manifest.readable(states)
    release.check(lake, sources, versions)
    before, code = states.get(GROUP, manifest.State(GROUP)), code_version(curated, sources, clock)
    generation = max([before.seq, *(delta.transaction_version(GROUP) or 0 for delta in tables.values())]) + 1
    found: dict[str, Rows] = {}
    done = []
    for table in ordered(curated):
        for name in table.inputs:
            if name not in found:
                found[name] = _input(lake, name, sources, clock, versions, before)
        inputs, delta = [found[name] for name in table.inputs], tables[table.table]
        # What an attempt that died has left is ahead of what the inputs are compared with.
        follows = before.code == code and 0 < (delta.transaction_version(GROUP) or 0) <= before.seq
        old = delta.version()
        rows = found[table.table] = remake(lake, table, inputs, delta, generation, GROUP, follows=follows)
        frames = [item.all for item in inputs]
        breaches = {name: check(*frames).select(pl.len()).collect().item() for name, check in table.checks.items()}
        changed, version = delta.version() != old, delta.version()
        done.append(Curation(table.table, delta.count(), changed, version, breaches, _summary(rows.all)))
    reads = {item.table: item.version for item in done}
    used = {name: versions[name] for name in found if name in versions and name not in reads}
    manifest.record(lake, manifest.State(GROUP, generation, reads, {**reached, **used}, code))
    return done


def _input(
    lake: Lake, name: str, sources: Sequence[Source], clock: Clock, versions: dict[str, int], before: manifest.State
) -> Rows:
    old = (before.inputs or {}).get(name)
    if name not in versions:
        given = _given(lake, name, sources, clock, versions)
        # Of a table that was never written nothing came or went; of the rest nobody knows.
        return Rows(given, given.collect_schema().to_frame if "/" in name else lambda: None)
    return Rows(lake.scan(name, versions[name]), lambda: differences(lake, name, old, versions[name]))


def _given(lake: Lake, name: str, sources: Sequence[Source], clock: Clock, versions: dict[str, int]) -> pl.LazyFrame:
    """What a table is given that is no table of the lake, or is none yet."""
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
    layer, _, source_name = name.partition("/")
    for source in sources:
        if source.name == source_name:
            return pl.LazyFrame(schema=schemas(source)[layer])
    raise DefinitionError(f"no source or curated table makes {name}; there are {sorted(versions)}")


def _summary(rows: pl.LazyFrame) -> dict[str, int]:
    """How many rows each site has, for a plot; aggregates only."""
    site = next((name for name in ("siteid", "_site") if name in rows.collect_schema()), None)
    if site is None:
        return {}
    return dict(rows.group_by(site).len().sort(site).collect().iter_rows())
