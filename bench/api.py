"""A million records of ten members, from an API in pages: landed through the feed, and by a bare loop over httpx.

    python bench/api.py [--records N] [--page N] [--rounds N]

The bare loop asks for the same pages and does `response.json()`, and keeps nothing. The feed keeps what it is given, in
files that are flushed to disk; the third figure is what ingesting them into raw and processed takes. Both ask a server
in a process of its own, whose pages are made before; they take turns.
"""

import argparse
import json
import multiprocessing as mp
import socket
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import dataframely as dy
import polars as pl
from fed import Fed

from lakehouse.contract import Contract
from lakehouse.feeds.marks import Since
from lakehouse.feeds.paging import ByCursor
from lakehouse.feeds.rest import RestApi
from lakehouse.formats.pages import Pages
from lakehouse.source import Source


def record(number: int) -> dict[str, object]:
    """A laboratory result."""
    return {
        "id": f"01-701-{number:07d}",
        "site": "701",
        "subject": {"id": f"01-701-{number % 1000}", "arm": None},
        "test": "ALT",
        "value": f"{number % 97}.10",
        "unit": "U/L",
        "low": 6,
        "high": 34.0,
        "fasting": number % 2 == 0,
        "updated": (datetime(2014, 1, 1) + timedelta(seconds=number)).isoformat() + "Z",
    }


def serve(port: int, records: int, size: int, ready: object) -> None:
    """Answers `/items?cursor=N` with bytes made before."""
    import uvicorn

    pages = {}
    for begin in range(0, records, size):
        after = begin + size if begin + size < records else None
        items = [record(number) for number in range(begin, min(begin + size, records))]
        text = json.dumps({"items": items, "next": after and str(after)}, separators=(",", ":"))
        pages[b"%d" % begin] = text.encode()

    async def app(scope: dict, _receive: object, send: object) -> None:
        query = dict(pair.split(b"=") for pair in scope["query_string"].split(b"&") if pair)
        body = pages[query.get(b"cursor", b"0")]
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    ready.set()
    uvicorn.run(app, port=port, log_level="critical", lifespan="off", access_log=False)


def bare(url: str, size: int) -> int:
    """The loop that everybody writes."""
    import httpx

    count, cursor = 0, None
    with httpx.Client() as client:
        while True:
            query = {"limit": str(size), **({"cursor": cursor} if cursor else {})}
            page = client.get(f"{url}/items", params=query).json()
            count += len(page["items"])
            cursor = page["next"]
            if not cursor:
                return count


class Result(Contract):
    """A laboratory result."""

    id = dy.String()
    site = dy.String(regex="^[0-9]{3}$")
    subject = dy.String()
    test = dy.String()
    value = dy.Float64()
    unit = dy.String()
    updated = dy.Datetime(time_unit="us", time_zone="UTC")


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Results in their types."""
    moment = pl.col("updated").str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    subject = pl.col("subject").str.json_path_match("$.id")
    return raw.with_columns(pl.col("value").cast(pl.Float64, strict=False), subject, moment.alias("updated")).select(
        Result.column_names()
    )


def results(size: int) -> Source:
    """What the feed brings."""
    since = Since("since", "updated")
    return Source(
        name="results",
        description="Results.",
        owner="team:bench",
        contract=Result,
        tidy=tidy,
        key=("id",),
        columns=("id", "site", "subject", "test", "value", "unit", "low", "high", "fasting", "updated"),
        path="{site}/{name}/{day}_{part}.jsonl",
        dialect=Pages(),
        feed=RestApi(
            system="bench", path="/items", paging=ByCursor("next"), since=since, page_size=size, most_seconds=3600
        ),
    )


def main() -> None:
    """Take turns, and print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--page", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ready = mp.Event()
    server = mp.Process(target=serve, args=(port, asked.records, asked.page, ready), daemon=True)
    server.start()
    ready.wait()
    url = f"http://127.0.0.1:{port}"
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.05)
    times: dict[str, list[float]] = {"bare": [], "landed": [], "ingested": []}
    for _ in range(asked.rounds):
        begun = time.perf_counter()
        assert bare(url, asked.page) == asked.records
        times["bare"].append(time.perf_counter() - begun)
        with tempfile.TemporaryDirectory() as folder:
            fed = Fed(results(asked.page), url, Path(folder, "lake"))
            figures = fed.bring()
            assert fed.rows("processed") == asked.records
        times["landed"].append(figures["pull"])
        times["ingested"].append(figures["seconds"] - figures["pull"])
    server.kill()
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:8} {median:6.1f} s {asked.records / median:10,.0f} records/s")
    ratio = statistics.median(one / other for one, other in zip(times["bare"], times["landed"], strict=True))
    whole = statistics.median(one / (land + read) for one, land, read in zip(*times.values(), strict=True))
    print(f"landed at {ratio:.2f} of the bare rate, landed and ingested at {whole:.2f}")


if __name__ == "__main__":
    main()
