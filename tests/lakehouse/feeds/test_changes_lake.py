"""From a database's log through ledger, raw and processed to what it comes to: whatever is written, altered or dies."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl
import pytest
from audited import ALTERS, AUDIT, COLUMNS, WRITES, Model
from followed import FEED, NOW, PAST, SOURCE, Worded, agrees
from house import House
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from logical import execute, texts, values

from lakehouse import manifest
from lakehouse.curate import curate
from lakehouse.curated import Curated
from lakehouse.feeds import Lag, Reached, answers, pulling
from lakehouse.lake import Lake


class Died(BaseException):
    """Whoever pulls is no more."""


@dataclass
class LakePuller:
    """Pulls into a lake, as a run does, a step at a time."""

    house: House
    url: str

    @property
    def reached(self) -> Reached:
        return pulling.reached(self.house.lake, self.house.source, self.house.landing)

    def pull(self, most_bytes: int = 2**20, die_after: int | None = None) -> int:
        def say(pulled: pulling.Pulled) -> None:
            if pulled.extracts == die_after:
                raise Died

        one = self.house
        for _ in range(200):
            try:
                if die_after == 0:
                    return 0
                pulled = pulling.pull(one.lake, one.source, one.landing, self.url, one.clock, most_bytes, say=say)
            except Died:
                return die_after or 0
            # The server takes a moment to notice that the one before is gone.
            if "55006" not in (pulled.trouble or ""):
                break
            time.sleep(0.05)
        assert pulled.trouble is None
        return pulled.extracts

    def ingest(self) -> None:
        self.house.run()
        curate(self.house.lake, [NOW, PAST], [self.house.source], self.house.clock)

    def release(self) -> None:
        assert pulling.release(self.house.lake, self.house.source, self.url) is None

    def lag(self) -> Lag:
        return pulling.lag(self.house.lake, self.house.source, self.house.landing, self.url)

    def reasons(self) -> set[str]:
        """Why anything is in quarantine."""
        return set(self.house.table("quarantine")["reasons"].explode())

    def shown(self, table: Curated) -> pl.DataFrame:
        return self.house.lake.scan(table.table, manifest.versions(self.house.lake)[table.table]).collect()


@pytest.fixture
def things(house: House, url: str) -> Iterator[LakePuller]:
    house.source = SOURCE
    yield LakePuller(house, url)
    forget(url)


def forget(url: str) -> None:
    execute(
        url,
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = 'lakehouse_things'",
        "drop publication if exists lakehouse_things",
        "drop table if exists things, audit",
        "drop function if exists tell",
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (*WRITES, *WRITES, "truncate", *["commit"] * 6, "rollback", "pull", "ingest", "die", "release", *ALTERS)
        ),
        st.integers(0, 1),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=30,
    max_size=60,
)


# Not shrunk when it fails: every try takes seconds.
@given(steps=STEPS)
@settings(max_examples=4, phases=[Phase.reuse, Phase.generate], suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_the_lake_is_what_the_database_went_through(
    url: str, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("house")
    (folder / "landing").mkdir()
    puller = LakePuller(House(folder / "landing", Lake(str(folder / "lake")), SOURCE), url)
    execute(url, AUDIT)
    model = Model(url, FEED, puller)
    try:
        puller.pull()
        for step in steps:
            model.step(*step)
        model.settle()
        puller.pull(2**14)
        puller.ingest()
        puller.release()
        assert not puller.lag().any
        assert puller.house.table("quarantine").is_empty()
        assert puller.house.unbalanced().is_empty()
        now, past, log = puller.shown(NOW), puller.shown(PAST), puller.house.table("processed")
        agrees(model, log, now, past)
        # What was told onward is what the whole log comes to.
        for table, shown in ((NOW, now), (PAST, past)):
            whole = table.transform(log.lazy()).sort(table.key).collect()
            assert shown.sort(table.key).equals(whole)
    finally:
        for writer in model.writers:
            writer.close()
        forget(url)


def test_a_column_that_is_dropped_quarantines_what_lacks_it_until_the_contract_is_mended(things: LakePuller) -> None:
    url = things.url
    execute(
        url,
        "create table things (id int, part text, word text, big text, primary key (id, part))",
        "insert into things values (1, 'a', 'one'), (2, 'a', 'two')",
    )
    things.house.source = replace(SOURCE, contract=Worded)
    things.pull()
    things.ingest()
    before = values(things.shown(NOW), *COLUMNS)
    assert before == texts(url, "things", *COLUMNS)
    execute(url, "update things set word = 'uno' where id = 1", "alter table things drop word")
    execute(url, "insert into things values (3, 'a', 'large')", "delete from things where id = 2")
    things.pull()
    things.ingest()
    # The header lacks a column that the source says is there: that delivery is refused whole, and the one before is in.
    assert things.reasons() == {"file:header"}
    assert things.house.unbalanced().is_empty()
    assert values(things.shown(NOW), "id", "word") == [("1", "uno"), ("2", "two")]
    needed = tuple(name for name in SOURCE.columns if name != "word")
    things.house.source = replace(SOURCE, contract=Worded, columns=needed, optional=("more", "word"))
    things.ingest()
    # It may be missing, and yet a row must have it: the rows are refused, the deletion is not.
    assert things.reasons() == {"worded"}
    assert values(things.shown(NOW), "id", "word") == [("1", "uno")]
    things.house.source = replace(things.house.source, severities={"worded": "warn"})
    things.ingest()
    assert things.house.table("quarantine").is_empty()
    assert things.house.unbalanced().is_empty()
    assert values(things.shown(NOW), "id", "part", "big") == texts(url, "things", "id", "part", "big")
    things.release()
    assert not things.lag().any


def redated(puller: LakePuller, minutes: Iterator[int]) -> None:
    """Have what has landed and is not on record say that its transactions committed at other times."""
    for file in puller.house.pending().unseen:
        path = puller.house.landing / file.path
        told, about = pl.read_parquet(path), pl.read_parquet_metadata(path)
        commits = told["cdc_lsn"].unique().sort()
        times = {commit: f"2014-01-02T03:{next(minutes):02}:00.000000Z" for commit in commits}
        dated = told.with_columns(cdc_at=pl.col("cdc_lsn").replace_strict(times, return_dtype=pl.String))
        dated.write_parquet(path, metadata={name: text for name, text in about.items() if name != "ARROW:schema"})


def test_a_server_whose_clock_goes_back_is_followed_by_the_order_of_its_log(things: LakePuller) -> None:
    execute(
        things.url,
        "create table things (id int, part text, word text, big text, primary key (id, part))",
        "insert into things values (1, 'a', 'one')",
    )
    minutes = iter((40, 50, 10, 45, 30, 55, 20, 35, 5))
    # The snapshot, then what is told onward of it, then what is told onward of that.
    for statements in (
        (),
        (
            "update things set word = 'two' where id = 1",
            "insert into things values (2, 'a', 'new')",
            "delete from things where id = 2",
            "update things set word = 'three' where id = 1",
        ),
        (
            "insert into things values (2, 'a', 'again')",
            "update things set word = 'four' where id = 1",
            "update things set word = 'late' where id = 2",
            "insert into things values (3, 'a', 'other')",
        ),
    ):
        execute(things.url, *statements)
        things.pull()
        redated(things, minutes)
        things.ingest()
        things.release()
    assert next(minutes, None) is None
    now, log = things.shown(NOW), things.house.table("processed")
    assert values(now, *COLUMNS) == texts(things.url, "things", *COLUMNS)
    past = things.shown(PAST).sort("id", "cdc_lsn")
    kept = past.select("id", "word", pl.col("valid_from", "valid_to").dt.minute())
    assert kept.rows() == [
        ("1", "one", 40, 50),
        ("1", "two", 50, 50),
        ("1", "three", 50, 50),
        ("1", "four", 50, None),
        ("2", "new", 10, 45),
        ("2", "again", 55, 55),
        ("2", "late", 55, None),
        ("3", "other", 5, None),
    ]
    assert past.equals(PAST.transform(log.lazy()).sort("id", "cdc_lsn").collect())
    assert things.house.table("quarantine").is_empty()
    assert not things.lag().any


def test_a_large_column_that_the_source_does_not_know_keeps_nothing_from_being_made(things: LakePuller) -> None:
    execute(
        things.url,
        "create table things (id int, part text, word text, big text, primary key (id, part))",
        "alter table things add notes text, alter notes set storage external, alter big set storage external",
        "insert into things values (1, 'a', 'one', repeat('b', 9000), repeat('n', 9000))",
    )
    things.pull()
    things.ingest()
    execute(things.url, "update things set word = 'uno'")
    things.pull()
    things.ingest()
    assert things.house.table("processed")["cdc_unchanged"].drop_nulls().to_list() == ['["big"]']
    assert values(things.shown(NOW), *COLUMNS) == texts(things.url, "things", *COLUMNS)


def test_a_user_who_may_not_release_is_told_and_asks_for_no_run_after_another(
    things: LakePuller, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = things.url
    execute(
        url,
        "create table things (id int, part text, word text, big text, primary key (id, part))",
        "revoke execute on function pg_replication_slot_advance from public",
        "create role reader login replication",
        "grant select on things to reader",
        "create publication lakehouse_things for table only things with (publish_via_partition_root = true)",
    )
    things.url = url.replace("//postgres@", "//reader@")
    try:
        things.pull()
        execute(url, "insert into things values (1, 'a', 'one')")
        things.pull()
        things.ingest()
        for _ in range(3):
            assert things.lag().any
            assert "the user lacks a right" in str(pulling.release(things.house.lake, SOURCE, things.url))
        lag = things.lag()
        assert not lag.any
        assert "what was pulled is not released: edc: the user lacks a right" in str(lag.trouble)
        execute(url, "grant execute on function pg_replication_slot_advance to reader")
        monkeypatch.setattr(answers, "_FIRST_WAIT", -answers._FIRST_WAIT)
        assert things.lag().any
        things.release()
        assert things.lag() == Lag(0, 0, 0.0)
    finally:
        execute(
            url,
            "grant execute on function pg_replication_slot_advance to public",
            "drop owned by reader",
            "drop role reader",
        )
