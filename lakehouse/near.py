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
        # NaN is in no range.
        if column.dtype.is_nested() or (column.dtype.is_float() and column.is_nan().any()):
            continue
        between = pl.col(column.name).is_between(pl.lit(column.min(), column.dtype), pl.lit(column.max(), column.dtype))
        checks.append(between | pl.col(column.name).is_null() if column.null_count() else between)
    return pl.all_horizontal(checks)
