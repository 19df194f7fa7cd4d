"""Changes of a real PostgreSQL's tables: what is pulled is what happened, whoever writes and whatever dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest
from logical import ADDED, Puller, connect, execute, rows, texts, values

from lakehouse.changes import current
from lakehouse.contract import Contract
from lakehouse.errors import SourceError
from lakehouse.feeds import Extract, FeedError, Part, Reached, changes, peek
from lakehouse.feeds.changes import Changes
from lakehouse.feeds.extracts import WHOLE
from lakehouse.formats.parquet import Parquet
from lakehouse.source import Source


class Thing(Contract):
    """A thing, by its number."""

    id = dy.String()


def operations(extracts: list[Extract], *names: str) -> list[tuple[object, ...]]:
    puller = Puller("", Changes(system="edc", table="a.b", key=("id",)), landed=extracts)
    return puller.log().sort("cdc_lsn", "cdc_seq").select("cdc_op", *names).rows()


def same(things: Puller, *names: str) -> None:
    now = current(things.log().lazy(), ["id"]).collect()
    assert values(now, *names) == texts(things.url, "things", *names)


def test_a_snapshot_then_each_change_in_the_order_of_commit(things: Puller) -> None:
    execute(things.url, "insert into things values (1, 'a'), (2, null), (3, '')")
    assert operations(things.pull(), "id", "word") == [
        ("snapshot", "1", "a"),
        ("snapshot", "2", None),
        ("snapshot", "3", ""),
        ("complete", None, None),
    ]
    execute(
        things.url,
        "insert into things values (4, 'd')",
        "update things set word = 'b' where id = 2",
        "update things set id = 30 where id = 3",
        "delete from things where id = 1",
        "truncate things",
        "insert into things values (5, 'e')",
    )
    assert operations(things.pull(), "id", "word") == [
        ("insert", "4", "d"),
        ("update", "2", "b"),
        ("delete", "3", None),
        ("insert", "30", ""),
        ("delete", "1", None),
        ("truncate", None, None),
        ("insert", "5", "e"),
    ]
    assert things.pull() == []
    same(things, "id", "word", "big")


def test_a_change_has_the_number_and_the_time_of_its_transaction(things: Puller) -> None:
    things.pull()
    writer = connect(things.url, autocommit=False)
    cursor = writer.cursor()
    cursor.execute("insert into things values (1), (2)")
    cursor.execute("select pg_current_xact_id()::text")
    number = cursor.fetchone()[0]
    time.sleep(0.05)
    before = rows(things.url, "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')")
    writer.commit()
    after = rows(things.url, "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')")
    (extract,) = things.pull()
    told = things.log().filter(cdc_op="insert")
    assert set(told["cdc_xid"]) == {number}
    assert told["cdc_lsn"].n_unique() == 1
    assert told["cdc_at"].n_unique() == 1
    assert before[0][0] <= told["cdc_at"][0] <= after[0][0]
    assert str(extract.part) == f"{extract.part.stream}@{told['cdc_lsn'][0]}.0000000002~{told['cdc_lsn'][0]}.{WHOLE}"
    assert Part.of(str(extract.part)) == extract.part


def test_large_values_that_did_not_change_are_named_and_filled_in(things: Puller) -> None:
    execute(things.url, "insert into things select i, 'a', repeat(i::text, 9000) from generate_series(1, 3) i")
    things.pull()
    execute(
        things.url,
        "update things set word = 'b' where id = 1",
        "update things set id = 20, word = 'c' where id = 2",
        "update things set id = 21 where id = 20",
        "update things set big = null where id = 3",
    )
    assert operations(things.pull(), "id", "cdc_unchanged") == [
        ("update", "1", '["big"]'),
        ("delete", "2", '["big"]'),
        ("insert", "20", '["big"]'),
        ("delete", "20", '["big"]'),
        ("insert", "21", '["big"]'),
        ("update", "3", None),
    ]
    same(things, "id", "word", "big")


def test_columns_of_any_names_keep_their_values(things: Puller) -> None:
    """Of one that is large and was not sent, another whose name is part of its name is none."""
    odd = ('"a b"', '"b"', '"say ""a"", or b"')
    execute(
        things.url,
        *(f"alter table things add {name} text, alter {name} set storage external" for name in odd),
        f"insert into things (id, {', '.join(odd)}) select 1, repeat('x', 9000), repeat('y', 9000), repeat('z', 9000)",
    )
    things.pull()
    for name in odd:
        execute(things.url, f"update things set {name} = 'short' where id = 1")
        things.pull()
        now = current(things.log().lazy(), ["id"]).collect()
        assert now.select("a b", "b", 'say "a", or b').rows() == texts(things.url, "things", *odd)


def test_with_a_full_identity_nothing_is_left_out_and_keys_still_move(things: Puller) -> None:
    execute(things.url, "alter table things replica identity full")
    execute(things.url, "insert into things values (1, 'a', repeat('x', 9000)), (2, 'b', null)")
    things.pull()
    execute(things.url, "update things set word = 'c' where id = 1", "update things set id = 9 where id = 2")
    execute(things.url, "delete from things where id = 1")
    told = things.pull()
    assert operations(told, "id", "word", "cdc_unchanged") == [
        ("update", "1", "c", None),
        ("delete", "2", None, None),
        ("insert", "9", "b", None),
        ("delete", "1", "c", None),
    ]
    assert things.log().filter(cdc_op="update")["big"].to_list() == ["x" * 9000]
    same(things, "id", "word", "big")


def test_what_was_rolled_back_is_not_told(things: Puller) -> None:
    things.pull()
    writer = connect(things.url, autocommit=False)
    cursor = writer.cursor()
    cursor.execute("insert into things values (1)")
    writer.rollback()
    cursor.execute("insert into things values (2)")
    cursor.execute("savepoint one")
    cursor.execute("insert into things values (3)")
    cursor.execute("rollback to savepoint one")
    cursor.execute("savepoint two")
    cursor.execute("insert into things values (4)")
    cursor.execute("release savepoint two")
    writer.commit()
    writer.close()
    assert operations(things.pull(), "id") == [("insert", "2"), ("insert", "4")]


def test_interleaved_transactions_are_told_one_after_the_other(things: Puller) -> None:
    things.pull()
    first, second = connect(things.url, autocommit=False), connect(things.url, autocommit=False)
    first.cursor().execute("insert into things values (1)")
    second.cursor().execute("insert into things values (2)")
    first.cursor().execute("insert into things values (3)")
    second.cursor().execute("insert into things values (4)")
    second.commit()
    assert operations(things.pull(), "id") == [("insert", "2"), ("insert", "4")]
    things.release()
    first.commit()
    assert operations(things.pull(), "id") == [("insert", "1"), ("insert", "3")]
    first.close()
    second.close()


@pytest.mark.parametrize("die_after", [1, 2, 7])
def test_a_transaction_much_larger_than_an_extract_is_told_once_whoever_dies(things: Puller, die_after: int) -> None:
    things.pull()
    execute(things.url, "insert into things select i, 'w' || i from generate_series(1, 30000) i")
    killed = things.pull(2**16, die_after=die_after)
    assert len(killed) == die_after
    assert not killed[-1].part.end.endswith(WHOLE)
    things.release()
    rest = things.pull(2**16)
    assert len(rest) > 5
    assert max(len(Puller("", things.feed, landed=[extract]).log()) for extract in rest) < 3000
    assert [extract.part.end.endswith(WHOLE) for extract in rest] == [False] * (len(rest) - 1) + [True]
    told = things.log().filter(cdc_op="insert")
    assert told["id"].cast(pl.Int64).to_list() == list(range(1, 30001))
    things.release()
    assert things.pull() == []
    assert things.feed.lag(things.url, things.source, things.reached).any is False


def test_a_pull_takes_no_more_than_it_may_and_the_next_goes_on(things: Puller) -> None:
    things.feed = replace(things.feed, most_changes=20)
    things.pull()
    execute(
        things.url,
        *(f"insert into things values ({number})" for number in range(30)),
        "insert into things select generate_series(100, 199)",
        "insert into things values (30)",
    )
    told = []
    while extracts := things.pull(2**10):
        told.append(operations(extracts, "id"))
        # Whether or not what was pulled has been released by then.
        if len(told) % 2:
            things.release()
    *small, large = sorted(len(one) for one in told)
    assert 100 <= large < 120
    assert max(small) < 20
    ids = [row[1] for one in told for row in one]
    assert ids == [str(number) for number in (*range(30), *range(100, 200), 30)]


def test_a_pull_goes_past_what_belongs_to_transactions_that_have_not_ended(
    things: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    things.pull()
    monkeypatch.setattr(changes, "_STRETCH", 2**12)
    with closing(connect(things.url, autocommit=False)) as writer:
        writer.cursor().execute("insert into things select generate_series(100, 2000)")
        execute(things.url, "insert into things values (1)")
        assert operations(things.pull(), "id") == [("insert", "1")]
        execute(things.url, "insert into things values (2)")
        writer.commit()
    while things.pull():
        pass
    assert sorted(things.log().filter(cdc_op="insert")["id"].cast(pl.Int64)) == [1, 2, *range(100, 2001)]


def test_columns_come_and_go(things: Puller) -> None:
    things.pull()
    execute(
        things.url,
        "insert into things values (1, 'a')",
        "alter table things add more text default 'm'",
        "insert into things values (2, 'b', null, 'n')",
        "alter table things drop word",
        "insert into things values (3, null, 'o')",
    )
    told = things.pull()
    named = [Puller("", things.feed, landed=[extract]).log().columns for extract in told]
    assert [sorted(set(one) - set(ADDED)) for one in named] == [
        ["big", "id", "word"],
        ["big", "id", "more", "word"],
        ["big", "id", "more"],
        # A column with a default came: all rows are told again.
        ["big", "id", "more"],
    ]
    assert operations(told[:3], "id", "word", "more") == [
        ("insert", "1", "a", None),
        ("insert", "2", "b", "n"),
        ("insert", "3", None, "o"),
    ]


def test_values_are_as_postgresql_writes_them_in_snapshot_and_log_alike(url: str) -> None:
    made = """
        create type mood as enum ('so so', 'fine');
        create type pair as (a int, b text);
        create schema "Odd.Schema"
    """
    columns = {
        "id": ("uuid", "gen_random_uuid()"),
        '"Quoted ""Name"""': ("text", "E'new\\nline \\t tab \\\\ back '' quote \" ünïcödé 🜁 ' || repeat('ß', 40)"),
        "flag": ("boolean", "true"),
        "padded": ("char(6)", "'ab'"),
        "exact": ("numeric", "'12345678901234567890.10'"),
        "float": ("double precision", "0.1::float8 + 0.2"),
        "moment": ("timestamptz", "'2014-01-02 03:04:05.678901+02'"),
        "span": ("interval", "'1 year 2 days 03:00'"),
        "bytes": ("bytea", "'\\x00ff'::bytea"),
        "list": ("text[]", "array['a', null, 'b c', '']"),
        "tree": ("jsonb", """'{"a": [1, null]}'"""),
        "mood": ("mood", "'so so'"),
        "half": ("pair", "row(null, 'x')::pair"),
        "none": ("pair", "row(null, null)::pair"),
        "empty": ("text", "''"),
        "missing": ("text", "null"),
        "money": ("money", "'12.34'"),
        "many": ("int4range", "'[1,5)'"),
        "class": ("regclass", "'pg_class'::regclass"),
        "twelve": ("text", "'123456789012'"),
        "thirteen": ("text", "'1234567890123'"),
    }
    table = '"Odd.Schema"."Odd Table"'
    execute(
        url,
        *made.split(";"),
        f"create table {table} ({', '.join(f'{name} {kind}' for name, (kind, _) in columns.items())})",
        f"alter table {table} add primary key (id)",
    )
    insert = f"insert into {table} values ({', '.join(value for _, value in columns.values())})"
    # The schema has a dot in its name, which the written form of a table cannot have.
    execute(url, 'alter schema "Odd.Schema" rename to "Odd Schema"')
    table = table.replace("Odd.Schema", "Odd Schema")
    insert = insert.replace("Odd.Schema", "Odd Schema")
    puller = Puller(url, Changes(system="edc", table="Odd Schema.Odd Table", key=("id",)), name="odd")
    execute(url, insert)
    puller.pull()
    execute(url, insert)
    puller.pull()
    told = puller.log().filter(pl.col("cdc_op") != "complete")
    assert sorted(told["cdc_op"]) == ["insert", "snapshot"]
    names = [name[1:-1].replace('""', '"') if name.startswith('"') else name for name in columns]
    session = "set timezone = 'UTC'; set extra_float_digits = 1; set search_path = ''; "
    told_by_it = ", ".join(f"case when num_nulls({name}) = 0 then format('%s', {name}) end" for name in columns)
    assert values(told, *names) == sorted(rows(url, f"{session} select {told_by_it} from {table}"), key=repr)
    for name in names[1:]:
        assert told[name].n_unique() == 1, name
    assert told["flag"][0] == "t"
    assert told["padded"][0] == "ab    "
    assert told["half"][0] == "(,x)"
    assert told["empty"][0] == ""
    assert told["missing"][0] is None
    puller.forget()
    execute(url, 'drop schema "Odd Schema" cascade', "drop type mood", "drop type pair")


def test_a_snapshot_under_writers_has_no_gap_and_no_overlap(things: Puller) -> None:
    execute(things.url, "insert into things select i, '0' from generate_series(1, 5000) i")
    over = threading.Event()

    def write(first: int) -> None:
        writer = connect(things.url)
        cursor = writer.cursor()
        number = first
        while not over.is_set():
            number += 4
            cursor.execute("insert into things values (%s, 'new')", [number])
            cursor.execute(
                "update things set word = (word::int + 1)::text where id = %s", [number % 5000 // 4 * 4 + first % 4 + 1]
            )
            cursor.execute("delete from things where id = %s", [number - 400])
        writer.close()

    writers = [threading.Thread(target=write, args=(10_000 + one,)) for one in range(4)]
    for writer in writers:
        writer.start()
    try:
        things.pull(2**14, die_after=1)
        things.pull(2**14)
        things.pull(2**14)
        things.release()
    finally:
        over.set()
        for writer in writers:
            writer.join()
    things.pull(2**14)
    told = things.log()
    assert not told.select("id", "cdc_lsn", "cdc_seq").is_duplicated().any()
    assert told.filter(cdc_op="snapshot")["cdc_lsn"].n_unique() == 2
    assert len(told.filter(cdc_op="update")) > 10
    same(things, "id", "word")


def test_a_puller_that_is_killed_leaves_all_to_the_next(things: Puller, tmp_path: Path) -> None:
    things.pull()
    execute(things.url, "insert into things select i, 'w' || i from generate_series(1, 100000) i")
    script = """
import pathlib, pickle, sys
from types import SimpleNamespace
from lakehouse.feeds.changes import Changes
from lakehouse.feeds import Reached
feed = Changes(system="edc", table="public.things", key=("id",))
folder = pathlib.Path(sys.argv[2])
ends = pickle.loads((folder / "ends").read_bytes())
for number, extract in enumerate(feed.pull(sys.argv[1], SimpleNamespace(name="things"), Reached(ends), 2**16)):
    (folder / "aside").write_bytes(pickle.dumps(extract))
    (folder / "aside").rename(folder / f"{number:06}.landed")
    print(number, flush=True)
"""
    import pickle

    (tmp_path / "ends").write_bytes(pickle.dumps(dict(things.reached.ends)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    child = subprocess.Popen(
        [sys.executable, "-c", script, things.url, tmp_path], stdout=subprocess.PIPE, env=environment
    )
    assert child.stdout
    for line in child.stdout:
        if int(line) == 3:
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    things.landed += [pickle.loads(path.read_bytes()) for path in sorted(tmp_path.glob("*.landed"))]  # noqa: S301
    assert not things.landed[-1].part.end.endswith(WHOLE)
    things.pull(2**20)
    assert things.log().filter(cdc_op="insert")["id"].cast(pl.Int64).to_list() == list(range(1, 100001))


def test_the_log_is_released_no_further_than_what_is_on_record(things: Puller) -> None:
    things.pull()
    slot = "select confirmed_flush_lsn - '0/0' from pg_replication_slots where slot_name = 'lakehouse_things'"
    execute(things.url, "insert into things values (1)")
    things.pull()
    before = rows(things.url, slot)[0][0]
    execute(things.url, "insert into things values (2)")
    things.release()
    after = rows(things.url, slot)[0][0]
    assert before < after == int(things.landed[-1].part.end[:16], 16) + 1
    things.release()
    assert rows(things.url, slot)[0][0] == after
    assert operations(things.pull(), "id") == [("insert", "2")]


def test_a_quiet_table_lets_the_log_go(things: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    things.pull()
    execute(things.url, "insert into things values (1)")
    things.pull()
    things.release()
    assert not things.feed.lag(things.url, things.source, things.reached).any
    monkeypatch.setattr("lakehouse.feeds.changes._QUIET", 2**20)
    execute(
        things.url, "create table noise as select repeat('x', 500) from generate_series(1, 10000)", "drop table noise"
    )
    assert things.feed.lag(things.url, things.source, things.reached).any
    (extract,) = things.pull()
    assert Puller("", things.feed, landed=[extract]).log().is_empty()
    things.release()
    lag = things.feed.lag(things.url, things.source, things.reached)
    assert not lag.any
    assert lag.trouble is None
    assert things.pull() == []
    execute(things.url, "insert into things values (2)")
    assert operations(things.pull(), "id") == [("insert", "2")]


def test_lag_tells_what_waits(things: Puller) -> None:
    assert things.feed.lag(things.url, things.source, things.reached).any
    things.pull()
    assert not things.feed.lag(things.url, things.source, things.reached).any
    execute(things.url, "insert into things values (1)")
    time.sleep(0.2)
    execute(things.url, "insert into things select generate_series(2, 11); update things set word = 'x'")
    execute(things.url, "delete from things where id > 8; truncate things")
    lag = things.feed.lag(things.url, things.source, things.reached)
    assert (lag.events, lag.more) == (1 + 10 + 11 + 3 + 1, False)
    assert lag.bytes
    assert lag.seconds is not None
    assert 0.2 <= lag.seconds < 60
    assert lag.trouble is None
    execute(things.url, "insert into things select generate_series(1, 2000)")
    lag = things.feed.lag(things.url, things.source, things.reached)
    assert 900 < (lag.events or 0) < 1000
    assert lag.more
    small = Changes(system="edc", table="public.things", key=("id",), most_retained_bytes=1)
    trouble = small.lag(things.url, things.source, things.reached).trouble
    assert trouble
    assert "more than 1" in trouble


def test_a_server_that_holds_less_for_a_slot_is_told_of_before_it_gives_the_log_up(things: Puller) -> None:
    """Its own limit counts, and not ours alone; the log of other tables is let go the sooner."""

    def write(megabytes: int) -> None:
        execute(
            things.url,
            f"select pg_logical_emit_message(false, 'x', repeat('x', 1 << 20)) from generate_series(1, {megabytes})",
        )

    def trouble() -> str:
        return things.feed.lag(things.url, things.source, things.reached).trouble or ""

    def held() -> int:
        slot = "from pg_replication_slots where slot_name = 'lakehouse_things'"
        return int(rows(things.url, f"select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) {slot}")[0][0])

    execute(things.url, "insert into things values (1)")
    things.pull()
    things.release()
    execute(things.url, "alter system set max_slot_wal_keep_size = '64MB'", "select pg_reload_conf()")
    try:
        write(24)
        # A slot lets go of the log before such a record, which the server writes every 15 seconds.
        execute(things.url, "select pg_log_standby_snapshot()")
        assert not trouble()
        assert things.feed.lag(things.url, things.source, things.reached).any
        (quiet,) = things.pull()
        assert Puller("", things.feed, landed=[quiet]).log().is_empty()
        until = time.monotonic() + 30
        while held() > 10 * 2**20:
            # The server lets go of the log when it comes to, and not with every word of ours.
            assert time.monotonic() < until
            execute(things.url, "select pg_log_standby_snapshot()")
            things.pull()
            things.release()
        write(46)
        assert "(max_slot_wal_keep_size): pull it soon, or drop slot lakehouse_things" in trouble()
        write(60)
        assert "the server is about to give them up: pull it soon" in trouble()
        execute(things.url, "checkpoint")
        assert "the server gave up the log that its slot held" in trouble()
        anew = Puller(things.url, replace(things.feed, starts=2))
        assert operations(anew.pull(), "id") == [("snapshot", "1"), ("complete", None)]
        assert not anew.feed.lag(things.url, anew.source, anew.reached).any
    finally:
        execute(things.url, "alter system reset max_slot_wal_keep_size", "select pg_reload_conf()")


def test_a_look_does_not_decode_a_large_transaction_to_its_end(things: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    things.pull()
    execute(things.url, "insert into things select number from generate_series(1, 20000) as made (number)")
    monkeypatch.setattr(peek, "_LOOK", "1ms")
    lag = things.feed.lag(things.url, things.source, things.reached)
    assert lag.any
    assert (lag.events, lag.seconds, lag.trouble) == (None, None, None)


def test_of_transactions_that_take_too_long_together_only_the_first_is_looked_at(
    things: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    things.pull()
    for number in (1, 2):
        execute(things.url, f"insert into things values ({number})")
    first = peek._first
    monkeypatch.setattr(peek, "_first", lambda on, slot, most, within: None if most > 1 else first(on, slot, 1, within))
    lag = things.feed.lag(things.url, things.source, things.reached)
    assert (lag.events, lag.more) == (None, True)
    assert 0 <= (lag.seconds or 0) < 60
    assert lag.seconds is not None


LOST = {
    "slot is gone": ["select pg_drop_replication_slot('lakehouse_things')"],
    "ahead of what is on record": [
        "select pg_drop_replication_slot('lakehouse_things')",
        "insert into things values (98)",
        "select pg_create_logical_replication_slot('lakehouse_things', 'pgoutput')",
    ],
    "no longer tells every change": ["drop publication lakehouse_things"],
    "no longer tells every change ": ["alter publication lakehouse_things set (publish = 'insert')"],
    "made anew by somebody else": [
        "drop publication lakehouse_things",
        "insert into things values (99)",
        "create publication lakehouse_things for table things with (publish_via_partition_root = true)",
    ],
}


@pytest.mark.parametrize("words", LOST)
def test_what_is_lost_is_said_and_a_fresh_start_mends_it(things: Puller, words: str) -> None:
    execute(things.url, "insert into things values (1, 'a')")
    things.pull()
    execute(things.url, *LOST[words])
    execute(things.url, "insert into things values (2, 'b')")
    lag = things.feed.lag(things.url, things.source, things.reached)
    assert lag.trouble
    assert words.strip() in lag.trouble
    assert "raise `starts`" in lag.trouble
    with pytest.raises(FeedError, match=words.strip()):
        things.pull()
    with pytest.raises(FeedError, match=words.strip()):
        things.release()
    things.feed = Changes(system="edc", table="public.things", key=("id",), starts=2)
    things.pull()
    execute(things.url, "update things set word = 'c' where id = 2")
    things.pull()
    same(things, "id", "word")
    assert things.log().sort("cdc_starts", "cdc_lsn", "cdc_seq").select("cdc_starts", "cdc_op").rows() == [
        *((1, operation) for operation in ("snapshot", "complete")),
        *((2, operation) for operation in ("snapshot",) * things.log().filter(cdc_starts=2, cdc_op="snapshot").height),
        *((2, operation) for operation in ("complete", "update")),
    ]


def test_a_database_that_cannot_tell_changes_says_what_to_set(server: str) -> None:
    execute(server, "create table if not exists quiet (id int primary key)")
    puller = Puller(server, Changes(system="edc", table="public.quiet", key=("id",)))
    with pytest.raises(FeedError, match="wal_level is replica: set it to logical"):
        puller.pull()
    trouble = puller.feed.lag(server, puller.source, Reached()).trouble
    assert trouble
    assert "wal_level" in trouble


def test_a_server_that_is_too_old_is_told(things: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_SERVER", 99)
    for asked in (things.pull, lambda: things.feed.lag(things.url, things.source, Reached())):
        with pytest.raises(FeedError, match="too old to follow: upgrade it to 99 or newer"):
            asked()
    assert rows(things.url, "select 1 from pg_replication_slots") == []


def test_a_table_without_its_key_is_left_as_it_was(url: str) -> None:
    execute(url, "create table keyless (id int, word text)", "insert into keyless values (1)")
    for key, table in ((("id",), "public.keyless"), (("id",), "public.nowhere")):
        puller = Puller(url, Changes(system="edc", table=table, key=key), name="keyless")
        with pytest.raises(FeedError, match=r"primary key|does not exist"):
            puller.pull()
    # A publication of a table without a key would have its own updates refused.
    execute(url, "update keyless set word = 'b'", "drop table keyless")


def test_an_unreachable_database_is_told_without_its_password() -> None:
    puller = Puller(
        "postgresql://someone:secret-word@localhost:1/none", Changes(system="edc", table="a.b", key=("id",))
    )
    with pytest.raises(FeedError) as failure:
        puller.pull()
    assert "secret-word" not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


def test_a_feed_that_cannot_work_says_so() -> None:
    for wrong in (
        {"table": "things", "key": ("id",)},
        {"table": "a.b", "key": ()},
        {"table": "a.b", "key": ("id",), "starts": 0},
    ):
        with pytest.raises(SourceError):
            Changes(system="edc", **wrong)  # type: ignore[arg-type]


def test_names_that_postgresql_would_cut_to_one_are_refused() -> None:
    feed = Changes(system="edc", table="a.b", key=("id",))

    def named(name: str) -> Source:
        return Source(
            name=name,
            description="",
            owner="team:things",
            contract=Thing,
            tidy=lambda raw: raw,
            key=("id",),
            columns=("id",),
            path="{site}/{name}/{day}_{part}.parquet",
            dialect=Parquet(),
            feed=feed,
            first_day=date(2014, 1, 1),
            late_after=timedelta(days=1),
        )

    assert named("a" * 53).feed == feed
    with pytest.raises(SourceError, match="64 bytes, and PostgreSQL takes 63: shorten the source's name by 1"):
        named("a" * 54)
