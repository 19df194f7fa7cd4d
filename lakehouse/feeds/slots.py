"""What a feed of changes keeps in PostgreSQL: a publication of one table, and a slot that holds its log for us."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.feeds.postgres import EVERY_ROW, failing, impatient, literal, quoted
from lakehouse.feeds.shape import SHAPE, Shape

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection

# Values are to look alike whether a snapshot or the log tells them, and whatever the server's own settings. Who waits
# for a table that is being altered does not wait for ever.
_SESSION = """
    set client_encoding = 'UTF8'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set timezone = 'UTC';
    set extra_float_digits = 1; set bytea_output = 'hex'; set lc_monetary = 'C'; set xmlbinary = 'base64';
    set search_path = ''; set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
    set client_connection_check_interval = '1s'; set lock_timeout = '10s'
"""
# What a statement that reached its limit of time fails with.
CANCELED = "57014"
_WHY = {
    "55006": "another process is reading the slot: wait until it is done, or end it",
    "42501": "the user lacks a right: it must have REPLICATION, read the table, BYPASSRLS where it has row security, "
    "and own it or find a publication",
    "55P03": "somebody alters the table, or a transaction that writes has run for long: pull again when it is done",
    "53400": "the server has no free slot: raise max_replication_slots",
    "42710": "another database of the server has a slot of this name, for a source of the same name: rename this one",
}


@dataclass(frozen=True)
class State:
    """What the database says of a table's publication and slot.

    published: the number of the table's entry in the publication, which is another after anyone makes it anew; None
        when it is not in it. sound: whether the publication tells every kind of change, and of this table alone.
        columns: those it publishes. shape: how the table stands in the catalog.
    slot: whether there is one. status: its `wal_status`. confirmed: the position it was released to. retained: bytes of
        log it holds. left: of those it may hold beside, before the server gives its log up; None where there is no
        limit. now: the end of the log.
    identity: the columns that name an old row, in the table and in each of its partitions. heirs: whether tables
        inherit from it, other than partitions. silent: whether it, or a partition, is of a kind whose changes are not
        logged.
    """

    wal_level: str
    encoding: str
    table: int | None
    size: int
    identity: tuple[str, ...]
    heirs: bool
    silent: bool
    published: int | None
    sound: bool
    columns: tuple[str, ...]
    shape: Shape
    slot: bool
    status: str | None
    active: bool
    confirmed: int
    retained: int
    left: int | None
    now: int


def asking(system: str) -> AbstractContextManager[None]:
    """Turn a failure of the database inside the block into a FeedError."""
    return failing(system, _WHY)


def connect(url: str, *, autocommit: bool = True) -> "Connection":
    """A connection whose values are written as text in one way."""
    from adbc_driver_postgresql import dbapi

    connection = dbapi.connect(impatient(url), autocommit=autocommit)
    with connection.cursor() as cursor:
        for statement in (*_SESSION.split(";"), EVERY_ROW):
            cursor.execute(statement)
    return connection


def version(connection: "Connection") -> int:
    """The server's major version."""
    return int(_row(connection, "select current_setting('server_version_num')::int / 10000 as major")["major"])


def state(connection: "Connection", name: str, table: tuple[str, str]) -> State:
    """What there is now of the slot and publication `name`."""
    words = {"name": literal(name), "schema": literal(table[0]), "table": literal(table[1])}
    row = _row(connection, _STATE.format(**words, shape=SHAPE))
    row["columns"] = tuple((row["columns"] or "").split("\n")) if row["columns"] else ()
    row["identity"] = tuple((row["identity"] or "").split("\n")) if row["identity"] else ()
    row["shape"] = Shape.of(json.loads(row["shape"]))
    return State(**row)


def publish(connection: "Connection", name: str, table: tuple[str, str]) -> None:
    """Make the publication anew."""
    with connection.cursor() as cursor:
        cursor.execute(f"drop publication if exists {quoted(name)}")
        cursor.execute(
            # Not of tables that inherit from it: PostgreSQL would refuse to change rows of those that have no key.
            f"create publication {quoted(name)} for table only {quoted(*table)} "
            "with (publish_via_partition_root = true)"
        )


def drop(connection: "Connection", name: str) -> None:
    """Drop the slot, so that the database need not keep its log."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots "
            f"where slot_name = {literal(name)} and database = current_database()"
        )
        cursor.fetchall()


def advance(connection: "Connection", name: str, position: int) -> None:
    """Release the log before `position`."""
    with connection.cursor() as cursor:
        cursor.execute(f"select end_lsn::text from pg_replication_slot_advance({literal(name)}, '{lsn(position)}')")
        cursor.fetchall()


@contextmanager
def created(url: str, name: str, patience: str | None = None) -> Iterator[tuple[int, str]]:
    """Make the slot; where its changes begin, and the name of a snapshot of all before, valid while the block runs.

    Waits for the transactions that are running. patience: for how long at most; the slot is then one that is dropped
    when the block ends.
    """
    import psycopg2
    from psycopg2.extras import LogicalReplicationConnection

    connection = psycopg2.connect(impatient(url), connection_factory=LogicalReplicationConnection)
    try:
        with connection.cursor() as cursor:
            if patience:
                cursor.execute(f"set lock_timeout = {literal(patience)}")
            kind = "TEMPORARY LOGICAL" if patience else "LOGICAL"
            cursor.execute(f"CREATE_REPLICATION_SLOT {quoted(name)} {kind} pgoutput (SNAPSHOT 'export')")
            _, begins, snapshot, _ = cursor.fetchone()
            high, low = begins.split("/")
            yield (int(high, 16) << 32) + int(low, 16), snapshot
    finally:
        connection.close()


def lsn(position: int) -> str:
    """A position of the log as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def _row(connection: "Connection", statement: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found: dict[str, Any] = cursor.fetch_arrow_table().to_pylist()[0]
        return found


_STATE = """
    with named as (
        select pg_class.oid, relkind
        from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where nspname = {schema} and relname = {table}
    ),
    tree as (
        select oid, false as part from named
        union all
        select relid, true from named, pg_partition_tree(oid) where relid <> oid
    ),
    told as (
        select attnames::text[] as columns from pg_publication_tables
        where pubname = {name} and schemaname = {schema} and tablename = {table}
    )
    select
        current_setting('wal_level') as wal_level,
        (select pg_encoding_to_char(encoding) from pg_database where datname = current_database()) as encoding,
        (select oid::bigint from named) as table,
        coalesce((select pg_total_relation_size(oid) from named), 0) as size,
        (
            select string_agg(attname, E'\\n' order by attname) from (
                select attname
                from tree join pg_class on pg_class.oid = tree.oid join pg_attribute on attrelid = tree.oid
                where attnum > 0 and not attisdropped and (relreplident = 'f' or attnum = any((
                    select indkey::int2[] from pg_index
                    where indrelid = tree.oid and indimmediate
                    and case relreplident when 'd' then indisprimary else indisreplident end
                )::int2[]))
                group by attname having count(*) = (select count(*) from tree)
            ) as everywhere
        ) as identity,
        (
            select coalesce(bool_or(relkind <> 'p'), false) from named join pg_inherits on inhparent = named.oid
        ) as heirs,
        coalesce((
            select bool_or(relkind = 'f' or (relkind = 'r' and relpersistence <> 'p'))
            from tree join pg_class on pg_class.oid = tree.oid
        ), false) as silent,
        publication.number as published,
        coalesce(publication.sound, false) as sound,
        array_to_string(told.columns, E'\\n') as columns,
        ({shape}) as shape,
        slot.slot_name is not null as slot,
        case when slot.invalidation_reason is null then slot.wal_status else 'lost' end as status,
        coalesce(slot.active, false) as active,
        coalesce(pg_wal_lsn_diff(slot.confirmed_flush_lsn, '0/0'), 0)::bigint as confirmed,
        coalesce(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), slot.restart_lsn), 0)::bigint as retained,
        slot.safe_wal_size as left,
        pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint as now
    from (select) as one
    left join told on true
    left join (
        select one.oid::bigint as number, pg_publication.xmin::text as altered,
            pubinsert and pubupdate and pubdelete and pubtruncate and pubviaroot and prqual is null
            and not exists (select from pg_publication_namespace where pnpubid = prpubid)
            and (select count(*) from pg_publication_rel as other where other.prpubid = one.prpubid) = 1 as sound
        from pg_publication
        join pg_publication_rel as one on prpubid = pg_publication.oid
        join named on prrelid = named.oid
        where pubname = {name}
    ) as publication on true
    left join pg_replication_slots as slot on slot.slot_name = {name} and slot.database = current_database()
"""
