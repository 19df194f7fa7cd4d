"""What a small table says of each row, such as the standard unit and factor of a test: for tidy functions."""

from collections.abc import Sequence

import polars as pl


def look_up(rows: pl.LazyFrame, table: pl.LazyFrame, on: Sequence[str]) -> pl.LazyFrame:
    """The rows, in their order, with the other columns of `table` as it has them for their values of `on`, or null.

    A left join of Polars copies every column of the rows; these are left where they are, in half the time and less.
    rows: worked out twice, so they have to be the same each time. table: its other columns have names of their own. A
    missing value finds nothing. Collecting raises polars.exceptions.ComputeError when `table` has two rows for the same
    values.
    """
    found = rows.select(on).join(table, on=list(on), how="left", maintain_order="left", validate="m:1")
    return pl.concat([rows, found.drop(on)], how="horizontal")
