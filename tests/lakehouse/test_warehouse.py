"""Loading into PostgreSQL: only what changed, all tables or none, and nothing under a reader's feet."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dataframely as dy
import polars as pl
import pytest
from adbc_driver_postgresql import dbapi
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from lakehouse import postgres, warehouse
from lakehouse.errors import DefinitionError, UnavailableError
from lakehouse.lake import Change, Lake
from lakehouse.rewriting import rewritten
from lakehouse.warehouse import Load, Table, loaded, models_built, models_finished, models_started, publish

UNREACHABLE = "postgresql://me:s3cret-word@127.0.0.1:1/trial"


class Reading(dy.Schema):
    """A reading."""

    sensor = dy.String(description="Sensor's name.")
    hour = dy.Int64(nullable=True)
    celsius = dy.Float64(nullable=True)


READINGS = Table("curated/readings", "lake", "readings", Reading, ("sensor", "hour"), "Readings, one's own.")
OTHERS = replace(READINGS, source="curated/others", name="others")
Row = tuple[str, int | None, float | None]


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A database without any table in it."""
    yield server
    ask(server, "drop schema if exists lake, unblinded cascade")


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def shown(url: str, name: str = "readings") -> list[tuple[object, ...]]:
    return ask(url, f"select sensor, hour, celsius from lake.{name} order by sensor, hour")


def write(lake: Lake, add: list[Row], remove: list[Row] = [], table: str = "curated/readings") -> int:  # noqa: B006
    """Put rows into a lake table and take others out, in one commit; its version."""
    schema = {**Reading.create_empty().schema, "_delivered": pl.Date()}
    delta = lake.create(table, schema)
    frames = [pl.DataFrame([(*row, None) for row in rows], schema=schema, orient="row") for rows in (add, remove)]
    change = Change(frames[0], frames[1].select("sensor", "celsius", "_delivered"), row=("sensor", "celsius"))
    return lake.commit(delta, rewritten(lake, table, delta, change), "test", delta.version() + 1)


A, B, DAILY = ("a", 1, 1.5), ("b", 1, None), ("a", None, 2.5)


def test_who_began_to_read_before_a_table_was_made_sees_none_of_its_rows(lake: Lake, url: str) -> None:
    """Tables loaded together are seen together, also one that is new beside one that was there."""
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    with dbapi.connect(url) as connection, connection.cursor() as reader:
        reader.execute("set transaction isolation level repeatable read")
        seen = []
        for statement in ("select count(*) from lake.loads", "select count(*) from lake.readings"):
            reader.execute(statement)
            seen += reader.fetchall()
        versions = {READINGS.source: write(lake, [B], [A]), OTHERS.source: write(lake, [A, B], table=OTHERS.source)}
        publish(lake, url, [READINGS, OTHERS], versions)
        # The catalog is as it is now, and rows are as they were.
        reader.execute("select count(*) from lake.others")
        assert [*seen, *reader.fetchall()] == [(1,), (1,), (0,)]
    assert (len(shown(url)), len(shown(url, "others"))) == (1, 2)


def test_the_first_load(lake: Lake, url: str) -> None:
    assert loaded(url) == {}
    version = write(lake, [A, B, DAILY])
    told = publish(lake, url, [READINGS, OTHERS], {READINGS.source: version})
    assert told == [Load(READINGS, 3, 3, 0, version)]
    assert shown(url) == [A, DAILY, B]
    delta = lake.open(READINGS.source)
    assert delta
    assert loaded(url) == {"lake.readings": (str(delta.metadata().id), version)}


def test_a_large_table_that_was_loaded_whole_can_be_counted_by_an_index(
    lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse, "_FEW", 2)
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A, B, DAILY])})
    pages = "select relallvisible, relpages, reltuples from pg_class where oid = 'lake.readings'::regclass"
    assert ask(url, pages) == [(1, 1, 3)]


def test_the_table_is_described_and_its_key_is_unique_nulls_included(lake: Lake, url: str) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    assert ask(
        url, "select obj_description('lake.readings'::regclass), col_description('lake.readings'::regclass, 1)"
    ) == [("Readings, one's own.", "Sensor's name.")]
    ask(url, "insert into lake.readings values ('x', null, 1)")
    with pytest.raises(dbapi.IntegrityError):
        ask(url, "insert into lake.readings values ('x', null, 2)")


def test_a_table_whose_key_is_not_unique_is_refused_without_its_values(lake: Lake, url: str) -> None:
    version = write(lake, [("secret-17", None, 1.0), ("secret-17", None, 2.0)])
    with pytest.raises(DefinitionError, match="SQLSTATE 23505") as raised:
        publish(lake, url, [READINGS], {READINGS.source: version})
    assert "secret-17" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert loaded(url) == {}


def test_later_only_what_changed_is_touched(lake: Lake, url: str) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A, B, DAILY, ("c", 1, 3.0)])})
    kept = ask(url, "select ctid::text, xmin::text from lake.readings where sensor = 'b'")
    write(lake, [("a", 1, 9.0), ("d", 1, 4.0)], [A])
    version = write(lake, [], [DAILY, ("c", 1, 3.0)])
    assert publish(lake, url, [READINGS], {READINGS.source: version}) == [Load(READINGS, 3, 2, 3, version)]
    assert shown(url) == [("a", 1, 9.0), B, ("d", 1, 4.0)]
    assert ask(url, "select ctid::text, xmin::text from lake.readings where sensor = 'b'") == kept


def test_only_the_row_without_an_hour_goes_with_a_key_without_an_hour(lake: Lake, url: str) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A, DAILY, ("b", None, 1.0)])})
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [("a", None, 7.0)], [DAILY])})
    assert shown(url) == [A, ("a", None, 7.0), ("b", None, 1.0)]


def test_nothing_to_do_changes_nothing(lake: Lake, url: str) -> None:
    old = write(lake, [A])
    version = write(lake, [B])
    publish(lake, url, [READINGS], {READINGS.source: version})
    before = ask(url, "select * from lake.loads"), ask(url, "select xmin::text from lake.readings")
    for wanted in (version, old):
        told = publish(lake, url, [READINGS], {READINGS.source: wanted})
        assert [(load.rows, load.inserted, load.deleted) for load in told] == [(2, 0, 0)]
    assert (ask(url, "select * from lake.loads"), ask(url, "select xmin::text from lake.readings")) == before


def test_compaction_touches_no_row(lake: Lake, url: str) -> None:
    write(lake, [A])
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [B])})
    before = ask(url, "select xmin::text from lake.readings")
    delta = lake.open(READINGS.source)
    assert delta
    delta.optimize.compact()
    told = publish(lake, url, [READINGS], {READINGS.source: delta.version()})
    assert told == [Load(READINGS, 2, 0, 0, delta.version())]
    assert ask(url, "select xmin::text from lake.readings") == before
    assert loaded(url)["lake.readings"][1] == delta.version()


def test_a_table_that_is_no_longer_loaded_keeps_no_rows(lake: Lake, url: str) -> None:
    versions = {READINGS.source: write(lake, [A, B]), OTHERS.source: write(lake, [B], table=OTHERS.source)}
    publish(lake, url, [READINGS, OTHERS], versions)
    publish(lake, url, [READINGS], versions)
    assert (shown(url), shown(url, "others")) == ([A, B], [])
    assert set(loaded(url)) == {"lake.readings"}
    publish(lake, url, [READINGS, OTHERS], versions)
    assert shown(url, "others") == [B]


@pytest.mark.parametrize("add", [[B], []])
def test_all_rows_may_go(lake: Lake, url: str, add: list[Row]) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A, DAILY])})
    publish(lake, url, [READINGS], {READINGS.source: write(lake, add, [A, DAILY])})
    assert shown(url) == add


def test_a_table_that_was_dropped_is_loaded_anew_with_its_key(lake: Lake, url: str) -> None:
    version = write(lake, [("a", 1, 1.0), ("a", None, 2.0)])
    publish(lake, url, [READINGS], {READINGS.source: version})
    ask(url, "drop table lake.readings")
    publish(lake, url, [READINGS], {READINGS.source: version})
    assert shown(url) == [("a", 1, 1.0), ("a", None, 2.0)]
    keys = "select count(*) from pg_index where indisunique and indrelid = 'lake.readings'::regclass"
    assert ask(url, keys) == [(1,)]


def fail(monkeypatch: pytest.MonkeyPatch, at: str, happens: Callable[[], None]) -> None:
    """Let something happen just before rows are put into a table."""
    real = warehouse._insert

    def insert(cursor: Cursor, table: Table, rows: pl.DataFrame) -> None:
        if table.name == at:
            happens()
        real(cursor, table, rows)

    monkeypatch.setattr(warehouse, "_insert", insert)


def test_a_load_waits_for_the_one_that_is_at_it(lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    first = write(lake, [("a", 1, 9.0)], [A])
    last = write(lake, [B])
    told: list[Load] = []
    second = threading.Thread(target=lambda: told.extend(publish(lake, url, [READINGS], {READINGS.source: last})))

    def happens() -> None:
        monkeypatch.undo()
        second.start()
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        while second.is_alive() and ask(url, waiting) == [(0,)]:
            pass

    fail(monkeypatch, "readings", happens)
    publish(lake, url, [READINGS], {READINGS.source: first})
    second.join()
    assert told == [Load(READINGS, 2, 1, 0, last)]
    assert shown(url) == [("a", 1, 9.0), B]


def test_a_load_that_has_stopped_is_ended_and_holds_nobody_up(
    lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    first, last = write(lake, [("a", 1, 9.0)], [A]), write(lake, [B])
    monkeypatch.setattr(warehouse, "PATIENCE", "2s")

    def stopped() -> None:
        monkeypatch.undo()
        # Waits until the server has ended the other, which says nothing any more.
        publish(lake, url, [READINGS], {READINGS.source: last})

    fail(monkeypatch, "readings", stopped)
    with pytest.raises(UnavailableError, match="PostgreSQL does not answer"):
        publish(lake, url, [READINGS], {READINGS.source: first})
    assert shown(url) == [("a", 1, 9.0), B]
    assert loaded(url)["lake.readings"][1] == last


def test_loads_at_once_end_at_the_newest_version(lake: Lake, url: str) -> None:
    first, last = write(lake, [A]), write(lake, [("a", 1, 9.0), B], [A])
    told: list[Load] = []

    def load(version: int) -> None:
        told.extend(publish(lake, url, [READINGS], {READINGS.source: version}))

    threads = [threading.Thread(target=load, args=(version,)) for version in (first, last, last, first)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 4
    assert shown(url) == [("a", 1, 9.0), B]
    assert loaded(url)["lake.readings"][1] == last


class Killed(BaseException):
    pass


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_a_load_that_fails_half_way_leaves_everything_as_it_was(
    lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    versions = {READINGS.source: write(lake, [A]), OTHERS.source: write(lake, [A], table=OTHERS.source)}
    publish(lake, url, [READINGS, OTHERS], versions)
    before = loaded(url)
    versions = {
        READINGS.source: write(lake, [("a", 1, 9.0)], [A]),
        OTHERS.source: write(lake, [B], [A], table=OTHERS.source),
    }

    def happens() -> None:
        # Readers see the old rows until the moment they see the new.
        assert shown(url) == [A]
        assert shown(url, "others") == [A]
        if how == "killed":
            raise Killed
        others = "pid <> pg_backend_pid() and datname = current_database()"
        ask(url, f"select pg_terminate_backend(pid) from pg_stat_activity where {others}")

    with monkeypatch.context() as patch:
        fail(patch, "others", happens)
        with pytest.raises(Killed if how == "killed" else UnavailableError):
            publish(lake, url, [READINGS, OTHERS], versions)
    assert (shown(url), shown(url, "others")) == ([A], [A])
    assert loaded(url) == before
    publish(lake, url, [READINGS, OTHERS], versions)
    assert (shown(url), shown(url, "others")) == ([("a", 1, 9.0)], [B])


def test_readers_are_not_held_up_and_see_all_tables_change_at_once(
    lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [READINGS, OTHERS]
    publish(lake, url, tables, {t.source: write(lake, [A], table=t.source) for t in tables})
    versions = {t.source: write(lake, [B], [A], table=t.source) for t in tables}
    seen: list[object] = []
    fail(monkeypatch, "others", lambda: seen.extend([shown(url), shown(url, "others")]))
    publish(lake, url, tables, versions)
    assert seen == [[A], [A]]
    assert (shown(url), shown(url, "others")) == ([B], [B])


class Wider(Reading):
    note = dy.String(nullable=True, description="What was noted.")


def widened(lake: Lake) -> int:
    schema = {**Wider.create_empty().schema, "_delivered": pl.Date()}
    delta = lake.create(READINGS.source, {"_delivered": pl.Date(), **schema})
    rows = pl.DataFrame([("n", 1, 1.0, "new", None)], schema=schema, orient="row")
    return lake.commit(delta, Change(rows), "test", delta.version() + 1)


def test_a_new_contract_column_is_added_under_the_views_that_use_the_table(lake: Lake, url: str) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    ask(url, "create view public.model as select sensor from lake.readings")
    table = replace(READINGS, contract=Wider)
    publish(lake, url, [table], {READINGS.source: widened(lake)})
    assert ask(url, "select sensor, note from lake.readings order by 1") == [("a", None), ("n", "new")]
    assert ask(url, "select col_description('lake.readings'::regclass, 4)") == [("What was noted.",)]
    assert ask(url, "select sensor from public.model order by 1") == [("a",), ("n",)]


class Retyped(Reading):
    celsius = dy.String(nullable=True)


class Narrower(dy.Schema):
    sensor = dy.String()
    hour = dy.Int64(nullable=True)


@pytest.mark.parametrize("contract", [Retyped, Narrower])
def test_a_column_that_changed_type_or_left_is_refused_with_what_to_do(
    lake: Lake, url: str, contract: type[dy.Schema]
) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    before = loaded(url)
    version = write(lake, [B])
    with pytest.raises(
        DefinitionError, match=r"lake.readings: columns \['celsius'\].*drop table lake.readings cascade"
    ):
        publish(lake, url, [replace(READINGS, contract=contract)], {READINGS.source: version})
    assert shown(url) == [A]
    assert loaded(url) == before


def test_a_key_that_changed_is_the_one_that_is_unique(lake: Lake, url: str) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    wider = replace(READINGS, key=("sensor", "hour", "celsius"))
    rows = [A, (*A[:2], 99.0, *A[3:])]
    version = write(lake, rows[1:])
    publish(lake, url, [wider], {READINGS.source: version})
    assert sorted(shown(url)) == sorted(rows)
    with pytest.raises(dbapi.IntegrityError):
        ask(url, "insert into lake.readings select * from lake.readings")


@pytest.mark.parametrize("kind", [dy.List(dy.String()), dy.Decimal(10, 2), dy.Time()])
def test_a_type_that_postgresql_has_no_column_for_is_refused(lake: Lake, url: str, kind: dy.Column) -> None:
    contract = type("Odd", (Reading,), {"odd": kind, "__module__": __name__})
    version = write(lake, [A])
    with pytest.raises(DefinitionError, match="odd"):
        publish(lake, url, [replace(READINGS, contract=contract)], {READINGS.source: version})
    assert loaded(url) == {}


@pytest.mark.parametrize("rows", [[B], [A, B], []])
def test_a_lake_that_was_made_anew_is_loaded_anew(tmp_path: Path, url: str, rows: list[Row]) -> None:
    old, new = Lake(str(tmp_path / "old")), Lake(str(tmp_path / "new"))
    write(old, [A])
    publish(old, url, [READINGS], {READINGS.source: write(old, [DAILY])})
    version = write(new, rows)
    publish(new, url, [READINGS], {READINGS.source: version})
    assert shown(url) == rows
    assert loaded(url)["lake.readings"][1] == version


@pytest.mark.parametrize("lost", ["log", "data"])
def test_a_version_that_was_cleaned_up_since_is_no_hindrance(lake: Lake, url: str, lost: str) -> None:
    version = write(lake, [A, B])
    publish(lake, url, [READINGS], {READINGS.source: version})
    latest = write(lake, [("a", 1, 9.0)], [A])
    delta = lake.open(READINGS.source)
    assert delta
    if lost == "log":
        delta.create_checkpoint()
        for old in range(version + 1):
            (Path(lake.root) / READINGS.source / f"_delta_log/{old:020}.json").unlink()
    else:
        delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    told = publish(lake, url, [READINGS], {READINGS.source: latest})
    assert shown(url) == [("a", 1, 9.0), B]
    assert told == [Load(READINGS, 2, 2, 2, latest)]


def test_values_arrive_as_they_are(lake: Lake, url: str) -> None:
    class Everything(dy.Schema):
        text = dy.String(nullable=True)
        whole = dy.Int64(nullable=True)
        number = dy.Float64(nullable=True)
        flag = dy.Bool(nullable=True)
        day = dy.Date(nullable=True)
        time = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")

    moment = datetime(2020, 3, 29, 1, 30, 0, 123456, UTC)
    given = [
        ("ä '\"\\ \n\t,; \u2028 😀", 2**63 - 1, 0.1 + 0.2, True, date(2020, 2, 29), moment),
        ("", -(2**63), float("inf"), False, date(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC)),
        (None, None, None, None, None, None),
    ]
    rows = pl.DataFrame(given, schema=Everything.create_empty().schema, orient="row")
    version = lake.commit(lake.create("curated/all", dict(rows.schema)), Change(rows), "test", 1)
    table = Table("curated/all", "unblinded", "every_thing", Everything, ("text",), "All types.")
    publish(lake, url, [table], {"curated/all": version})
    assert ask(url, "select * from unblinded.every_thing order by text nulls last, whole") == [
        given[1],
        given[0],
        given[2],
    ]
    assert loaded(url)["unblinded.every_thing"][1] == version


def test_a_time_without_a_zone_is_given_none(lake: Lake, url: str) -> None:
    class Local(dy.Schema):
        sensor = dy.String()
        local = dy.Datetime(nullable=True, time_unit="us")

    rows = pl.DataFrame([("a", datetime(2020, 3, 29, 2, 30))], schema=Local.create_empty().schema, orient="row")
    version = lake.commit(lake.create("curated/local", dict(rows.schema)), Change(rows), "test", 1)
    table = Table("curated/local", "lake", "local", Local, ("sensor",), "Local times.")
    publish(lake, url, [table], {"curated/local": version})
    assert ask(url, "select pg_typeof(local)::text, local from lake.local") == [
        ("timestamp without time zone", datetime(2020, 3, 29, 2, 30))
    ]


def test_models_are_behind_as_soon_as_a_table_was_loaded(lake: Lake, url: str) -> None:
    assert models_built(url) is None
    models_finished(url, "code 0", models_started(url))
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    assert models_built(url) is None
    models_finished(url, "code 1", models_started(url))
    assert models_built(url) == "code 1"
    started = models_started(url)
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [B])})
    models_finished(url, "code 2", started)
    # Loaded while the models were being built: they may not show it.
    assert models_built(url) is None
    models_finished(url, "code 3", models_started(url))
    assert models_built(url) == "code 3"
    assert ask(url, "select count(*) from lake.built") == [(1,)]
    elsewhere = url + "&options=" + quote("-ctimezone=Asia/Tokyo -cdatestyle=German", safe="")
    assert models_built(elsewhere) == "code 3"
    # As a lakehouse left it that did not remember builds in this way.
    with postgres.transaction(url) as cursor:
        cursor.execute("drop table lake.built")
    assert models_built(url) is None
    models_finished(url, "code 4", models_started(url))
    assert models_built(url) == "code 4"


def test_models_that_began_during_a_load_do_not_show_it(lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [A])})
    begun: list[str] = []
    insert = warehouse._insert

    def meanwhile(*words: Any, **more: Any) -> None:
        insert(*words, **more)
        # Its rows and its time are written and not yet to be seen.
        begun.append(models_started(url))

    monkeypatch.setattr(warehouse, "_insert", meanwhile)
    publish(lake, url, [READINGS], {READINGS.source: write(lake, [B])})
    models_finished(url, "code 1", begun[0])
    assert models_built(url) is None


@pytest.mark.parametrize(
    "use",
    [
        loaded,
        models_started,
        models_built,
        lambda url: models_finished(url, "code", "loads"),
        lambda url: publish(Lake("/nowhere"), url, [READINGS], {}),
    ],
)
def test_a_postgresql_that_is_down_is_told_without_its_url(use: Callable[[str], object]) -> None:
    with pytest.raises(UnavailableError, match="PostgreSQL does not answer as it should") as raised:
        use(UNREACHABLE)
    assert [word for word in ("s3cret", "127.0.0.1", "trial") if word in str(raised.value)] == []
    assert raised.value.__suppress_context__


def test_what_a_load_has_changed_is_told_by_value(lake: Lake, url: str) -> None:
    by_sensor = replace(READINGS, by="sensor")

    def load(version: int) -> None:
        publish(lake, url, [by_sensor], {READINGS.source: version})

    def told() -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
        return ask(url, "select table_name, load, anew from lake.loads"), ask(
            url, "select value, load from lake.touched where table_name = 'lake.readings' order by value"
        )

    load(write(lake, [A, B, DAILY, ("c", 1, 3.0)]))
    assert told() == ([("lake.readings", 1, 1)], [])
    write(lake, [("a", 1, 9.0), ("d", 1, 4.0)], [A])
    version = write(lake, [], [("c", 1, 3.0)])
    load(version)
    load(version)
    assert told() == ([("lake.readings", 2, 1)], [("a", 2), ("c", 2), ("d", 2)])
    load(write(lake, [("a", 2, 1.0)]))
    assert told() == ([("lake.readings", 3, 1)], [("a", 3), ("c", 2), ("d", 2)])
    ask(url, "drop table lake.readings")
    load(write(lake, [("e", 2, 1.0)]))
    assert told() == ([("lake.readings", 4, 4)], [])


def test_loads_that_were_recorded_without_their_numbers_go_on(lake: Lake, url: str) -> None:
    by_sensor = replace(READINGS, by="sensor")
    publish(lake, url, [by_sensor], {READINGS.source: write(lake, [A])})
    ask(url, "alter table lake.loads drop column load, drop column anew")
    publish(lake, url, [by_sensor], {READINGS.source: write(lake, [B])})
    assert shown(url) == [A, B]
    assert ask(url, "select load > anew from lake.loads") == [(True,)]
