"""How far a way through the pages of an API has come, by what has landed of it.

An extraction is one way through the pages, from a mark on or from the beginning. It is cut into extracts between pages,
and each page's envelope says where the next one begins, so a pull that ends goes on where its last extract ended. A
position is the number of the extraction and of the page in it.

Of what lands on one day the greater path wins, so streams are named in the order of what the system said: `pages`, the
first replay's `pages_000001`, `pages_000001_on` of the pulls after it, `pages_000002` and so on. Pulls go on from the
newest stream of pulls, whatever was replayed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from lakehouse.feeds import Reached
from lakehouse.formats.pages import Pages, elements, envelopes

STREAM = "pages"
_STREAM = re.compile(rf"{STREAM}(?:_(?P<replay>[0-9]{{6}})(?P<on>_on)?)?")


@dataclass
class Way:
    """An extraction that goes on. place: of the next page. before: the records of the page before.

    landed: the last delivery of the extraction before, which is all of it if `alone`. broken: the body of its last
    page, if that had no list. resumed: the next page is this pull's first. seen: see `summed`, of all records so far;
    None when that is not known. known: the same of the extraction before, where that came in several extracts and began
    at the same mark.
    """

    number: int = 1
    page: int = 0
    place: str | None = None
    since: str | None = None
    until: str | None = None
    mark: str | None = None
    before: list[bytes] = field(default_factory=list)
    landed: bytes = b""
    alone: bool = False
    broken: bytes | None = None
    resumed: bool = False
    seen: int | None = 0
    known: str | None = None

    @property
    def position(self) -> str:
        return f"{self.number:08d}.{self.page:06d}"

    @property
    def digest(self) -> str | None:
        """Tells the records so far from others."""
        return None if self.seen is None else f"{self.seen:064x}"

    def anew(self) -> "Way":
        """The next extraction, from the same mark."""
        return Way(self.number + 1, since=self.since, until=self.until, mark=self.since)


def begun(reached: Reached, form: Pages, most_pages: int) -> Way:
    """Where pulls go on. most_pages: of an extraction."""
    stream = newest(reached)
    position, landed = (reached.ends[stream], reached.last(stream)) if stream else (None, None)
    number, page = map(int, position.split(".")) if position else (0, 0)
    if not landed:
        return Way(number + 1)
    start = landed.rfind(b"\n", 0, -1) + 1
    last = next(envelopes(landed[start:]))
    if last.next is None:
        alone = landed.count(b"\n") == page
        known = last.digest if not alone and last.since == last.mark else None
        return Way(number + 1, since=last.mark, mark=last.mark, landed=landed, alone=alone, known=known)
    if page >= most_pages:
        return Way(number + 1, since=last.since, mark=last.since)
    found = elements(last.data, form.records)
    before = found
    if found is None and start:
        before = elements(next(envelopes(landed[landed.rfind(b"\n", 0, start - 1) + 1 : start])).data, form.records)
    return Way(
        number,
        page,
        last.next or None,
        last.since,
        mark=last.mark,
        before=before or [],
        landed=landed,
        broken=last.data if found is None else None,
        resumed=True,
        seen=int(last.digest, 16) if last.digest else None,
    )


def newest(reached: Reached) -> str | None:
    """The newest stream of pulls."""
    found = filter(None, map(_STREAM.fullmatch, reached.ends))
    return max((match[0] for match in found if match["on"] or not match["replay"]), default=None)


def replays(reached: Reached) -> int:
    """How many replays there were."""
    return max((int(match["replay"] or 0) for match in map(_STREAM.fullmatch, reached.ends) if match), default=0)


def records(landed: bytes, form: Pages) -> list[list[bytes]]:
    """The records of a delivery, by page."""
    return [elements(page.data, form.records) or [] for page in envelopes(landed)]


def summed(found: Sequence[bytes], before: int = 0) -> int:
    """The sums of two hashes of the records, in any order, so that it can be gone on with.

    Another version of Polars may hash otherwise: then what has landed lands once more.
    """
    hashed = pl.Series(found, dtype=pl.Binary)
    sums: list[int] = [sum(hashed.hash(seed).to_list()) for seed in (0, 1)]
    return (before + sums[0] + (sums[1] << 128)) % 2**256
