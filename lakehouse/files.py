"""Data files that are written before it is certain that they will be part of their table.

Nobody sees them until a commit names them in the table's log, all at once. What is never committed is removed by
`discard`, or by housekeeping.
"""

import io
import json
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date
from uuid import uuid4

import obstore
import polars as pl
from deltalake.transaction import AddAction, RemoveAction

from lakehouse.errors import unavailable
from lakehouse.lake import Lake, same_types

# A longer text is not worth its place in the log.
_LONGEST = 256
# The first and last of Python's days, counted from 1970-01-01.
_CALENDAR = tuple((day - date(1970, 1, 1)).days for day in (date.min, date.max))
_PLAIN = (pl.String, pl.Boolean, pl.Date, pl.Int64, pl.Int32, pl.Float64)


def write(
    lake: Lake, table: str, layout: Mapping[str, pl.DataType], rows: pl.DataFrame, told: Collection[str]
) -> AddAction:
    """Write rows as a data file of an unpartitioned table.

    layout: the table's types. told: columns that the log is to tell the least and greatest value of.
    Raises DefinitionError when the rows have other types, UnavailableError when the lake cannot be written.
    """
    same_types(table, layout, rows)
    name = f"part-{uuid4()}.zstd.parquet"
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", compression_level=1)
    data = buffer.getbuffer()
    try:
        obstore.put(lake.store, f"{table}/{name}", data)
    except Exception as error:
        raise unavailable(error, f"{table} cannot be written") from error
    stats = json.dumps(_statistics(rows.select(column for column in rows.columns if column in told)), allow_nan=False)
    return AddAction(name, len(data), {}, int(time.time() * 1000), data_change=True, stats=stats)


def read(lake: Lake, table: str, path: str, columns: Collection[str]) -> pl.DataFrame:
    """Some columns of a data file. Raises UnavailableError when it cannot be read."""
    try:
        data = bytes(obstore.get(lake.store, f"{table}/{path}").bytes())
    except Exception as error:
        raise unavailable(error, f"{table} cannot be read") from error
    return pl.read_parquet(data, columns=list(columns))


def discard(lake: Lake, table: str, files: Sequence[AddAction | RemoveAction]) -> None:
    """Remove written files that will not be committed. What cannot be removed is left to housekeeping."""
    with suppress(Exception):
        written = [file for file in files if isinstance(file, AddAction)]
        obstore.delete(lake.store, [f"{table}/{file.path}" for file in written])


def _statistics(rows: pl.DataFrame) -> dict[str, object]:
    """A file's statistics as Delta's protocol has them, of columns whose values can be told in JSON."""
    ends = {column.name: found for column in rows if (found := _ends(column))}
    return {
        "numRecords": rows.height,
        "minValues": {name: least for name, (least, _) in ends.items()},
        "maxValues": {name: greatest for name, (_, greatest) in ends.items()},
        "nullCount": {column.name: column.null_count() for column in rows},
    }


def _ends(column: pl.Series) -> tuple[object, object] | None:
    """The least and greatest value, if it has any and both can be told."""
    if column.dtype not in _PLAIN or column.null_count() == len(column):
        return None
    # One infinite number, and delta-rs passes over the statistics of every file; NaN is in no range.
    if column.dtype.is_float() and not column.is_finite().all():
        return None
    if column.dtype == pl.Date:
        # Python's calendar has the years 1 to 9999, and so has a reader's.
        first, last = _CALENDAR
        if not column.to_physical().is_between(first, last).all():
            return None
        return str(column.min()), str(column.max())
    least, greatest = column.min(), column.max()
    if column.dtype == pl.String and max(len(str(least)), len(str(greatest))) > _LONGEST:
        return None
    return least, greatest
