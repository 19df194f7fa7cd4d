"""Dagster's own home: its instance file, kept beside the lakehouse's other state, and its storage in the warehouse's
PostgreSQL, which writes the materializations of a range in batches where SQLite writes them one by one."""

from pathlib import Path

from lakehouse import postgres
from lakehouse.settings import Settings

_FILE = """\
# Written by lakehouse at every start; change lakehouse, not this file.
event_log_storage:
  module: resources.event_log
  class: PooledEventLogStorage
  config: &postgres
    postgres_url:
      env: LAKEHOUSE_DAGSTER_URL
run_storage:
  module: dagster_postgres.run_storage
  class: PostgresRunStorage
  config: *postgres
schedule_storage:
  module: dagster_postgres.schedule_storage
  class: PostgresScheduleStorage
  config: *postgres
run_coordinator:
  module: dagster._core.run_coordinator.queued_run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
concurrency:
  runs:
    max_concurrent_runs: 2
  pools:
    default_limit: 1
    granularity: run
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  max_runtime_seconds: 21600
  poll_interval_seconds: 30
sensors:
  use_threads: true
  num_workers: 3
freshness:
  enabled: true
telemetry:
  enabled: false
nux:
  enabled: false
"""


def environment(settings: Settings, url: str) -> dict[str, str]:
    """What Dagster's processes need to be set, secrets included; writes the instance file they read.

    url: the warehouse's. The processes are given it as their configured warehouse, so that none of them starts or
    stops a server.
    """
    settings.dagster.mkdir(parents=True, exist_ok=True)
    _write(settings.dagster / "dagster.yaml", _FILE)
    postgres.prepare(url)
    return {
        **settings.child_environment(),
        **postgres.dbt_environment(url),
        "LAKEHOUSE_WAREHOUSE": url,
        "LAKEHOUSE_DAGSTER_URL": postgres.dagster_url(url),
        "DAGSTER_HOME": str(settings.dagster),
    }


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
