"""Which rows of a table may be among some others, told without reading most of the table.

Every data file keeps the least and greatest value of its columns. Rows of a day share their keys with few other days,
so a scan filtered by `near` opens few files.
"""

import polars as pl


def near(rows: pl.DataFrame) -> pl.Expr:
    """Whether a row may be among `rows`, by the least and greatest value of each of their columns.

    True for every row that equals one of `rows`, nulls and all, and for many that do not.
    """
    checks = [pl.lit(not rows.is_empty())]
    for column in rows:
        if not _ordered(column):
            continue
        # A day or time not as Python's, which has no year 0.
        bare = column.to_physical() if column.dtype.is_temporal() else column
        least, greatest = (pl.lit(end, bare.dtype).cast(column.dtype) for end in (bare.min(), bare.max()))
        between = pl.col(column.name).is_between(least, greatest)
        checks.append(between | pl.col(column.name).is_null() if column.null_count() else between)
    return pl.all_horizontal(checks)


def _ordered(column: pl.Series) -> bool:
    """Whether a file's statistics can be trusted with such values: NaN is in no range, and long decimals are kept as
    floating point numbers.
    """
    if isinstance(column.dtype, pl.Decimal):
        return column.dtype.precision <= 15
    return not (column.dtype.is_nested() or (column.dtype.is_float() and bool(column.is_nan().any())))
