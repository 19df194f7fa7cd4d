"""A checksum of a table's rows: the same for the same rows, in whatever order, files and versions they are stored.

It has to hold for years, so it rests on nothing that a library may come to do differently: every value is written down
as bytes in a way that is defined here.
"""

import hashlib
from collections.abc import Iterable

import polars as pl

_ROWS_AT_ONCE = 50_000
_WRAP = 1 << 256


def checksum(rows: pl.LazyFrame) -> tuple[int, str]:
    """How many rows there are, and their checksum: 64 hexadecimal digits.

    A row's columns are put in the order of their names, each as its kind, the length of its value in bytes and the
    value (a missing value is `~`), and hashed by SHA-256. The sum of the rows' hashes, modulo 2**256, knows no order
    and tells two equal rows from one. It is hashed with the names of the columns and the number of rows. What it
    proves is that nothing was lost, added or changed by accident; it is no signature.

    Rows are read a part at a time. Raises TypeError for a column of a type that Delta does not store.
    """
    schema = rows.collect_schema()
    names = sorted(schema)
    texts = rows.select(_all(_written(pl.col(name), schema[name]) for name in names).alias("row"))
    count = total = 0
    for part in texts.collect_batches(chunk_size=_ROWS_AT_ONCE, maintain_order=False):
        count += part.height
        for text in part["row"]:
            total += int.from_bytes(hashlib.sha256(text.encode()).digest())
    said = f"{','.join(f'{len(name.encode())}:{name}' for name in names)}\n{count}\n{total % _WRAP:064x}"
    return count, hashlib.sha256(said.encode()).hexdigest()


def _all(parts: Iterable[pl.Expr]) -> pl.Expr:
    return pl.concat_str(list(parts))


def _written(value: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """A value's kind, its length and itself; `~` when it is missing."""
    mark, text = _text(value, kind)
    length = text.str.len_bytes().cast(pl.String)
    return pl.when(value.is_null()).then(pl.lit("~")).otherwise(pl.concat_str(pl.lit(mark), length, pl.lit(":"), text))


def _text(value: pl.Expr, kind: pl.DataType) -> tuple[str, pl.Expr]:
    """A letter for the kind of a value, and the value as text."""
    if isinstance(kind, pl.String):
        return "s", value
    if kind.is_integer():
        return "i", value.cast(pl.String)
    if isinstance(kind, pl.Boolean):
        return "b", value.cast(pl.Int8).cast(pl.String)
    if kind.is_float():
        # The bits: digits can be written in more than one way.
        return "f", value.cast(pl.Float64).reinterpret(dtype=pl.Int64).cast(pl.String)
    if isinstance(kind, pl.Date):
        return "d", value.to_physical().cast(pl.String)
    if isinstance(kind, pl.Datetime):
        # Microseconds since 1970: of UTC, or of a clock whose zone nobody told.
        return "t" if kind.time_zone else "n", value.dt.timestamp("us").cast(pl.String)
    if isinstance(kind, pl.Decimal):
        return "m", value.cast(pl.String)
    if isinstance(kind, pl.Binary):
        return "x", value.bin.encode("hex")
    if isinstance(kind, pl.List):
        inner = kind.inner if isinstance(kind.inner, pl.DataType) else kind.inner()
        return "l", value.list.eval(_written(pl.element(), inner)).list.join("")
    if isinstance(kind, pl.Struct):
        inside = {
            field.name: field.dtype if isinstance(field.dtype, pl.DataType) else field.dtype() for field in kind.fields
        }
        return "r", _all(_written(value.struct.field(name), inside[name]) for name in sorted(inside))
    raise TypeError(f"no checksum is defined for a column of type {kind}")
