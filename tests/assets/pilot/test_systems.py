"""What `lakehouse demo --with` starts and does: real servers that answer, and changes that are captured."""

from pathlib import Path

import psycopg2

from assets import catalog
from assets.pilot import systems
from lakehouse import ingest
from lakehouse.clock import Clock
from lakehouse.feeds import Reached, pulling
from lakehouse.lake import Lake
from lakehouse.landing import listing

CLOCK = Clock(None)


def test_what_coordinators_do_after_the_snapshot_is_captured(edc: str, tmp_path: Path) -> None:
    lake, landing = Lake(str(tmp_path / "lake")), tmp_path / "landing"
    landing.mkdir()
    assert systems.captured(lake).is_empty()
    done = systems.work(lake, landing, edc, CLOCK, 1 << 20)
    assert (done.total(), len(done)) == (33, 11)
    followed = [source for source in catalog.sources() if source.name.startswith("edc_")]
    for source in followed:
        assert pulling.pull(lake, source, landing, edc, CLOCK, 1 << 20).trouble is None
        files = listing(landing, [source]).claimed[source.name]
        ingest.ingest(lake, source, landing, ingest.pending(lake, source, files).unseen, CLOCK, 1 << 20)
    found = {(source, kind): count for source, kind, count in systems.captured(lake).iter_rows()}
    assert found["edc_adverse_events", "snapshot"] == 1191
    assert found["edc_subjects", "snapshot"] == 306
    for kind in ("insert", "update", "delete"):
        assert found["edc_adverse_events", kind] > 0
    # Three that were entered, and three whose key was changed.
    assert (found["edc_visits", "insert"], found["edc_visits", "delete"]) == (6, 3)
    # Who asks again finds the EDC as it is.
    with psycopg2.connect(edc) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from adverse_events")
        before = cursor.fetchone()
        assert systems.work(lake, landing, edc, CLOCK, 1 << 20).total() == 0
        cursor.execute("select count(*) from adverse_events")
        assert cursor.fetchone() == before
    connection.close()


def test_the_laboratory_and_the_devices_have_something_to_pull(tmp_path: Path) -> None:
    said: list[str] = []
    with systems.serving(["api", "stream"], tmp_path / "systems", said.append) as addresses:
        waits = {}
        for name in ("central_lab", "wearable"):
            source = catalog.source(name)
            assert source.feed is not None
            waits[name] = source.feed.lag(addresses[source.feed.system], source, Reached()).events or 0
    assert waits["central_lab"] == 1000
    assert waits["wearable"] > 1000
    assert len(said) == 2
