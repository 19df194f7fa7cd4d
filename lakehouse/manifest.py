"""The manifest: which versions of which tables form one consistent state.

One row per group of tables that move together (each source, and the curated tables), written last. Whoever reads the
lake reads through it and never sees half a batch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import polars as pl

from lakehouse.errors import SupersededError
from lakehouse.lake import Change, Lake

TABLE = "manifest"
# Groups of this name are not for readers: tables on their way to the next state of the group after it.
UNFINISHED = "unfinished/"
_ATTEMPTS = 5
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

    seq: counts its states up; for a source, how far into the ledger its tables are. versions: table to Delta version.
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


@dataclass(frozen=True)
class Shown:
    """What readers were shown from one commit of the manifest on: every group's state, and when the last of them came.

    at: None before anything was recorded.
    """

    states: dict[str, State]
    at: datetime | None = None


def shown(lake: Lake, version: int | None = None) -> Shown:
    """The state of every group, by name, all read from one snapshot: the newest, or the manifest table's `version`.

    Raises UnavailableError, or what Polars raises, when housekeeping has removed that version.
    """
    rows = lake.scan(TABLE, version, schema=SCHEMA).sort("seq").collect()
    found = {
        row["name"]: State(row["name"], row["seq"], json.loads(row["versions"]), json.loads(row["inputs"]), row["code"])
        for row in rows.iter_rows(named=True)
    }
    return Shown(found, cast("datetime | None", rows["committed_at"].max()))


def states(lake: Lake) -> dict[str, State]:
    """The newest state of every group, by name, all read from one snapshot."""
    return shown(lake).states


def versions(lake: Lake) -> dict[str, int]:
    """The version of every table that a reader should read, in one consistent state."""
    return readable(states(lake))


def readable(found: Mapping[str, State]) -> dict[str, int]:
    """The version of every table in these states, but for what is unfinished."""
    finished = [state for name, state in found.items() if not name.startswith(UNFINISHED)]
    return {table: version for state in finished for table, version in (state.versions or {}).items()}


def made_by(lake: Lake) -> dict[str, str]:
    """By table, the version of the contract or transforms that made what a reader reads."""
    return codes(states(lake))


def codes(found: Mapping[str, State]) -> dict[str, str]:
    """By table, the version of the contract or transforms that made it, but for what is unfinished."""
    finished = [state for name, state in found.items() if not name.startswith(UNFINISHED)]
    return {table: state.code for state in finished for table in state.versions or {}}


def record(lake: Lake, state: State) -> None:
    """Make `state` the one its group is read at. Raises SupersededError when a later one is recorded already."""
    # A partition per group: groups are written at the same time without getting in each other's way.
    row = {
        "name": state.name,
        "seq": state.seq,
        "committed_at": datetime.now(UTC),
        "versions": json.dumps(state.versions or {}, sort_keys=True),
        "inputs": json.dumps(state.inputs or {}, sort_keys=True),
        "code": state.code,
    }
    change = Change(pl.DataFrame([row], schema=SCHEMA))
    app, where = f"manifest/{state.name}", f"name = '{state.name}'"
    for attempt in range(_ATTEMPTS):
        delta = lake.create(TABLE, SCHEMA, partition_by=["name"])
        try:
            lake.commit(delta, change, app, state.seq, replace=where)
            return
        except SupersededError:
            # Another group may have made the table at this very moment; only a later state of ours is in the way.
            if attempt == _ATTEMPTS - 1 or (delta.transaction_version(app) or 0) >= state.seq:
                raise
