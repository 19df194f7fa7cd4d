"""Data files that are written before it is certain that they will be part of their table.

Nobody sees them until a commit names them in the table's log, all at once. What is never committed is removed by
`discard`, or by housekeeping.
"""

import io
import json
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from uuid import uuid4

import obstore
import polars as pl
from deltalake.transaction import AddAction

from lakehouse.errors import unavailable
from lakehouse.lake import Lake, same_types

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
    stats = json.dumps(_statistics(rows.select(column for column in rows.columns if column in told)))
    return AddAction(name, len(data), {}, int(time.time() * 1000), data_change=True, stats=stats)


def read(lake: Lake, table: str, file: AddAction, columns: Collection[str]) -> pl.DataFrame:
    """Some columns of a written file. Raises UnavailableError when it cannot be read."""
    try:
        data = bytes(obstore.get(lake.store, f"{table}/{file.path}").bytes())
    except Exception as error:
        raise unavailable(error, f"{table} cannot be read") from error
    return pl.read_parquet(data, columns=list(columns))


def discard(lake: Lake, table: str, files: Sequence[AddAction]) -> None:
    """Remove written files that will not be committed. What cannot be removed is left to housekeeping."""
    with suppress(Exception):
        obstore.delete(lake.store, [f"{table}/{file.path}" for file in files])


def _statistics(rows: pl.DataFrame) -> dict[str, object]:
    """A file's statistics as Delta's protocol has them."""
    known = [
        column for column in rows if column.dtype in _PLAIN and not (column.dtype.is_float() and column.is_nan().any())
    ]
    return {
        "numRecords": rows.height,
        "minValues": {column.name: _plain(column.min()) for column in known if column.null_count() < rows.height},
        "maxValues": {column.name: _plain(column.max()) for column in known if column.null_count() < rows.height},
        "nullCount": {column.name: column.null_count() for column in rows},
    }


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float) else str(value)
