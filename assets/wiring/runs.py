"""Runs of this lakehouse: which are at work, which have died, and how often a piece of work has failed."""

import os
import time
from collections.abc import Sequence
from itertools import takewhile

import dagster as dg
import psutil

# The work a run was started for, and the process that does it where that is not Dagster's own worker.
WORK = "lakehouse/work"
_PROCESS = "lakehouse/process"
_ACTIVE = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
_FIRST_WAIT, _LONGEST_WAIT = 30, 3600


def mine() -> dict[str, str]:
    """The tag of a run that this process does itself."""
    return {_PROCESS: f"{os.getpid()} {psutil.Process().create_time()}"}


def alive(instance: dg.DagsterInstance, job: str) -> list[dg.DagsterRun]:
    """Runs of a job that are at work. One whose process is gone is put down as failed: it would wait for ever."""
    found = instance.get_runs(dg.RunsFilter(job_name=job, statuses=_ACTIVE))
    dead = [run for run in found if _PROCESS in run.tags and not _lives(run.tags[_PROCESS])]
    for run in dead:
        instance.report_run_failed(run, "the process of this run is gone; the next run completes what it had begun")
    return [run for run in found if run not in dead]


def failed(instance: dg.DagsterInstance, job: str, work: str) -> tuple[int, float]:
    """How many runs have failed at this very work, and how many seconds to wait before the next attempt."""
    wanted = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE], tags={WORK: work})
    records = instance.get_run_records(wanted)
    return len(records), _pause(records)


def failing(instance: dg.DagsterInstance, job: str) -> tuple[str | None, float]:
    """The newest run of a job if it failed, and how many seconds to wait before the next attempt."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    newest = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=ended), limit=20)
    records = list(takewhile(lambda record: record.dagster_run.status is dg.DagsterRunStatus.FAILURE, newest))
    return (records[0].dagster_run.run_id, _pause(records)) if records else (None, 0.0)


def _pause(failures: Sequence[dg.RunRecord]) -> float:
    """Seconds until the next attempt: longer after each failure."""
    if not failures:
        return 0.0
    last: float = max(float(record.end_time or record.update_timestamp.timestamp()) for record in failures)
    return last + min(_FIRST_WAIT * 2.0 ** (len(failures) - 1), _LONGEST_WAIT) - time.time()


def _lives(process: str) -> bool:
    number, created = process.split()
    try:
        return bool(abs(psutil.Process(int(number)).create_time() - float(created)) < 1)
    except psutil.NoSuchProcess:
        return False
