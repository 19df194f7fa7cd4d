"""Any sequence of writes, pulls, crashes and releases: what is landed is the table, and what a trigger saw of it."""

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logical import Puller, connect, execute, rows, texts, values

from lakehouse.changes import current, history
from lakehouse.feeds.changes import Changes

Version = tuple[Any, ...]
COLUMNS = ("id", "part", "word", "big")

# What each transaction did, by the database's own account; the order of commits is kept by the test.
AUDIT = """
create table audit (at bigserial, xid text, op text, id text, part text, word text, big text);
create function tell() returns trigger language plpgsql as $$
begin
    if tg_op = 'TRUNCATE' then
        insert into audit (xid, op) values (pg_current_xact_id()::text, 'truncate');
        return null;
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        insert into audit (xid, op, id, part) values (pg_current_xact_id()::text, 'delete', old.id, old.part);
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        insert into audit (xid, op, id, part, word, big)
        values (pg_current_xact_id()::text, 'put', new.id, new.part, new.word, new.big);
    end if;
    return null;
end $$;
create table things (id int, part text, word text, big text, primary key (id, part));
alter table things alter big set storage external;
create trigger rows after insert or update or delete on things for each row execute function tell();
create trigger whole after truncate on things for each statement execute function tell()
"""


@dataclass
class Model:
    """Two writers, each with rows of its own, whose transactions overlap; and a puller."""

    url: str
    feed: Changes
    puller: Puller = field(init=False)
    committed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.puller = Puller(self.url, self.feed)
        self.writers = [connect(self.url, autocommit=False) for _ in range(2)]
        self.open: list[str | None] = [None, None]
        self.locked: int | None = None

    def write(self, who: int, statement: str, *given: object) -> None:
        cursor = self.writers[who].cursor()
        cursor.execute(statement, given)
        if self.open[who] is None:
            cursor.execute("select pg_current_xact_id()::text")
            self.open[who] = cursor.fetchone()[0]

    def end(self, who: int, *, commit: bool) -> None:
        if commit:
            self.writers[who].commit()
        else:
            self.writers[who].rollback()
        if (number := self.open[who]) and commit:
            self.committed.append(number)
        self.open[who] = None
        self.locked = None

    def settle(self) -> None:
        for who in range(2):
            self.end(who, commit=True)

    def step(self, what: str, who: int, row: int, other: int) -> None:
        if self.locked not in {None, who}:
            # A truncation keeps others out until it is committed.
            self.settle()
        mine, aim = (2 * number + who for number in (row, other))
        big = f"repeat('{row}{other}', 3000)"
        match what:
            case "insert":
                self.write(who, f"insert into things values (%s, 'a', %s, {big}) on conflict do nothing", mine, other)
            case "update":
                self.write(who, "update things set word = %s where id = %s", f"w{other}", mine)
            case "touch":
                self.write(who, "update things set word = word where id = %s", mine)
            case "grow":
                self.write(who, f"update things set big = {big} where id = %s", mine)
            case "shrink":
                self.write(who, "update things set big = null where id = %s", mine)
            case "move":
                self.write(
                    who,
                    "update things set id = %s where id = %s and not exists (select from things where id = %s)",
                    *(aim, mine, aim),
                )
            case "delete":
                self.write(who, "delete from things where id = %s", mine)
            case "many":
                self.write(
                    who,
                    "insert into things select 2 * i + %s, 'b', i, null from generate_series(%s, %s) i "
                    "on conflict do nothing",
                    *(who, 100 * row, 100 * row + 60),
                )
            case "truncate":
                self.settle()
                self.write(who, "truncate things")
                self.locked = who
            case "savepoint":
                self.write(who, "savepoint kept")
                self.write(who, "delete from things where id = %s", mine)
                self.write(who, "rollback to savepoint kept")
            case "commit" | "rollback":
                self.end(who, commit=what == "commit")
            case _:
                self.pull(what, row)

    def pull(self, what: str, row: int) -> None:
        if self.feed._position(self.puller.reached) is None:
            # A snapshot waits for those who are writing.
            self.settle()
        if what == "release":
            self.puller.release()
        else:
            self.puller.pull(2**13, die_after=row if what == "die" else None)

    def versions(self) -> list[Version]:
        """What the trigger saw, as versions: a row, the transaction that left it, and the one that ended it."""
        by_transaction = defaultdict(list)
        for _, xid, *told in rows(self.url, "select * from audit order by at"):
            by_transaction[xid].append(told)
        now: dict[tuple[str, str], tuple[Any, ...]] = {}
        made: dict[tuple[str, str], str] = {}
        found: list[Version] = []
        for xid in self.committed:
            before, touched = dict(now), set()
            for op, *row in by_transaction[xid]:
                if op == "truncate":
                    touched |= set(now)
                    now.clear()
                    continue
                key = (row[0], row[1])
                touched.add(key)
                now.pop(key, None)
                if op == "put":
                    now[key] = tuple(row)
            for key in touched:
                if key in before:
                    found.append((*before[key], made[key], xid))
                made[key] = xid
        return sorted([*found, *((*row, made[key], None) for key, row in now.items())], key=repr)


WRITES = ("insert", "update", "touch", "grow", "shrink", "move", "delete", "many", "savepoint")
STEPS = st.lists(
    st.tuples(
        st.sampled_from((*WRITES, *WRITES, "truncate", *["commit"] * 6, "rollback", "pull", "pull", "die", "release")),
        st.integers(0, 1),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=5,
    max_size=60,
)


@given(steps=STEPS, full=st.booleans(), seed=st.integers(0, 2**16))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_happens_the_log_is_what_the_database_went_through(
    url: str, steps: list[tuple[str, int, int, int]], full: bool, seed: int
) -> None:
    execute(url, AUDIT)
    if full:
        execute(url, "alter table things replica identity full")
    model = Model(url, Changes(system="edc", table="public.things", key=("id", "part")))
    try:
        # The history of a row begins with the snapshot, so that the trigger's has to as well: the table is empty.
        model.puller.pull()
        for step in steps:
            model.step(*step)
        model.settle()
        model.puller.pull(2**14)
        log = model.puller.log()
        told = log.filter(pl.col("cdc_op").is_in(["insert", "update", "delete", "truncate"]))
        assert not told.select("cdc_lsn", "cdc_seq").is_duplicated().any()
        # In any order, and some of it twice.
        mixed = pl.concat([log, log.sample(fraction=0.3, seed=seed)]).sample(fraction=1, shuffle=True, seed=seed)
        now = current(mixed.lazy(), ["id", "part"]).collect()
        assert values(now, *COLUMNS) == texts(url, "things", *COLUMNS)
        past = history(mixed.lazy(), ["id", "part"]).collect()
        assert not past.select("id", "part", "cdc_lsn").is_duplicated().any()
        until = dict(log.select("cdc_lsn", "cdc_xid").rows())
        ended = past.with_columns(until=pl.col("until_lsn").replace_strict(until, default=None, return_dtype=pl.String))
        assert values(ended, *COLUMNS, "cdc_xid", "until") == model.versions()
        assert values(past.filter("is_current"), *COLUMNS) == values(now, *COLUMNS)
        assert (past["valid_from"] <= past["valid_to"].fill_null("9")).all()
        # A fresh start, as on a server whose log is far behind the one before.
        model.puller.feed = replace(model.feed, starts=2)
        model.puller.pull()
        ahead = pl.when(cdc_starts=1).then(pl.lit("F") + pl.col("cdc_lsn").str.tail(15)).otherwise("cdc_lsn")
        moved = model.puller.log().with_columns(cdc_lsn=ahead).sample(fraction=1, shuffle=True, seed=seed)
        assert values(current(moved.lazy(), ["id", "part"]).collect(), *COLUMNS) == texts(url, "things", *COLUMNS)
        after = history(moved.lazy(), ["id", "part"]).collect()
        assert values(after, *COLUMNS, "cdc_xid") == values(past, *COLUMNS, "cdc_xid")
    finally:
        for writer in model.writers:
            writer.close()
        model.puller.forget()
        execute(url, "drop table if exists things, audit", "drop function if exists tell")


@pytest.mark.parametrize("seed", range(6))
def test_snapshots_that_die_leave_nothing_behind(url: str, seed: int) -> None:
    """Rows come and go between the attempts: what a dead one told of them must not show."""
    chance = random.Random(seed)
    execute(url, AUDIT, "insert into things select i, 'a', 'old' from generate_series(1, 300) i")
    model = Model(url, Changes(system="edc", table="public.things", key=("id", "part")))
    try:
        for _ in range(3):
            model.puller.pull(2**12, die_after=chance.randint(0, 1))
            execute(url, f"delete from things where id % 7 = {chance.randint(0, 6)}", "update things set word = 'new'")
        log = model.puller.log() if model.puller.landed else None
        assert log is None or current(log.lazy(), ["id", "part"]).collect().is_empty()
        model.puller.pull(2**13)
        execute(url, "update things set word = 'newer' where id < 50")
        model.puller.pull(2**13)
        now = current(model.puller.log().lazy(), ["id", "part"]).collect()
        assert values(now, *COLUMNS) == texts(url, "things", *COLUMNS)
        past = history(model.puller.log().lazy(), ["id", "part"]).collect()
        assert set(past["word"]) == {"new", "newer"}
        assert set(past["id"]) == set(now["id"])
    finally:
        for writer in model.writers:
            writer.close()
        model.puller.forget()
        execute(url, "drop table if exists things, audit", "drop function if exists tell")
