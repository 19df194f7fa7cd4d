"""How an API is told who asks. Secrets are in the system's URL: client id and secret, or key, as user and password."""

import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlsplit

from lakehouse.errors import SourceError
from lakehouse.feeds import FeedError

# A token is fetched anew this much before it ends, so that none ends on its way.
_EARLY = 30.0


class Pass:
    """A way to be let in that may have to be renewed. `fetch` gives the headers, and for how many seconds they hold."""

    def __init__(self, fetch: Callable[[], tuple[dict[str, str], float | None]]) -> None:
        self._fetch = fetch
        self._headers: dict[str, str] | None = None
        self._until: float | None = None

    def headers(self, anew: bool = False) -> dict[str, str]:
        """What to send along. anew: the one before was refused."""
        if self._headers is None or anew or (self._until is not None and time.monotonic() >= self._until):
            self._headers, seconds = self._fetch()
            self._until = None if seconds is None else time.monotonic() + max(seconds - _EARLY, seconds / 2)
        return self._headers


# Sends a form with headers to a path below the system's address, or to a whole address, and gives the JSON answer.
Post = Callable[[str, Mapping[str, str], Mapping[str, str]], Mapping[str, object]]


class Auth(ABC):
    """A kind of being let in."""

    # Whether a pass that is refused may be mended by another one.
    renews = False

    @abstractmethod
    def fetch(self, user: str, secret: str, post: Post) -> tuple[dict[str, str], float | None]:
        """Headers, and for how many seconds they hold."""


@dataclass(frozen=True)
class ApiKey(Auth):
    """The URL's password, sent in a header."""

    header: str = "X-API-Key"

    def fetch(self, _user: str, secret: str, _post: Post) -> tuple[dict[str, str], float | None]:
        return {self.header: secret}, None


@dataclass(frozen=True)
class Bearer(Auth):
    """The URL's password as a bearer token that does not end (RFC 6750)."""

    def fetch(self, _user: str, secret: str, _post: Post) -> tuple[dict[str, str], float | None]:
        return {"Authorization": f"Bearer {secret}"}, None


@dataclass(frozen=True)
class ClientCredentials(Auth):
    """OAuth 2.0 with the URL's user as client and its password as secret (RFC 6749, section 4.4).

    token_url: where tokens are given out: a path below the system's address, or the whole address of another server,
    which is then told the client and its secret. scope: what to ask for, with blanks between (RFC 6749, 3.3).
    parameters: what else the form holds, such as {"audience": "https://lab.example"}. basic: whether client and secret
    go in the header (RFC 6749, 2.3.1) and not in the form. Raises SourceError when it cannot work.
    """

    token_url: str = "/oauth/token"  # noqa: S105
    scope: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    basic: bool = False
    renews = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.token_url)
        if not self.token_url.startswith("/") and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise SourceError(f"token_url {self.token_url!r} must be a path that begins with '/', or https://…")
        if "@" in parts.netloc:
            raise SourceError("token_url must hold no secret: client and secret are in the system's address")

    def fetch(self, user: str, secret: str, post: Post) -> tuple[dict[str, str], float | None]:
        form = {"grant_type": "client_credentials", **({"scope": self.scope} if self.scope else {}), **self.parameters}
        headers = {}
        if self.basic:
            named = f"{quote_plus(user)}:{quote_plus(secret)}".encode()
            headers["Authorization"] = f"Basic {b64encode(named).decode()}"
        else:
            form |= {"client_id": user, "client_secret": secret}
        answer = post(self.token_url, form, headers)
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str):
            raise FeedError(f"{self.token_url} answers without an access_token: check that it is the token endpoint")
        lasts = float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None
        return {"Authorization": f"Bearer {token}"}, lasts
