"""Rows of a curated table that a person has sent to somebody: on record as they were sent, by whom and when.

A table that names `sent/` and its own name among its inputs is given them, and can tell what became of each: what was
sent and no longer holds is settled. Its contract has the columns `sent_by` and `sent_at`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from lakehouse.curated import Curated
from lakehouse.errors import SupersededError
from lakehouse.lake import Change, Lake

_APP = "sent"


def record_of(table: Curated) -> str | None:
    """The input under which a table is given what was sent of it; None when it does not ask for that."""
    name = f"sent/{table.name}"
    return name if name in table.inputs else None


def versions(lake: Lake, curated: Sequence[Curated]) -> dict[str, int]:
    """The version of what was sent, by its name, where anything can have been."""
    opened = {name: lake.open(name) for table in curated if (name := record_of(table))}
    return {name: delta.version() for name, delta in opened.items() if delta}


def prepare(lake: Lake, curated: Sequence[Curated]) -> None:
    """Make what was sent readable before anything was, and give it the columns that its table has by now."""
    for table in curated:
        if name := record_of(table):
            lake.create(name, table.contract.create_empty().schema)


def record(lake: Lake, table: Curated, rows: pl.DataFrame, who: str) -> pl.DataFrame:
    """Put on record that these rows of a table have been sent; the rows, with who and when.

    Raises UnavailableError when the lake cannot be written.
    """
    name, schema = record_of(table), table.contract.create_empty().schema
    assert name, f"{table.table} does not tell what was sent of it"
    told = rows.with_columns(sent_by=pl.lit(who), sent_at=pl.lit(datetime.now(UTC)))
    told = told.select(pl.col(column).cast(kind) for column, kind in schema.items())
    while not told.is_empty():
        delta = lake.create(name, schema)
        try:
            lake.commit(delta, Change(told), _APP, (delta.transaction_version(_APP) or 0) + 1)
            break
        except SupersededError:
            # Somebody else sent something at the same moment; both are on record.
            continue
    return told
