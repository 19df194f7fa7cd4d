"""What differs between two data cuts, or a cut and the lake as it is now: rows added, removed and changed, by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable

from lakehouse import cuts, manifest
from lakehouse.cuts import Pin
from lakehouse.errors import UnavailableError
from lakehouse.lake import Lake
from lakehouse.lake import rows as stored

SCHEMA: dict[str, pl.DataType] = {
    "table": pl.String(),
    "rows_before": pl.Int64(),
    "rows_after": pl.Int64(),
    "added": pl.Int64(),
    "removed": pl.Int64(),
    "changed": pl.Int64(),
    # Columns that one of the two does not have, or has with another type: `+weight -height`.
    "columns": pl.String(),
}


@dataclass(frozen=True)
class _Side:
    """A table on one side, and how many rows it has."""

    delta: DeltaTable
    rows: int


def between(lake: Lake, before: str, after: str | None, keys: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """How each table of cut `after` differs from cut `before`; `after` None: the lake as it is now.

    keys: by table, the columns that name a row, for tables that the cuts have no key of. A row is changed when its key
    is on both sides and another value is not: rows of a key that was there more than once are paired as far as they go.
    Columns that only one side has are named and not compared; when they belong to the key, rows are told apart by all
    columns that both sides have. A table that one side lacks has no rows there.

    Reads only data files that are not the same on both sides. Raises CutError when there is no such cut,
    UnavailableError when a table of it cannot be read.
    """
    old = {pin.table: pin for pin in cuts.get(lake, before).pins}
    if after is None:
        new: dict[str, Pin | int] = dict(manifest.versions(lake))
    else:
        new = {pin.table: pin for pin in cuts.get(lake, after).pins}
    found = []
    for table in sorted({*old, *new}):
        sides = [_side(lake, table, pins.get(table)) for pins in (old, new)]
        key = next((pin.key for pin in (new.get(table), old.get(table)) if isinstance(pin, Pin) and pin.key), ())
        found.append((table, *_compared(lake, table, sides[0], sides[1], key or keys.get(table, ()))))
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def _side(lake: Lake, table: str, pin: Pin | int | None) -> _Side | None:
    if pin is None:
        return None
    if isinstance(pin, Pin):
        return _Side(cuts.opened(lake, pin), pin.rows)
    delta = lake.open(table, pin)
    assert delta is not None
    return _Side(delta, delta.count())


def _compared(
    lake: Lake, table: str, old: _Side | None, new: _Side | None, key: Sequence[str]
) -> tuple[int, int, int, int, int, str]:
    if old is None or new is None:
        before, after = old.rows if old else 0, new.rows if new else 0
        return before, after, after, before, 0, ""
    if (old.delta.metadata().id, old.delta.version()) == (new.delta.metadata().id, new.delta.version()):
        return old.rows, new.rows, 0, 0, 0, ""
    was, has = stored(old.delta).collect_schema(), stored(new.delta).collect_schema()
    common = [name for name, kind in has.items() if was.get(name) == kind]
    columns = [f"+{name}" for name in has if name not in common] + [f"-{name}" for name in was if name not in common]
    gone, added = _rows(lake, table, old, new) if not columns else _all_rows(table, old, new, common)
    wanted = [name for name in key if name in common]
    counts = _by_key(gone, added, wanted if len(wanted) == len(key) and key else common)
    return old.rows, new.rows, *counts, " ".join(columns)


def _rows(lake: Lake, table: str, old: _Side, new: _Side) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Whole rows that only `old` has, and that only `new` has."""
    if old.delta.metadata().id == new.delta.metadata().id:
        first, last = sorted([old, new], key=lambda side: side.delta.version())
        gone, added = lake.changed(table, first.delta.version(), last.delta.version())
        # What comes of a data file that is gone, or of rows that are there twice, would not add up.
        if first.rows - gone.height + added.height == last.rows:
            return (gone, added) if first is old else (added, gone)
    return _all_rows(table, old, new, stored(new.delta).collect_schema().names())


def _all_rows(table: str, old: _Side, new: _Side, columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same by reading both: rows of `columns`, each as often as it is there more often than on the other side."""
    try:
        sides = [stored(side.delta).select(columns).with_columns(_by=pl.lit(by)) for side, by in ((old, -1), (new, 1))]
        both = pl.concat(sides).group_by(columns).agg(pl.col("_by").sum()).filter(pl.col("_by") != 0).collect()
    except (OSError, pl.exceptions.ComputeError) as error:
        raise UnavailableError(f"{table} cannot be read ({type(error).__name__}); nothing was changed") from error
    found = both.select(columns)
    often = pl.int_range(pl.len()).repeat_by(pl.col("_by").abs())
    times = {
        less: both.select(often.filter((pl.col("_by") < 0) == less).explode()).to_series() for less in (True, False)
    }
    return found[times[True].drop_nulls()], found[times[False].drop_nulls()]


def _by_key(gone: pl.DataFrame, added: pl.DataFrame, key: Sequence[str]) -> tuple[int, int, int]:
    """Rows added, removed and changed, of the rows that one side has and the other has not."""
    counted = pl.concat(
        [
            gone.select(*key, _gone=pl.lit(1, pl.Int64), _added=pl.lit(0, pl.Int64)),
            added.select(*key, _gone=pl.lit(0, pl.Int64), _added=pl.lit(1, pl.Int64)),
        ]
    )
    sums = counted.group_by(key).agg(pl.col("_gone", "_added").sum())
    changed = int(sums.select(pl.min_horizontal("_gone", "_added").sum()).item())
    return added.height - changed, gone.height - changed, changed
