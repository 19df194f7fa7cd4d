"""What happens to rows though no change of them is logged: it shows all the same, or is refused in words."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from altered import again, same, settled
from logical import Puller, connect, execute, rows

from lakehouse.changes import history
from lakehouse.errors import UnavailableError
from lakehouse.feeds import Extract, FeedError, changes, shape
from lakehouse.feeds.changes import Changes

UNLOGGED = {
    "a column with a default": ["alter table things add more text default 'm'"],
    "a column with a default that is written": ["alter table things add more float8 default random()"],
    "a default that was written by a vacuum": ["alter table things add more text default 'm'", "vacuum full things"],
    "a number for each row": ["alter table things add more int generated always as identity"],
    "a type by an expression": ["alter table things alter word type text using upper(word)"],
    "another type": ["alter table things alter big type bytea using word::bytea"],
    "another way to write a type": ["alter table things alter at type timestamp"],
    "another name": ["alter table things rename word to said"],
    "two names for each other": [
        "alter table things rename word to other",
        "alter table things rename big to word",
        "alter table things rename other to big",
    ],
    "a name that was gone": ["alter table things drop word", "alter table things add word text"],
    "words of an enum": ["alter type temper rename value 'fine' to 'well'"],
}


@pytest.mark.parametrize("what", UNLOGGED)
def test_rows_that_changed_beside_the_log_are_told_again(things: Puller, what: str) -> None:
    execute(
        things.url,
        "drop type if exists temper cascade",
        "create type temper as enum ('so so', 'fine')",
        "alter table things add moods temper[], add at timestamptz default now()",
        "insert into things values (1, 'a', repeat('x', 9000), '{fine}'), (2, 'b', 'y', '{so so,fine}'), "
        "(3, 'c', null, null)",
    )
    things.pull()
    execute(things.url, "update things set word = 'aa' where id = 1", "delete from things where id = 3")
    things.pull()
    execute(things.url, *UNLOGGED[what])
    assert things.feed.lag(things.url, things.source, things.reached).any
    execute(things.url, "insert into things (id) values (4)", "update things set at = now() where id = 1")
    assert again(things.pull())
    same(things)
    settled(things)
    execute(things.url, "update things set at = now() where id = 4", "delete from things where id = 2")
    assert not again(things.pull())
    same(things)
    settled(things)


@pytest.mark.parametrize(
    "what",
    [
        ["alter table things add more text", "insert into things values (4, 'd', null, 'n')"],
        ["alter table things drop word"],
        ["alter table things alter word set not null", "alter table things alter big set storage main"],
        ["vacuum full things"],
        ["truncate things", "insert into things values (4, 'd')"],
        ["create index on things (word)", "alter table things add check (id > 0)", "analyze things"],
        ["alter table things alter word set default 'w'", "insert into things (id) values (4)"],
    ],
)
def test_what_the_log_tells_whole_is_not_told_again(things: Puller, what: list[str]) -> None:
    execute(things.url, "insert into things values (1, 'a'), (2, 'b')")
    things.pull()
    execute(things.url, *what)
    things.pull()
    assert not any(extract.part.stream.endswith("_again") for extract in things.landed)
    same(things)
    settled(things)


def test_a_delivery_whose_bytes_are_gone_keeps_nobody_from_pulling(things: Puller) -> None:
    def gone(_: str) -> bytes:
        raise UnavailableError("the kept bytes are gone or damaged")

    things.pull()
    execute(things.url, "insert into things values (1, 'a')")
    for last in (gone, lambda _: b"PAR1 no more PAR1"):
        # What this process has read by then it knows.
        shape._READ.clear()
        reached = replace(things.reached, last=last)
        assert things.feed.lag(things.url, things.source, reached).any
        (told,) = things.feed.pull(things.url, things.source, reached, 2**20)
    things.landed.append(told)
    execute(things.url, "alter table things add more text default 'm'")
    assert again(things.pull())
    same(things)


def test_a_column_that_went_and_came_is_told_again_whenever_it_comes(things: Puller) -> None:
    """What rows had in it is known here, and is not what they have now."""
    execute(things.url, "insert into things values (1, 'a'), (2, 'b')")
    things.pull()
    execute(things.url, "alter table things drop word", "insert into things values (3)")
    things.pull()
    execute(things.url, "insert into things values (4)")
    assert not again(things.pull())
    execute(things.url, "alter table things add word text", "insert into things (id, word) values (5, 'e')")
    assert again(things.pull())
    same(things)
    assert sorted(
        history(things.log().lazy(), ["id"]).select("id", "word", "is_current").collect().rows(), key=repr
    ) == [
        ("1", "a", False),
        ("1", None, True),
        ("2", "b", False),
        ("2", None, True),
        ("3", None, True),
        ("4", None, True),
        ("5", "e", True),
    ]


def test_rows_told_again_lie_between_the_changes_before_and_those_after(things: Puller) -> None:
    """Whoever dies while they are told: nothing is missing and nothing is twice."""
    execute(things.url, "insert into things select i, 'w' || i from generate_series(1, 300) i")
    things.pull()
    execute(
        things.url, "update things set word = 'before' where id <= 10", "alter table things add more text default 'm'"
    )
    execute(things.url, "update things set word = 'between' where id <= 5")
    # One of the changes before, and some of the rows.
    killed = things.pull(2**12, die_after=4)
    assert again(killed)
    assert not again(killed[:1])
    execute(things.url, "update things set more = 'after' where id = 1", "delete from things where id = 2")
    assert things.feed.lag(things.url, things.source, things.reached).any
    assert again(things.pull(2**12))
    same(things)
    settled(things)
    told = things.log()
    assert not told.select("id", "cdc_lsn", "cdc_seq").is_duplicated().any()
    assert told.filter(cdc_op="update").height == 10 + 5 + 1
    first = history(things.log().lazy(), ["id"]).filter(id="1").sort("cdc_lsn").collect()
    assert first.select("word", "more").rows() == [
        ("w1", None),
        ("before", None),
        ("between", "m"),
        ("between", "after"),
    ]
    # Slots that were there for the moment are gone.
    assert rows(things.url, "select count(*) from pg_replication_slots") == [(1,)]


def test_changes_are_pulled_though_a_writer_keeps_rows_from_being_told_again(
    things: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(things.url, "create table others (id int)", "insert into things values (1, 'a')")
    things.pull()
    execute(things.url, "alter table things add more text default 'm'", "insert into things values (2, 'b')")
    with closing(connect(things.url, autocommit=False)) as writer:
        writer.cursor().execute("insert into others values (1)")
        monkeypatch.setattr(changes, "_PATIENCE", "50ms")
        with pytest.raises(FeedError, match="a transaction that writes has run for long: pull again when it is done"):
            things.pull()
    assert things.log().filter(cdc_op="insert")["id"].to_list() == ["2"]
    things.pull()
    same(things)
    execute(things.url, "drop table others")


def test_a_table_that_is_written_anew_as_its_snapshot_begins_is_not_taken_for_empty(
    things: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL shows no rows of it to a snapshot from before."""
    execute(things.url, "insert into things values (1, 'a')")
    real: Callable[..., Iterator[Extract]] = Changes._rows

    def late(self: Changes, *given: object) -> Iterator[Extract]:
        execute(things.url, "alter table things alter word type text using upper(word)")
        return real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Changes, "_rows", late)
        with pytest.raises(FeedError, match="was altered as its snapshot began: pull it again"):
            things.pull()
    things.pull()
    same(things)


@pytest.mark.parametrize(
    "what",
    [
        ["truncate parts_a"],
        ["truncate parts_b"],
        ["alter table parts detach partition parts_b"],
        ["drop table parts_c"],
        [
            "create table more (id int primary key, word text)",
            "insert into more values (25, 'm')",
            "alter table parts attach partition more for values from (20) to (30)",
        ],
        ["truncate parts"],
        ["alter table parts alter word type text using upper(word)"],
    ],
)
def test_what_happens_to_a_partition_shows(parts: Puller, what: list[str]) -> None:
    execute(parts.url, *what)
    assert parts.feed.lag(parts.url, parts.source, parts.reached).any
    execute(parts.url, "insert into parts values (2, 'c')")
    parts.pull()
    same(parts, "parts")
    settled(parts)


def test_a_partition_that_is_made_and_filled_is_told_by_the_log(parts: Puller) -> None:
    execute(parts.url, "create table more partition of parts for values from (20) to (30)")
    settled(parts)
    # With the next change of any row the new partition is on record; had it rows by then, all would be told again.
    execute(parts.url, "update parts set word = 'a' where id = 1")
    assert not again(parts.pull())
    execute(parts.url, "insert into parts values (21, 'c')", "update parts set id = 22 where id = 1")
    assert not again(parts.pull())
    same(parts, "parts")
    execute(parts.url, "truncate parts", "insert into parts values (23, 'd')")
    parts.pull()
    same(parts, "parts")
    settled(parts)


def test_a_partition_without_the_key_is_refused_before_its_updates_are(parts: Puller) -> None:
    """PostgreSQL refuses to update what is published and has no replica identity."""
    parts.forget()
    execute(parts.url, "alter table parts_a replica identity nothing")
    parts.landed.clear()
    with pytest.raises(FeedError, match=r"does not tell \['id'\] of an old row"):
        parts.pull()
    execute(parts.url, "update parts set word = 'z' where id = 1")


def test_a_table_that_others_inherit_from_is_refused_and_left_as_it_was(things: Puller) -> None:
    execute(things.url, "insert into things values (1, 'a')")
    things.pull()
    execute(things.url, "create table kid () inherits (things)", "insert into kid values (5, 'k')")
    # What it publishes is its own rows alone: the child's may be changed as before.
    execute(things.url, "update kid set word = 'z'", "truncate kid", "insert into kid values (5, 'k')")
    with pytest.raises(FeedError, match="has tables that inherit from it"):
        things.pull()
    assert "inherit from it" in str(things.feed.lag(things.url, things.source, things.reached).trouble)
    things.landed.clear()
    things.forget()
    with pytest.raises(FeedError, match="has tables that inherit from it"):
        things.pull()
    assert rows(things.url, "select 1 from pg_publication") == []
    execute(things.url, "update kid set word = 'z' where id = 5", "drop table kid")
    things.pull()
    same(things)


def test_rows_that_a_policy_hides_are_not_left_out_of_a_snapshot(things: Puller) -> None:
    execute(
        things.url,
        "create role reader login replication",
        "insert into things values (1, 'a'), (2, 'b')",
        "grant select on things to reader",
        "alter table things enable row level security",
        "create policy own on things using (id = 1)",
        "create publication lakehouse_things for table only things with (publish_via_partition_root = true)",
    )
    limited = Puller(re.sub(r"//[^@/]*@", "//reader@", things.url), things.feed)
    try:
        with pytest.raises(FeedError, match="BYPASSRLS where it has row security"):
            limited.pull()
        execute(things.url, "alter role reader bypassrls")
        limited.pull()
        same(Puller(things.url, things.feed, landed=limited.landed))
    finally:
        things.forget()
        execute(things.url, "drop table things", "drop role reader")


def test_a_publication_of_other_tables_too_is_none_of_ours(things: Puller) -> None:
    execute(things.url, "insert into things values (1, 'a')", "create table others (id int primary key)")
    things.pull()
    execute(things.url, "alter publication lakehouse_things add table others", "insert into others values (7)")
    with pytest.raises(FeedError, match="its publication no longer tells every change"):
        things.pull()
    things.feed = replace(things.feed, starts=2)
    things.pull()
    execute(things.url, "insert into others values (8)", "insert into things values (2, 'b')")
    things.pull()
    same(things)
    execute(things.url, "drop table others")
