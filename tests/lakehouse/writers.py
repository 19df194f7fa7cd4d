"""Processes that ingest at the same time, each trying again as the daemon would."""

import multiprocessing
import random
import time
from collections.abc import Collection, Sequence
from datetime import date
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from house import House

from lakehouse import ingest
from lakehouse.errors import SupersededError, UnavailableError
from lakehouse.landing import listing

_ATTEMPTS = 100


def at_once(house: House, days: Sequence[Collection[date]]) -> int:
    """Ingest with one process for each of `days`, started together; how often an attempt gave way to another."""
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(len(days)), context.Queue()
    settings = (house.landing, house.lake, house.batch_bytes)
    processes = [context.Process(target=_ingest, args=(*settings, some, ready, told)) for some in days]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * len(processes)
    return sum(told.get() for _ in processes)


def _ingest(*settings: object) -> None:
    *place, days, ready, told = settings
    landing, lake, batch_bytes = place
    _keep_at_it(House(landing, lake, batch_bytes=batch_bytes), days, ready, told)  # type: ignore[arg-type]


def _keep_at_it(house: House, days: Collection[date], ready: Barrier, told: "Queue[int]") -> None:
    gave_way = 0
    ready.wait()
    for _ in range(_ATTEMPTS):
        files = listing(house.landing, [house.source]).claimed[house.source.name]
        work = ingest.pending(house.lake, house.source, files, days)
        if not work.any:
            told.put(gave_way)
            return
        try:
            ingest.ingest(house.lake, house.source, house.landing, work.unseen, house.clock, house.batch_bytes)
        except (SupersededError, UnavailableError):
            gave_way += 1
            time.sleep(random.uniform(0, 0.3))
    raise AssertionError("never came to an end")
