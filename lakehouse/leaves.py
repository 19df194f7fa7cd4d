"""Tables whose rows lie together by one column, so that a change to a few of its values rewrites few data files.

The files are like the leaves of a tree: sorted, each from a least value to a greatest, as the table's log tells. A leaf
that has grown too large is split; one that has lost its rows is gone.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from lakehouse import files
from lakehouse.lake import Change, Lake, rows

# Leaves are larger than this, so that housekeeping, which puts smaller files together, leaves them as they are.
PROPERTIES = {"delta.targetFileSize": str(1 << 18)}
# Few enough that a leaf is rewritten in a moment.
LEAF_ROWS = 100_000


@dataclass(frozen=True)
class Leaf:
    """A data file, and the least and greatest value of the column in it; None where the log does not tell."""

    path: str
    size: int
    low: str | int | None
    high: str | int | None

    def may_hold(self, values: pl.Series) -> bool:
        """Whether any of the values may be in it."""
        return self.low is None or self.high is None or bool(values.is_between(self.low, self.high).any())


def write(lake: Lake, table: str, sorted_rows: pl.DataFrame, told: Collection[str]) -> list[AddAction]:
    """Write rows as data files that no commit names yet. told: columns whose ranges the log is to tell."""
    count = max(1, round(sorted_rows.height / LEAF_ROWS))
    size = -(-sorted_rows.height // count)
    parts = sorted_rows.iter_slices(size) if size else ()
    return [files.write(lake, table, dict(sorted_rows.schema), part, told) for part in parts]


def leaves(delta: DeltaTable, column: str) -> list[Leaf]:
    """The table's data files, in the order of the column."""
    known = pl.DataFrame(delta.get_add_actions(flatten=True))
    ends = [
        pl.col(name) if name in known.columns else pl.lit(None, pl.String)
        for name in (f"min.{column}", f"max.{column}")
    ]
    found = [Leaf(*row) for row in known.select("path", "size_bytes", *ends).iter_rows()]
    return sorted(found, key=lambda leaf: (leaf.low is not None, leaf.low if leaf.low is not None else "", leaf.path))


def held(lake: Lake, table: str, delta: DeltaTable, column: str, values: pl.Series) -> pl.DataFrame:
    """The table's rows that have one of these values in the column."""
    wanted = pl.col(column).is_in(values.implode())
    layout = rows(delta).collect_schema()
    found = [
        files.read(lake, table, leaf.path, list(layout)).filter(wanted)
        for leaf in leaves(delta, column)
        if leaf.may_hold(values)
    ]
    return pl.concat([pl.DataFrame(schema=layout), *found])


def exchanged(
    lake: Lake, table: str, delta: DeltaTable, order: Sequence[str], values: pl.Series, new: pl.DataFrame
) -> Change:
    """What puts `new` in the place of all rows that have one of these values, all of them not null.

    order: the columns that rows are sorted by, first the one that they lie together by. new: rows with those values.
    """
    column = order[0]
    there = leaves(delta, column)
    # Rows go where the value would be looked for: into the last leaf that begins at or before it.
    added: list[AddAction | RemoveAction] = []
    gone = pl.col(column).is_in(values.implode())
    left = new
    for at, leaf in reversed(list(enumerate(there))):
        if at and leaf.low is not None:
            coming, left = left.filter(pl.col(column) >= leaf.low), left.filter(pl.col(column) < leaf.low)
        else:
            coming, left = left, left.clear()
        if coming.is_empty() and not leaf.may_hold(values):
            continue
        old = files.read(lake, table, leaf.path, new.columns)
        stays = old.filter(~gone)
        if coming.is_empty() and stays.height == old.height:
            continue
        added += write(lake, table, pl.concat([stays, coming]).sort(order), order)
        added.append(RemoveAction(leaf.path, True, int(time.time() * 1000), leaf.size, {}))
    added += write(lake, table, left.sort(order), order)
    return Change(new.clear(), files=tuple(added))
