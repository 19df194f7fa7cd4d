"""Rows into PostgreSQL by COPY in its binary form, some thousands at a time: the server takes those while the next are
written down. (ADBC writes down 16 MB, then waits until the server has them: twice as long in all.)
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.joined import Joined

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_ROWS = 10_000
# What psycopg2 asks for and sends at a time.
_BYTES = 1 << 16


def put(cursor: "Cursor", table: str, rows: pl.DataFrame) -> None:
    """Append rows to a table, whose columns of the same names have the types of `warehouse`.

    table: as SQL names it. Raises psycopg2's errors.
    """
    columns = ", ".join(f'"{name}"' for name in rows.columns)
    # Not frozen, even if the table is new: those who began to read before would see its rows.
    cursor.copy_expert(f"copy {table} ({columns}) from stdin with (format binary)", Joined(_written(rows)), size=_BYTES)


def _written(rows: pl.DataFrame) -> Iterator[bytes]:
    # It takes its time to load, and whoever only asks for definitions has no use for it.
    from pgpq import ArrowToPostgresBinaryEncoder

    parts = (part.to_arrow(compat_level=pl.CompatLevel.oldest()) for part in rows.iter_slices(_ROWS))
    encoder = ArrowToPostgresBinaryEncoder(rows.clear().to_arrow(compat_level=pl.CompatLevel.oldest()).schema)
    yield encoder.write_header()
    for part in parts:
        for batch in part.to_batches():
            yield encoder.write_batch(batch)
    yield encoder.finish()
