"""What fails is tried again or not, and tells nothing of a row."""

import dagster as dg
import polars as pl
import pytest

from assets.wiring.failures import told_apart
from lakehouse.errors import DefinitionError, SupersededError, UnavailableError


def execute(fail) -> tuple[int, str]:
    """How often a step that fails this way is tried, and everything Dagster keeps of it."""
    tried = []

    @dg.asset
    def step(context: dg.AssetExecutionContext) -> None:
        tried.append(context.retry_number)
        with told_apart(context):
            fail()

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([step], instance=instance, raise_on_error=False)
        assert not result.success
        return len(tried), str(instance.all_logs(result.run_id))


def raising(error: Exception):
    def fail() -> None:
        raise error from ValueError("01-701-1015")

    return fail


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("assets.wiring.failures._FIRST_WAIT", 0.001)


@pytest.mark.parametrize("error", [UnavailableError("the lake is away"), SupersededError("another run is at it")])
def test_what_may_pass_is_tried_again_three_times(error):
    tried, kept = execute(raising(error))
    assert tried == 4
    assert str(error) in kept
    assert "01-701-1015" not in kept


def test_what_needs_a_person_fails_at_once():
    tried, kept = execute(raising(DefinitionError("mend the source")))
    assert tried == 1
    assert "mend the source" in kept
    assert "01-701-1015" not in kept


def test_of_anything_else_only_the_kind_and_the_place_are_kept():
    tried, kept = execute(lambda: pl.Series(["01-701-1015"]).cast(pl.Int64))
    assert tried == 1
    assert "unexpected InvalidOperationError at test_failures.py:" in kept
    assert "01-701-1015" not in kept
