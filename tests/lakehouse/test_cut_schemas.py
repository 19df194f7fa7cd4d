"""A data cut in PostgreSQL: loaded as it was, beside what everybody reads, and gone with the cut."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from house import House
from test_cuts import curated, deliver, make
from test_rebuild import FAHRENHEIT
from test_warehouse import ask
from thermometer import THERMOMETER

from lakehouse import cut_schemas, cuts, manifest
from lakehouse.errors import DefinitionError
from lakehouse.warehouse import Table, loaded, models_built, models_finished, models_started, publish

READINGS = Table("processed/thermometer", "lake", "thermometer", THERMOMETER.contract, THERMOMETER.key, "Readings.")
SECRET = replace(READINGS, schema="unblinded", name="secret")
LATER = replace(READINGS, source="processed/later", name="later")
TABLES = [READINGS, SECRET, LATER]


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A database that has none of our schemas."""
    yield server
    for schema in schemas(server):
        ask(server, f'drop schema "{schema}" cascade')


def schemas(url: str) -> list[object]:
    found = ask(url, "select nspname from pg_namespace where nspname !~ '^(pg_|information_schema|public)' order by 1")
    return [name for (name,) in found]


def rows(url: str, table: str) -> list[tuple[object, ...]]:
    return ask(url, f"select sensor, hour, celsius from {table} order by sensor, hour")


@pytest.fixture
def cut(house: House, url: str) -> House:
    """A house with a cut of its first three days, on which two more have passed, loaded as it is now."""
    deliver(house, range(1, 4))
    curated(house)
    make(house, "first")
    deliver(house, [4, 5])
    publish(house.lake, url, [READINGS], manifest.versions(house.lake))
    return house


def test_it_is_loaded_beside_what_everybody_reads(cut: House, url: str) -> None:
    models_finished(url, "code", models_started(url))
    before = rows(url, "lake.thermometer"), loaded(url), models_built(url)
    first = cuts.get(cut.lake, "first")
    done = cut_schemas.load(cut.lake, url, first, TABLES)
    expected = [("a1", 1, 1.0), ("a2", 1, 1.0), ("a3", 1, 1.0), ("same", 1, 3.0)]
    assert rows(url, "lake_first.thermometer") == rows(url, "unblinded_first.secret") == expected
    assert rows(url, "lake_first.later") == []
    assert [(load.rows, load.version) for load in done] == [(4, first.versions["processed/thermometer"])] * 2
    assert ask(url, "select name, day, state_at, as_of from lake_first.cut") == [
        ("first", first.day, first.state_at, None)
    ]
    assert (rows(url, "lake.thermometer"), loaded(url), models_built(url)) == before
    assert len(before[0]) == 6
    assert before[2] == "code"
    # Again, and nothing is left to do.
    assert [(load.inserted, load.deleted) for load in cut_schemas.load(cut.lake, url, first, TABLES)] == [(0, 0)] * 2


def test_its_columns_are_those_it_had_and_described_as_far_as_they_are_known(cut: House, url: str) -> None:
    today = replace(READINGS, contract=FAHRENHEIT.contract, key=("sensor",))
    cut_schemas.load(cut.lake, url, cuts.get(cut.lake, "first"), [today])
    assert len(rows(url, "lake_first.thermometer")) == 4
    unique = ask(url, "select indexdef from pg_indexes where schemaname = 'lake_first' and tablename = 'thermometer'")
    assert [str(line).rpartition("(")[2].partition(")")[0] for (line,) in unique] == ["sensor, hour"]
    cut_schemas.remove(url, "first")
    cut_schemas.load(cut.lake, url, cuts.get(cut.lake, "first"), TABLES)
    described = ask(url, "select col_description('lake_first.thermometer'::regclass, n) from generate_series(1, 10) n")
    assert ("Sensor's name.",) in described


def test_a_table_that_is_no_longer_loaded_stays_in_it(cut: House, url: str) -> None:
    first = cuts.get(cut.lake, "first")
    cut_schemas.load(cut.lake, url, first, TABLES)
    cut_schemas.load(cut.lake, url, first, TABLES[1:])
    assert len(rows(url, "lake_first.thermometer")) == 4


def test_its_schemas_go_with_it_and_no_others(cut: House, url: str) -> None:
    make(cut, "first_again")
    for name in ("first", "first_again"):
        cut_schemas.load(cut.lake, url, cuts.get(cut.lake, name), TABLES)
    ours = ["cut_first", "cut_first__staging", "dbt_anna__cut_first", "dbt_anna__cut_first__staging"]
    others = ["cut_first_again", "cut_first_again__staging", "dbt_anna__cut_first_again", "a_cut_first", "cut_a__first"]
    for schema in (*ours, *others):
        ask(url, f"create schema {schema}")
        ask(url, f"create view {schema}.shown as select * from lake_first_again.thermometer")
    ask(url, "create view a_cut_first.of_it as select * from lake_first.thermometer")
    gone = cut_schemas.remove(url, "first")
    assert gone == sorted([*ours, "lake_first", "unblinded_first"])
    assert schemas(url) == sorted([*others, "lake", "lake_first_again", "unblinded_first_again"])
    # What was derived from it elsewhere went along.
    assert ask(url, "select viewname from pg_views where schemaname = 'a_cut_first'") == [("shown",)]
    assert cut_schemas.remove(url, "first") == []


@pytest.mark.parametrize("schema", ["lake_first", "unblinded_first", "cut_first"])
def test_a_schema_that_no_cut_made_is_left_alone(cut: House, url: str, schema: str) -> None:
    ask(url, f"create schema {schema}")
    with pytest.raises(DefinitionError, match=f"PostgreSQL has {schema} already, which no cut made"):
        cut_schemas.load(cut.lake, url, cuts.get(cut.lake, "first"), TABLES)
    assert cut_schemas.remove(url, "first") == []
    assert schemas(url) == sorted(["lake", schema])
