"""The reader's own test: whatever may be wrong with a lake and its PostgreSQL, it notices."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from chaos import PromiseBrokenError, Station, Tally, Workers
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from reader import PARTS, Reader
from station import CURATED, LOADED, Place, bring_up_to_date

from lakehouse import manifest, postgres
from lakehouse.curate import curate
from lakehouse.lake import Lake
from lakehouse.warehouse import publish

Change = Callable[[pl.DataFrame], pl.DataFrame]
THERMOMETER = "thermometer"


@pytest.fixture
def place(tmp_path: Path, server: str) -> Place:
    """A lakehouse with sound and broken lines, a correction and a key that was delivered twice."""
    database = f"reader_{tmp_path.name[-30:]}"
    with postgres.transaction(server, autocommit=True) as cursor:
        cursor.execute(f'create database "{database}"')
    place = Place(str(tmp_path), server.replace(f"/{postgres.DATABASE}?", f"/{database}?"), 10**6)
    house = place.house
    house.land("A/thermometer_2020-01-01.csv", "s1,1,1\ns1,2,2\ns1,3,hot\n")
    house.land("A/thermometer_2020-01-02.csv", "s1,1,3\n")
    bring_up_to_date(place)
    house.land("A/thermometer_2020-01-01.csv", "s1,1,1\ns1,2,4\ns1,3,hot\n")
    bring_up_to_date(place)
    return place


def complaints(place: Place) -> str:
    return "\n".join(Reader(place).poll())


def rewritten(lake: Lake, table: str, change: Change) -> int:
    """A table's rows, changed behind the engine's back; the new version."""
    delta = DeltaTable(lake.uri(table))
    rows = change(pl.read_delta(delta)).to_arrow(compat_level=pl.CompatLevel.oldest())
    position = delta.transaction_version("ledger")
    said = CommitProperties(app_transactions=[Transaction("ledger", position + 1)]) if position else None
    write_deltalake(delta, rows, mode="overwrite", commit_properties=said)
    return delta.version()


def shown(lake: Lake, group: str, versions: dict[str, int], seq: int | None = None) -> None:
    """A row of the manifest, beside those that are there."""
    state = manifest.states(lake)[group]
    row = {
        "name": group,
        "seq": state.seq + (PARTS if seq is None else seq),
        "committed_at": datetime.now(UTC),
        "versions": json.dumps({**(state.versions or {}), **versions}),
        "inputs": json.dumps(state.inputs or {}),
        "code": state.code,
    }
    new = pl.DataFrame([row], schema=manifest.SCHEMA)
    rows = pl.concat([pl.read_delta(lake.uri(manifest.TABLE)).filter(pl.col("name") != group), new])
    write_deltalake(lake.uri(manifest.TABLE), rows.to_arrow(compat_level=pl.CompatLevel.oldest()), mode="overwrite")


def test_it_has_nothing_to_say_of_a_sound_lakehouse(place: Place) -> None:
    assert complaints(place) == ""


@pytest.mark.parametrize(
    ("layer", "change", "told"),
    [
        ("processed", lambda rows: pl.concat([rows, rows.head(1)]), "processed has a key twice"),
        ("processed", lambda rows: rows.with_columns(celsius=pl.lit(9.0)), "processed has 2 rows too many and lacks 2"),
        ("processed", lambda rows: rows.head(1), "1 deliveries whose records do not add up"),
        ("raw", lambda rows: rows.head(rows.height - 1), "1 deliveries whose records do not add up"),
        ("raw", lambda rows: rows.with_columns(_checksum=pl.lit("x")), "raw holds a delivery that the account lacks"),
        ("quarantine", lambda rows: rows.clear(), "deliveries whose records do not add up"),
        ("quarantine", lambda rows: rows.with_columns(_text=pl.lit("x")), "quarantine has 1 rows too many"),
        ("superseded", lambda rows: rows.head(1), "deliveries whose records do not add up"),
        ("superseded", lambda rows: rows.with_columns(_winner_line=pl.lit(9)), "superseded has"),
        ("account", lambda rows: rows.with_columns(records=pl.lit(7)), "3 deliveries whose records do not add up"),
    ],
)
def test_it_sees_that_a_table_is_wrong(place: Place, layer: str, change: Change, told: str) -> None:
    lake, table = place.house.lake, f"{layer}/{THERMOMETER}"
    version = rewritten(lake, table, change)
    assert complaints(place) == ""
    # Not before the manifest names it does a reader meet it.
    shown(lake, THERMOMETER, {table: version}, seq=0)
    position = manifest.states(lake)[THERMOMETER].seq
    watching = Reader(place)
    watching.seen = DeltaTable(lake.uri(manifest.TABLE)).version() - 1
    assert told in "\n".join(watching.poll())
    assert watching.source_seq == position


def test_it_sees_that_a_state_is_half_done_or_old(place: Place) -> None:
    lake = place.house.lake
    watching = Reader(place)
    assert list(watching.poll()) == []
    shown(lake, THERMOMETER, {}, seq=-PARTS)
    shown(lake, THERMOMETER, {}, seq=1)
    shown(lake, "curated", {}, seq=-1)
    told = "\n".join(watching.poll())
    assert "the source's tables went back" in told
    assert "a part of a batch is shown" in told
    assert "the curated tables went back" in told
    doubled = pl.read_delta(lake.uri(manifest.TABLE)).filter(name="curated")
    write_deltalake(lake.uri(manifest.TABLE), doubled.to_arrow(compat_level=pl.CompatLevel.oldest()), mode="append")
    assert "a group of tables has two states" in "\n".join(watching.poll())


def test_it_sees_that_curated_tables_are_not_made_of_what_they_name(place: Place) -> None:
    lake = place.house.lake
    made = rewritten(lake, "curated/temperatures", lambda rows: rows.with_columns(celsius=pl.lit(9.0)))
    counted = rewritten(lake, "curated/files", lambda rows: rows.with_columns(found=pl.lit(9, pl.Int64)))
    watching = Reader(place)
    assert list(watching.poll()) == []
    shown(lake, "curated", {"curated/temperatures": made, "curated/files": counted}, seq=1)
    told = "\n".join(watching.poll())
    assert "curated/temperatures is not what its inputs make it" in told
    assert "curated/files is not what its inputs make it" in told
    assert "the curated tables do not fit together" in told


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("update lake.thermometer set celsius = 9", "PostgreSQL's thermometer is not the lake's"),
        ("delete from lake.files where observation = 1", "PostgreSQL's files is not the lake's"),
        ("update lake.loads set delta_version = 0 where table_name = 'lake.files'", "no state of the manifest names"),
        ("update lake.loads set delta_version = 0 where table_name = 'lake.files'", "PostgreSQL went back"),
    ],
)
def test_it_sees_that_postgresql_is_not_the_lake(place: Place, statement: str, told: str) -> None:
    watching = Reader(place)
    assert list(watching.poll()) == []
    with postgres.transaction(place.url) as cursor:
        cursor.execute(statement)
    assert told in "\n".join(watching.poll())


def test_it_sees_a_load_of_an_older_state(place: Place) -> None:
    """Rows and versions fit, but readers saw newer ones before."""
    lake, watching = place.house.lake, Reader(place)
    old = manifest.versions(lake)
    place.house.land("A/thermometer_2020-01-03.csv", "s1,1,5\n")
    bring_up_to_date(place)
    assert list(watching.poll()) == []
    with postgres.transaction(place.url) as cursor:
        cursor.execute("update lake.loads set delta_version = -1")
        for table in LOADED:
            cursor.execute(f"delete from {table.qualified}")
    publish(lake, place.url, LOADED, old)
    assert "PostgreSQL went back" in "\n".join(watching.poll())


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("processed", "a clean rebuild has"),
        ("curated/files", "curated/files is not what a clean rebuild makes it"),
        ("lake.files", "PostgreSQL does not show the lake's last state"),
    ],
)
def test_the_last_comparison_sees_what_did_not_survive(place: Place, layer: str, told: str) -> None:
    lake = place.house.lake
    station = Station(Workers(), place, random.Random(1), Tally())
    station.compare()
    for folder in ("clean", "fresh", "kept"):
        Path(place.folder, folder).rename(Path(place.folder, f"{folder} before"))
    if layer == "processed":
        shown(lake, THERMOMETER, {f"{layer}/{THERMOMETER}": 0})
    elif layer == "curated/files":
        shown(lake, "curated", {layer: rewritten(lake, layer, lambda rows: rows.head(1))}, seq=1)
        publish(lake, place.url, LOADED, manifest.versions(lake))
    else:
        place.house.land("A/thermometer_2020-01-03.csv", "s1,1,5\n")
        place.house.run()
        curate(lake, CURATED, [place.house.source], place.house.clock)
    with pytest.raises(PromiseBrokenError, match=told):
        station.compare()
