"""How a curated table is made again from its inputs: whole, or only for the values of `by` whose rows changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import polars as pl
from deltalake import DeltaTable

from lakehouse import files, leaves
from lakehouse.curated import Curated
from lakehouse.errors import DefinitionError
from lakehouse.lake import Change, Lake
from lakehouse.lake import rows as stored
from lakehouse.near import near

# How many rows of its inputs a table is made from at a time, when it can be made in parts.
PART_ROWS = 500_000


@dataclass(frozen=True)
class Rows:
    """The rows of a table that others are made from. difference: tells which of them came or went, see `differ`."""

    all: pl.LazyFrame
    difference: Callable[[], pl.DataFrame | None]

    @cached_property
    def differ(self) -> pl.DataFrame | None:
        """Rows that came or went since others were last made from the table, whole rows; None when nobody knows, or
        when they are most of it.
        """
        return self.difference()


def create(lake: Lake, table: Curated) -> DeltaTable:
    """The table, empty."""
    properties = leaves.PROPERTIES if table.by else None
    return lake.create(table.table, table.contract.create_empty().schema, properties=properties)


def differences(lake: Lake, table: str, old: int | None, new: int) -> pl.DataFrame | None:
    """The rows by which two versions of a table differ; None when `old` is None, or when they are most of it."""
    if old is None:
        return None
    if old == new:
        return lake.scan(table, new).collect_schema().to_frame()
    gone, added = lake.changed(table, old, new)
    delta = lake.open(table, new)
    assert delta is not None
    return _unless_most(gone, added, delta.count())


def remake(
    lake: Lake, table: Curated, inputs: Sequence[Rows], delta: DeltaTable, generation: int, app: str, *, follows: bool
) -> Rows:
    """Commit the table as its inputs have it now, unless it is that already; its rows.

    follows: whether `delta` reflects the inputs as they were before they came to differ, by the same code.
    Raises DefinitionError when the transform yields something the contract refuses, SupersededError when another run
    got there first.
    """
    values = _changed_values(table.by, inputs) if follows and table.by else None
    if values is not None:
        return _some(lake, table, inputs, delta, generation, app, values)
    make = _in_parts if table.by else _whole
    rows = make(lake, table, inputs, delta, generation, app)
    # What an attempt that died has written is news to the tables made from this one.
    return rows if follows else Rows(rows.all, lambda: None)


def _whole(lake: Lake, table: Curated, inputs: Sequence[Rows], delta: DeltaTable, generation: int, app: str) -> Rows:
    rows = checked(table, table.transform(*(item.all for item in inputs)).collect())
    old = stored(delta)
    if delta.version() and old.collect_schema() == rows.schema:
        was = old.collect()
        if rows.equals(was):
            return Rows(rows.lazy(), rows.clear)
        lake.commit(delta, Change(rows), app, generation, replace="true")
        return Rows(rows.lazy(), lambda: _unless_most(*_apart(was, rows), rows.height))
    lake.commit(delta, Change(rows), app, generation, replace="true")
    return Rows(rows.lazy(), lambda: None)


def _changed_values(by: str, inputs: Sequence[Rows]) -> pl.Series | None:
    """The values whose rows have to be made anew; None when that is all of them."""
    found = [pl.Series(by, [], pl.String)]
    for item in inputs:
        if item.differ is None:
            return None
        if item.differ.is_empty():
            continue
        if by not in item.differ.columns:
            return None
        found.append(item.differ[by])
    return pl.concat(found).drop_nulls().unique().sort()


def _some(
    lake: Lake, table: Curated, inputs: Sequence[Rows], delta: DeltaTable, generation: int, app: str, values: pl.Series
) -> Rows:
    by = _by(table)
    nothing = pl.DataFrame(schema=stored(delta).collect_schema())
    if values.is_empty():
        return Rows(stored(delta), lambda: nothing)
    new = _made(table, inputs, near(values.to_frame(by)) & pl.col(by).is_in(values.implode()))
    if new.schema != nothing.schema:
        return _in_parts(lake, table, inputs, delta, generation, app)
    gone, added = _apart(leaves.held(lake, table.table, delta, by, values), new)
    changed = pl.concat([gone[by], added[by]]).unique().sort()
    if not changed.is_empty():
        new = new.filter(pl.col(by).is_in(changed.implode()))
        change = leaves.exchanged(lake, table.table, delta, (by, *table.key), changed, new)
        lake.commit(delta, change, app, generation)
    return Rows(stored(delta), lambda: _unless_most(gone, added, delta.count()))


def _in_parts(lake: Lake, table: Curated, inputs: Sequence[Rows], delta: DeltaTable, generation: int, app: str) -> Rows:
    """Everything anew, a range of values at a time: what is held at one time does not grow with the table."""
    by, old, written, same = _by(table), stored(delta), [], bool(delta.version())
    for within in _ranges(by, [item.all for item in inputs]):
        rows = _made(table, inputs, within)
        same = same and old.collect_schema() == rows.schema
        same = same and rows.equals(old.filter(within).sort(by, *table.key).collect())
        written += leaves.write(lake, table.table, rows, (by, *table.key))
    if same:
        files.discard(lake, table.table, written)
        return Rows(old, pl.DataFrame(schema=old.collect_schema()).clear)
    change = Change(checked(table, rows.clear()), files=tuple(written))
    lake.commit(delta, change, app, generation, replace="true")
    return Rows(stored(delta), lambda: None)


def _ranges(by: str, frames: Sequence[pl.LazyFrame]) -> list[pl.Expr]:
    """Conditions that part all values between them, about so many rows to each."""
    named = [frame.select(by) for frame in frames if by in frame.collect_schema()]
    counts = pl.concat(named).drop_nulls().group_by(by).len().sort(by).collect(engine="streaming")
    part = (pl.col("len").cum_sum() - 1) // PART_ROWS
    ends = counts.group_by(part.alias("part"), maintain_order=True).agg(pl.col(by).last())[by][:-1]
    column, bounds = pl.col(by), [None, *ends, None]
    found = []
    for low, high in pairwise(bounds):
        within = column.is_not_null()
        within = within if low is None else within & (column > low)
        found.append(within if high is None else within & (column <= high))
    return found


def _made(table: Curated, inputs: Sequence[Rows], within: pl.Expr) -> pl.DataFrame:
    """The table's rows for some values, sorted by value and key."""
    by = _by(table)
    frames = [item.all.filter(within) if by in item.all.collect_schema() else item.all for item in inputs]
    rows = checked(table, table.transform(*frames).collect())
    if rows.filter(within).height < rows.height:
        raise DefinitionError(f"{table.table}: the transform yields rows of another {by} than those it is given")
    return rows.sort(by, *table.key)


def _by(table: Curated) -> str:
    assert table.by is not None
    return table.by


def _apart(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that only the one has, and those that only the other has."""
    gone = old.join(new, on=old.columns, how="anti", nulls_equal=True)
    return gone, new.join(old, on=old.columns, how="anti", nulls_equal=True)


def _unless_most(gone: pl.DataFrame, added: pl.DataFrame, rows: int) -> pl.DataFrame | None:
    return pl.concat([gone, added]) if 2 * (gone.height + added.height) <= rows else None


def checked(table: Curated, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in their contract's columns and a stable order. Raises DefinitionError when they break it."""
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
