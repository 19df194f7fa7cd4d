"""SQL over the lake's tables, by DuckDB, at one consistent state."""

from collections.abc import Mapping

import duckdb
import polars as pl

from lakehouse import cuts, manifest
from lakehouse.errors import LakehouseError
from lakehouse.lake import Lake, rows


def sql(
    lake: Lake, statement: str, cut: str | None = None, given: Mapping[str, pl.DataFrame] | None = None
) -> pl.DataFrame:
    """The rows a statement selects. Tables are named as in the lake: `processed.vitals`, `curated.subjects`.

    given: rows from elsewhere, by the name that the statement has for them. cut: read the tables as this data cut
    has them; else each is read at the version the manifest names. Raises LakehouseError with DuckDB's own words
    when the statement cannot be run, and with the tables there are when it names one that is not; CutError when
    there is no such cut.
    """
    pins = {pin.table: pin for pin in cuts.get(lake, cut).pins} if cut else {}
    versions = {name: pin.version for name, pin in pins.items()} if cut else manifest.versions(lake)
    connection = duckdb.connect()
    for table, version in versions.items():
        schema, _, name = table.partition("/")
        delta = cuts.opened(lake, pins[table]) if cut else lake.open(table, version)
        assert delta is not None
        view = f"{schema}__{name}"
        # Not as an Arrow dataset: that cannot filter by text in the files that a Delta merge has written.
        connection.register(view, rows(delta))
        connection.execute(
            f'create schema if not exists "{schema}"; create view "{schema}"."{name}" as select * from {view}'
        )
    for name, frame in (given or {}).items():
        connection.register(name, frame)
    # From here on the statement reaches the lake's tables and nothing else of this machine.
    connection.execute("set enable_external_access = false; set lock_configuration = true")
    try:
        return connection.sql(statement).pl()
    except (duckdb.Error, AttributeError) as error:
        told = str(error) if isinstance(error, duckdb.Error) else "the statement selects nothing"
        if type(error) is duckdb.Error:
            # What Polars says when it cannot read, and where in the code; DuckDB's own errors have kinds.
            told = (
                f"{told.partition(chr(10))[0]}\n\nA data file cannot be read: restore it from a backup, or make raw, "
                "processed and quarantine anew from the bytes on record with lakehouse rebuild; what a cut lacks is "
                "told by lakehouse cut show NAME --verify"
            )
        if isinstance(error, duckdb.CatalogException):
            tables = ", ".join(sorted(versions)).replace("/", ".") or "none yet: lakehouse run makes them"
            told += f'\n\nTables: {tables}\nMarts are in PostgreSQL: psql "$(lakehouse warehouse-url)"'
        raise LakehouseError(told) from None
