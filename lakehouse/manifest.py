"""The manifest: which versions of which tables form one consistent state.

One row per group of tables that move together (each source, and the curated tables), written last. Whoever reads the
lake reads through it and never sees half a batch.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from lakehouse.lake import Change, Lake

TABLE = "manifest"
SCHEMA: dict[str, pl.DataType] = {
    "name": pl.String(),
    "seq": pl.Int64(),
    "committed_at": pl.Datetime("us", "UTC"),
    "versions": pl.String(),
    "inputs": pl.String(),
    "code": pl.String(),
}


@dataclass(frozen=True)
class State:
    """One consistent state of a group of tables.

    seq: counts its states up; for a source, the last ledger row the tables reflect. versions: table to Delta version.
    inputs: what it was made from. code: version of the contract or transforms that made it.
    """

    name: str
    seq: int = 0
    versions: dict[str, int] | None = None
    inputs: dict[str, int] | None = None
    code: str = ""

    def version(self, table: str) -> int | None:
        """The version of a table in this state; None before it was first written."""
        return (self.versions or {}).get(table)


def states(lake: Lake) -> dict[str, State]:
    """The newest state of every group, by name, all read from one snapshot."""
    rows = lake.scan(TABLE, schema=SCHEMA).sort("seq").collect()
    return {
        row["name"]: State(row["name"], row["seq"], json.loads(row["versions"]), json.loads(row["inputs"]), row["code"])
        for row in rows.iter_rows(named=True)
    }


def versions(lake: Lake) -> dict[str, int]:
    """The version of every table that a reader should read, in one consistent state."""
    return {table: version for state in states(lake).values() for table, version in (state.versions or {}).items()}


def record(lake: Lake, state: State) -> None:
    """Make `state` the one its group is read at. Raises SupersededError when a later one is recorded already."""
    # A partition per group: groups are written at the same time without getting in each other's way.
    delta = lake.create(TABLE, SCHEMA, partition_by=["name"])
    row = {
        "name": state.name,
        "seq": state.seq,
        "committed_at": datetime.now(UTC),
        "versions": json.dumps(state.versions or {}, sort_keys=True),
        "inputs": json.dumps(state.inputs or {}, sort_keys=True),
        "code": state.code,
    }
    change = Change(pl.DataFrame([row], schema=SCHEMA))
    lake.commit(delta, change, f"manifest/{state.name}", state.seq, replace=f"name = '{state.name}'")
