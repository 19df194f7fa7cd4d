"""The EDC's database for trying out: filled from the study, and worked in the same way each time."""

import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg2

from assets.pilot.edc import coordinate, events, serving
from lakehouse.settings import PROJECT


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_it_is_filled_from_the_study_once(edc: str) -> None:
    counts = "select (select count(*) from subjects), (select count(*) from visits), count(*) from adverse_events"
    assert rows(edc, counts) == [(306, 3_559, 1_191)]
    assert rows(edc, "select * from adverse_events where narrative is null limit 1")
    assert rows(edc, "select min(length(narrative)) > 2000 from adverse_events") == [(True,)]
    assert coordinate(edc, 1, 11)["undone"] == 1
    # Started again, it has what coordinators did.
    before = rows(edc, "select * from adverse_events order by aeid")
    folder = Path(edc.partition("host=")[2]).parent
    with serving(folder) as url:
        assert rows(url, "select * from adverse_events order by aeid") == before
        # Of each kind of work once: 61 events entered, one twice, one deleted; what was not meant left nothing.
        assert len(before) == events().height + 61
        assert rows(url, "show wal_level") == [("logical",)]


def test_the_server_is_started_again_once_to_tell_changes(edc: str) -> None:
    log = Path(edc.partition("host=")[2], "log").read_text()
    assert log.count("starting PostgreSQL") == 2


def test_the_same_seed_does_the_same(edc: str) -> None:
    with closing(psycopg2.connect(edc.replace("/edc?", "/postgres?"))) as connection:
        connection.autocommit = True
        connection.cursor().execute("create database twin template edc")
    twin = edc.replace("/edc?", "/twin?")
    for url in (edc, twin):
        assert set(coordinate(url, 5, 22).values()) == {2}
    for table in ("visits", "adverse_events"):
        query = f"select * from {table} order by 1, 2"
        assert rows(edc, query) == rows(twin, query)
    coordinate(edc, 5, 11)
    coordinate(twin, 6, 11)
    assert rows(edc, query) != rows(twin, query)


def test_stopped_by_a_signal_it_stops_its_database() -> None:
    # Near the root: the path of a socket is short.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        command = [sys.executable, "-W", "ignore", "-m", "assets.pilot.edc", folder]
        with subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdout.readline().startswith("LAKEHOUSE_SYSTEM_EDC=postgresql://")
            [written] = Path(folder).rglob("postmaster.pid")
            server = Path("/proc", written.read_text().split()[0])
            assert server.exists()
            process.terminate()
            assert process.wait(60) == 0
        # It is gone once the machine's first process has taken note of its end.
        deadline = time.monotonic() + 30
        while server.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not server.exists()
