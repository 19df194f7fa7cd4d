"""Any sequence of writes, pulls, crashes and releases: what is landed is the table, and what a trigger saw of it."""

import random
from dataclasses import replace

import polars as pl
import pytest
from audited import ALTERS, AUDIT, COLUMNS, WRITES, Model
from followed import remembers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from logical import Puller, execute, texts, values

from lakehouse.changes import current, history
from lakehouse.feeds.changes import Changes

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (*WRITES, *WRITES, "truncate", *["commit"] * 6, "rollback", "pull", "pull", "die", "release", *ALTERS)
        ),
        st.integers(0, 1),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=5,
    max_size=60,
)


@given(steps=STEPS, full=st.booleans(), seed=st.integers(0, 2**16))
@example(
    # A row told with a column that another column of its name has taken the place of since.
    steps=[(what, 0, row, 0) for row, what in enumerate(("insert", "add with values", "insert", "drop", "add"))],
    full=False,
    seed=0,
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_happens_the_log_is_what_the_database_went_through(
    url: str, steps: list[tuple[str, int, int, int]], full: bool, seed: int
) -> None:
    execute(url, AUDIT)
    if full:
        execute(url, "alter table things replica identity full")
    feed = Changes(system="edc", table="public.things", key=("id", "part"))
    puller = Puller(url, feed)
    model = Model(url, feed, puller)
    try:
        # The history of a row begins with the snapshot, so that the trigger's has to as well: the table is empty.
        puller.pull()
        for step in steps:
            model.step(*step)
        model.settle()
        puller.pull(2**14)
        log = puller.log()
        if model.more and "more" not in log.columns:
            # A column that came without values is told with the next change of a row, and none came.
            log = log.with_columns(more=pl.lit(None, pl.String))
        told = log.filter(pl.col("cdc_op").is_in(["insert", "update", "delete", "truncate"]))
        assert not told.select("cdc_lsn", "cdc_seq").is_duplicated().any()
        # In any order, and some of it twice.
        mixed = pl.concat([log, log.sample(fraction=0.3, seed=seed)]).sample(fraction=1, shuffle=True, seed=seed)
        now = current(mixed.lazy(), ["id", "part"]).collect()
        assert values(now, *model.columns) == texts(url, "things", *model.columns)
        past = history(mixed.lazy(), ["id", "part"]).collect()
        assert not past.select("id", "part", "cdc_lsn").is_duplicated().any()
        remembers(model, log, now, past)
        assert model.valued or not (past["cdc_op"] == "snapshot").any()
        assert (past["valid_from"] <= past["valid_to"].fill_null("9")).all()
        # A fresh start, as on a server whose log is far behind the one before.
        puller.feed = replace(model.feed, starts=2)
        puller.pull()
        ahead = pl.when(cdc_starts=1).then(pl.lit("F") + pl.col("cdc_lsn").str.tail(15)).otherwise("cdc_lsn")
        moved = puller.log().with_columns(cdc_lsn=ahead).sample(fraction=1, shuffle=True, seed=seed)
        moved = moved if model.more else moved.drop("more", strict=False)
        past = past if model.more else history(mixed.drop("more", strict=False).lazy(), ["id", "part"]).collect()
        assert values(current(moved.lazy(), ["id", "part"]).collect(), *COLUMNS) == texts(url, "things", *COLUMNS)
        after = history(moved.lazy(), ["id", "part"]).collect()
        assert values(after, *COLUMNS, "cdc_xid") == values(past, *COLUMNS, "cdc_xid")
    finally:
        for writer in model.writers:
            writer.close()
        puller.forget()
        execute(url, "drop table if exists things, audit", "drop function if exists tell")


@pytest.mark.parametrize("seed", range(6))
def test_snapshots_that_die_leave_nothing_behind(url: str, seed: int) -> None:
    """Rows come and go between the attempts: what a dead one told of them must not show."""
    chance = random.Random(seed)
    execute(url, AUDIT, "insert into things select i, 'a', 'old' from generate_series(1, 300) i")
    feed = Changes(system="edc", table="public.things", key=("id", "part"))
    puller = Puller(url, feed)
    model = Model(url, feed, puller)
    try:
        for _ in range(3):
            puller.pull(2**12, die_after=chance.randint(0, 1))
            execute(url, f"delete from things where id % 7 = {chance.randint(0, 6)}", "update things set word = 'new'")
        log = puller.log() if puller.landed else None
        assert log is None or current(log.lazy(), ["id", "part"]).collect().is_empty()
        puller.pull(2**13)
        execute(url, "update things set word = 'newer' where id < 50")
        puller.pull(2**13)
        now = current(puller.log().lazy(), ["id", "part"]).collect()
        assert values(now, *COLUMNS) == texts(url, "things", *COLUMNS)
        past = history(puller.log().lazy(), ["id", "part"]).collect()
        assert set(past["word"]) == {"new", "newer"}
        assert set(past["id"]) == set(now["id"])
    finally:
        for writer in model.writers:
            writer.close()
        puller.forget()
        execute(url, "drop table if exists things, audit", "drop function if exists tell")
