"""Asking a web server, so that what passes is tried again and what does not is told in words.

Transient are: no connection, a connection that breaks, no answer in time (which is tried once more only), and 408, 429
and 5xx. Everything else needs a person. No message holds a body, a query, a link or a secret.
"""

import email.utils
import logging
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from lakehouse.feeds import BusyError, FeedError
from lakehouse.feeds.auth import Auth, Pass

if TYPE_CHECKING:
    import httpx
    import tenacity

# How often a server that does not answer in time is asked, of all tries: each takes all the time there is.
_SLOW_TRIES = 2
# Seconds: the first wait, which doubles, and the longest one; who asks for a longer one ends the pull.
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
# A page that is led to by a link, whose path may hold whom it is about.
_LINKED = "a page that its answers lead to"
_PORTS = {"http": 80, "https": 443}
_TRANSIENT = {408, 429}
_WORDS = {
    401: "it refuses these credentials: check user and password in LAKEHOUSE_SYSTEM_{NAME}",
    403: "these credentials may not read it: ask the system's owner for the right to",
    404: "there is no such path: check the feed's path and the address in LAKEHOUSE_SYSTEM_{NAME}",
}


def client(**words: Any) -> "httpx.Client":
    """A client of httpx, which logs nothing of what it asks. words: of `httpx.Client`."""
    import httpx

    # They tell whole addresses and headers, and those may hold credentials.
    for talks in ("httpx", "httpcore"):
        logging.getLogger(talks).setLevel(logging.WARNING)
    return httpx.Client(**words)


class RefusedError(FeedError):
    """The server answered, and trying again does not help."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


class _PassingError(Exception):
    """Worth another try. wait: seconds that the server asks for. slow: whether no answer came in time."""

    def __init__(self, words: str, wait: float | None = None, *, slow: bool = False) -> None:
        super().__init__(words)
        self.wait, self.slow = wait, slow


@dataclass(frozen=True)
class Answer:
    """A sound answer.

    url: without credentials. links: by relation; those to the same server as path and query. moment: when, by the
    server's clock; None when it does not say.
    """

    url: str
    status: int
    body: bytes
    links: dict[str, str]
    moment: datetime | None


class Caller:
    """Asks one system. `with` closes its connections.

    system: its name, for messages. url: its address, credentials included. seconds: for a whole answer. most: bytes of
    a body. tries: of a request, in all.
    """

    def __init__(self, system: str, url: str, auth: Auth | None, *, seconds: float, most: int, tries: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FeedError(f"LAKEHOUSE_SYSTEM_{system.upper()} must be an http or https address")
        if auth and not parts.password:
            raise FeedError(f"LAKEHOUSE_SYSTEM_{system.upper()} holds no secret: write it https://user:secret@host")
        self._system, self._seconds, self._most, self._tries, self._auth = system, seconds, most, tries, auth
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._base = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"
        self._client = client(timeout=seconds, follow_redirects=False, headers={"Accept": "application/json"})
        user, secret = unquote(parts.username or ""), unquote(parts.password or "")
        self._pass = Pass(lambda: auth.fetch(user, secret, self._post) if auth else ({}, None))

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, query: dict[str, str]) -> Answer:
        """What a path below the address answers; raises FeedError."""
        return self._retried("GET", self._base + path, path, params=query or None)

    def follow(self, link: str) -> Answer:
        """What a link of an answer leads to; raises FeedError, also when it leads to another server."""
        try:
            link = _within(self._base, link)
        except ValueError:
            raise FeedError(f"{self._system}: an answer's link is no address; ask the system's owner") from None
        if not link.startswith("/"):
            raise FeedError(
                f"{self._system}: an answer's link leads to another server, which is not to have these credentials; "
                "ask the system's owner why"
            )
        return self._retried("GET", urljoin(self._base, link), _LINKED)

    def _post(self, place: str, form: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, object]:
        """place: a path below the address, or a whole address."""
        import msgspec

        url = self._base + place if place.startswith("/") else place
        body = self._retried("POST", url, place, data=form, bare=headers).body
        try:
            return msgspec.json.decode(body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise FeedError(f"{self._system}: {place} does not answer with JSON; check that it gives tokens") from None

    def _retried(self, method: str, url: str, name: str, **words: Any) -> Answer:
        """name: what is asked for, in messages."""
        import tenacity

        slow = 0

        def enough(state: tenacity.RetryCallState) -> bool:
            nonlocal slow
            error = state.outcome.exception() if state.outcome else None
            slow += isinstance(error, _PassingError) and error.slow
            return slow >= _SLOW_TRIES or state.attempt_number >= self._tries

        calls = tenacity.Retrying(
            stop=enough,
            wait=_wait,
            retry=tenacity.retry_if_exception_type(_PassingError),
            reraise=True,
        )
        try:
            return calls(self._once, method, url, name, **words)
        except _PassingError as error:
            raise FeedError(
                f"{self._system}: {name} {error}, {slow if error.slow else self._tries} times; what was pulled before "
                "is kept, and the next pull goes on there"
            ) from None

    def _once(self, method: str, url: str, name: str, *, bare: Mapping[str, str] | None = None, **words: Any) -> Answer:
        """One try, or two when a token was refused that may have ended early.

        bare: the headers to send where nobody is to be let in yet.
        """
        answer = self._asked(method, url, name, self._pass.headers() if bare is None else bare, **words)
        if answer.status == 401 and bare is None and self._auth and self._auth.renews:
            answer = self._asked(method, url, name, self._pass.headers(anew=True), **words)
        if answer.status != 200:
            meant = _WORDS.get(answer.status, f"it answers {answer.status}, which trying again does not mend")
            words_ = meant.replace("{NAME}", self._system.upper())
            raise RefusedError(f"{self._system}: {name}: {words_}; what was pulled before is kept", answer.status)
        return answer

    def _asked(self, method: str, url: str, name: str, headers: Mapping[str, str], **words: Any) -> Answer:
        import httpx

        ends = time.monotonic() + self._seconds
        try:
            with self._client.stream(method, url, headers=headers, **words) as response:
                if response.status_code in _TRANSIENT or response.status_code >= 500:
                    self._passing(response, name)
                body = self._body(response, name, ends)
        except httpx.TimeoutException:
            raise self._late() from None
        except httpx.DecodingError:
            raise FeedError(f"{self._system}: {name} is not compressed as it says it is") from None
        except httpx.InvalidURL:
            raise FeedError(f"{self._system}: an answer's link is no address") from None
        except httpx.TransportError as error:
            raise _PassingError(f"cannot be reached or breaks off ({type(error).__name__})") from None
        answered = str(response.url)
        links = {kind: link["url"] for kind, link in response.links.items() if kind and "url" in link}
        for kind, link in links.items():
            # One that is no address is told by whoever follows it.
            with suppress(ValueError):
                links[kind] = _within(answered, link)
        return Answer(answered, response.status_code, body, links, _moment(response.headers.get("Date")))

    def _passing(self, response: "httpx.Response", name: str) -> NoReturn:
        """Raise what tells how to go on after an answer that will be another one later."""
        status, wait = response.status_code, _asked_wait(response.headers)
        if wait is None or wait <= LONGEST_WAIT:
            raise _PassingError(f"answers {status}", wait)
        raise BusyError(
            f"{self._system}: {name} answers {status} and asks to be left alone for {wait:.0f} s; what was pulled "
            "before is kept, and the next pull goes on there",
            timedelta(seconds=wait),
        )

    def _body(self, response: "httpx.Response", name: str, ends: float) -> bytes:
        """A whole body, unless it is too large or takes too long."""
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > self._most:
                raise FeedError(
                    f"{self._system}: {name} answers with more than {self._most:,} bytes; ask for smaller "
                    "pages (page_size), or raise the feed's most_body"
                )
            if time.monotonic() > ends:
                raise self._late()
        return b"".join(parts)

    def _late(self) -> _PassingError:
        return _PassingError(f"does not answer within {self._seconds:g} s", slow=True)


def _within(url: str, link: str) -> str:
    """Where a link in an answer from `url` leads (RFC 3986, 5): path and query on the same server, else all of it.

    So that the feed's setting alone decides which server is asked. Raises ValueError when the link is no address.
    """
    whole = urljoin(url, link)
    there, same = urlsplit(whole), _server(whole) == _server(url)
    return urlunsplit(("", "", there.path or "/", there.query, "")) if same else whole


def _server(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _moment(text: str | None) -> datetime | None:
    """The moment in an HTTP date."""
    try:
        found = email.utils.parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _asked_wait(headers: "httpx.Headers") -> float | None:
    """Seconds that `Retry-After` asks for: a number, or a moment by the server's own clock (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _moment(text)
    now = _moment(headers.get("Date")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until else None


def _wait(state: "tenacity.RetryCallState") -> float:
    """Seconds until the next try: what the server asks for, else twice as many each time, with jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, _PassingError) else None
    if asked is not None:
        return asked + random.random() * FIRST_WAIT
    return float(min(FIRST_WAIT * 2 ** (state.attempt_number - 1), LONGEST_WAIT)) * (0.5 + random.random())
