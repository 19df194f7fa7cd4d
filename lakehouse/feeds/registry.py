"""A schema registry, as far as reading messages needs one: a schema's text by its number."""

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lakehouse.feeds import FeedError
from lakehouse.feeds.http import client
from lakehouse.formats.payloads import schema_number

if TYPE_CHECKING:
    import httpx

_SECONDS = 10.0
_MISSING = 404
# A number that nobody knows yet is asked for again after so long.
_AGAIN_SECONDS = 60.0


@dataclass
class Registry:
    """A registry at a URL, credentials included. A number's schema never changes, so each is asked for once.

    system: what it belongs to, for messages to people. ca: a file of certificates to trust, instead of the usual ones.
    """

    url: str
    system: str
    ca: str | None = None
    _known: dict[int, str] = field(default_factory=dict)
    _unknown: dict[int, float] = field(default_factory=dict)
    _client: "httpx.Client | None" = None

    def schema(self, number: int) -> str | None:
        """A schema's text; None when the registry has none of this number, or one that is only whole with others.

        Raises FeedError when the registry does not answer: that says nothing of the schema.
        """
        if number in self._known:
            return self._known[number]
        if time.monotonic() < self._unknown.get(number, 0.0):
            return None
        found = self._asked(number)
        if found is None:
            self._unknown[number] = time.monotonic() + _AGAIN_SECONDS
        else:
            self._known[number] = found
        return found

    def schemas(self, values: Sequence[bytes | None]) -> list[str | None]:
        """The text of each value's schema; None for one that is not framed so. Raises FeedError, as `schema` does."""
        numbers = map(schema_number, values)
        return [None if number is None else self.schema(number) for number in numbers]

    def _asked(self, number: int) -> str | None:
        import httpx

        try:
            self._client = self._client or client(timeout=_SECONDS, transport=self._transport())
            answer = self._client.get(f"{self.url.rstrip('/')}/schemas/ids/{number}")
            if answer.status_code == _MISSING:
                return None
            answer.raise_for_status()
            found = answer.json()
            return None if found.get("references") else str(found["schema"])
        except httpx.HTTPStatusError as error:
            why = f"answers {error.response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL):
            why = "does not answer"
        except (ValueError, KeyError, AttributeError):
            why = "answers with something that is no schema"
        raise FeedError(
            f"{self.system}: its schema registry {why}, so schema {number} is not known; what was pulled before is "
            "kept: see that the registry is up and that the system's URL names it and its credentials (?registry=...)"
        )

    def _transport(self) -> "httpx.HTTPTransport":
        """Raises FeedError when the file of certificates is none."""
        import httpx

        try:
            trusted: ssl.SSLContext | bool = ssl.create_default_context(cafile=self.ca) if self.ca else True
        except OSError as error:
            raise FeedError(
                f"{self.system}: the certificates to trust cannot be read ({type(error).__name__}); see that ?ca= in "
                "the system's URL names a PEM file"
            ) from None
        return httpx.HTTPTransport(retries=2, verify=trusted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._client:
            self._client.close()
