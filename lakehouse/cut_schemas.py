"""A data cut in PostgreSQL: its tables as they were, in schemas of its own, for models to be built on.

Cut `interim_1` is loaded into `lake_interim_1`, and what tells a subject's treatment into `unblinded_interim_1`. dbt
builds on them in `cut_interim_1` and `cut_interim_1__…` (see the macro `generate_schema_name`).
"""

from collections.abc import Sequence
from dataclasses import replace

import dataframely as dy
import polars as pl

from lakehouse import cuts
from lakehouse.cuts import Cut
from lakehouse.errors import DefinitionError
from lakehouse.lake import Lake
from lakehouse.lake import rows as stored
from lakehouse.postgres import transaction
from lakehouse.warehouse import Load, Table, publish

# One row that says what the schemas show; its being there says that they are ours to fill and to remove.
_MARK = """
create table {schema}.cut (name text not null, day date not null, state_at timestamptz not null, as_of date)"""
_THERE = """
select nspname from pg_namespace where nspname in ('lake_{name}', 'unblinded_{name}')
    or nspname ~ '(^|__)cut_{name}(__|$)' order by nspname"""


def load(lake: Lake, url: str, cut: Cut, tables: Sequence[Table]) -> list[Load]:
    """Load a cut's tables into its schemas, or see that they are there; what was done.

    tables: those that are loaded of the lake as it is now. Their columns are loaded as the cut has them, whatever their
    contract says today; a table that the cut does not hold is empty. Raises DefinitionError when somebody else has a
    schema of such a name, UnavailableError when PostgreSQL or the lake fails.
    """
    schema = f"lake_{cut.name}"
    with transaction(url) as cursor:
        cursor.execute("select to_regclass(%s) is null", (f"{schema}.cut",))
        row = cursor.fetchone()
        if row and row[0]:
            cursor.execute(_THERE.format(name=cut.name))
            if others := [name for (name,) in cursor.fetchall()]:
                raise DefinitionError(
                    f"PostgreSQL has {', '.join(others)} already, which no cut made; nothing was changed; rename it "
                    "(alter schema … rename to …), or give it up if nobody needs what it holds (drop schema … "
                    f"cascade), and lakehouse cut build {cut.name} again"
                )
            cursor.execute(f"create schema {schema}")
            cursor.execute(_MARK.format(schema=schema))
            cursor.execute(
                f"insert into {schema}.cut values (%s, %s, %s, %s)", (cut.name, cut.day, cut.state_at, cut.as_of)
            )
    wanted = [_as_cut(lake, cut, table) for table in tables]
    return publish(lake, url, wanted, cut.versions)


def remove(url: str, name: str) -> list[str]:
    """Remove a cut's schemas, those that people built by hand as well; their names."""
    with transaction(url) as cursor:
        cursor.execute("select to_regclass(%s) is not null", (f"lake_{name}.cut",))
        row = cursor.fetchone()
        if not row or not row[0]:
            return []
        cursor.execute(_THERE.format(name=name))
        found = [schema for (schema,) in cursor.fetchall()]
        for schema in found:
            cursor.execute(f'drop schema "{schema}" cascade')
        return found


def _as_cut(lake: Lake, cut: Cut, table: Table) -> Table:
    """Where a table of the cut is loaded, with the columns and the key it had then."""
    place = replace(table, schema=f"{table.schema}_{cut.name}", book=f"lake_{cut.name}")
    if table.source not in cut.versions:
        return place
    pin = cut.pin(table.source)
    schema = stored(cuts.opened(lake, pin)).collect_schema()
    known = table.contract.columns()
    columns = {
        f"column_{number}": _column(name, kind, known[name].description if name in known else None)
        for number, (name, kind) in enumerate(schema.items())
    }
    return replace(place, contract=type(table.contract.__name__, (dy.Schema,), columns), key=pin.key or table.key)


def _column(name: str, kind: pl.DataType, description: str | None) -> dy.Column:
    if isinstance(kind, pl.Datetime):
        return dy.Datetime(
            alias=name,
            nullable=True,
            description=description,
            time_unit=kind.time_unit,
            time_zone=kind.time_zone,
        )
    plain: dict[type[pl.DataType], type[dy.Column]] = {
        pl.String: dy.String,
        pl.Int64: dy.Int64,
        pl.Float64: dy.Float64,
        pl.Boolean: dy.Bool,
        pl.Date: dy.Date,
    }
    if type(kind) not in plain:
        raise DefinitionError(f"column {name} is {kind}, which is not loaded into PostgreSQL; nothing was loaded")
    return plain[type(kind)](alias=name, nullable=True, description=description)
