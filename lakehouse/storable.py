"""Which types a table's columns can have: those Delta stores as what they are."""

from collections.abc import Mapping

import polars as pl

from lakehouse.errors import DefinitionError

_DELTA_TYPES = (
    *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.Decimal),
    *(pl.Boolean, pl.String, pl.Binary, pl.Date),
)


def storable(table: str, schema: Mapping[str, pl.DataType]) -> None:
    """Refuse types that Delta would store as others: 4000000000 as a UInt32 would come back as -294967296."""
    if wrong := [f"{name}: {kind}" for name, kind in schema.items() if not _delta_has(kind)]:
        raise DefinitionError(
            f"{table}: Delta has no type for {', '.join(wrong)}; whole numbers are signed (Int8 to Int64), text is "
            "String, times are Datetime('us'); nothing was written"
        )


def _delta_has(kind: pl.DataType) -> bool:
    match kind:
        case pl.List():
            return _delta_has(kind.inner)  # type: ignore[arg-type]
        case pl.Struct():
            return all(_delta_has(field.dtype) for field in kind.fields)  # type: ignore[arg-type]
        case pl.Datetime():
            return kind.time_unit == "us" and kind.time_zone in (None, "UTC")
    return isinstance(kind, _DELTA_TYPES)
