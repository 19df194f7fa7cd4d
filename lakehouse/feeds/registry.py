"""A schema registry, as far as reading messages needs one: a schema's text by its number."""

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


@dataclass
class Registry:
    """A registry at a URL, credentials included. A number's schema never changes, so each is asked for once.

    system: what it belongs to, for messages to people.
    """

    url: str
    system: str
    _known: dict[int, str | None] = field(default_factory=dict)
    _client: "httpx.Client | None" = None

    def schema(self, number: int) -> str | None:
        """A schema's text; None when the registry has none of this number, or one that is only whole with others.

        Raises FeedError when the registry does not answer: that says nothing of the schema.
        """
        if number not in self._known:
            self._known[number] = self._asked(number)
        return self._known[number]

    def schemas(self, values: Sequence[bytes | None]) -> list[str | None]:
        """The text of each value's schema; None for one that is not framed so. Raises FeedError, as `schema` does."""
        numbers = map(schema_number, values)
        return [None if number is None else self.schema(number) for number in numbers]

    def _asked(self, number: int) -> str | None:
        import httpx

        self._client = self._client or client(timeout=_SECONDS, transport=httpx.HTTPTransport(retries=2))
        try:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._client:
            self._client.close()
