"""Tables of a PostgreSQL without change capture: every row once, whoever commits when."""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import dataframely as dy
import polars as pl
import psycopg2
import pytest
from house import House
from pyarrow.parquet import ParquetFile

from lakehouse import postgres
from lakehouse.contract import Contract
from lakehouse.errors import SourceError
from lakehouse.feeds import Extract, FeedError, Lag, Reached, pulling, tables
from lakehouse.feeds.postgres import session
from lakehouse.feeds.tables import DatabaseTable
from lakehouse.formats.parquet import Parquet
from lakehouse.settings import Settings
from lakehouse.source import Source

FEED = DatabaseTable(system="trial", table='odd.My "Table"', watermark="Updated at")
WHOLE = DatabaseTable(system="trial", table='odd.My "Table"')
NAME = 'odd."My ""Table"""'
STREAM = "odd_my__table_"


class Anything(Contract):
    """Two columns of text."""

    id = dy.String()
    v = dy.String(nullable=True)


def source(feed: DatabaseTable = FEED, **options: Any) -> Source:
    return Source(
        **{
            "name": "anything", "description": "Anything.", "owner": "team:test", "contract": Anything,
            "tidy": lambda raw: raw.rename(str.lower).select(Anything.column_names()), "key": ("id",),
            "columns": ("ID", "V"), "optional": ("Updated at",), "dialect": Parquet(), "feed": feed,
            "path": "{site}/{name}/{day}_{part}.parquet",
            "mode": "snapshot" if feed.snapshots else "rows", **options,
        }
    )  # fmt: skip


class Table:
    """A table in a real server, and pulls of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.extracts: list[Extract] = []
        self.run("drop schema if exists odd cascade; create schema odd")
        self.run(f'create table {NAME} ("ID" int primary key, "V" text, "Updated at" timestamptz default now())')

    def connect(self) -> Any:
        return psycopg2.connect(self.url)

    def run(self, sql: str) -> None:
        with closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql)

    def reached(self) -> Reached:
        if not self.extracts:
            return Reached()
        last = max(self.extracts, key=lambda extract: extract.part.end)
        return Reached({last.part.stream: last.part.end}, lambda _: last.data)

    def pull(
        self, feed: DatabaseTable = FEED, most_bytes: int = 1 << 20, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """The rows of one pull; only the first `stop` extracts of it land."""
        new = []
        for extract in feed.pull(self.url, source(feed), self.reached(), most_bytes):
            if stop is not None and len(new) == stop:
                break
            new.append(extract)
        begins = [extract.part.begin for extract in new]
        assert begins == sorted(set(begins))
        assert all(extract.part.begin > ended.part.end for extract in new for ended in self.extracts)
        assert all(extract.part.stream == STREAM for extract in new)
        self.extracts += new
        return [row for extract in new for row in pl.read_parquet(io.BytesIO(extract.data)).iter_rows(named=True)]

    def ids(self, **options: Any) -> list[str]:
        return sorted(row["ID"] for row in self.pull(**options))


@pytest.fixture
def table(server: str) -> Iterator[Table]:
    made = Table(server)
    yield made
    made.run("drop schema odd cascade")


def test_values_are_the_server_s_own_texts(table: Table) -> None:
    table.run(f"alter table {NAME} add n numeric, add f float8, add b bytea, add i interval, add a int[], add o bool")
    values = "1.50, 0.1, '\\x00ff', '1 day', '{1,null}', true"
    table.run(f"insert into {NAME} values (1, '', '2020-01-02 03:04:05.678+02', {values})")
    table.run(f"insert into {NAME} values (2)")
    first, second = table.pull()
    assert first == {"ID": "1", "V": "", "Updated at": "2020-01-02 01:04:05.678+00", "n": "1.50", "f": "0.1",
                     "b": "\\x00ff", "i": "P1D", "a": "{1,NULL}", "o": "true"}  # fmt: skip
    assert [second[name] for name in ("V", "n", "f", "b", "i", "a", "o")] == [None] * 7
    assert Parquet().table(table.extracts[0].data).names == tuple(first)


def test_a_pull_brings_what_changed_and_nothing_twice(table: Table) -> None:
    table.run(f"insert into {NAME} values (1), (2)")
    assert table.ids() == ["1", "2"]
    assert table.ids() == []
    table.run(f"""insert into {NAME} values (3); update {NAME} set "V" = 'new', "Updated at" = now() where "ID" = 1""")
    assert table.ids() == ["1", "3"]
    assert table.ids() == []


def test_a_row_that_is_committed_late_is_not_lost_whatever_its_watermark(table: Table) -> None:
    with closing(table.connect()) as late, late.cursor() as cursor:
        cursor.execute(f"insert into {NAME} values (1)")
        cursor.execute("savepoint inner_one")
        cursor.execute(f"insert into {NAME} values (2)")
        table.run(f"insert into {NAME} values (3)")
        # Three began after one and two, which are still to come, so it waits for them.
        assert table.ids() == []
        assert FEED.lag(table.url, source(), table.reached()).events == 0
        late.commit()
    assert FEED.lag(table.url, source(), table.reached()).events == 3
    assert table.ids() == ["1", "2", "3"]
    assert table.ids() == []


def test_a_transaction_open_over_many_pulls_is_found_in_the_end(table: Table) -> None:
    feed = DatabaseTable(system="trial", table=FEED.table, watermark="Updated at", margin=timedelta(seconds=0))
    table.run(f"insert into {NAME} values (0)")
    assert table.ids(feed=feed) == ["0"]
    with closing(table.connect()) as early, closing(table.connect()) as late:
        for number, connection in enumerate((early, late), 1):
            with connection.cursor() as cursor:
                cursor.execute(f"insert into {NAME} values ({number})")
        table.run(f"insert into {NAME} values (3)")
        table.run("select pg_sleep(2.1)")
        assert table.ids(feed=feed) == []
        early.commit()
        # Taken long after two was written, which is still to come.
        assert table.ids(feed=feed) == ["1"]
        late.commit()
    assert table.ids(feed=feed) == ["2", "3"]


def test_rolled_back_rows_never_come_and_hold_nothing_back(table: Table) -> None:
    with closing(table.connect()) as other, other.cursor() as cursor:
        cursor.execute(f"insert into {NAME} values (1)")
        other.rollback()
    table.run(f"insert into {NAME} values (2)")
    assert table.ids() == ["2"]


def test_equal_null_and_backdated_watermarks_come_once(table: Table) -> None:
    same = "'2020-01-01 00:00:00+00'"
    table.run(f"insert into {NAME} values (1, 'a', {same}), (2, 'b', {same}), (3, 'c', null)")
    assert table.ids() == ["1", "2", "3"]
    table.run(f"insert into {NAME} values (4, 'd', now() - interval '23 hours'), (5, 'e', null)")
    assert table.ids() == ["4", "5"]
    assert table.ids() == []


def test_a_watermark_older_than_the_margin_is_not_looked_for(table: Table) -> None:
    # As documented. Once it was, the two pulls before having told when the transaction began.
    for number in (1, 2):
        table.run(f"insert into {NAME} values ({number})")
        table.pull()
    table.run(f"insert into {NAME} values (3, 'c', now() - interval '25 hours')")
    assert table.ids() == []


def test_deleted_rows_are_not_seen_by_a_watermark(table: Table) -> None:
    table.run(f"insert into {NAME} values (1), (2)")
    assert table.ids() == ["1", "2"]
    table.run(f'delete from {NAME} where "ID" = 1')
    assert table.ids() == []


def test_concurrent_writers_lose_nothing_and_double_nothing(table: Table) -> None:
    def write(writer: int) -> None:
        with closing(table.connect()) as connection, connection.cursor() as cursor:
            for number in range(60):
                cursor.execute(f"insert into {NAME} values ({writer * 1000 + number})")
                if number % 3 == writer % 3:
                    connection.commit()
            connection.commit()

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    found = []
    while any(writer.is_alive() for writer in writers):
        found += table.ids()
    found += table.ids()
    assert sorted(found) == sorted(str(writer * 1000 + number) for writer in range(4) for number in range(60))


def test_extracts_are_cut_and_a_pull_that_died_loses_nothing(table: Table) -> None:
    table.run(f"insert into {NAME} select n, repeat('x', 200) from generate_series(1, 2000) as n")
    assert 0 < len(table.pull(most_bytes=50_000, stop=2)) < 2000
    assert all(len(extract.data) < 200_000 for extract in table.extracts)
    table.run(f"insert into {NAME} values (3000)")
    assert table.ids(most_bytes=50_000) == sorted(map(str, [*range(1, 2001), 3000]))
    assert len(table.extracts) > 6
    assert table.ids() == []


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_rows_of_days_are_asked_again_and_pulls_go_on_where_they_were(table: Table, kind: str) -> None:
    table.run(f'alter table {NAME} alter "Updated at" type {kind}')
    table.run(f"insert into {NAME} select n, 'old', date '2014-01-01' + n from generate_series(0, 9) as n")
    table.run(f"insert into {NAME} values (10, 'old', null)")
    table.pull()
    # By hand, and the watermark is not set; nor is it where the row was not changed.
    table.run(f"""update {NAME} set "V" = 'new' where "ID" in (2, 3, 6)""")
    asked = [date(2014, 1, day) for day in (4, 3, 7, 8, 4)]
    reached = table.reached()
    again = list(FEED.replay(table.url, source(), reached, asked, 1))
    found = [row for extract in again for row in pl.read_parquet(io.BytesIO(extract.data)).rows()]
    assert [(row[0], row[1]) for row in sorted(found)] == [("2", "new"), ("3", "new"), ("6", "new"), ("7", "old")]
    ends = [reached.ends[STREAM], *(extract.part.end for extract in again)]
    assert len(ends) >= 2
    assert ends == sorted({*ends})
    assert {extract.part.stream for extract in again} == {STREAM}
    table.extracts += again
    # They are of newer transactions, and their watermark says not to look for them.
    table.run(f"insert into {NAME} values (11, 'late', now())")
    assert "11" in table.ids()
    assert table.ids() == []
    assert table.extracts[-1].part.begin > ends[-1]
    with pytest.raises(FeedError, match="has no rows of these days; nothing was pulled"):
        list(FEED.replay(table.url, source(), table.reached(), [date(2013, 1, 1)], 1))


def test_what_a_day_brings_again_wins_and_what_comes_later_wins_over_it(table: Table, house: House) -> None:
    house.source = source(system := FEED)
    assert system.replays
    assert not WHOLE.replays

    def bring(*days: date) -> dict[str, str]:
        pulled = pulling.pull(house.lake, house.source, house.landing, table.url, house.clock, 1000, days)
        assert (pulled.trouble, pulled.extracts) == (None, 1)
        house.run()
        return dict(house.table("processed").select("id", "v").iter_rows())

    table.run(f"insert into {NAME} values (1, 'a', '2014-01-02'), (2, 'b', '2014-01-05')")
    assert bring() == {"1": "a", "2": "b"}
    table.run(f"""update {NAME} set "V" = 'a2', "Updated at" = '2014-01-03' where "ID" = 1""")
    assert bring(date(2014, 1, 3)) == {"1": "a2", "2": "b"}
    table.run(f"""update {NAME} set "V" = 'a3', "Updated at" = now() where "ID" = 1""")
    assert bring() == {"1": "a3", "2": "b"}


def test_lag_tells_how_much_waits_and_what_holds_it_back(table: Table) -> None:
    table.run(f"insert into {NAME} values (1, 'a', now() - interval '90 seconds'), (2, 'b', now())")
    lag = FEED.lag(table.url, source(), table.reached())
    assert lag.events == 2
    assert 20 < (lag.bytes or 0) < 100
    assert 90 <= (lag.seconds or 0) < 300
    assert lag.trouble is None
    table.pull()
    assert not FEED.lag(table.url, source(), table.reached()).any
    impatient = DatabaseTable(
        system="trial", table=FEED.table, watermark="Updated at", lag_limit=timedelta(milliseconds=1)
    )
    with closing(table.connect()) as late, late.cursor() as cursor:
        cursor.execute("select pg_current_xact_id()")
        table.run(f"insert into {NAME} values (3)")
        lag = impatient.lag(table.url, source(), table.reached())
    assert not lag.any
    assert "1 rows of" in str(lag.trouble)
    assert "end it" in str(lag.trouble)


@pytest.mark.parametrize("mark", ["size", "taken", "here", "events"])
def test_lag_is_told_whatever_columns_are_called(table: Table, mark: str) -> None:
    table.run(f'alter table {NAME} rename "Updated at" to {mark}; alter table {NAME} add waits text')
    table.run(f"insert into {NAME} ({mark}, \"ID\", waits) values (now(), 1, repeat('x', 1000)), (now(), 2, null)")
    lag = replace(FEED, watermark=mark).lag(table.url, source(), Reached())
    assert lag.events == 2
    assert 1000 < (lag.bytes or 0) < 1100


@pytest.fixture
def reader(table: Table) -> Iterator[str]:
    """URL of a user who may read the table, and nothing else."""
    table.run("drop role if exists reader; create role reader login; grant usage on schema odd to reader")
    table.run(f"grant select on {NAME} to reader")
    kept = psycopg2.extensions.parse_dsn(table.url)
    yield f"postgresql://reader@/{kept['dbname']}?host={quote(kept['host'])}&port={kept.get('port', 5432)}"
    table.run("drop owned by reader; drop role reader")


@pytest.mark.parametrize("kind", ["timestamptz", "date"])
def test_who_may_only_read_the_table_is_told_as_well_what_holds_rows_back(table: Table, reader: str, kind: str) -> None:
    table.run(f'alter table {NAME} alter "Updated at" type {kind} using now()')
    feed = replace(FEED, lag_limit=timedelta(minutes=30))

    def lag() -> Lag:
        return feed.lag(reader, source(), table.reached())

    with closing(table.connect()) as late, late.cursor() as cursor:
        cursor.execute("select pg_current_xact_id()")
        table.run(f"insert into {NAME} values (1, 'a', now())")
        assert lag() == Lag(events=0, bytes=0)
        table.run(f"""update {NAME} set "Updated at" = now() - interval '25 hours'""")
        waits = lag()
        assert waits.events == 0
        told = str(waits.trouble)
        assert told.startswith('1 rows of odd.My "Table" wait, by their watermark for ')
        assert "for a transaction that is open (grant pg_read_all_stats, and this user may see since when)" in told
        table.run("grant pg_read_all_stats to reader")
        # It has not been for long.
        assert lag() == Lag(events=0, bytes=0)
        table.run("revoke pg_read_all_stats from reader")
    assert lag().trouble is None
    assert lag().events == 1


def test_a_prepared_transaction_that_holds_rows_back_is_told(quiet: Settings) -> None:
    with (quiet.postgres / "postgresql.auto.conf").open("a") as said:
        said.write("max_prepared_transactions = 2\n")
    with postgres.serving(quiet) as url:
        table = Table(url)
        with closing(table.connect()) as other, other.cursor() as cursor:
            cursor.execute(f"insert into {NAME} values (1)")
            cursor.execute("prepare transaction 'of a patient'")
        table.run(f"insert into {NAME} values (2)")
        told = str(replace(FEED, lag_limit=timedelta(0)).lag(url, source(), Reached()).trouble)
        assert re.fullmatch(
            r'1 rows of odd\.My "Table" wait for a transaction that was prepared [0-9]+ s ago in trial: '
            "pg_prepared_xacts names it: commit it, or roll it back, and they come with the next pull",
            told,
        )
        with closing(table.connect()) as other:
            other.autocommit = True
            other.cursor().execute("commit prepared 'of a patient'")
        assert table.ids() == ["1", "2"]


@pytest.mark.parametrize("feed", [FEED, WHOLE])
def test_row_security_is_told_and_nothing_taken_for_all_there_is(
    table: Table, reader: str, feed: DatabaseTable
) -> None:
    table.run(f"insert into {NAME} values (1), (2); alter table {NAME} enable row level security")
    table.run(f"""create policy own on {NAME} to reader using ("ID" = 1)""")
    for asked in (
        lambda: list(feed.pull(reader, source(feed), Reached(), 1000)),
        lambda: feed.lag(reader, source(feed), Reached()),
    ):
        with pytest.raises(FeedError, match=r"row security keeps rows of odd\.My.* alter role … bypassrls"):
            asked()
    table.run("alter role reader bypassrls")
    assert len(list(feed.pull(reader, source(feed), Reached(), 1000))) == 1


def test_row_security_under_a_view_is_told(table: Table, reader: str) -> None:
    table.run(f"insert into {NAME} values (1), (2); alter table {NAME} rename to base")
    table.run("alter table odd.base enable row level security")
    table.run(f"create view {NAME} with (security_invoker) as select * from odd.base; grant select on {NAME} to reader")
    with pytest.raises(FeedError, match=r"where row security keeps rows from it: alter role … bypassrls"):
        list(WHOLE.pull(reader, source(WHOLE), Reached(), 1000))


def test_infinite_watermarks_come_like_others_and_make_no_lag_infinite(table: Table) -> None:
    for _ in range(3):
        # The third pull looks by the watermark.
        table.run(f"insert into {NAME} values ((select count(*) from {NAME}) + 1)")
        table.pull()
    table.run(f"insert into {NAME} values (7, 'a', '-infinity'), (8, 'b', 'infinity')")
    waits = FEED.lag(table.url, source(), table.reached())
    assert (waits.events, waits.seconds) == (2, None)
    table.run(f"insert into {NAME} values (9, 'c', now() - interval '90 seconds')")
    assert 90 <= (FEED.lag(table.url, source(), table.reached()).seconds or 0) < 300
    assert table.ids() == ["7", "8", "9"]
    assert not FEED.lag(table.url, source(), table.reached()).any


def test_a_snapshot_is_one_delivery_and_comes_only_when_something_changed(table: Table) -> None:
    table.run(f"insert into {NAME} select n, repeat('x', 200) from generate_series(1, 2000) as n")
    assert len(table.pull(feed=WHOLE, most_bytes=1000)) == 2000
    assert len(table.extracts) == 1
    assert table.pull(feed=WHOLE) == []
    table.run(f'update {NAME} set "V" = "V" where "ID" = 7')
    assert table.pull(feed=WHOLE) == []
    # The same texts, otherwise divided; and none in place of an empty one.
    for word, number in (("'xy', 'z'", 7), ("'x', 'yz'", 7), ("'', 'yz'", 7), ("null, 'yz'", 7)):
        first, second = word.split(", ")
        table.run(f'update {NAME} set "V" = {first} where "ID" = {number}')
        table.run(f'update {NAME} set "V" = {second} where "ID" = {number + 1}')
        assert len(table.pull(feed=WHOLE, most_bytes=1000)) == 2000
    assert table.pull(feed=WHOLE) == []
    table.run(f'delete from {NAME} where "ID" > 3')
    assert table.ids(feed=WHOLE) == ["1", "2", "3"]
    table.run(f"delete from {NAME}")
    with pytest.raises(FeedError, match="is empty"):
        table.pull(feed=WHOLE)


def test_a_snapshot_is_spooled_in_pieces(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    table.run(f"insert into {NAME} select n, repeat('x', 200) from generate_series(1, 2000) as n")
    table.pull(feed=WHOLE, most_bytes=50_000)
    read = ParquetFile(io.BytesIO(table.extracts[0].data)).metadata
    groups = [read.row_group(number) for number in range(read.num_row_groups)]
    assert len(groups) > 3
    # Texts as they come take some bytes beside those in the file.
    assert all(group.total_byte_size < 100_000 for group in groups)
    for most_bytes in (50_000, 1000, 1 << 20):
        assert table.pull(feed=WHOLE, most_bytes=most_bytes) == []
    monkeypatch.setattr(tables, "MOST_SNAPSHOT", 300_000)
    with pytest.raises(FeedError, match="too much for a snapshot"):
        list(WHOLE.pull(table.url, source(WHOLE), Reached(), 50_000))


def test_a_snapshot_that_does_not_change_is_not_asked_for_at_each_look(table: Table, house: House) -> None:
    def lag(**words: Any) -> Lag:
        house.source = source(replace(WHOLE, **words))
        return pulling.lag(house.lake, house.source, house.landing, table.url)

    table.run(f"insert into {NAME} values (1)")
    assert lag().any
    for brought in (1, 0):
        done = pulling.pull(house.lake, house.source, house.landing, table.url, house.clock, 1 << 20)
        assert done == pulling.Pulled(brought, done.bytes)
        assert lag(every=timedelta(hours=1)) == Lag(seconds=0.0)
        overdue = lag(every=timedelta(0))
        assert overdue.due
        # Since the pull, not since the table changed last.
        at = pulling.reached(house.lake, house.source).at
        assert at is not None
        assert (overdue.seconds or 0) <= (datetime.now(UTC) - at).total_seconds()


def test_a_new_column_comes_through_and_a_gone_one_is_told(table: Table) -> None:
    table.run(f"insert into {NAME} values (1); alter table {NAME} add more text default 'm'")
    assert table.pull()[0]["more"] == "m"
    table.run(f'alter table {NAME} drop "V"')
    with pytest.raises(FeedError, match=r"lacks V, which anything needs"):
        table.pull()
    with pytest.raises(FeedError, match=r"lacks V, which anything needs"):
        FEED.lag(table.url, source(), Reached())
    table.run(f'alter table {NAME} add "V" text, drop "Updated at"')
    with pytest.raises(FeedError, match=r"no column Updated at of a timestamp"):
        table.pull()
    table.run(f"drop table {NAME}")
    with pytest.raises(FeedError, match=r"trial has no table odd\.My"):
        table.pull()


def test_a_view_has_no_transactions_and_is_taken_whole(table: Table) -> None:
    table.run(f"insert into {NAME} values (1); alter table {NAME} rename to base")
    table.run(f"create view {NAME} as select * from odd.base")
    with pytest.raises(FeedError, match="is a view"):
        table.pull()
    assert table.ids(feed=WHOLE) == ["1"]


def test_what_may_not_be_read_or_reached_is_told_without_secrets(table: Table) -> None:
    table.run("drop role if exists nobody_here; create role nobody_here login password 'hunter2'")
    table.run("grant usage on schema odd to nobody_here")
    try:
        kept = psycopg2.extensions.parse_dsn(table.url)
        host = kept["host"].replace("/", "%2F")
        url = f"postgresql://nobody_here:hunter2@{host}/{kept['dbname']}?port={kept.get('port', 5432)}"
        for address, words in ((url, "may not read"), ("postgresql://me:hunter2@127.0.0.1:1/x", "cannot be reached")):
            with pytest.raises(FeedError, match=words) as failed:
                list(FEED.pull(address, source(), Reached(), 1000))
            assert "hunter2" not in str(failed.value)
            assert "127.0.0.1" not in str(failed.value)
    finally:
        table.run("revoke usage on schema odd from nobody_here; drop role nobody_here")


def test_a_read_that_breaks_off_is_told_without_values(table: Table) -> None:
    """The driver tells of rows after the first in another way."""
    rows = "select (1000000 / (9000 - number))::text as secret from generate_series(1, 10000) as made (number)"
    with session(table.url, "trial") as database:
        parts = database.parquet(rows, 1024)
        assert next(parts)
        with pytest.raises(FeedError, match=r"^trial: reading broke off.* what was pulled before is kept$") as failed:
            list(parts)
    assert "zero" not in str(failed.value)
    assert failed.value.__suppress_context__


def test_a_database_that_was_replaced_is_told(table: Table) -> None:
    table.run(f"insert into {NAME} values (1)")
    table.pull()
    end = table.extracts[-1].part.end
    ahead = f"{int(end[:16]) + 1000:016d}{end[16:]}"
    with pytest.raises(FeedError, match=r"restored or replaced.* set `starts` of the feed to 2"):
        list(FEED.pull(table.url, source(), Reached({STREAM: ahead}), 1000))


@pytest.mark.parametrize("feed", [FEED, WHOLE])
def test_a_restored_table_is_begun_anew_under_its_system_and_wins_within_a_day(
    table: Table, house: House, feed: DatabaseTable
) -> None:
    def pull(feed: DatabaseTable) -> list[str | None]:
        house.source = source(feed)
        assert pulling.pull(house.lake, house.source, house.landing, table.url, house.clock, 1 << 20).trouble is None
        house.run()
        return house.table("processed").sort("id")["v"].to_list()

    table.run(f"insert into {NAME} values (1, 'old'), (2, 'old')")
    assert pull(feed) == ["old", "old"]
    [landed] = house.landing.rglob("*.parquet")
    if feed.watermark:
        # The database that was lost had counted further.
        end = str(landed).rpartition("~")[2]
        landed.rename(str(landed).replace(f"~{end}", f"~{int(end[:16]) + 1000:016d}{end[16:]}"))
        house.run()
        with pytest.raises(AssertionError, match="counts its transactions anew"):
            pull(feed)
    table.run(f"""update {NAME} set "V" = 'restored'""")
    assert pull(replace(feed, starts=2)) == ["restored", "restored"]
    table.run(f"""update {NAME} set "V" = 'since', "Updated at" = now() where "ID" = 2""")
    assert pull(replace(feed, starts=2)) == ["restored", "since"]
    assert pull(replace(feed, starts=10)) == ["restored", "since"]
    assert house.table("quarantine").is_empty()
    days = {file.name[:10] for file in house.landing.rglob("*.parquet")}
    assert len(days) == 1


@pytest.mark.parametrize(
    "options",
    [{"table": "lonely"}, {"table": "a."}, {"table": "a.b", "margin": timedelta(-1)}, {"table": "a.b", "starts": 0}],
)
def test_a_table_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="table"):
        DatabaseTable(system="trial", **options)
