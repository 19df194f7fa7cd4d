"""The ways in which APIs divide what they have into pages.

A place is the text that says where a page begins: a number, a cursor, a link. None is the beginning, or after the end.
A page without records is the end for those that count; what an API says of totals is not believed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.formats.members import members
from lakehouse.formats.pages import at


class Paging(ABC):
    """A way to go from page to page."""

    # Records of the page before that are asked for again, to see that nothing has moved in between.
    again = 0

    def before(self, _place: str | None) -> str | None:
        """The place of the page before, where only asking for it again shows whether records have moved; else None."""
        return None

    @abstractmethod
    def query(self, place: str | None, size: int) -> dict[str, str]:
        """What to ask for, to get the page at a place; empty when the place is a link."""

    @abstractmethod
    def after(self, place: str | None, new: int, body: bytes, links: Mapping[str, str]) -> str | None:
        """The place after a page. new: how many records it has that the one before has not."""


@dataclass(frozen=True)
class ByPage(Paging):
    """Numbered pages, the first of which is `first`.

    checked: whether each page is asked for again after the one that follows it, to see that no record has moved from
    that to this one in between: one that does is read on neither. Without it, such records are missed.
    """

    parameter: str = "page"
    size: str = "per_page"
    first: int = 1
    checked: bool = True

    def before(self, place: str | None) -> str | None:
        number = int(place or self.first)
        return str(number - 1) if self.checked and number > self.first else None

    def query(self, place: str | None, size: int) -> dict[str, str]:
        return {self.parameter: place or str(self.first), self.size: str(size)}

    def after(self, place: str | None, new: int, _body: bytes, _links: Mapping[str, str]) -> str | None:
        return str(int(place or self.first) + 1) if new else None


@dataclass(frozen=True)
class ByOffset(Paging):
    """Pages by the number of records to leave out. Each page also holds the last record of the one before, which shows
    whether records have moved.
    """

    parameter: str = "offset"
    size: str = "limit"
    again = 1

    def query(self, place: str | None, size: int) -> dict[str, str]:
        return {self.parameter: str(max(0, int(place or 0) - self.again)), self.size: str(size)}

    def after(self, place: str | None, new: int, _body: bytes, _links: Mapping[str, str]) -> str | None:
        return str(int(place or 0) + new) if new else None


@dataclass(frozen=True)
class ByCursor(Paging):
    """Pages that name the next one. field: dotted path of the cursor in the body; none, null or "" is the end.

    Whether records that move while they are read are missed is the server's affair: not where a cursor names a record.
    """

    field: str
    parameter: str = "cursor"
    size: str = "limit"

    def query(self, place: str | None, size: int) -> dict[str, str]:
        return {self.size: str(size), **({self.parameter: place} if place else {})}

    def after(self, _place: str | None, _new: int, body: bytes, _links: Mapping[str, str]) -> str | None:
        found = at(body, self.field)
        text = members(b'{"cursor":%b}' % bytes(found)) if found is not None else None
        return (text or {}).get("cursor") or None


@dataclass(frozen=True)
class ByLink(Paging):
    """Pages that give the next one's address in a `Link` header, as `rel="next"` (RFC 8288).

    Whether records that move while they are read are missed is the server's affair, as with a cursor.
    """

    size: str = "per_page"

    def query(self, place: str | None, size: int) -> dict[str, str]:
        return {} if place else {self.size: str(size)}

    def after(self, _place: str | None, _new: int, _body: bytes, links: Mapping[str, str]) -> str | None:
        return links.get("next")
