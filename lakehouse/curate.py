"""Curated tables brought up to date: all of them from one consistent state of their inputs, and only what changed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import polars as pl

from lakehouse import arrivals, manifest, release, sent
from lakehouse.clock import Clock
from lakehouse.code import fingerprint
from lakehouse.curated import Curated
from lakehouse.errors import DefinitionError
from lakehouse.inputs import Inputs, Rows, declarations
from lakehouse.lake import Lake
from lakehouse.remake import Remake, create
from lakehouse.remake_log import LogRemake
from lakehouse.source import Source

GROUP = "curated"


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
    declared = repr([(name, rows.rows()) for name, rows in declarations(sources, clock).items()])
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
    """Whether any source, what was sent, or the code of the transforms is ahead of the curated tables."""
    states = manifest.states(lake)
    state = states.get(GROUP, manifest.State(GROUP))
    if not sent.versions(lake, curated).items() <= (state.inputs or {}).items():
        return True
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
    sent.prepare(lake, curated)
    versions = {**manifest.readable(states), **sent.versions(lake, curated)}
    release.check(lake, sources, versions)
    before, code = states.get(GROUP, manifest.State(GROUP)), code_version(curated, sources, clock)
    generation = max([before.seq, *(delta.transaction_version(GROUP) or 0 for delta in tables.values())]) + 1
    inputs = Inputs(lake, sources, clock, versions, before.inputs or {})
    made: dict[str, Rows] = {}
    done = []
    for table in ordered(curated):
        delta = tables[table.table]
        old = delta.version()
        given = [made[name] if name in made else inputs.rows(name) for name in table.inputs]
        # What an attempt that died has left is ahead of what the inputs are compared with.
        follows = before.code == code and 0 < (delta.transaction_version(GROUP) or 0) <= before.seq
        kind = LogRemake if table.of_log else Remake
        made[table.table] = kind(lake, table, given, delta, GROUP, generation, follows).run()
        rows = made[table.table].all
        breaches = {
            name: check(rows, *(item.all for item in given)).select(pl.len()).collect().item()
            for name, check in table.checks.items()
        }
        changed, version = delta.version() != old, delta.version()
        done.append(Curation(table.table, delta.count(), changed, version, breaches, _summary(rows)))
    reads = {item.table: item.version for item in done}
    manifest.record(lake, manifest.State(GROUP, generation, reads, {**reached, **inputs.used}, code))
    return done


def _summary(rows: pl.LazyFrame) -> dict[str, int]:
    """How many rows each site has, for a plot; aggregates only."""
    site = next((name for name in ("siteid", "_site") if name in rows.collect_schema()), None)
    if site is None:
        return {}
    return dict(rows.group_by(site).len().sort(site).collect().iter_rows())
