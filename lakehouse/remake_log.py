"""How a table that is made of a log of changes is made again: onward from the rows it has, or from the whole log."""

from collections.abc import Callable

import polars as pl

from lakehouse import changes, leaves, remake
from lakehouse.inputs import Rows, Within
from lakehouse.lake import rows as stored
from lakehouse.remake import Remake, checked, ranges


class LogRemake(Remake):
    """A table `of_log` that is to be made again."""

    def run(self) -> Rows:
        """Commit the table as its log has it now, unless it is that already; its rows.

        Changes that came at the log's end are told to the rows of their keys; where they are many, or do away with rows
        that they do not name, to all rows, a range of keys at a time. Else the log is read again, in such ranges too.
        """
        (log,) = self.inputs
        grown = log.grown if self.follows else None
        if grown is None or not changes.follows(grown.before, grown.came):
            rows = self._in_parts()
            return rows if self.follows else Rows(rows.all, lambda: None)
        came, held = changes.since(grown.before, grown.came), stored(self.delta)
        if grown.rows <= remake.PART_ROWS and not changes.resets(grown.came):
            return self._told(came.collect())

        def onward(told: pl.LazyFrame, wanted: pl.Expr) -> pl.LazyFrame:
            return changes.onward(self.table.transform, held.filter(wanted), told)

        return self._rewritten(ranges(self._by, [held, came]), self._part(came, onward))

    def _told(self, came: pl.DataFrame) -> Rows:
        """Changes are told to the rows of their keys."""
        values = came[self._by].drop_nulls().unique().sort()
        held = leaves.held(self.lake, self.table.table, self.delta, self._by, values)
        rows = changes.onward(self.table.transform, held.lazy(), came.lazy())
        return self._exchanged(held, checked(self.table, rows.collect()).sort(self._order))

    def _in_parts(self) -> Rows:
        log = self.inputs[0].all
        return self._rewritten(ranges(self._by, [log]), self._part(log, lambda told, _: self.table.transform(told)))

    def _part(
        self, log: pl.LazyFrame, transform: Callable[[pl.LazyFrame, pl.Expr], pl.LazyFrame]
    ) -> Callable[[Within], pl.DataFrame]:
        """Tells the table's rows of a range of keys.

        transform: is given the changes of those keys, of what they were called before when a large value of theirs was
        told, and of no key; and which rows of the table have such a key.
        """
        called = changes.moved(log, self._by).collect(engine="streaming")

        def made(within: Within) -> pl.DataFrame:
            inside, key = within(self._by), pl.col(self._by)
            others = called.filter(inside)["_from"].unique()
            while (further := called.filter(key.is_in(others.implode()))["_from"]).is_in(others.implode()).not_().any():
                others = pl.concat([others, further]).unique()
            wanted = inside | key.is_in(others.implode())
            rows = checked(self.table, transform(log.filter(wanted | key.is_null()), wanted).collect())
            return rows.filter(inside).sort(self._order)

        return made
