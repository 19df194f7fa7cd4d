"""Rows taken out of a table whose data files hold them beside others: those files are written again without them.

It is what delta-rs's MERGE comes to, in a fraction of its time: only the columns that name a row are looked through, of
files that may hold one.
"""

import time
from collections.abc import Iterator

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from lakehouse import files
from lakehouse.lake import Change, Lake, rows

# As many of a table's columns as Delta's own writers tell the least and greatest value of.
_TOLD = 32
# What the log tells of a file's days.
_ENDS = {"min._delivered": pl.Date(), "max._delivered": pl.Date(), "null_count._delivered": pl.Int64()}


def rewritten(lake: Lake, table: str, delta: DeltaTable, change: Change) -> Change:
    """The same change to this snapshot with everything in files, which are written and not committed.

    Raises DefinitionError when rows are not of the table's types, UnavailableError when the lake fails.
    """
    if change.remove is None or change.remove.is_empty():
        return change
    layout = dict(rows(delta).collect_schema())
    named = [*change.row, "_delivered"]
    gone = change.remove.lazy().select(named).unique()
    told = list(layout)[:_TOLD]
    done: list[AddAction | RemoveAction] = []
    for path, size in _near(delta, change.remove["_delivered"]):
        there = pl.scan_parquet(files.get(lake, table, path), schema=layout, missing_columns="insert")
        if there.join(gone, on=named, how="semi", nulls_equal=True).head(1).collect().is_empty():
            continue
        done.append(RemoveAction(path, True, int(time.time() * 1000), size, {}))
        stays = there.join(gone, on=named, how="anti", nulls_equal=True, maintain_order="left")
        done += files.pour(lake, table, layout, stays, told)
    done += files.pour(lake, table, layout, change.add.lazy(), told)
    return Change(change.add.clear(), files=tuple(done))


def _near(delta: DeltaTable, days: pl.Series) -> Iterator[tuple[str, int]]:
    """The data files that may hold rows of these days, as far as the log tells, and their sizes; a day may be null."""
    known = pl.concat([pl.DataFrame(schema=_ENDS), pl.DataFrame(delta.get_add_actions(flatten=True))], how="diagonal")
    dated, undated = days.drop_nulls(), days.null_count() > 0
    for path, size, first, last, without in known.select("path", "size_bytes", *_ENDS).iter_rows():
        nothing_told = without is None or (first is None and not without)
        if nothing_told or (undated and without) or (first and dated.is_between(first, last).any()):
            yield path, size
