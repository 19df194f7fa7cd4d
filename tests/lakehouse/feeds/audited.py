"""A table that a trigger watches, two writers whose transactions overlap, and whoever pulls its changes."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Protocol

from logical import connect, execute, rows

from lakehouse.feeds import Reached
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


class Pulls(Protocol):
    """What pulls the table's changes."""

    @property
    def reached(self) -> Reached: ...

    def pull(self, most_bytes: int = ..., die_after: int | None = ...) -> object: ...

    def ingest(self) -> None: ...

    def release(self) -> None: ...


@dataclass
class Model:
    """Two writers, each with rows of its own, whose transactions overlap; and a puller.

    altered: whether the table was altered, so that rows may be told again with any pull. valued: whether any column
    came with values, which no transaction put there.
    """

    url: str
    feed: Changes
    puller: Pulls | None = None
    committed: list[str] = field(default_factory=list)
    altered: bool = False
    valued: bool = False
    more: bool | None = None

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        """Writers who have begun nothing."""
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
            if number in self.committed:
                # A server that is killed gives the number of a transaction again that had changed nothing.
                self.committed.remove(number)
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
            case "add" | "add with values" | "drop" | "rewrite":
                self.alter(what)
            case "commit" | "rollback":
                self.end(who, commit=what == "commit")
            case _:
                self.pull(what, row)

    def alter(self, what: str) -> None:
        # It waits for those who are writing.
        self.settle()
        self.altered = True
        if what == "rewrite":
            execute(self.url, "alter table things alter big type text using big || ''")
        elif what == "drop" and self.more:
            execute(self.url, "alter table things drop more")
            self.more = False
        elif what.startswith("add") and not self.more:
            # Of a column that was there before, rows here have values that those there have no longer.
            self.valued |= what == "add with values" or self.more is not None
            values = "default 'm'" if what == "add with values" else ""
            execute(self.url, f"alter table things add more text {values}")
            self.more = True

    def pull(self, what: str, row: int) -> None:
        assert self.puller
        if self.altered or self.locked is not None or self.feed._position(self.puller.reached) is None:
            # A snapshot waits for those who are writing, and any look for who truncates.
            self.settle()
        if what == "release":
            self.puller.release()
        elif what == "ingest":
            self.puller.ingest()
        else:
            self.puller.pull(2**13, die_after=row if what == "die" else None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the table has now."""
        return (*COLUMNS, "more") if self.more else COLUMNS

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


ALTERS = ("add", "add with values", "drop", "rewrite")
WRITES = ("insert", "update", "touch", "grow", "shrink", "move", "delete", "many", "savepoint")
