"""How an API is told who asks. Secrets are in the system's URL: client id and secret, or key, as user and password."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


class Auth(ABC):
    """A kind of being let in."""

    # Whether a pass that is refused may be mended by another one.
    renews = False

    @abstractmethod
    def fetch(
        self, user: str, secret: str, post: Callable[[str, dict[str, str]], Mapping[str, object]]
    ) -> tuple[dict[str, str], float | None]:
        """Headers, and for how many seconds they hold; `post` sends a form to a path and gives the JSON answer."""


@dataclass(frozen=True)
class ApiKey(Auth):
    """The URL's password, sent in a header."""

    header: str = "X-API-Key"

    def fetch(
        self, _user: str, secret: str, _post: Callable[[str, dict[str, str]], Mapping[str, object]]
    ) -> tuple[dict[str, str], float | None]:
        return {self.header: secret}, None


@dataclass(frozen=True)
class Bearer(Auth):
    """The URL's password as a bearer token that does not end (RFC 6750)."""

    def fetch(
        self, _user: str, secret: str, _post: Callable[[str, dict[str, str]], Mapping[str, object]]
    ) -> tuple[dict[str, str], float | None]:
        return {"Authorization": f"Bearer {secret}"}, None


@dataclass(frozen=True)
class ClientCredentials(Auth):
    """OAuth 2.0 with the URL's user as client and its password as secret (RFC 6749, section 4.4).

    token_path: where tokens are given out.
    """

    token_path: str = "/oauth/token"  # noqa: S105
    renews = True

    def fetch(
        self, user: str, secret: str, post: Callable[[str, dict[str, str]], Mapping[str, object]]
    ) -> tuple[dict[str, str], float | None]:
        form = {"grant_type": "client_credentials", "client_id": user, "client_secret": secret}
        answer = post(self.token_path, form)
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str):
            raise FeedError(f"{self.token_path} answers without an access_token: check that it is the token endpoint")
        lasts = float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None
        return {"Authorization": f"Bearer {token}"}, lasts
