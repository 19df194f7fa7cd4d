"""Failures as Dagster should treat them: what may pass is tried again, what needs a person fails at once."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from lakehouse.errors import LakehouseError, SupersededError, UnavailableError

_RETRIES = 3
_FIRST_WAIT = 2.0


@contextmanager
def told_apart(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Retry what is transient, with backoff and jitter; fail at once, with the engine's own words, on anything else."""
    try:
        yield
    except (UnavailableError, SupersededError) as error:
        if context.retry_number >= _RETRIES:
            raise dg.Failure(f"{error} (gave up after {_RETRIES} retries)", allow_retries=False) from error
        wait = _FIRST_WAIT * 2**context.retry_number * random.uniform(0.75, 1.25)
        context.log.warning(f"{error}; trying again in {wait:.0f} s")
        raise dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=wait) from error
    except LakehouseError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
