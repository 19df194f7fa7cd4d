"""The lake's tables in PostgreSQL: only what changed since the last load, all tables in one transaction.

`lake.loads` remembers, in that same transaction, which version of which Delta table each PostgreSQL table shows, which
load last changed it, and which one brought all its rows anew. `lake.touched` has, for each value of a table's `by`, the
load that has changed its rows since then: whoever follows the table does again what changed.
Readers see the old rows until the moment they see the new: nothing is dropped or truncated under them.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dataframely as dy
import polars as pl

from lakehouse.copying import put
from lakehouse.errors import DefinitionError, UnavailableError
from lakehouse.lake import Lake
from lakehouse.postgres import transaction

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "text",
    pl.Int64: "bigint",
    pl.Float64: "double precision",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Datetime: "timestamptz",
}
# The book of the lake as it is.
_BOOK = "lake"
# Serialises loads of one book, whoever runs them; any constant will do.
_LOCK = 727_001
# A load that has stopped holds up all others until PostgreSQL ends it, after so long without a word from it.
PATIENCE = "10min"
# Of a table's rows, the share whose change makes its statistics stale; PostgreSQL's own measure.
_NEWS = 0.1
# Tables of fewer rows are counted in no time.
_FEW = 100_000
# For the keys of a new table.
_SORTING = "256MB"
_LOADS = """
create schema if not exists {book};
create table if not exists {book}.loads (
    table_name text primary key, delta_id text not null, delta_version bigint not null, loaded_at timestamptz not null,
    load bigint not null default 0, anew bigint not null default 0
);
create table if not exists {book}.touched (
    table_name text not null, value text not null, load bigint not null, primary key (table_name, value)
)"""
# A table from before there were its last columns. Asked first: `if not exists` would hold up readers all the same.
_WIDTH = "select 'wide' from pg_attribute where attrelid = '{book}.loads'::regclass and attname = 'anew'"
_WIDER = "alter table {book}.loads add load bigint not null default 0, add anew bigint not null default 0"
_BUILT = "create table if not exists lake.built (code text not null, loads text not null)"
# Every load of a table leaves another text, whatever it loaded; the same one for every session.
_STATE = """
select coalesce(string_agg(concat_ws(' ', table_name, delta_id, delta_version, extract(epoch from loaded_at)), ' '
    order by table_name), '') from lake.loads"""


@dataclass(frozen=True)
class Table:
    """One table to load: its name in the lake, its place in PostgreSQL, and the contract and key of its rows.

    by: the text column whose values `lake.touched` tells of. book: the schema whose tables `loads` and `touched`
        remember what was loaded; data cuts have their own.
    """

    source: str
    schema: str
    name: str
    contract: type[dy.Schema]
    key: tuple[str, ...]
    description: str
    by: str | None = None
    book: str = _BOOK

    @property
    def name_in_loads(self) -> str:
        """How `lake.loads` and `lake.touched` name it."""
        return f"{self.schema}.{self.name}"

    @property
    def qualified(self) -> str:
        return f'"{self.schema}"."{self.name}"'


@dataclass(frozen=True)
class Load:
    """What a load did to one table: rows it has now, rows put in and taken out, and the Delta version it shows."""

    table: Table
    rows: int
    inserted: int
    deleted: int
    version: int


def loaded(url: str) -> dict[str, tuple[str, int]]:
    """Delta id and version that each PostgreSQL table shows; empty before the first load."""
    with transaction(url) as cursor:
        cursor.execute("select to_regclass('lake.loads') is not null")
        row = cursor.fetchone()
        return _loaded(cursor, _BOOK) if row and row[0] else {}


def pinned(url: str, tables: Sequence[Table]) -> dict[str, set[int]]:
    """By table of the lake, the versions that PostgreSQL shows: the next load compares with them."""
    shown = loaded(url)
    found: dict[str, set[int]] = {}
    for table in tables:
        if entry := shown.get(table.name_in_loads):
            found.setdefault(table.source, set()).add(entry[1])
    return found


def models_started(url: str) -> str:
    """Which loads the tables show, to be given to `models_finished` by whoever builds models; "" before the first."""
    with transaction(url) as cursor:
        there = _one(cursor, "select to_regclass('lake.loads')::text")
        return (there and _one(cursor, _STATE)) or ""


def models_finished(url: str, code: str, loads: str) -> None:
    """Remember that the models were built by `code` from the tables as they were at `loads`, or at later ones."""
    if not loads:
        return
    with transaction(url) as cursor:
        cursor.execute(_BUILT)
        cursor.execute("delete from lake.built")
        cursor.execute("insert into lake.built values (%s, %s)", (code, loads))


def models_built(url: str) -> str | None:
    """The code that built the models, or None when a table was loaded since they began, or none was ever built."""
    with transaction(url) as cursor:
        if _one(cursor, "select to_regclass('lake.built')::text") is None:
            return None
        return _one(cursor, f"select code from lake.built where loads = ({_STATE})")


def models_code(url: str) -> str | None:
    """The code that built the models last, whatever was loaded since; None when none was ever built."""
    with transaction(url) as cursor:
        if _one(cursor, "select to_regclass('lake.built')::text") is None:
            return None
        return _one(cursor, "select code from lake.built")


def _one(cursor: "Cursor", statement: str) -> str | None:
    cursor.execute(statement)
    row = cursor.fetchone()
    return row[0] if row else None


def publish(lake: Lake, url: str, tables: Sequence[Table], versions: dict[str, int]) -> list[Load]:
    """Bring PostgreSQL up to `versions` of the lake's tables, all there are of one book, in one transaction.

    Raises UnavailableError when PostgreSQL cannot be reached or fails (nothing has changed then), DefinitionError when
    a table's columns changed in a way that rows cannot follow.
    """
    [book] = {table.book for table in tables} or {_BOOK}
    done = _publish(lake, url, tables, versions, book)
    # Rows that are known to be visible to everyone are counted by an index alone, as each load does.
    for load in done:
        if load.inserted == load.rows > _FEW:
            # The load is done, and its table analysed, whatever becomes of this.
            with suppress(UnavailableError), transaction(url, autocommit=True) as cursor:
                cursor.execute(f"vacuum (skip_locked) {load.table.qualified}")
    return done


def _publish(lake: Lake, url: str, tables: Sequence[Table], versions: dict[str, int], book: str) -> list[Load]:
    with transaction(url) as cursor:
        cursor.execute(f"set local idle_in_transaction_session_timeout = '{PATIENCE}'")
        cursor.execute(f"set local maintenance_work_mem = '{_SORTING}'")
        cursor.execute(f"select pg_advisory_xact_lock({_LOCK}, hashtext('{book}'))")
        for statement in _LOADS.format(book=book).split(";"):
            cursor.execute(statement)
        if not _one(cursor, _WIDTH.format(book=book)):
            cursor.execute(_WIDER.format(book=book))
        shown = _loaded(cursor, book)
        # A data cut keeps what it was made with.
        for name in shown.keys() - {table.name_in_loads for table in tables} if book == _BOOK else ():
            _forget(cursor, name)
        cursor.execute(f"select coalesce(max(load), 0) + 1 from {book}.loads")
        (number,) = cursor.fetchone() or (1,)
        done = []
        for table in tables:
            if table.source in versions:
                known = shown.get(table.name_in_loads)
                done.append(_load(lake, cursor, table, versions[table.source], known, number))
            else:
                # Nothing was delivered yet: models that read it find it empty.
                _define(cursor, table, dict(table.contract.create_empty().schema))
                _index(cursor, table)
        return done


def _forget(cursor: "Cursor", name: str) -> None:
    """Take the rows out of a table that is no longer loaded: nobody keeps them up. What reads it finds it empty."""
    schema, _, table = name.partition(".")
    if _one(cursor, f'select to_regclass(\'"{schema}"."{table}"\')::text'):
        cursor.execute(f'delete from "{schema}"."{table}"')
    for kept in ("loads", "touched"):
        cursor.execute(f"delete from {_BOOK}.{kept} where table_name = %s", (name,))


def _loaded(cursor: "Cursor", book: str) -> dict[str, tuple[str, int]]:
    cursor.execute(f"select table_name, delta_id, delta_version from {book}.loads")
    return {name: (delta_id, version) for name, delta_id, version in cursor.fetchall()}


def _load(lake: Lake, cursor: "Cursor", table: Table, version: int, shown: tuple[str, int] | None, number: int) -> Load:
    delta = lake.open(table.source, version)
    assert delta is not None
    delta_id = str(delta.metadata().id)
    schema = dict(table.contract.create_empty().schema)
    created, unfit = _define(cursor, table, schema)
    same_table = shown is not None and shown[0] == delta_id and not (created or unfit)
    inserted = deleted = 0
    anew = False
    if shown is None or not same_table or shown[1] < version:
        gone, added = lake.changed(table.source, shown[1] if shown and same_table else None, version)
        # Every row counts as added: the version shown is no longer there to compare with, so all rows are loaded anew.
        anew = not same_table or (shown is not None and not added.is_empty() and added.height == delta.count())
        if anew:
            cursor.execute(f"delete from {table.qualified}")
            deleted = max(cursor.rowcount, 0)
        elif not gone.is_empty():
            deleted = _delete(cursor, table, gone)
        if not added.is_empty():
            inserted = added.height
            _insert(cursor, table, added)
        cursor.execute(
            f"insert into {table.book}.loads (table_name, delta_id, delta_version, loaded_at) values (%s, %s, %s, "
            "clock_timestamp()) on conflict (table_name) do update "
            "set delta_id = excluded.delta_id, delta_version = excluded.delta_version, loaded_at = excluded.loaded_at",
            (table.name_in_loads, delta_id, version),
        )
        if inserted or deleted or not same_table:
            _touch(cursor, table, None if anew else pl.concat([gone, added]), number)
            if anew or inserted + deleted > _NEWS * delta.count():
                # Fresh statistics: the models built next join these tables.
                cursor.execute(f"analyze {table.qualified}")
    # Of a new table only now: sorting all keys at once takes half of what finding each its place does.
    _index(cursor, table)
    # A load that was overtaken by one of a later version has shown nothing of its own.
    newest = max(version, shown[1]) if shown and same_table else version
    return Load(table, inserted if anew else _count(cursor, table), inserted, deleted, newest)


def _count(cursor: "Cursor", table: Table) -> int:
    cursor.execute(f"select count(*) from {table.qualified}")
    (rows,) = cursor.fetchone() or (0,)
    return int(rows)


def _touch(cursor: "Cursor", table: Table, changed: pl.DataFrame | None, number: int) -> None:
    """Remember which values of the table a load has changed; None stands for all of them."""
    cursor.execute(f"update {table.book}.loads set load = %s where table_name = %s", (number, table.name_in_loads))
    if changed is None or table.by is None:
        cursor.execute(f"update {table.book}.loads set anew = load where table_name = %s", (table.name_in_loads,))
        cursor.execute(f"delete from {table.book}.touched where table_name = %s", (table.name_in_loads,))
        return
    values = changed.select(table_name=pl.lit(table.name_in_loads), value=table.by, load=pl.lit(number, pl.Int64))
    cursor.execute("create temporary table touched_now (table_name text, value text, load bigint)")
    put(cursor, "pg_temp.touched_now", values.unique())
    cursor.execute(
        f"insert into {table.book}.touched select table_name, value, load from pg_temp.touched_now "
        "on conflict (table_name, value) do update set load = excluded.load"
    )
    cursor.execute("drop table pg_temp.touched_now")


def _define(cursor: "Cursor", table: Table, schema: dict[str, pl.DataType]) -> tuple[bool, bool]:
    """Make the table, without its key, or add the columns it lacks; whether it was made, and whether one that was there
    has to be loaded anew.
    """
    wanted = {name: _column_type(table, name, kind) for name, kind in schema.items()}
    cursor.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute "
        "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
        (table.qualified,),
    )
    there = {
        name: kind.replace("timestamp with time zone", "timestamptz").replace(
            "timestamp without time zone", "timestamp"
        )
        for name, kind in cursor.fetchall()
    }
    if not there:
        cursor.execute(f'create schema if not exists "{table.schema}"')
        columns = ", ".join(f'"{name}" {kind}' for name, kind in wanted.items())
        cursor.execute(f"create table {table.qualified} ({columns})")
        _describe(cursor, table)
        return True, False
    if changed := [name for name, kind in there.items() if wanted.get(name) != kind]:
        raise DefinitionError(
            f"{table.schema}.{table.name}: columns {changed} changed type or left the contract, which loaded rows "
            f"cannot follow; drop table {table.schema}.{table.name} cascade, then lakehouse run loads it anew"
        )
    missing = [name for name in wanted if name not in there]
    for name in missing:
        cursor.execute(f'alter table {table.qualified} add column "{name}" {wanted[name]}')
    if missing:
        _describe(cursor, table)
    return False, _index(cursor, table) or bool(missing)


def _index(cursor: "Cursor", table: Table) -> bool:
    """Make the key unique, and only the key, and `by` quick to find; whether the table had another key until now."""
    name = f"{table.name[:40]}_{hashlib.sha256(repr(table.key).encode()).hexdigest()[:8]}"
    cursor.execute(
        "select c.relname, n.nspname from pg_index i join pg_class c on c.oid = i.indexrelid "
        "join pg_namespace n on n.oid = c.relnamespace where i.indisunique and i.indrelid = to_regclass(%s)",
        (table.qualified,),
    )
    others = [found for found in cursor.fetchall() if found[0] != name]
    for other, schema in others:
        cursor.execute(f'drop index "{schema}"."{other}"')
    if others:
        # Rows that are two by the new key may be one by the old: they are loaded anew, and these are in the way.
        cursor.execute(f"delete from {table.qualified}")
    key = ", ".join(f'"{column}"' for column in table.key)
    cursor.execute(f'create unique index if not exists "{name}" on {table.qualified} ({key}) nulls not distinct')
    if table.by and table.key[0] != table.by:
        # Who follows the table reads the rows of the values that were touched.
        cursor.execute(f'create index if not exists "{table.name[:40]}_by" on {table.qualified} ("{table.by}")')
    return bool(others)


def _column_type(table: Table, name: str, kind: pl.DataType) -> str:
    if isinstance(kind, pl.Datetime) and kind.time_zone is None:
        # What was delivered without a zone is given none.
        return "timestamp"
    if type(kind) not in _TYPES:
        known = ", ".join(known.__name__ for known in _TYPES)
        raise DefinitionError(
            f"{table.schema}.{table.name}: column {name} is {kind}, which is not loaded into PostgreSQL; "
            f"make it one of {known}, or keep the table out of the warehouse"
        )
    return _TYPES[type(kind)]


def _describe(cursor: "Cursor", table: Table) -> None:
    def text(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    cursor.execute(f"comment on table {table.qualified} is {text(table.description)}")
    for name, column in table.contract.columns().items():
        if column.description:
            cursor.execute(f'comment on column {table.qualified}."{name}" is {text(column.description)}')


def _delete(cursor: "Cursor", table: Table, gone: pl.DataFrame) -> int:
    nullable = {name for name, column in table.contract.columns().items() if column.nullable}
    same = " and ".join(
        f't."{name}" {"is not distinct from" if name in nullable else "="} gone."{name}"' for name in table.key
    )
    keys = gone.select(table.key).unique()
    columns = ", ".join(f'"{name}" {_column_type(table, name, kind)}' for name, kind in keys.schema.items())
    cursor.execute(f"create temporary table gone ({columns})")
    put(cursor, "pg_temp.gone", keys)
    cursor.execute(f"delete from {table.qualified} t using pg_temp.gone where {same}")
    deleted: int = cursor.rowcount
    cursor.execute("drop table pg_temp.gone")
    return deleted


def _insert(cursor: "Cursor", table: Table, rows: pl.DataFrame) -> None:
    put(cursor, table.qualified, rows.select(table.contract.column_names()))
