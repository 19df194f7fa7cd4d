"""Curated tables: made from one consistent state, written only when they change, and never with rows in breach."""

from collections.abc import Callable
from dataclasses import replace

import dataframely as dy
import polars as pl
import pytest
from house import House

from lakehouse import manifest, quality
from lakehouse.curate import GROUP, Curation, curate, ordered, stale
from lakehouse.curated import Curated
from lakehouse.errors import DefinitionError, SupersededError
from lakehouse.lake import Lake


class Mean(dy.Schema):
    """Mean temperature of a sensor."""

    sensor = dy.String()
    celsius = dy.Float64(nullable=True, max=50)


def means(readings: pl.LazyFrame) -> pl.LazyFrame:
    return readings.group_by("sensor").agg(pl.col("celsius").mean())


def cold(_means: pl.LazyFrame, readings: pl.LazyFrame) -> pl.LazyFrame:
    """No reading is below freezing."""
    return readings.filter(pl.col("celsius") < 0)


MEANS = Curated(
    name="means",
    description="Mean temperature by sensor.",
    owner="team:weather",
    contract=Mean,
    key=("sensor",),
    inputs=("processed/thermometer",),
    transform=means,
    checks={"cold": cold},
)
WARMEST = replace(
    MEANS,
    name="warmest",
    inputs=("curated/means", "processed/thermometer"),
    transform=lambda means, _: means.sort("celsius", "sensor").tail(1),
    checks={},
)


@pytest.fixture
def full(house: House) -> House:
    house.land("A/thermometer_2020-01-01.csv", "a,1,1\na,2,3\nb,,-2\n")
    house.run()
    return house


def run(house: House, *tables: Curated) -> list[Curation]:
    return curate(house.lake, tables, [house.source], house.clock)


def rows(lake: Lake, table: str) -> list[tuple[object, ...]]:
    """As readers see them."""
    return lake.scan(table, manifest.versions(lake)[table]).collect().rows()


def test_a_table_is_made_from_its_inputs_in_the_order_of_its_key(full: House) -> None:
    told = run(full, MEANS)
    assert rows(full.lake, "curated/means") == [("a", 2.0), ("b", -2.0)]
    assert told == [Curation("curated/means", 2, True, 1, {"cold": 1}, {})]


def test_a_table_made_from_another_is_made_after_it(full: House) -> None:
    for tables in ((WARMEST, MEANS), (MEANS, WARMEST)):
        assert [table.name for table in ordered(tables)] == ["means", "warmest"]
        run(full, *tables)
        assert rows(full.lake, "curated/warmest") == [("a", 2.0)]
    full.land("A/thermometer_2020-01-02.csv", "b,,40\n")
    full.run()
    run(full, WARMEST, MEANS)
    assert rows(full.lake, "curated/warmest") == [("b", 40.0)]


def test_a_circle_is_refused_with_its_names(full: House) -> None:
    first = replace(MEANS, name="first", inputs=("curated/second",))
    second = replace(MEANS, name="second", inputs=("curated/first",))
    with pytest.raises(DefinitionError, match=r"in a circle.*curated/(first|second)"):
        run(full, first, second)
    assert GROUP not in manifest.states(full.lake)


def test_an_input_nobody_makes_is_refused_with_the_choices(full: House) -> None:
    with pytest.raises(DefinitionError, match=r"makes processed/barometer; there are \[.*'processed/thermometer'"):
        run(full, replace(MEANS, inputs=("processed/barometer",)))


def test_what_comes_out_as_it_was_is_not_written(full: House) -> None:
    before = run(full, MEANS, WARMEST)
    assert [item.changed for item in before] == [True, True]
    again = run(full, MEANS, WARMEST)
    assert [(item.table, item.changed, item.version) for item in again] == [
        ("curated/means", False, before[0].version),
        ("curated/warmest", False, before[1].version),
    ]
    full.land("A/thermometer_2020-01-02.csv", "b,,1\n")
    full.run()
    after = run(full, MEANS, WARMEST)
    assert [(item.changed, item.version) for item in after] == [
        (True, before[0].version + 1),
        (False, before[1].version),
    ]
    assert rows(full.lake, "curated/means") == [("a", 2.0), ("b", 1.0)]


def test_an_empty_table_is_written_once_too(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", "bad,1,hot\n")
    house.run()
    assert [run(house, MEANS)[0].changed for _ in range(2)] == [True, False]
    assert rows(house.lake, "curated/means") == []


def test_a_source_that_received_nothing_is_an_empty_input(house: House) -> None:
    assert run(house, MEANS)[0].rows == 0
    assert rows(house.lake, "curated/means") == []


def broken(_: pl.LazyFrame) -> pl.LazyFrame:
    return pl.LazyFrame({"sensor": ["a", "secret-17"], "celsius": [1.0, 99.0]})


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (broken, r"rows break its contract, by rule: \{'celsius\|max': 1\}; the table stays as it was"),
        (lambda frame: means(frame).select("sensor"), "celsius is None, not Float64"),
        (lambda frame: means(frame).with_columns(more=1), "more is Int32, not None"),
        (lambda frame: means(frame).with_columns(celsius=pl.lit("secret-17")), "celsius is String, not Float64"),
        (lambda frame: pl.concat([means(frame)] * 2), r"\['sensor'\] does not name one row; the table stays as it was"),
    ],
)
def test_rows_in_breach_leave_every_table_as_it_was(
    full: House, transform: Callable[[pl.LazyFrame], pl.LazyFrame], words: str
) -> None:
    run(full, MEANS, WARMEST)
    full.land("A/thermometer_2020-01-02.csv", "b,,30\n")
    full.run()
    curated = {table: version for table, version in manifest.versions(full.lake).items() if "curated" in table}
    with pytest.raises(DefinitionError, match=words) as raised:
        run(full, MEANS, replace(WARMEST, transform=lambda _, readings: transform(readings)))
    assert "secret-17" not in str(raised.value)
    versions = manifest.versions(full.lake)
    assert {table: versions[table] for table in curated} == curated
    assert rows(full.lake, "curated/means") == [("a", 2.0), ("b", -2.0)]
    assert stale(full.lake, [MEANS, WARMEST], [full.source], full.clock)
    run(full, MEANS, WARMEST)
    assert rows(full.lake, "curated/warmest") == [("b", 30.0)]


def test_nulls_of_a_key_are_equal(full: House) -> None:
    class Keyed(dy.Schema):
        sensor = dy.String(nullable=True)

    twice = replace(
        MEANS,
        contract=Keyed,
        checks={},
        transform=lambda _: pl.LazyFrame({"sensor": [None, None]}, {"sensor": pl.String}),
    )
    with pytest.raises(DefinitionError, match="does not name one row"):
        run(full, twice)


def test_stale_until_every_source_and_the_code_are_reflected(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [full.source]
    assert stale(full.lake, [MEANS], sources, full.clock)
    run(full, MEANS)
    assert not stale(full.lake, [MEANS], sources, full.clock)
    full.land("A/thermometer_2020-01-02.csv", "b,,1\n")
    full.run()
    assert stale(full.lake, [MEANS], sources, full.clock)
    run(full, MEANS)
    assert not stale(full.lake, [MEANS], sources, full.clock)
    monkeypatch.setattr("lakehouse.curate.code_version", lambda *_: "other")
    assert stale(full.lake, [MEANS], sources, full.clock)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_kill_between_tables_shows_readers_nothing_and_is_mended_by_running_again(
    full: House, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    run(full, MEANS, WARMEST)
    full.land("A/thermometer_2020-01-02.csv", "b,,30\n")
    full.run()
    real, count = Lake.commit, iter(range(1, 100))

    def commit(*args: object, **options: object) -> object:
        done = real(*args, **options)  # type: ignore[arg-type]
        if next(count) == step:
            raise Killed
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "commit", commit)
        with pytest.raises(Killed):
            run(full, MEANS, WARMEST)
    shown = rows(full.lake, "curated/means") + rows(full.lake, "curated/warmest")
    new, old = [("a", 2.0), ("b", 30.0), ("b", 30.0)], [("a", 2.0), ("b", -2.0), ("a", 2.0)]
    assert shown == (new if step == 3 else old)
    run(full, MEANS, WARMEST)
    assert rows(full.lake, "curated/means") + rows(full.lake, "curated/warmest") == new
    assert not stale(full.lake, [MEANS, WARMEST], [full.source], full.clock)


def test_a_late_run_changes_nothing(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    run(full, MEANS)
    full.land("A/thermometer_2020-01-02.csv", "b,,1\n")
    full.run()
    real = Lake.commit

    def commit(lake: Lake, *args: object, **options: object) -> object:
        monkeypatch.setattr(Lake, "commit", real)
        full.land("A/thermometer_2020-01-03.csv", "b,,2\n")
        full.run()
        run(full, MEANS)
        return real(lake, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "commit", commit)
    with pytest.raises(SupersededError):
        run(full, MEANS)
    assert rows(full.lake, "curated/means") == [("a", 2.0), ("b", 2.0)]
    assert not stale(full.lake, [MEANS], [full.source], full.clock)


def test_a_new_contract_column_is_added(full: House) -> None:
    class Wider(Mean):
        readings = dy.Int64()

    run(full, MEANS)
    wider = replace(MEANS, contract=Wider, transform=lambda frame: means(frame).join(counts(frame), on="sensor"))
    run(full, wider)
    assert rows(full.lake, "curated/means") == [("a", 2.0, 2), ("b", -2.0, 1)]


def counts(readings: pl.LazyFrame) -> pl.LazyFrame:
    return readings.group_by("sensor").agg(readings=pl.len().cast(pl.Int64))


def test_the_lakehouses_own_tables_tell_of_every_source(full: House) -> None:
    full.land("A/thermometer_2020-01-02.csv", "bad,1,hot\nbad,1,warm\nshort\nc,1,1\n")
    full.land("B/thermometer_2020-01-02.csv", b"SENSOR\nx\n")
    full.land("B/thermometer_2020-02-30.csv", b"")
    full.run()
    run(full, *quality.QUALITY)
    deliveries = full.lake.scan("quality/deliveries").sort("_file").collect()
    assert deliveries.select("_file", "records", "accepted", "quarantined", "state").rows() == [
        ("A/thermometer_2020-01-01.csv", 3, 3, 0, "in effect"),
        ("A/thermometer_2020-01-02.csv", 4, 1, 3, "in effect"),
        ("B/thermometer_2020-01-02.csv", 1, 0, 1, "rejected"),
        ("B/thermometer_2020-02-30.csv", 0, 0, 0, "rejected"),
    ]
    rejections = full.lake.scan("quality/rejections").sort("_site", "rule").collect()
    assert rejections.select("source", "_site", "rule", "severity", "lines", "files").rows() == [
        ("thermometer", "A", "record:short", "reject", 1, 1),
        ("thermometer", "A", "temperature_is_a_number", "reject", 2, 1),
        ("thermometer", "B", "file:empty", "file", 0, 1),
        ("thermometer", "B", "file:header", "file", 1, 1),
    ]
