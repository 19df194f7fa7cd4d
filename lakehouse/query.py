"""SQL over the lake's tables, by DuckDB, at one consistent state."""

import duckdb
import polars as pl

from lakehouse import manifest
from lakehouse.errors import LakehouseError
from lakehouse.lake import Lake, rows


def sql(lake: Lake, statement: str) -> pl.DataFrame:
    """The rows a statement selects. Tables are named as in the lake: `processed.vitals`, `curated.subjects`.

    Reads every table at the version the manifest names. Raises LakehouseError with DuckDB's own words when the
    statement cannot be run, and with the tables there are when it names one that is not.
    """
    versions = manifest.versions(lake)
    connection = duckdb.connect()
    for table, version in versions.items():
        schema, _, name = table.partition("/")
        delta = lake.open(table, version)
        assert delta is not None
        view = f"{schema}__{name}"
        # Not as an Arrow dataset: that cannot filter by text in the files that a Delta merge has written.
        connection.register(view, rows(delta))
        connection.execute(
            f'create schema if not exists "{schema}"; create view "{schema}"."{name}" as select * from {view}'
        )
    # From here on the statement reaches the lake's tables and nothing else of this machine.
    connection.execute("set enable_external_access = false; set lock_configuration = true")
    try:
        return connection.sql(statement).pl()
    except (duckdb.Error, AttributeError) as error:
        told = str(error) if isinstance(error, duckdb.Error) else "the statement selects nothing"
        if isinstance(error, duckdb.CatalogException):
            tables = ", ".join(sorted(versions)).replace("/", ".") or "none yet: lakehouse run makes them"
            told += f"\n\nTables: {tables}"
        raise LakehouseError(told) from None
