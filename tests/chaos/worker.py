"""The process that is killed. It is told where to die, or where to stop, before it starts."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

from station import Place, bring_up_to_date

from lakehouse import warehouse
from lakehouse.errors import SupersededError, UnavailableError
from lakehouse.lake import Lake

# Exit codes.
DONE, SUPERSEDED, UNAVAILABLE, BROKEN = 0, 3, 4, 1
When = Literal["before", "during", "after"]
LAYERS = ("raw", "processed", "quarantine", "superseded", "account")
BOUNDARIES = (
    *("create", "objects", "ledger/thermometer"),
    *(f"{layer}/thermometer" for layer in LAYERS),
    *("manifest/thermometer", "curated/temperatures", "curated/files", "manifest/curated"),
    *("load rows", "load", "lake/cuts"),
)


@dataclass(frozen=True)
class Fate:
    """What happens to a worker at the `nth` time it comes to a boundary.

    how: a signal for the worker to send itself. `during`: it only says that it is there, and goes on; its killer's
    signal comes a moment later.
    """

    where: str
    when: When
    nth: int
    how: signal.Signals


def work(place: Place, fate: Fate | None, told: Connection, patience: str) -> None:
    """One attempt to bring everything up to date."""
    warehouse.PATIENCE = patience
    if fate:
        _watch(fate, told)
    try:
        bring_up_to_date(place)
    except SupersededError as error:
        told.send(str(error))
        sys.exit(SUPERSEDED)
    except UnavailableError as error:
        told.send(str(error))
        sys.exit(UNAVAILABLE)
    except BaseException:  # noqa: BLE001 (handed to the test)
        told.send(traceback.format_exc())
        sys.exit(BROKEN)


def _watch(fate: Fate, told: Connection) -> None:
    count = 0

    def step(where: str, when: When) -> None:
        nonlocal count
        if where != fate.where or when != ("before" if fate.when == "during" else fate.when):
            return
        count += 1
        if count == fate.nth:
            if fate.when == "during":
                told.send("there")
            else:
                os.kill(os.getpid(), fate.how)

    def around(real: Callable[..., object], name: Callable[..., str]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            where = name(*args)
            step(where, "before")
            result = real(*args, **options)
            step(where, "after")
            return result

        return call

    def table(_: Lake, delta: object, __: object, app: str, ___: int) -> str:
        where = "/".join(delta.table_uri.rstrip("/").split("/")[-2:])  # type: ignore[attr-defined]
        return app if app.startswith("manifest/") else where

    def here(where: str) -> Callable[..., str]:
        return lambda *_: where

    @contextmanager
    def transaction(url: str) -> Iterator[object]:
        with in_transaction(url) as cursor:
            yield cursor
            # Everything is done but the commit.
            step("load", "before")
        step("load", "after")

    in_transaction = warehouse.transaction
    warehouse.transaction = transaction  # type: ignore[assignment]
    warehouse._insert = around(warehouse._insert, here("load rows"))  # type: ignore[assignment]
    Lake.commit = around(Lake.commit, table)  # type: ignore[assignment, method-assign]
    Lake.keep = around(Lake.keep, here("objects"))  # type: ignore[assignment, method-assign]
    Lake.create = around(Lake.create, here("create"))  # type: ignore[assignment, method-assign]
