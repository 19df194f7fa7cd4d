"""Curated tables that follow their inputs value by value: they equal what is made whole, whatever has happened."""

import random
from dataclasses import replace
from datetime import timedelta

import dataframely as dy
import polars as pl
import pytest
from house import House

from lakehouse import leaves, ledger, manifest, remake
from lakehouse.curate import GROUP, Curation, curate, ordered
from lakehouse.curated import Curated
from lakehouse.errors import DefinitionError
from lakehouse.housekeeping import housekeep
from lakehouse.inputs import Inputs
from lakehouse.lake import Lake
from lakehouse.quality import QUALITY


class Ranked(dy.Schema):
    """A reading, and where it stands among its sensor's."""

    sensor = dy.String()
    hour = dy.Int64()
    celsius = dy.Float64(nullable=True)
    above_first = dy.Float64(nullable=True)


class Mean(dy.Schema):
    """What a sensor shows as a rule."""

    sensor = dy.String()
    warmest = dy.Float64(nullable=True)
    readings = dy.Int64()


class Beside(Mean):
    """A sensor beside the warmest of all, if it is that."""

    is_warmest = dy.Bool()


class Site(dy.Schema):
    """What a site has sent."""

    site = dy.String()
    records = dy.Int64()
    sensors = dy.Int64()


def ranked(readings: pl.LazyFrame) -> pl.LazyFrame:
    first = pl.col("celsius").sort_by("hour").first().over("sensor")
    return readings.select("sensor", pl.col("hour"), "celsius", above_first=pl.col("celsius") - first)


def means(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.group_by("sensor").agg(warmest=pl.col("celsius").max(), readings=pl.len().cast(pl.Int64))


def warmest(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.sort("warmest", "sensor", nulls_last=False).tail(1)


def beside(rows: pl.LazyFrame, top: pl.LazyFrame) -> pl.LazyFrame:
    is_warmest = top.select("sensor", is_warmest=pl.lit(True))
    return rows.join(is_warmest, on="sensor", how="left").with_columns(pl.col("is_warmest").fill_null(False))


def sites(account: pl.LazyFrame, readings: pl.LazyFrame) -> pl.LazyFrame:
    seen = readings.group_by(site="_site").agg(sensors=pl.col("sensor").n_unique().cast(pl.Int64))
    sent = account.group_by(site="_site").agg(pl.col("records").sum())
    return sent.join(seen, on="site", how="left").with_columns(pl.col("sensors").fill_null(0))


RANKED = Curated(
    name="ranked",
    description="Readings by sensor.",
    owner="team:weather",
    contract=Ranked,
    key=("sensor", "hour"),
    by="sensor",
    inputs=("processed/thermometer",),
    transform=ranked,
)
MEANS = replace(RANKED, name="means", contract=Mean, key=("sensor",), inputs=("curated/ranked",), transform=means)
WARMEST = replace(MEANS, name="warmest", by=None, inputs=("curated/means",), transform=warmest)
BESIDE = replace(MEANS, name="beside", contract=Beside, inputs=("curated/means", "curated/warmest"), transform=beside)
SITES = replace(
    RANKED,
    name="sites",
    contract=Site,
    key=("site",),
    by="site",
    by_in_inputs="_site",
    inputs=("account", "processed/thermometer"),
    transform=sites,
)
TABLES = (RANKED, MEANS, WARMEST, BESIDE, SITES, *QUALITY)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves and parts of a few rows."""
    monkeypatch.setattr(leaves, "LEAF_ROWS", 5)
    monkeypatch.setattr(remake, "PART_ROWS", 7)


def run(house: House, *tables: Curated) -> list[Curation]:
    return curate(house.lake, tables or TABLES, [house.source], house.clock)


def shown(lake: Lake, table: Curated) -> pl.DataFrame:
    """The table as readers see it, sorted."""
    versions = manifest.versions(lake)
    return lake.scan(table.table, versions[table.table]).sort(table.contract.column_names()).collect()


def truth(house: House) -> dict[str, pl.LazyFrame]:
    """What the transforms make of everything at once."""
    inputs = Inputs(house.lake, [house.source], house.clock, manifest.versions(house.lake), {})
    made: dict[str, pl.LazyFrame] = {}
    for table in ordered(TABLES):
        given = [made[name] if name in made else inputs.rows(name).all for name in table.inputs]
        made[table.table] = table.transform(*given)
    return made


def holds(house: House) -> None:
    expected = truth(house)
    for table in TABLES:
        columns = table.contract.column_names()
        assert shown(house.lake, table).equals(expected[table.table].select(columns).sort(columns).collect()), (
            table.name
        )


def paths(lake: Lake, table: Curated) -> set[str]:
    delta = lake.open(table.table)
    assert delta is not None
    return set(delta.file_uris())


def body(random_: random.Random) -> str:
    sensors = [f"s{random_.randrange(12):02}" for _ in range(random_.randint(1, 9))]
    return "".join(
        f"{sensor},{random_.randint(1, 4)},{random_.choice(['', random_.randint(0, 40)])}\n" for sensor in sensors
    )


class Killed(BaseException):
    pass


@pytest.mark.parametrize("seed", range(6))
def test_any_history_gives_what_the_whole_gives(house: House, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    random_ = random.Random(seed)
    paths_ = [f"{site}/thermometer_2020-01-{day:02}.csv" for site in "AB" for day in range(1, 7)]
    # Each site has its own sensors: a key of two sites is in nobody's table.
    for step in range(14):
        path = random_.choice(paths_)
        house.land(path, "".join(f"{path[0]}{line}\n" for line in body(random_).splitlines()))
        house.run()
        event = random_.random()
        if event < 0.15:
            ledger.withdraw(house.lake, house.source, path, "a test", "to see")
            house.run()
        if event > 0.85:
            real, countdown = Lake.commit, iter(range(random_.randint(1, 5)))

            def commit(lake: Lake, *args: object, real=real, countdown=countdown, **options: object) -> object:  # type: ignore[no-untyped-def]
                done = real(lake, *args, **options)
                if next(countdown, None) is None:
                    raise Killed
                return done

            with monkeypatch.context() as patch:
                patch.setattr(Lake, "commit", commit)
                try:
                    run(house)
                except Killed:
                    continue
        elif 0.3 < event < 0.4:
            housekeep(house.lake, timedelta(0))
        elif 0.4 < event < 0.45:
            monkeypatch.setattr("lakehouse.curate.code_version", lambda *_, step=step: f"other {step}")
        run(house)
        holds(house)
    run(house)
    holds(house)


@pytest.fixture
def full(house: House) -> House:
    """Forty sensors of three readings each, in the tables."""
    house.land(
        "A/thermometer_2020-01-01.csv", "".join(f"s{n:02},{hour},{n}\n" for n in range(40) for hour in (1, 2, 3))
    )
    house.run()
    run(house)
    return house


def test_a_change_to_a_value_rewrites_its_leaf_and_no_other(full: House) -> None:
    before = paths(full.lake, RANKED)
    assert len(before) > 20
    full.land("A/thermometer_2020-01-02.csv", "s17,4,99\n")
    full.run()
    run(full)
    after = paths(full.lake, RANKED)
    assert 1 <= len(before - after) <= 2
    holds(full)


def test_only_the_values_that_changed_are_transformed(full: House) -> None:
    asked: list[pl.Series] = []

    def watched(readings: pl.LazyFrame) -> pl.LazyFrame:
        asked.append(readings.select(pl.col("sensor").unique()).collect()["sensor"])
        return ranked(readings)

    full.land("A/thermometer_2020-01-02.csv", "s17,4,99\nnew,1,1\n")
    full.run()
    run(full, replace(RANKED, transform=watched), *TABLES[1:])
    assert [sorted(values) for values in asked] == [["new", "s17"]]
    holds(full)


def test_most_of_a_table_is_made_in_parts(full: House) -> None:
    asked: list[int] = []

    def watched(readings: pl.LazyFrame) -> pl.LazyFrame:
        asked.append(readings.select(pl.len()).collect().item())
        return ranked(readings)

    full.land("A/thermometer_2020-01-01.csv", "".join(f"s{n:02},{hour},7\n" for n in range(40) for hour in (1, 2, 3)))
    full.run()
    run(full, replace(RANKED, transform=watched), *TABLES[1:])
    assert len(asked) > 10
    assert max(asked) <= 3 * remake.PART_ROWS
    holds(full)


def test_what_comes_out_as_it_was_is_not_written(full: House) -> None:
    before = {table.table: paths(full.lake, table) for table in TABLES}
    # A correction of nothing but the file: other provenance, the same readings.
    full.land("A/thermometer_2020-01-02.csv", "s17,3,17\n")
    full.run()
    changed = {item.table for item in run(full) if item.changed}
    assert changed == {"curated/sites", "quality/deliveries", "quality/arrivals"}
    after = {table.table: paths(full.lake, table) for table in TABLES}
    assert {name for name in before if before[name] != after[name]} == changed


def test_rows_of_another_value_are_refused(full: House) -> None:
    astray = replace(RANKED, transform=lambda rows: ranked(rows).with_columns(sensor=pl.lit("s01")).head(1))
    full.land("A/thermometer_2020-01-02.csv", "s17,4,99\n")
    full.run()
    with pytest.raises(DefinitionError, match="yields rows of another sensor than those it is given"):
        run(full, astray, *TABLES[1:])
    assert manifest.states(full.lake)[GROUP].seq == 1
    run(full)
    holds(full)


def test_housekeeping_spares_the_versions_that_tables_were_made_from(full: House) -> None:
    used = (manifest.states(full.lake)[GROUP].inputs or {})["processed/thermometer"]
    for day in range(2, 6):
        full.land(f"A/thermometer_2020-01-{day:02}.csv", f"s17,{day},99\n")
        full.run()
    housekeep(full.lake, timedelta(0))
    assert full.lake.scan("processed/thermometer", used).collect().height == 120
    before = paths(full.lake, RANKED)
    run(full)
    assert len(before - paths(full.lake, RANKED)) <= 2
    holds(full)


def test_a_whole_table_is_made_only_when_an_input_changed(full: House) -> None:
    made: list[str] = []

    def watched(means: pl.LazyFrame) -> pl.LazyFrame:
        made.append("warmest")
        return warmest(means)

    tables = (RANKED, MEANS, replace(WARMEST, transform=watched), BESIDE, SITES, *QUALITY)
    # Other provenance, the same readings: the means stay as they are.
    full.land("A/thermometer_2020-01-02.csv", "s17,3,17\n")
    full.run()
    run(full, *tables)
    assert made == []
    full.land("A/thermometer_2020-01-03.csv", "s17,3,99\n")
    full.run()
    run(full, *tables)
    assert made == ["warmest"]
    holds(full)
