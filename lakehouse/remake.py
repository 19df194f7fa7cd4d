"""How a curated table is made again from its inputs: whole, or only for the values of `by` whose rows changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from lakehouse import files, leaves
from lakehouse.curated import Curated
from lakehouse.errors import DefinitionError
from lakehouse.inputs import Rows, Within, unless_most
from lakehouse.lake import Change, Lake
from lakehouse.lake import rows as stored
from lakehouse.near import near

# How many rows of its inputs a table is made from at a time, when it can be made in parts.
PART_ROWS = 500_000


def create(lake: Lake, table: Curated) -> DeltaTable:
    """The table, empty."""
    properties = leaves.PROPERTIES if table.by or table.of_log else None
    return lake.create(table.table, table.contract.create_empty().schema, properties=properties)


@dataclass(frozen=True)
class Remake:
    """A table that is to be made again.

    delta: the table as it is. app, generation: name the state of the lake that the commit is to reflect. follows:
    whether `delta` reflects the inputs as they were before they came to differ, by the same code.
    """

    lake: Lake
    table: Curated
    inputs: Sequence[Rows]
    delta: DeltaTable
    app: str
    generation: int
    follows: bool

    def run(self) -> Rows:
        """Commit the table as its inputs have it now, unless it is that already; its rows.

        Raises DefinitionError when the transform yields something the contract refuses, SupersededError when another
        run got there first.
        """
        values = self._changed_values() if self.follows and self.table.by else None
        if values is not None:
            return self._some(values)
        if self.follows and not self.table.by and all(_nothing(item) for item in self.inputs):
            old = stored(self.delta)
            if dict(layout := old.collect_schema()) == self.table.contract.create_empty().schema:
                return Rows(old, pl.DataFrame(schema=layout).clear)
        rows = self._in_parts() if self.table.by else self._whole()
        # What an attempt that died has written is news to the tables made from this one.
        return rows if self.follows else Rows(rows.all, lambda: None)

    def _commit(self, change: Change, replace: str | None = None) -> None:
        self.lake.commit(self.delta, change, self.app, self.generation, replace=replace)

    def _whole(self) -> Rows:
        rows = checked(self.table, self.table.transform(*(item.all for item in self.inputs)).collect())
        old = stored(self.delta)
        was = old.collect() if self.delta.version() and old.collect_schema() == rows.schema else None
        if was is not None and rows.equals(was):
            return Rows(rows.lazy(), rows.clear)
        self._commit(Change(rows), replace="true")
        return Rows(rows.lazy(), lambda: None if was is None else unless_most(*_apart(was, rows), rows.height))

    def _changed_values(self) -> pl.Series | None:
        """The values whose rows have to be made anew; None when that is all of them."""
        name = self._named_in_inputs
        found = [pl.Series(name, [], pl.String)]
        for item in self.inputs:
            if item.differ is None:
                return None
            if item.differ.is_empty():
                continue
            if name not in item.differ.columns:
                return None
            found.append(item.differ[name])
        return pl.concat(found).drop_nulls().unique().sort()

    def _some(self, values: pl.Series) -> Rows:
        """Only some values anew."""
        nothing = pl.DataFrame(schema=stored(self.delta).collect_schema())
        if values.is_empty():
            return Rows(stored(self.delta), lambda: nothing)

        def within(column: str) -> pl.Expr:
            return near(values.to_frame(column)) & pl.col(column).is_in(values.implode())

        new = self._made(within)
        if new.schema != nothing.schema:
            return self._in_parts()
        return self._exchanged(leaves.held(self.lake, self.table.table, self.delta, self._by, values), new)

    def _exchanged(self, held: pl.DataFrame, new: pl.DataFrame) -> Rows:
        """All rows of some values, as the table has them and as they are to be."""
        gone, added = _apart(held, new)
        changed = pl.concat([gone[self._by], added[self._by]]).unique().sort()
        if not changed.is_empty():
            new = new.filter(pl.col(self._by).is_in(changed.implode()))
            self._commit(leaves.exchanged(self.lake, self.table.table, self.delta, self._order, changed, new))
        return Rows(stored(self.delta), lambda: unless_most(gone, added, self.delta.count()))

    def _in_parts(self) -> Rows:
        """Everything anew from its inputs, a range of values at a time."""
        return self._rewritten(ranges(self._named_in_inputs, [item.all for item in self.inputs]), self._made)

    def _rewritten(self, ranges: Sequence[Within], made: Callable[[Within], pl.DataFrame]) -> Rows:
        """Everything anew, as `made` range by range: what is held at one time does not grow with the table."""
        old, written = stored(self.delta), list[AddAction]()
        layout = old.collect_schema()
        same = bool(self.delta.version()) and dict(layout) == self.table.contract.create_empty().schema
        for within in ranges:
            rows = made(within)
            same = same and rows.equals(old.filter(within(self._by)).sort(self._order).collect())
            written += leaves.write(self.lake, self.table.table, rows, self._order)
        if same:
            files.discard(self.lake, self.table.table, written)
            return Rows(old, pl.DataFrame(schema=layout).clear)
        self._commit(Change(checked(self.table, rows.clear()), files=tuple(written)), replace="true")
        return Rows(stored(self.delta), lambda: None)

    def _made(self, within: Within) -> pl.DataFrame:
        """The table's rows for some values, sorted."""
        frames = [item.within(self._named_in_inputs, within) for item in self.inputs]
        rows = checked(self.table, self.table.transform(*frames).collect())
        if rows.filter(within(self._by)).height < rows.height:
            raise DefinitionError(
                f"{self.table.table}: the transform yields rows of another {self._by} than those it is given"
            )
        return rows.sort(self._order)

    @property
    def _by(self) -> str:
        return self.table.by or self.table.key[0]

    @property
    def _named_in_inputs(self) -> str:
        return self.table.by_in_inputs or self._by

    @property
    def _order(self) -> list[str]:
        return list(dict.fromkeys((self._by, *self.table.key)))


def _nothing(rows: Rows) -> bool:
    return rows.differ is not None and rows.differ.is_empty()


def ranges(by: str, frames: Sequence[pl.LazyFrame]) -> list[Within]:
    """Conditions that part all values between them, about so many rows to each."""
    named = [frame.select(by) for frame in frames if by in frame.collect_schema()]
    counts = pl.concat(named).drop_nulls().group_by(by).len().sort(by).collect(engine="streaming")
    part = (pl.col("len").cum_sum() - 1) // PART_ROWS
    ends = counts.group_by(part.alias("part"), maintain_order=True).agg(pl.col(by).last())[by][:-1]
    return [_between(low, high) for low, high in pairwise([None, *ends, None])]


def _between(low: str | None, high: str | None) -> Within:
    def within(column: str) -> pl.Expr:
        value = pl.col(column)
        above = value.is_not_null() if low is None else value > low
        return above if high is None else above & (value <= high)

    return within


def _apart(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that only the one has, and those that only the other has."""
    gone = old.join(new, on=old.columns, how="anti", nulls_equal=True)
    return gone, new.join(old, on=old.columns, how="anti", nulls_equal=True)


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
