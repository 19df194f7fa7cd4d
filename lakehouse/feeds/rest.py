"""REST APIs: what is new, page by page.

An extraction is one way through the pages, from a mark on or from the beginning. It is cut into extracts between pages,
and each page's envelope says where the next one begins, so a pull that dies goes on where its last extract ended. A
position is the number of the extraction and of the page in it. Marks move on when an extraction is whole.

Of what lands on one day the greater path wins, so streams are named in the order of what the system said: `pages`, the
first replay's `pages_000001`, `pages_000001_on` of the pulls after it, `pages_000002` and so on. Pulls go on from the
newest stream of pulls, whatever was replayed.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from lakehouse.errors import SourceError
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Part, Reached
from lakehouse.feeds.auth import Auth
from lakehouse.feeds.http import Answer, Caller, RefusedError
from lakehouse.feeds.marks import Since, ahead, day_range, later, latest, order
from lakehouse.feeds.paging import Paging
from lakehouse.formats.pages import Envelope, Pages, body_of, elements, envelopes

if TYPE_CHECKING:
    from lakehouse.source import Source

STREAM = "pages"
_STREAM = re.compile(rf"{STREAM}(?:_(?P<replay>[0-9]{{6}})(?P<on>_on)?)?")
# How often an extraction begins anew within a pull when records move while they are read.
_STARTS = 3
# Of a request, in all, when it is only to tell whether something is new: the next look comes soon.
_LOOK_TRIES = 2
# A cursor that has ended, in the words of different servers.
_ENDED = {400, 404, 410, 422}


class _MovedError(Exception):
    """Records have moved since the page before."""


@dataclass
class _Way:
    """An extraction that goes on. place: of the next page. before: the records of the page before.

    landed: the delivery before, whole. broken: the body of its last page, if that had no list. resumed: the next page
    is this pull's first. seen: digest of all records so far; None when some were read by an earlier pull. known: of the
    extraction before, where that came in several extracts.
    """

    number: int = 1
    page: int = 0
    place: str | None = None
    since: str | None = None
    until: str | None = None
    mark: str | None = None
    before: list[bytes] = field(default_factory=list)
    landed: bytes = b""
    broken: bytes | None = None
    resumed: bool = False
    seen: "hashlib._Hash | None" = field(default_factory=hashlib.sha256)
    known: str | None = None

    @property
    def position(self) -> str:
        return f"{self.number:08d}.{self.page:06d}"

    def anew(self) -> "_Way":
        """The next extraction, from the same mark."""
        return _Way(self.number + 1, since=self.since, until=self.until, mark=self.since)


@dataclass(frozen=True, kw_only=True)
class RestApi(Feed):
    """A list that a JSON API gives out in pages. Its source's dialect is `Pages`, which says where the records are.

    path: of the list, below the system's address. paging: how it is divided. auth: how to be let in; None without.
    since: how to ask for what is new; None reads all of it each time.
    page_size: records to ask for at a time. timeout: for a whole answer. tries: of a request, in all.
    most_pages: of an extraction; more are taken for pages that never end. most_body: bytes of an answer.
    """

    path: str
    paging: Paging
    auth: Auth | None = None
    since: Since | None = None
    page_size: int = 1000
    timeout: timedelta = timedelta(seconds=60)
    tries: int = 5
    most_pages: int = 100_000
    most_body: int = 1 << 26
    kind: ClassVar[str] = "api"

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise SourceError(f"feed {self.system}: path {self.path!r} must begin with '/'")
        if self.page_size <= self.paging.again or not 0 < self.most_pages < 1_000_000 or self.tries < 1:
            raise SourceError(
                f"feed {self.system}: page_size must be more than {self.paging.again}, most_pages from 1 to 999,999, "
                "tries 1 or more"
            )

    @property
    def replays(self) -> bool:
        """Whether the API can be asked for a range of days."""
        return self.since is not None and self.since.until is not None

    @property
    def reads_all(self) -> bool:
        """Whether each pull reads the whole list."""
        return self.since is None

    def pull(self, url: str, source: "Source", reached: Reached, most_bytes: int) -> Iterator[Extract]:
        """All since the mark, or the rest of an extraction that has begun; nothing when it is what came last."""
        form = self._form(source)
        way = self._begun(reached, form)
        count = _replays(reached)
        stream = f"{STREAM}_{count:06d}_on" if count else STREAM
        if stream != _newest(reached):
            # What a replay brought since may differ from it.
            way.landed = b""
        with self._caller(url) as caller:
            if self.reads_all and way.known and self._same(caller, form, way.known):
                return
            for _ in range(_STARTS):
                try:
                    yield from self._extracts(caller, form, way, stream, most_bytes)
                except _MovedError:
                    way = way.anew()
                else:
                    return
        raise FeedError(
            f"{self.system}: the records of {self.path} move while they are read, {_STARTS} times in a row; what was "
            "read is kept, and the next pull begins anew. If they have no fixed order, ask for one, or for a cursor"
        )

    def lag(self, url: str, source: "Source", reached: Reached) -> Lag:
        """Whether the page from the mark on has a later record, and for how long that has waited."""
        form, now = self._form(source), datetime.now(UTC)
        way = self._begun(reached, form)
        pulled = [datetime.fromisoformat(page.fetched_at) for page in envelopes(way.landed)]
        past = (now - pulled[-1]).total_seconds() if pulled else None
        if way.page:
            return Lag(seconds=past)
        if self.reads_all and pulled:
            return self.due(reached)
        # No shorter a time: looks that fail count, and would keep a system from being pulled that is only slow.
        with self._caller(url, _LOOK_TRIES) as caller:
            answer = caller.get(self.path, {**self.paging.query(None, self.page_size), **self._range(way)})
        known, limit = order(way.mark) if way.mark else None, latest(answer.moment)
        landed = set(_records(way.landed, form))
        waiting = []
        for record in elements(answer.body, form.records) or []:
            mark = self.since.of(record) if self.since else None
            rank = None if mark is None else order(mark)
            if known is not None and not later(rank, known):
                continue
            # One that lies ahead moves no mark, so it comes with every answer.
            if not (ahead(rank, limit) and record in landed):
                waiting.append(rank)
        moments = [rank for rank in waiting if isinstance(rank, datetime)]
        # Both by the server's clock.
        aged = (answer.moment - min(moments)).total_seconds() if answer.moment and moments else None
        ages = [max(0.0, age) for age in (aged, past) if age is not None]
        return Lag(events=len(waiting), seconds=min(ages, default=None) if waiting else 0.0)

    def replay(
        self, url: str, source: "Source", reached: Reached, days: Collection[date], most_bytes: int
    ) -> Iterator[Extract]:
        """The records of these days (UTC) by the member that marks are read from, in a stream that wins over those
        before it."""
        if self.since is None or self.since.until is None:
            raise FeedError(
                f"{self.system} cannot be asked again for past days, because its feed's `since` names no `until`; "
                "lakehouse rebuild uses what is on record"
            )
        form = self._form(source)
        stream = f"{STREAM}_{_replays(reached) + 1:06d}"
        with self._caller(url) as caller:
            for day in sorted(days):
                begin, end = day_range(day)
                way = _Way(int(f"{day:%Y%m%d}"), since=begin, until=end)
                try:
                    yield from self._extracts(caller, form, way, stream, most_bytes)
                except _MovedError:
                    raise FeedError(f"{self.system}: records of {day} moved while they were read; ask again") from None

    def _form(self, source: "Source") -> Pages:
        form = source.dialect_of(self.system)
        if not isinstance(form, Pages):
            raise SourceError(f"source {source.name}: what an API answers is read by the dialect Pages")
        return form

    def _caller(self, url: str, tries: int | None = None) -> Caller:
        seconds, tries = self.timeout.total_seconds(), min(self.tries, tries or self.tries)
        return Caller(self.system, url, self.auth, seconds=seconds, most=self.most_body, tries=tries)

    def _begun(self, reached: Reached, form: Pages) -> _Way:
        """Where to go on."""
        newest = _newest(reached)
        position, landed = (reached.ends[newest], reached.last(newest)) if newest else (None, None)
        number, page = map(int, position.split(".")) if position else (0, 0)
        if not landed:
            return _Way(number + 1)
        last = next(envelopes(landed[landed.rfind(b"\n", 0, -1) + 1 :]))
        if last.next is None:
            known = last.digest if landed.count(b"\n") < page else None
            return _Way(number + 1, since=last.mark, mark=last.mark, landed=landed, known=known)
        if page >= self.most_pages:
            return _Way(number + 1, since=last.since, mark=last.since)
        records = elements(last.data, form.records)
        broken = last.data if records is None else None
        before = records or []
        return _Way(number, page, last.next or None, last.since, None, last.mark, before, landed, broken, True, None)

    def _range(self, way: _Way) -> dict[str, str]:
        """The part of the query that says what is new."""
        if self.since is None or way.since is None:
            return {}
        if way.until is not None and self.since.until is not None:
            return {self.since.parameter: way.since, self.since.until: way.until}
        return {self.since.parameter: self.since.begin(way.since)}

    def _same(self, caller: Caller, form: Pages, known: str) -> bool:
        """Whether a list that is longer than an extract is as it was: it is not held, so it is read once for this.

        A list that cannot be read to its end is not: reading it again, to be landed, tells why.
        """
        way = _Way()
        places: set[str | None] = {None}
        try:
            while True:
                envelope, found = self._page(caller, form, way, places)
                if found is None or envelope.next is None:
                    return found is not None and envelope.digest == known
                way.page += 1
                way.before, way.place = found, envelope.next
        except (FeedError, _MovedError):
            return False

    def _extracts(self, caller: Caller, form: Pages, way: _Way, stream: str, most_bytes: int) -> Iterator[Extract]:
        """An extraction from its next page on, in extracts. What was read is given out before anything is raised."""
        lines: list[bytes] = []
        begin, whole, size = "", way.page == 0, 0
        records: list[bytes] = []
        places = {way.place}
        while True:
            try:
                envelope, found = self._page(caller, form, way, places)
            except (FeedError, _MovedError):
                if lines:
                    yield _extract(stream, begin, way, lines)
                raise
            if found is None and envelope.data == way.broken:
                raise self._unsound()
            way.page += 1
            begin = begin or way.position
            line = envelope.line()
            lines.append(line)
            size += len(line)
            if found is None:
                yield _extract(stream, begin, way, lines)
                raise self._unsound()
            way.before, way.place, way.mark, way.resumed = found, envelope.next, envelope.mark, False
            if whole:
                records += found
            if envelope.next is None:
                if not (whole and way.until is None and _known(records, way, form)):
                    yield _extract(stream, begin, way, lines)
                return
            if size >= most_bytes:
                yield _extract(stream, begin, way, lines)
                lines, begin, whole, size, records = [], "", False, 0, []

    def _page(
        self, caller: Caller, form: Pages, way: _Way, places: set[str | None]
    ) -> tuple[Envelope, list[bytes] | None]:
        """The next page and its records, None when it has no list. Raises FeedError, and _MovedError."""
        if way.page >= self.most_pages:
            raise FeedError(
                f"{self.system}: {self.path} has more than {self.most_pages:,} pages, so they may never end; what was "
                "read is kept, and the next pull begins anew. If it is that long, raise the feed's most_pages"
            )
        answer = self._answer(caller, way)
        found = elements(answer.body, form.records)
        if found is None:
            # The same page again, once it is mended; "" is the first one.
            return self._envelope(answer, way, way.place or "", way.mark), None
        if found and found == way.before and len(found) > self.paging.again:
            raise FeedError(
                f"{self.system}: {self.path} answers with the same page again; what was read before it is kept, and "
                "the next pull goes on there. Ask the system's owner"
            )
        old = self.paging.again if way.place else 0
        if old and way.before and found[:old] != way.before[-old:]:
            raise _MovedError
        place = self.paging.after(way.place, len(found) - old, answer.body, answer.links)
        if place is not None and place in places:
            raise FeedError(
                f"{self.system}: {self.path} leads back to a page that was read, so its pages never end; what was read "
                "before is kept, and the next pull goes on there. Ask the system's owner"
            )
        places.add(place)
        mark = self.since.greatest(found, way.mark, latest(answer.moment)) if self.since else None
        if self.reads_all and way.seen:
            for record in found[old:]:
                way.seen.update(b"%d %b" % (len(record), record))
        return self._envelope(answer, way, place, mark), found

    def _answer(self, caller: Caller, way: _Way) -> Answer:
        query = self.paging.query(way.place, self.page_size)
        try:
            if not query and way.place:
                return caller.follow(way.place)
            return caller.get(self.path, {**query, **self._range(way)})
        except RefusedError as error:
            if way.resumed and error.status in _ENDED:
                # A place does not last for ever.
                raise _MovedError from None
            raise

    def _envelope(self, answer: Answer, way: _Way, place: str | None, mark: str | None) -> Envelope:
        fetched = datetime.now(UTC).isoformat()
        digest = way.seen.hexdigest() if self.reads_all and way.seen and place is None else None
        return Envelope(answer.url, answer.status, fetched, place, way.since, mark, digest, **body_of(answer.body))

    def _unsound(self) -> FeedError:
        return FeedError(
            f"{self.system}: {self.path} answers with what is not JSON, or has no list where its records are; the "
            "answer is in quarantine, what was read before is kept, and the next pull asks for this page again. Ask "
            "the system's owner, or mend `records` of the source's dialect"
        )


def _newest(reached: Reached) -> str | None:
    """The newest stream of pulls."""
    found = filter(None, map(_STREAM.fullmatch, reached.ends))
    return max((match[0] for match in found if match["on"] or not match["replay"]), default=None)


def _replays(reached: Reached) -> int:
    """How many replays there were."""
    return max((int(match["replay"] or 0) for match in map(_STREAM.fullmatch, reached.ends) if match), default=0)


def _extract(stream: str, begin: str, way: _Way, lines: list[bytes]) -> Extract:
    return Extract(Part(stream, begin, way.position), b"".join(lines), datetime.now(UTC).date())


def _known(records: list[bytes], way: _Way, form: Pages) -> bool:
    """Whether records are the last of the delivery before, so that landing them again would change nothing."""
    if not records:
        return True
    return _records(way.landed, form)[-len(records) :] == records


def _records(landed: bytes, form: Pages) -> list[bytes]:
    """The records of a delivery."""
    return [record for page in envelopes(landed) for record in elements(page.data, form.records) or []]
