"""Runs that died without a word are found out, and what has failed is tried again after a while, not at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import dagster as dg
import pytest

from assets.wiring import runs

JOB = "bring_up_to_date"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, job: str = JOB, **tags: str) -> dg.DagsterRun:
    """A run that was there before, as Dagster keeps it."""
    return instance.add_run(dg.DagsterRun(job_name=job, run_id=str(uuid4()), status=status, tags=tags))


def gone() -> dict[str, str]:
    """The tag of a run whose process has ended."""
    told = subprocess.run(
        [sys.executable, "-c", "from assets.wiring import runs; print(*[*runs.mine().items()][0])"],
        capture_output=True,
        text=True,
        check=True,
    )
    name, _, process = told.stdout.strip().partition(" ")
    return {name: process}


def test_a_run_of_a_living_process_is_at_work(instance):
    mine = run(instance, dg.DagsterRunStatus.STARTED, **runs.mine())
    dagsters = run(instance, dg.DagsterRunStatus.STARTING)
    run(instance, dg.DagsterRunStatus.SUCCESS, **runs.mine())
    run(instance, dg.DagsterRunStatus.STARTED, job="another", **runs.mine())
    assert {found.run_id for found in runs.alive(instance, JOB)} == {mine.run_id, dagsters.run_id}


def test_a_run_whose_process_is_gone_is_put_down_as_failed(instance):
    dead = run(instance, dg.DagsterRunStatus.STARTED, **gone())
    assert runs.alive(instance, JOB) == []
    assert instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.FAILURE
    assert "the next run completes" in str(instance.all_logs(dead.run_id))


def test_another_process_with_the_same_number_is_not_the_runs_own(instance):
    [(name, process)] = runs.mine().items()
    assert process.split()[0] == str(os.getpid())
    earlier = f"{os.getpid()} {float(process.split()[1]) - 3600}"
    dead = run(instance, dg.DagsterRunStatus.STARTED, **{name: earlier})
    assert runs.alive(instance, JOB) == []
    assert instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.FAILURE


def test_work_that_failed_waits_longer_each_time(instance):
    assert runs.failed(instance, JOB, "work") == (0, 0.0)
    waits = []
    for count in range(1, 9):
        failing = run(instance, dg.DagsterRunStatus.STARTED, **{runs.WORK: "work"})
        instance.report_run_failed(failing)
        failures, wait = runs.failed(instance, JOB, "work")
        assert failures == count
        waits.append(wait)
    assert waits[0] == pytest.approx(30, abs=5)
    assert waits[1] == pytest.approx(60, abs=5)
    assert waits[-1] == pytest.approx(3600, abs=5)
    assert runs.failed(instance, JOB, "other work") == (0, 0.0)
    assert runs.failed(instance, "another", "work") == (0, 0.0)


def test_only_failures_since_the_last_success_count_for_what_comes_after(instance):
    assert runs.failing(instance, JOB) == (None, 0.0)
    first = run(instance, dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(first)
    assert runs.failing(instance, JOB) == (first.run_id, pytest.approx(30, abs=5))
    second = run(instance, dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(second)
    assert runs.failing(instance, JOB) == (second.run_id, pytest.approx(60, abs=5))
    run(instance, dg.DagsterRunStatus.SUCCESS)
    assert runs.failing(instance, JOB) == (None, 0.0)
