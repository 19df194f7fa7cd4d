"""Messages to events: what a message says, or why it says nothing that can be judged."""

from datetime import UTC, datetime
from math import isfinite

import msgspec

from lakehouse.rules import MICROSECOND, Event, fields
from lakehouse.streaming import Stream

_DECODER = msgspec.json.Decoder()


class PoisonError(Exception):
    """A message that cannot be read; says why in one word or two, without its values."""


class AheadError(Exception):
    """An event dated long after its message was sent."""


class Reader:
    """Reads the messages of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._key, self._time = stream.key, stream.time
        self._fields = fields(stream.rules)
        self._ahead = stream.ahead // MICROSECOND

    def read(self, message: bytes | None, offset: int, sent: int | None) -> Event:
        """The event in a message. sent: the broker's time of it, in milliseconds since 1970; None when it has none.

        Raises PoisonError and AheadError.
        """
        try:
            said = _DECODER.decode(message or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise PoisonError("no JSON") from None
        if not isinstance(said, dict):
            raise PoisonError("no object")
        key = said.get(self._key)
        if not isinstance(key, str) or not key:
            raise PoisonError("no key")
        at = _microseconds(said.get(self._time))
        values = tuple(_number(said.get(name)) for name in self._fields)
        if sent is not None and at > sent * 1000 + self._ahead:
            raise AheadError
        return Event(key, at, values, offset)


def _microseconds(time: object) -> int:
    if isinstance(time, int) and not isinstance(time, bool):
        if not 0 <= time < _LAST:
            raise PoisonError("no time")
        return time * 1000
    try:
        told = datetime.fromisoformat(time if isinstance(time, str) else "")
    except ValueError:
        raise PoisonError("no time") from None
    if told.tzinfo is None:
        raise PoisonError("time without zone")
    # In whole numbers: as a fraction of seconds, the last digit would be a matter of rounding.
    return (told - _EPOCH) // MICROSECOND


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The year 9999, in milliseconds: no later date can be written.
_LAST = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // (1000 * MICROSECOND)


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PoisonError("no number")
    try:
        number = float(value)
    except OverflowError:
        raise PoisonError("no number") from None
    if not isfinite(number):
        raise PoisonError("no number")
    return number
