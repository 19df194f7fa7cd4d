"""REST APIs: what is new, page by page, from the greatest mark on that an extraction has had when it was whole."""

import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, ClassVar

from lakehouse.errors import SourceError
from lakehouse.feeds import Extract, Feed, FeedError, Lag, Part, Reached
from lakehouse.feeds.auth import Auth
from lakehouse.feeds.http import Answer, Caller, RefusedError
from lakehouse.feeds.marks import Since, day_range, latest, order
from lakehouse.feeds.paging import Paging
from lakehouse.feeds.ways import STREAM, Way, begun, newest, records, replays, summed
from lakehouse.formats import Format
from lakehouse.formats.pages import Envelope, Pages, body_of, elements, envelopes

if TYPE_CHECKING:
    from lakehouse.source import Source

# How often an extraction begins anew within a pull when records move while they are read.
_STARTS = 3
# Bytes that a pull lands before what it has is ingested.
_AT_ONCE = 1 << 29
# Of a request, in all, when it is only to tell whether something is new: the next look comes soon.
_LOOK_TRIES = 2
# Pages that a look goes through while all of their records have landed; a pull goes through more.
_LOOK_PAGES = 5
# How long after the last delivery a record counts as new whose text alone is another than what landed.
_REWORDED = timedelta(hours=1)
# A cursor that has ended, in the words of different servers.
_ENDED = {400, 404, 410, 422}


class _MovedError(Exception):
    """Records have moved since the page before."""


@dataclass
class _Look:
    """What the pages from the mark on hold: new records; whether some have another text than what landed; whether the
    pages were read to their end; when, by the server's clock.
    """

    new: list[bytes] = field(default_factory=list)
    reworded: bool = False
    whole: bool = False
    moment: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RestApi(Feed):
    """A list that a JSON API gives out in pages. Its source's dialect is `Pages`, which says where the records are.

    path: of the list, below the system's address. paging: how it is divided. auth: how to be let in; None without.
    since: how to ask for what is new; None reads all of it each time.
    page_size: records to ask for at a time. timeout: for a whole answer. tries: of a request, in all.
    most_pages: of an extraction; more are taken for pages that never end. most_body: bytes of an answer. most_seconds:
    how long one pull reads before what it has is ingested; the next goes on.
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
    most_seconds: float = 60
    kind: ClassVar[str] = "api"
    lands: ClassVar[type[Format] | None] = Pages

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise SourceError(f"feed {self.system}: path {self.path!r} must begin with '/'")
        if self.page_size <= self.paging.again or not 0 < self.most_pages < 1_000_000 or self.tries < 1:
            raise SourceError(
                f"feed {self.system}: page_size must be more than {self.paging.again}, most_pages from 1 to 999,999, "
                "tries 1 or more"
            )
        if self.most_seconds <= 0:
            raise SourceError(f"feed {self.system}: most_seconds must be more than 0")

    @property
    def replays(self) -> bool:
        """Whether the API can be asked for a range of days."""
        return self.since is not None and self.since.until is not None

    @property
    def reads_all(self) -> bool:
        """Whether each pull reads the whole list."""
        return self.since is None

    def pull(self, url: str, source: "Source", reached: Reached, most_bytes: int) -> Iterator[Extract]:
        """All since the mark, or the rest of an extraction, for `most_seconds`; nothing when it is what came last."""
        form = self._form(source)
        way = begun(reached, form, self.most_pages)
        count, until = replays(reached), time.monotonic() + self.most_seconds
        stream = f"{STREAM}_{count:06d}_on" if count else STREAM
        if stream != newest(reached):
            # What a replay brought since may differ from it.
            way.landed, way.known = b"", None
        with self._caller(url) as caller:
            if way.known and self._same(caller, form, way):
                return
            for _ in range(_STARTS):
                try:
                    yield from self._extracts(caller, form, way, stream, most_bytes, until)
                except _MovedError:
                    way = way.anew()
                else:
                    return
        raise FeedError(
            f"{self.system}: the records of {self.path} move while they are read, {_STARTS} times in a row; what was "
            "read is kept, and the next pull begins anew. If they have no fixed order, ask for one, or for a cursor"
        )

    def lag(self, url: str, source: "Source", reached: Reached) -> Lag:
        """Whether a pull would find something, by the pages from the mark on, and for how long that has waited.

        It ends with the first page that has something new, so that more may wait.
        """
        form, now = self._form(source), datetime.now(UTC)
        way = begun(reached, form, self.most_pages)
        pulled = [datetime.fromisoformat(page.fetched_at) for page in envelopes(way.landed)]
        past = (now - pulled[-1]).total_seconds() if pulled else None
        if way.page:
            return Lag(seconds=max(0.0, past or 0.0), due=True, more=True)
        if self.reads_all and pulled:
            return self.due(reached)
        if way.known:
            # From the mark on there is more than one delivery holds, so none is there to compare it with.
            return Lag(due=True)
        # No shorter a time: looks that fail count, and would keep a system from being pulled that is only slow.
        with self._caller(url, _LOOK_TRIES) as caller:
            look = self._looked(caller, form, way)
        if not look.new:
            late = look.reworded and (past is None or past >= _REWORDED.total_seconds())
            return Lag(due=True) if late or not look.whole else Lag(events=0, bytes=0, seconds=0.0)
        marks = filter(None, map(self.since.of, look.new)) if self.since else ()
        moments = [rank for rank in map(order, marks) if isinstance(rank, datetime)]
        # Both by the server's clock.
        aged = (look.moment - min(moments)).total_seconds() if look.moment and moments else None
        ages = [max(0.0, age) for age in (aged, past) if age is not None]
        size = sum(map(len, look.new))
        return Lag(events=len(look.new), bytes=size, seconds=min(ages, default=None), more=not look.whole)

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
        stream = f"{STREAM}_{replays(reached) + 1:06d}"
        with self._caller(url) as caller:
            for day in sorted(days):
                begin, end = day_range(day)
                way = Way(int(f"{day:%Y%m%d}"), since=begin, until=end)
                try:
                    # However long it takes: there is no next replay that goes on.
                    yield from self._extracts(caller, form, way, stream, most_bytes, inf)
                except _MovedError:
                    raise FeedError(f"{self.system}: records of {day} moved while they were read; ask again") from None

    def _form(self, source: "Source") -> Pages:
        form = source.dialect_of(self.system)
        assert isinstance(form, Pages)
        return form

    def _caller(self, url: str, tries: int | None = None) -> Caller:
        seconds, tries = self.timeout.total_seconds(), min(self.tries, tries or self.tries)
        return Caller(self.system, url, self.auth, seconds=seconds, most=self.most_body, tries=tries)

    def _range(self, way: Way) -> dict[str, str]:
        """The part of the query that says what is new."""
        if self.since is None or way.since is None:
            return {}
        if way.until is not None and self.since.until is not None:
            return {self.since.parameter: way.since, self.since.until: way.until}
        return {self.since.parameter: self.since.begin(way.since)}

    def _looked(self, caller: Caller, form: Pages, way: Way) -> _Look:
        """What is new among the first pages from the mark on.

        A record is known by its mark, as long as there are no more of that than landed: some servers write a record in
        other words each time that they are asked.
        """
        pages = records(way.landed, form)
        # Records that were asked for again are there once.
        again = self.paging.again
        landed = [*chain(*(page[again if at or not way.alone else 0 :] for at, page in enumerate(pages)))]
        texts, left, look = set(landed), Counter(map(self._named, landed)), _Look()
        place: str | None = None
        for _ in range(_LOOK_PAGES):
            answer = self._answer(caller, Way(place=place, since=way.since))
            found = elements(answer.body, form.records)
            look.moment = look.moment or answer.moment
            if found is None:
                break
            fresh = found[self.paging.again if place else 0 :]
            for record in fresh:
                name = self._named(record)
                left[name] -= 1
                if left[name] < 0:
                    look.new.append(record)
                look.reworded = look.reworded or record not in texts
            place = self.paging.after(place, len(fresh), answer.body, answer.links)
            look.whole = place is None
            if look.new or look.whole:
                break
        return look

    def _named(self, record: bytes) -> str | bytes:
        """A record's mark; all of one that has none."""
        return (self.since.of(record) if self.since else None) or record

    def _same(self, caller: Caller, form: Pages, last: Way) -> bool:
        """Whether records that are more than an extract are as they were: they are not held, so they are read once for
        this.

        Those that cannot be read to their end are not: reading them again, to be landed, tells why.
        """
        way = Way(since=last.since, mark=last.mark)
        places: set[str | None] = {None}
        try:
            while True:
                envelope, found = self._page(caller, form, way, places)
                if found is None or envelope.next is None:
                    return found is not None and envelope.digest == last.known
                way.page += 1
                way.before, way.place = found, envelope.next
        except (FeedError, _MovedError):
            return False

    def _extracts(
        self, caller: Caller, form: Pages, way: Way, stream: str, most_bytes: int, until: float
    ) -> Iterator[Extract]:
        """An extraction from its next page on, in extracts, until a time (by time.monotonic) has come.

        What was read is given out before anything is raised, unless records have moved in it.
        """
        lines: list[bytes] = []
        begin, whole, size, landed = "", way.page == 0, 0, 0
        all_: list[bytes] = []
        places = {way.place}
        # Where pages were read, and what was on them, as long as that is to be checked.
        at = self.paging.before(way.place)
        read: list[tuple[str | None, list[bytes]]] = [(at, way.before)] if at and way.before else []
        while True:
            place = way.place
            try:
                envelope, found = self._page(caller, form, way, places)
            except (FeedError, _MovedError):
                if lines:
                    # Of pages that never end nothing is gone on with.
                    if way.page < self.most_pages:
                        self._check(caller, form, way, read[:-1])
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
                self._check(caller, form, way, read)
                yield _extract(stream, begin, way, lines)
                raise self._unsound()
            way.before, way.place, way.mark, way.resumed = found, envelope.next, envelope.mark, False
            if self.paging.before(way.place):
                read.append((place, found))
            if whole:
                all_ += found
            over = time.monotonic() >= until
            if envelope.next is not None and size < most_bytes and not over:
                continue
            self._check(caller, form, way, read if envelope.next is None else read[:-1])
            if envelope.next is None and whole and way.until is None and _known(all_, way, form):
                return
            yield _extract(stream, begin, way, lines)
            landed += size
            if envelope.next is None or over or (landed >= _AT_ONCE and until < inf):
                return
            lines, begin, whole, size, all_, read = [], "", False, 0, [], read[-1:]

    def _check(self, caller: Caller, form: Pages, way: Way, read: list[tuple[str | None, list[bytes]]]) -> None:
        """Raises _MovedError when a page does not begin as it was read."""
        for place, found in read:
            answer = self._answer(caller, Way(place=place, since=way.since, until=way.until))
            if (elements(answer.body, form.records) or [])[: len(found)] != found:
                raise _MovedError

    def _page(
        self, caller: Caller, form: Pages, way: Way, places: set[str | None]
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
        way.seen = None if way.seen is None else summed(found[old:], way.seen)
        return self._envelope(answer, way, place, mark), found

    def _answer(self, caller: Caller, way: Way) -> Answer:
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

    def _envelope(self, answer: Answer, way: Way, place: str | None, mark: str | None) -> Envelope:
        fetched = datetime.now(UTC).isoformat()
        return Envelope(answer.url, answer.status, fetched, place, way.since, mark, way.digest, **body_of(answer.body))

    def _unsound(self) -> FeedError:
        return FeedError(
            f"{self.system}: {self.path} answers with what is not JSON, or has no list where its records are; the "
            "answer is in quarantine, what was read before is kept, and the next pull asks for this page again. Ask "
            "the system's owner, or mend `records` of the source's dialect"
        )


def _extract(stream: str, begin: str, way: Way, lines: list[bytes]) -> Extract:
    return Extract(Part(stream, begin, way.position), b"".join(lines), datetime.now(UTC).date())


def _known(found: list[bytes], way: Way, form: Pages) -> bool:
    """Whether records are the last of the delivery before, so that landing them again would change nothing."""
    return not found or [*chain(*records(way.landed, form))][-len(found) :] == found
