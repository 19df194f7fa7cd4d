"""Trace: from a row to the file, its checksum, the line's number and the line's text as it was delivered."""

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dataframely as dy
import meter
import polars as pl
import pytest
from house import HEADER, House

from lakehouse import curate
from lakehouse import trace as tracing
from lakehouse.curated import Curated, Through
from lakehouse.dialect import Dialect
from lakehouse.errors import DefinitionError, LakehouseError, UnavailableError
from lakehouse.trace import Trace, declared

FIRST = "a,1,1.5\nb,,2\nbad,1,hot\n"
CORRECTED = "a,1,1.5\nc,3,7\nb,,2.5\n"
# A note over two lines: the record after it begins a line later than it is a record.
QUOTED = 'SENSOR,HOUR,CELSIUS,NOTE\nq,1,5,"over\ntwo lines"\nr,2,6,plain\n'


@contextmanager
def no_warehouse() -> Iterator[str]:
    raise AssertionError("PostgreSQL is not needed here")
    yield ""


@pytest.fixture
def full(house: House) -> House:
    house.land("A/thermometer_2020-01-01.csv", FIRST)
    house.land("A/thermometer_2020-01-02.csv", QUOTED, header="")
    house.run()
    house.land("A/thermometer_2020-01-01.csv", CORRECTED)
    house.run()
    return house


def trace(house: House, table: str, where: str = "true", limit: int = 20) -> Trace:
    return tracing.trace(house.lake, no_warehouse, table, where, limit, {}, [house.source])


def checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def test_a_row_leads_to_the_corrected_file_and_its_line(full: House) -> None:
    found = trace(full, "processed/thermometer", "sensor = 'b'")
    row = found.rows.row(0, named=True)
    assert found.rows.columns == ["sensor", "_file", "_line", "_checksum", "_received_at", "_text"]
    assert (row["_file"], row["_line"], row["_text"]) == ("A/thermometer_2020-01-01.csv", 4, "b,,2.5")
    assert row["_checksum"] == checksum(HEADER + CORRECTED)
    assert (found.version, found.code) == (2, full.source.contract_version)


@pytest.mark.parametrize(
    ("dialect", "ending", "pack"),
    [
        (Dialect(delimiter=";", quote="'", encoding="latin-1", decimal=","), "", bytes),
        (Dialect(delimiter=";", quote="'", encoding="latin-1", decimal=",", compression="gzip"), ".gz", gzip.compress),
    ],
    ids=["plain", "packed"],
)
def test_a_row_leads_back_whatever_its_site_writes(house: House, monkeypatch, dialect, ending, pack) -> None:
    house.source = replace(meter.source(), site_dialects={"A": dialect})
    text = "METER;VALUE;READ;NOTE\nm1;1,5;2020-01-01;'Zähler im\nKeller; \"neu'\nm2;2,5;2020-01-01;Wörth\n"
    house.land(f"A/meters_2020-01-01.csv{ending}", pack(text.encode("latin-1")))
    house.run()
    # Small enough that the second record is in a piece of its own.
    monkeypatch.setattr(tracing, "_PIECE", 20)
    rows = trace(house, "processed.meters").rows.sort("_line")
    assert rows.select("_line", "_text").rows() == [
        (2, "m1;1,5;2020-01-01;'Zähler im\nKeller; \"neu'"),
        (4, "m2;2,5;2020-01-01;Wörth"),
    ]


def test_what_was_superseded_leads_to_the_version_of_that_time(full: House) -> None:
    rows = trace(full, "superseded.thermometer", "sensor is not null or true").rows.sort("_line")
    assert rows["_text"].to_list() == ["a,1,1.5", "b,,2", "bad,1,hot"]
    assert set(rows["_checksum"]) == {checksum(HEADER + FIRST)}


def test_lines_are_counted_as_the_reader_counts_them(full: House) -> None:
    rows = trace(full, "processed.thermometer", "_file like '%02.csv'").rows.sort("_line")
    assert rows.select("_line", "_text").rows() == [(2, 'q,1,5,"over\ntwo lines"'), (4, "r,2,6,plain")]


def test_the_limit_and_a_comment_in_the_condition(full: House) -> None:
    assert trace(full, "processed.thermometer", "true -- all of them", limit=1).rows.height == 1
    assert trace(full, "processed.thermometer", "sensor = 'nobody'").rows.is_empty()


def test_a_row_of_a_whole_file_has_no_line(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", b"SENSOR\na\n")
    house.run()
    rows = trace(house, "quarantine.thermometer").rows.sort("_line")
    assert rows.select("_line", "_text").rows() == [(0, None), (2, "a")]
    assert trace(house, "account.thermometer").rows.select("_line", "_text").rows() == [(None, None)]


def test_a_row_made_of_many_leads_to_what_it_is_made_of_or_says_so(full: House) -> None:
    class Warmth(dy.Schema):
        siteid = dy.String()
        readings = dy.Int64()

    warmth = Curated(
        name="warmth",
        description="Readings by site.",
        owner="team:weather",
        contract=Warmth,
        key=("siteid",),
        inputs=("processed/thermometer",),
        transform=lambda rows: rows.group_by(siteid="_site").agg(readings=pl.len().cast(pl.Int64)),
    )
    curate.curate(full.lake, [warmth], [full.source], full.clock)
    with pytest.raises(LakehouseError, match=r"curated\.warmth is made of many"):
        trace(full, "curated.warmth")
    through = {"curated.warmth": Through("processed.thermometer", "behind._site = this.siteid")}
    found = tracing.trace(full.lake, no_warehouse, "curated.warmth", "readings = 5", 20, through, [full.source])
    assert found.through == "processed.thermometer"
    assert found.rows.height == 5
    assert tracing.trace(
        full.lake, no_warehouse, "curated.warmth", "readings = 6", 20, through, [full.source]
    ).rows.is_empty()
    # Of rows of several tables, one after the other.
    lost = trace(full, "superseded.thermometer").rows.height
    both = {"curated.warmth": replace(through["curated.warmth"], more=(Through("superseded.thermometer", "true"),))}
    found = tracing.trace(full.lake, no_warehouse, "curated.warmth", "true", 20, both, [full.source])
    assert found.through == "processed.thermometer, superseded.thermometer"
    assert found.rows.height == 5 + lost > 5
    assert tracing.trace(full.lake, no_warehouse, "curated.warmth", "true", 6, both, [full.source]).rows.height == 6


def test_rows_that_are_made_of_each_other_in_a_circle_are_told_so() -> None:
    there = {"marts.one": ["n"], "marts.two": ["n"]}
    circle = {"marts.one": Through("marts.two", "true"), "marts.two": Through("marts.one", "true")}
    with pytest.raises(DefinitionError, match="in a circle"):
        tracing._hops("marts.one", there.get, circle)


def test_an_unknown_table_is_told_with_those_there_are(full: House) -> None:
    with pytest.raises(LakehouseError, match=r"no table processed\.barometer; .* processed\.thermometer"):
        trace(full, "processed/barometer")


def test_a_condition_that_cannot_be_run_is_told_in_the_databases_words(full: House) -> None:
    with pytest.raises(LakehouseError, match="fahrenheit"):
        trace(full, "processed.thermometer", "fahrenheit > 1")


def test_damaged_bytes_are_not_shown(full: House) -> None:
    stored = Path(full.lake.root) / "objects"
    for path in stored.rglob("*.zst"):
        path.write_bytes(b"something else")
    with pytest.raises(UnavailableError, match="gone or damaged"):
        trace(full, "processed.thermometer")


def test_models_declare_what_their_rows_are_made_of(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "marts"
    folder.mkdir(parents=True)
    (folder / "marts.yml").write_text(
        'models:\n  - {name: a, config: {meta: {trace: {table: marts.b, "on": behind.x = this.x}}}}\n  - {name: b}\n'
        '  - {name: c, config: {meta: {trace: {table: marts.b, "on": x, more: [{table: marts.d, "on": y}]}}}}\n'
    )
    assert declared(tmp_path) == {
        "marts.a": Through("marts.b", "behind.x = this.x"),
        "marts.c": Through("marts.b", "x", (Through("marts.d", "y"),)),
    }
