"""High-water marks: the greatest of a member that grows, such as the time a record was last changed.

Marks are what the records say, never what our clock says. One that is later than the server's own clock when it answers
is a mistake, and would hide everything until then: it is no mark. Where the server tells no time, one that is more than
a day later than our clock is none.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Any

import msgspec

from lakehouse.errors import SourceError
from lakehouse.feeds import FeedError

Kind = type[datetime] | type[int]


@dataclass(frozen=True)
class Since:
    """What is new is asked for by a mark.

    parameter: of the query, that a mark is given in. member: dotted path in a record that marks are read from: ISO 8601
        texts, or whole numbers. overlap: how much before the mark to begin, for records that come in late: a whole
        number where marks are; what is seen again does no harm. until: of the query, for the end of a range, so that
        past days can be asked for again.
    """

    parameter: str
    member: str
    overlap: timedelta | int = timedelta(0)
    until: str | None = None

    def __post_init__(self) -> None:
        overlap = self.overlap if isinstance(self.overlap, int) else self.overlap.total_seconds()
        if not self.parameter or not all(self.member.split(".")) or overlap < 0:
            raise SourceError(
                "since: name a query parameter and a member of the records, and overlap by no less than 0"
            )

    def begin(self, mark: str) -> str:
        """The mark to ask from: the overlap before the greatest one, written as that is.

        Raises FeedError where the overlap is a time and marks are numbers, or the other way round.
        """
        if not self.overlap:
            return mark
        number = order(mark)
        if isinstance(number, int) and isinstance(self.overlap, int):
            return str(max(0, number - self.overlap))
        if isinstance(number, int) or isinstance(self.overlap, int):
            marks, fitting = ("whole numbers", "number") if isinstance(number, int) else ("times", "timedelta")
            raise FeedError(
                f"the marks in {self.member} are {marks}: give the overlap of the feed's `since` as a {fitting}; what "
                "was pulled before is kept"
            )
        moment = datetime.fromisoformat(mark) - self.overlap
        if len(mark) == len("2014-01-02"):
            return moment.date().isoformat()
        text = moment.isoformat(timespec="auto" if "." in mark else "seconds")
        return text.replace("+00:00", "Z") if mark.endswith("Z") else text

    def greatest(self, records: Sequence[bytes], before: str | None, now: datetime) -> str | None:
        """The greatest mark of some records and the one before. now: see `latest`.

        Marks are all moments or all numbers: as the overlap is, or else as the mark before, or else as most of them.
        One of the other kind says nothing; two, beside none of that one, show that it is not so.
        """
        every = self._all(records)
        values = {text: value for text in _foremost(every, now) if (value := order(text)) is not None}
        last = order(before) if before is not None else None
        kind = self._kind(every, {type(value) for value in values.values()}, last)
        # Of those that are the same moment, always the same one.
        best, least = (before, last) if isinstance(last, kind) else (None, None)
        for text in sorted(values):
            value = values[text]
            if isinstance(value, kind) and (least is None or later(value, least)):
                best, least = text, value
        return before if best is None else best

    def _kind(self, marks: Collection[str], kinds: Collection[Kind], last: datetime | int | None) -> Kind:
        """What marks are, by what was met; kinds: those that the foremost of them are of. last: the mark before."""
        wanted: Kind | None = None if last is None else type(last)
        if self.overlap:
            wanted = int if isinstance(self.overlap, int) else datetime
        if wanted in kinds or not kinds:
            return wanted or datetime
        if wanted is None and len(kinds) == 1:
            return next(iter(kinds))
        numbers = sum(isinstance(order(mark), int) for mark in marks)
        moments = sum(isinstance(order(mark), datetime) for mark in marks)
        if wanted is None:
            return datetime if moments >= numbers else int
        others = numbers if wanted is datetime else moments
        return wanted if others < 2 else next(kind for kind in kinds if kind is not wanted)

    def _all(self, records: Sequence[bytes]) -> set[str]:
        """The marks of many records."""
        # All at once, which is several times as quick, and most marks are texts.
        together = b"[%b]" % b",".join(records)
        _, texts, raws = self._decoders
        for decoder, read in ((texts, str), (raws, _text)):
            try:
                found = self._within(decoder.decode(together))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            return set(filter(None, map(read, found)))
        return set(filter(None, map(self.of, records)))

    def _within(self, records: list[Any]) -> list[Any]:
        for _ in self.member.split("."):
            records = [part.inner for part in records]
        return records

    def of(self, record: bytes) -> str | None:
        """A record's mark as it is written; None when it has none."""
        try:
            found: Any = self._decoders[0].decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return _text(self._within([found])[0])

    @cached_property
    def _decoders(self) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
        """Of a record, of many whose marks are texts, and of many."""
        text: Any = self._record(str)
        raw: Any = self._record(msgspec.Raw)
        return msgspec.json.Decoder(raw), msgspec.json.Decoder(list[text]), msgspec.json.Decoder(list[raw])

    def _record(self, kind: Any) -> Any:
        """The type of a record whose mark is of a kind."""
        for name in reversed(self.member.split(".")):
            kind = msgspec.defstruct("Record", [("inner", kind)], rename={"inner": name})
        return kind


def _text(written: msgspec.Raw) -> str | None:
    """A text or number as it is written in JSON."""
    raw = bytes(written)
    try:
        if not raw.startswith(b'"'):
            return raw.decode()
        return msgspec.json.decode(raw, type=str) if b"\\" in raw else raw[1:-1].decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _foremost(marks: Collection[str], now: datetime) -> Iterator[str]:
    """Marks among which the greatest is, without those that are none or lie ahead."""
    utc = sorted((mark for mark in marks if mark.endswith("Z")), key=len)
    # Of one length they are ordered as their moments are.
    for _, alike in groupby(utc, key=len):
        texts = list(alike)
        greatest = max(texts)
        yield from [greatest] if _passed(greatest, now) else (text for text in texts if _passed(text, now))
    yield from (mark for mark in marks if not mark.endswith("Z") and _passed(mark, now))


def _passed(mark: str, now: datetime) -> bool:
    value = order(mark)
    return value is not None and not ahead(value, now)


def later(value: datetime | int | None, than: datetime | int) -> bool:
    """Whether a mark, by what it is ordered by, is after another; one of another kind is not."""
    if isinstance(value, datetime):
        return isinstance(than, datetime) and value > than
    return isinstance(value, int) and isinstance(than, int) and value > than


def ahead(value: datetime | int | None, now: datetime) -> bool:
    """Whether a mark, by what it is ordered by, is of a time that has not come. now: see `latest`."""
    return isinstance(value, datetime) and value > now + timedelta(seconds=1)


def latest(moment: datetime | None) -> datetime:
    """What no mark may be later than: an answer's moment by the server's clock; where it tells none, ours and a day."""
    return moment or datetime.now(UTC) + timedelta(days=1)


def order(mark: str) -> datetime | int | None:
    """What a mark is ordered by; a moment without a zone is taken as UTC. None when it is neither moment nor number."""
    if mark.isascii() and mark.isdigit() and len(mark) <= 18:
        return int(mark)
    try:
        moment = datetime.fromisoformat(mark)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def day_range(day: date) -> tuple[str, str]:
    """The beginning of a day in UTC, and of the next, as marks."""
    return f"{day}T00:00:00Z", f"{day + timedelta(days=1)}T00:00:00Z"
