"""Alerts that a way out refused for good, on record in the table `refused/<name>`: each once for each way.

The alert itself is in `alerts/<name>` whatever becomes of it; here is only that it did not go out, and why.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import dataframely as dy
import polars as pl

from lakehouse import manifest
from lakehouse.errors import SupersededError, UnavailableError
from lakehouse.lake import Change, Lake

_ATTEMPTS = 5


class RefusedRow(dy.Schema):
    """A row of `refused/name`: an alert that did not go out by one way."""

    id = dy.String(description="Names the alert, as in `alerts/name`.")
    way = dy.String(description="The way out: webhook or topic.")
    why = dy.String(description="What it answered.")
    at = dy.Datetime(time_unit="us", time_zone="UTC", description="When it did, by this machine's clock.")


SCHEMA: dict[str, pl.DataType] = dict(RefusedRow.create_empty().schema)


class Refusal(NamedTuple):
    """One row."""

    id: str
    way: str
    why: str
    at: datetime


def keep(lake: Lake, stream: str, refusals: Sequence[Refusal]) -> None:
    """Put refusals on record, save those that are there already. Raises UnavailableError when the lake fails."""
    table, app = f"refused/{stream}", f"streams/{stream}/refused"
    new = pl.DataFrame(refusals, schema=SCHEMA, orient="row").unique(["id", "way"], maintain_order=True)
    for _ in range(_ATTEMPTS):
        delta = lake.create(table, SCHEMA)
        before = delta.transaction_version(app) or 0
        rows = new.join(lake.scan(table, delta.version(), schema=SCHEMA).collect(), on=["id", "way"], how="anti")
        if rows.is_empty():
            return
        try:
            at = lake.commit(delta, Change(rows), app, before + 1)
        except SupersededError:
            # Another service of the stream, which is to end, or housekeeping: it is looked again at what is there.
            continue
        # A later version is shown already: all the better.
        with suppress(SupersededError):
            manifest.record(lake, manifest.State(table, at, {table: at}, {}, ""))
        return
    raise UnavailableError(f"{table} is being written by others all the time; it is tried again")
