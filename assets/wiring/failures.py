"""Failures as Dagster should treat them: what may pass is tried again, what needs a person fails at once.

Dagster keeps every failure for ever, with the messages of all that led to it. A library's message may quote a row, so
only the engine's own sentences get there; of anything unexpected, its type and where it happened.
"""

import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
            raise dg.Failure(f"{error} (gave up after {_RETRIES} retries)", allow_retries=False) from None
        wait = _FIRST_WAIT * 2**context.retry_number * random.uniform(0.75, 1.25)
        context.log.warning(f"{error}; trying again in {wait:.0f} s")
        raise dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=wait) from None
    except LakehouseError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    except Exception as error:  # noqa: BLE001 - whatever it is, its message must not be kept
        frames = traceback.extract_tb(error.__traceback__)[1:]
        where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        raise dg.Failure(f"unexpected {type(error).__name__} at {where}", allow_retries=False) from None
