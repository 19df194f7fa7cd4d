"""Column lineage of a Polars transform, asked of Polars itself: which input columns does each output column need?

Each output column is selected alone, and the columns the optimiser then asks of each input are its origins. No list to
keep up to date, and nothing is read: the inputs are empty.
"""

from collections.abc import Callable, Iterator, Mapping

import polars as pl
from polars.io.plugins import register_io_source


def columns(
    transform: Callable[..., pl.LazyFrame], inputs: Mapping[str, Mapping[str, pl.DataType]]
) -> dict[str, list[tuple[str, str]]]:
    """Output column to the (input, column) pairs it is made from, for a transform of these inputs in this order."""
    asked: list[tuple[str, str]] = []

    def scan(name: str, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        def read(
            with_columns: list[str] | None, _predicate: pl.Expr | None, _rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            wanted = list(schema) if with_columns is None else with_columns
            asked.extend((name, column) for column in wanted)
            yield pl.DataFrame(schema={column: schema[column] for column in wanted})

        return register_io_source(read, schema=dict(schema))

    result = transform(*[scan(name, schema) for name, schema in inputs.items()])
    lineage = {}
    for column in result.collect_schema():
        asked.clear()
        result.select(column).collect()
        lineage[column] = sorted(set(asked))
    return lineage
