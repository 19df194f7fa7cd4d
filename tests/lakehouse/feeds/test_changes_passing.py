"""What came and went between two looks at a table: no row stays that it no longer has, and none is missing."""

import io
from dataclasses import replace

import polars as pl
import pytest
from altered import again, same, settled
from logical import Puller, execute, values

from lakehouse.feeds import Extract, FeedError, Part
from lakehouse.feeds.extracts import WHOLE
from lakehouse.feeds.shape import Shape

PASSING = {
    "another identity": [
        "alter table things replica identity using index other",
        "delete from things where id = 1",
        "update things set id = 9 where id = 2",
        "alter table things replica identity default",
    ],
    "changes that are not published": [
        "alter publication lakehouse_things set (publish = 'insert')",
        "delete from things where id = 1",
        "alter publication lakehouse_things set (publish = 'insert, update, delete, truncate')",
    ],
    "another table that is published": [
        "alter publication lakehouse_things add table others",
        "insert into others values (7, 'x')",
        "truncate others, things",
        "insert into others values (8, 'x')",
        "insert into things values (3, 'c')",
        "alter publication lakehouse_things drop table others",
    ],
    "another name of the key": [
        "alter table things rename id to number",
        "delete from things where number = 1",
        "update things set number = 9 where number = 2",
        "alter table things rename number to id",
    ],
    "another name of a column": [
        "alter table things rename word to said",
        "update things set said = 'aa' where id = 1",
        "alter table things rename said to word",
    ],
    "a type that has more in it": ["alter type pair add attribute c int"],
}


@pytest.mark.parametrize("what", PASSING)
def test_what_came_and_went_leaves_nothing_behind(things: Puller, what: str) -> None:
    execute(
        things.url,
        "create table others (id int primary key, word text, big text)",
        "create type pair as (a int, b text)",
        "alter table things add two pair, alter word set not null",
        "create unique index other on things (word)",
        "insert into things values (1, 'a', null, '(1,x)'), (2, 'b', null, null)",
    )
    try:
        things.pull()
        execute(things.url, *PASSING[what])
        assert again(things.pull())
        same(things)
        # Not with each pull, for as long as nobody releases it.
        assert things.pull() == []
        execute(things.url, "insert into things values (4, 'd')")
        assert not again(things.pull())
        same(things)
        settled(things)
    finally:
        execute(things.url, "drop table others", "drop type pair cascade")


FILLED = ["create table more partition of parts for values from (20) to (30)", "insert into parts values (21, 'm')"]


@pytest.mark.parametrize(
    "what",
    [
        [*FILLED, "truncate more"],
        [*FILLED, "drop table more"],
        [*FILLED, "alter table parts detach partition more"],
        ["alter table parts add more text default 'm'"],
        [
            "alter table parts_a alter word set not null",
            "create unique index other on parts_a (word)",
            "alter table parts_a replica identity using index other",
            "delete from parts where id = 1",
            "alter table parts_a replica identity default",
        ],
    ],
)
def test_of_a_partition_nothing_is_left_behind(parts: Puller, what: list[str]) -> None:
    execute(parts.url, *what)
    assert again(parts.pull())
    same(parts, "parts")
    settled(parts)


def test_who_dies_or_takes_some_at_a_time_still_tells_what_became_of_a_partition(parts: Puller) -> None:
    parts.feed = replace(parts.feed, most_changes=1)
    execute(parts.url, "insert into parts values (2, 'c')", *FILLED, "truncate more")
    # With the first pull the partition is there, and empty, before the log tells that it was filled.
    while not any("21" in log(extract)["id"] for extract in parts.landed):
        parts.pull(die_after=1)
        parts.release()
    assert not again(parts.landed)
    assert parts.feed.lag(parts.url, parts.source, parts.reached).any
    for _ in range(3):
        parts.pull()
    same(parts, "parts")
    settled(parts)


def log(extract: Extract) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(extract.data))


def test_a_table_whose_changes_are_not_logged_is_refused(things: Puller, parts: Puller) -> None:
    execute(things.url, "alter table things set unlogged")
    execute(parts.url, "create unlogged table more partition of parts for values from (20) to (30)")
    for puller in (things, parts):
        with pytest.raises(FeedError, match=r"is unlogged or foreign, its changes in no log: .alter table"):
            puller.pull()


def test_a_key_that_may_be_doubled_until_commit_is_refused(things: Puller) -> None:
    """PostgreSQL logs no old rows by it, and refuses to change what is published."""
    execute(things.url, "alter table things drop constraint things_pkey, add primary key (id) deferrable")
    with pytest.raises(FeedError, match=r"does not tell \['id'\] of an old row"):
        things.pull()


def test_a_column_that_is_called_as_one_of_the_feeds_own_is_told(things: Puller) -> None:
    execute(things.url, "alter table things add cdc_op text")
    with pytest.raises(FeedError, match=r"has columns \['cdc_op'\], as the feed calls its own: rename them"):
        things.pull()
    execute(things.url, "alter table things rename cdc_op to op")
    things.pull()
    same(things)


def test_a_slot_of_another_database_is_left_alone(things: Puller) -> None:
    execute(things.url, "create database other")
    other = Puller(things.url.replace("/lakehouse?", "/other?"), things.feed)
    execute(other.url, "create table things (id int primary key, word text, big text)")
    try:
        things.pull()
        with pytest.raises(FeedError, match="another database of the server has a slot of this name"):
            other.pull()
        execute(things.url, "insert into things values (1, 'a')")
        things.pull()
        same(things)
    finally:
        execute(things.url, "drop database other with (force)")


def test_a_log_that_ends_before_what_is_on_record_is_none_to_go_on_from(things: Puller) -> None:
    """Else changes would be taken for told until it is as long as the one before."""
    (first,) = things.pull()
    end = f"{1 << 60:016X}.{WHOLE}"
    things.landed.append(replace(first, part=Part(first.part.stream, end, end)))
    execute(things.url, "insert into things values (1, 'a')")
    with pytest.raises(FeedError, match="its log ends before what is on record"):
        things.pull()
    assert "its log ends before" in str(things.feed.lag(things.url, things.source, things.reached).trouble)
    things.feed = replace(things.feed, starts=2)
    things.pull()
    assert values(things.log().filter(cdc_op="snapshot"), "id", "word") == [("1", "a")]


def test_another_timeline_has_all_told_again_and_older_deliveries_do_not() -> None:
    now = Shape({}, {"1": 2}, publication="7", timeline="00000002")
    assert now.unlogged(replace(now, timeline="00000001")) == "the server was restored, or another took its place"
    assert now.unlogged(Shape({}, {"1": 2})) is None
    assert now.unlogged(Shape.of({"columns": {}, "files": {"1": 2}, "filled": [], "split": False})) is None
