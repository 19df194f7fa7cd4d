"""Dagster's event log: few connections, however many events, and none that outlives its server."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from lakehouse import postgres
from lakehouse.settings import Settings
from resources import instance
from resources.event_log import PooledEventLogStorage


@pytest.fixture
def settings() -> Iterator[Settings]:
    home = Path(tempfile.mkdtemp(prefix="lakehouse-", dir="/tmp"))
    home.chmod(0o755)
    yield Settings(home=home)
    shutil.rmtree(home)


def started(settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str) -> dg.DagsterInstance:
    """Dagster's instance as every process of the lakehouse has it."""
    for name, value in instance.environment(settings, url).items():
        monkeypatch.setenv(name, value)
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(settings.dagster)))


def sessions(url: str) -> int:
    """How many connections the server has had so far."""
    with postgres.transaction(url) as cursor:
        cursor.execute("select pg_stat_force_next_flush(), sessions from pg_stat_database where datname = 'lakehouse'")
        row = cursor.fetchone()
    assert row
    return int(row[1])


def test_events_share_a_connection(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres.serving(settings) as url, started(settings, monkeypatch, url) as dagster:
        assert isinstance(dagster.event_log_storage, PooledEventLogStorage)
        dagster.report_runless_asset_event(dg.AssetMaterialization("one"))
        before = sessions(url)
        for _ in range(50):
            dagster.report_runless_asset_event(dg.AssetMaterialization("one"))
        # Besides those that ask: run storage opens its own.
        assert sessions(url) - before < 10
        assert len(dagster.fetch_materializations(dg.AssetKey("one"), limit=100).records) == 51


def test_a_server_that_was_restarted_is_connected_to_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres.serving(settings) as url:
        dagster = started(settings, monkeypatch, url)
        dagster.report_runless_asset_event(dg.AssetMaterialization("one"))
    with postgres.serving(settings):
        dagster.report_runless_asset_event(dg.AssetMaterialization("one"))
        assert len(dagster.fetch_materializations(dg.AssetKey("one"), limit=10).records) == 2
        dagster.dispose()
