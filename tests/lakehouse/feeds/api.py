"""The laboratory's server in a thread, and a landing that keeps what a feed yields, for the tests of REST APIs."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import polars as pl
import uvicorn
from thermometer import THERMOMETER

from assets.pilot.laboratory import CLIENT, SECRET, Laboratory
from lakehouse.feeds import Extract, FeedError, Part, Reached
from lakehouse.feeds.marks import Since
from lakehouse.feeds.paging import ByCursor, ByLink, ByOffset, ByPage, Paging
from lakehouse.feeds.rest import RestApi
from lakehouse.formats.pages import Pages
from lakehouse.source import Source

WAYS: dict[str, Paging] = {
    "pages": ByPage(),
    "offset": ByOffset(),
    "cursor": ByCursor("next.cursor"),
    "link": ByLink(),
}
SINCE = Since("since", "updated", until="until")
SOURCE = Source(
    **{
        **{name: getattr(THERMOMETER, name) for name in ("description", "owner", "contract", "tidy", "key", "columns")},
        "name": "results",
        "dialect": Pages(records="items"),
    }
)


def record(number: int, text: str = "") -> dict[str, Any]:
    """A record that was changed in the second `number`."""
    return {
        "id": f"r{number}",
        "updated": f"2014-01-02T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "text": text,
    }


def feed(way: str = "cursor", **words: Any) -> RestApi:
    """The feed of a way of paging, ten records at a time."""
    words = {"since": SINCE, "page_size": 10, "timeout": timedelta(seconds=5), "paging": WAYS[way], **words}
    return RestApi(system="lab", path=f"/{way}", **words)


@dataclass
class Landing:
    """What was landed, in order, as the lakehouse has it on record."""

    extracts: list[Extract] = field(default_factory=list)

    @property
    def reached(self) -> Reached:
        ends: dict[str, str] = {}
        for extract in self.extracts:
            ends[extract.part.stream] = max(extract.part.end, ends.get(extract.part.stream, ""))
        return Reached(ends, self._last)

    def _last(self, stream: str) -> bytes | None:
        own = [extract for extract in self.extracts if extract.part.stream == stream]
        return max(own, key=lambda extract: extract.part.end).data if own else None

    def pull(self, feed: RestApi, url: str, most_bytes: int = 1 << 30, most: int | None = None) -> FeedError | None:
        """Land what a feed gives, until `most` extracts are landed; the error that ends it, if one does."""
        try:
            for number, extract in enumerate(feed.pull(url, SOURCE, self.reached, most_bytes), start=1):
                assert Part.of(str(extract.part)) == extract.part
                if self.extracts:
                    last = self.extracts[-1].part
                    assert last.end < extract.part.begin <= extract.part.end
                    assert len(last.end) == len(extract.part.begin)
                self.extracts.append(extract)
                if number == most:
                    break
        except FeedError as error:
            return error
        return None

    @property
    def rows(self) -> pl.DataFrame:
        """The records of everything landed."""
        tables = [SOURCE.dialect.table(extract.data).rows for extract in self.extracts]  # type: ignore[union-attr]
        return pl.concat(tables, how="diagonal") if tables else pl.DataFrame(schema={"id": pl.String})

    @property
    def ids(self) -> list[str]:
        return [identity for identity in self.rows["id"].to_list() if identity is not None]


@contextmanager
def serving(laboratory: Laboratory) -> Iterator[str]:
    """URL of a server that is up while the block runs, credentials included."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(laboratory.app(), port=port, log_level="critical", date_header=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://{quote(CLIENT)}:{quote(SECRET, safe='')}@127.0.0.1:{port}"
    server.should_exit = server.force_exit = True
    thread.join()


@dataclass(frozen=True)
class Api:
    """A server, what it serves, and what was landed of it."""

    url: str
    laboratory: Laboratory
    landing: Landing
