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
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import obstore
import polars as pl
from deltalake.transaction import AddAction, RemoveAction

from lakehouse.errors import unavailable
from lakehouse.lake import Lake, same_types

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

# A longer text is not worth its place in the log.
_LONGEST = 256
# The first and last of Python's days, counted from 1970-01-01.
_EPOCH = date(1970, 1, 1).toordinal()
_CALENDAR = tuple(day.toordinal() - _EPOCH for day in (date.min, date.max))
_IN_FOOTER = (pl.String, pl.Boolean, pl.Date, pl.Int64, pl.Int32)
_PLAIN = (*_IN_FOOTER, pl.Float64)


def write(
    lake: Lake, table: str, layout: Mapping[str, pl.DataType], rows: pl.DataFrame, told: Collection[str]
) -> AddAction:
    """Write rows as a data file of an unpartitioned table.

    layout: the table's types. told: columns that the log is to tell the least and greatest value of.
    Raises DefinitionError when the rows have other types, UnavailableError when the lake cannot be written.
    """
    same_types(table, layout, rows.schema)
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", compression_level=1)
    return _put(lake, table, buffer, _statistics(buffer, rows.lazy(), told))


def pour(
    lake: Lake, table: str, layout: Mapping[str, pl.DataType], rows: pl.LazyFrame, told: Collection[str]
) -> list[AddAction]:
    """Like `write`, a row group at a time, of rows that are made as they are written; no file when there are none."""
    same_types(table, layout, rows.collect_schema())
    buffer = io.BytesIO()
    rows.sink_parquet(buffer, compression="zstd", compression_level=1, engine="streaming")
    statistics = _statistics(buffer, pl.scan_parquet(buffer.getvalue()), told)
    return [_put(lake, table, buffer, statistics)] if statistics["numRecords"] else []


def _put(lake: Lake, table: str, buffer: io.BytesIO, statistics: Mapping[str, object]) -> AddAction:
    name, data = f"part-{uuid4()}.zstd.parquet", buffer.getbuffer()
    try:
        obstore.put(lake.store, f"{table}/{name}", data)
    except Exception as error:
        raise unavailable(error, f"{table} cannot be written") from error
    stats = json.dumps(statistics, allow_nan=False)
    return AddAction(name, len(data), {}, int(time.time() * 1000), data_change=True, stats=stats)


def get(lake: Lake, table: str, path: str) -> bytes:
    """A data file. Raises UnavailableError when it cannot be read."""
    try:
        return bytes(obstore.get(lake.store, f"{table}/{path}").bytes())
    except Exception as error:
        raise unavailable(error, f"{table} cannot be read") from error


def read(lake: Lake, table: str, path: str, columns: Collection[str]) -> pl.DataFrame:
    """Some columns of a data file. Raises UnavailableError when it cannot be read."""
    return pl.read_parquet(get(lake, table, path), columns=list(columns))


def discard(lake: Lake, table: str, files: Sequence[AddAction | RemoveAction]) -> None:
    """Remove written files that will not be committed. What cannot be removed is left to housekeeping."""
    with suppress(Exception):
        written = [file for file in files if isinstance(file, AddAction)]
        obstore.delete(lake.store, [f"{table}/{file.path}" for file in written])


def _statistics(written: io.BytesIO, rows: pl.LazyFrame, told: Collection[str]) -> dict[str, object]:
    """The statistics of a file, as Delta's protocol has them, of those columns whose values can be told in JSON.

    written: the file; rows: what is in it.
    """
    import pyarrow.parquet as pq

    # Of a struct it would be a count for each of its fields; a single number spoils the commit.
    kinds = {name: kind for name, kind in rows.collect_schema().items() if name in told and kind != pl.Struct}
    footer = pq.read_metadata(written)
    known = {name: ends for name, kind in kinds.items() if (ends := _in_footer(footer, name, kind))}
    # The rows themselves are looked at for the rest.
    rest = [_ends(name, kind).alias(name) for name, kind in kinds.items() if name not in known]
    seen = known | (rows.select(rest).collect().row(0, named=True) if rest else {})
    told_of = {name: pair for name, kind in kinds.items() if (pair := _tellable(kind, seen[name]))}
    return {
        "numRecords": footer.num_rows,
        "minValues": {name: least for name, (least, _) in told_of.items()},
        "maxValues": {name: greatest for name, (_, greatest) in told_of.items()},
        "nullCount": {name: seen[name]["nulls"] for name in kinds},
    }


def _in_footer(footer: "FileMetaData", name: str, kind: pl.DataType) -> dict[str, Any] | None:
    """Like what `_ends` finds, where the file's footer has it: of a long text the beginning, of the greatest such that
    none is greater, as Delta's readers expect.
    """
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(footer.num_columns)]
    parts = [column.statistics for column in columns if column.path_in_schema == name]
    # Of numbers with a point it passes over NaN. A struct's field may have the name of a column with a point in it.
    if kind not in _IN_FOOTER or len(parts) != len(groups) or not all(parts):
        return None
    nulls = sum(part.null_count for part in parts)
    ends = [(part.min_raw, part.max_raw) for part in parts if part.has_min_max]
    if nulls + sum(part.num_values for part in parts if part.has_min_max) != footer.num_rows:
        return None
    least, greatest = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (None, None)
    if isinstance(least, bytes) and isinstance(greatest, bytes):
        least, greatest = least.decode(), greatest.decode()
    return {"nulls": nulls, "least": least, "greatest": greatest, "finite": True}


def _ends(name: str, kind: pl.DataType) -> pl.Expr:
    """What a column's statistics come from, as a struct."""
    column = pl.col(name)
    parts = [column.null_count().alias("nulls")]
    if kind in _PLAIN:
        # A day not as Python's: its calendar has the years 1 to 9999, and so has a reader's.
        bare = column.to_physical() if kind == pl.Date else column
        # One infinite number, and delta-rs passes over the statistics of every file; NaN is in no range.
        finite = column.is_finite().all() if kind.is_float() else pl.lit(True)
        parts += [bare.min().alias("least"), bare.max().alias("greatest"), finite.alias("finite")]
    return pl.struct(parts)


def _tellable(kind: pl.DataType, seen: Mapping[str, Any]) -> tuple[object, object] | None:
    """The least and greatest value, if there are any and both can be told."""
    if seen.get("least") is None or not seen["finite"]:
        return None
    least, greatest = seen["least"], seen["greatest"]
    if kind == pl.Date:
        first, last = _CALENDAR
        if least < first or greatest > last:
            return None
        return str(date.fromordinal(least + _EPOCH)), str(date.fromordinal(greatest + _EPOCH))
    if kind == pl.String and max(len(least), len(greatest)) > _LONGEST:
        return None
    return least, greatest
