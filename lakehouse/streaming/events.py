"""Messages to events: what a message says, or why nothing follows from it.

They are read and judged as the source's batches are, by its payload, its `tidy` and its contract.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from math import isfinite

import polars as pl

from lakehouse.evaluate import judge_each
from lakehouse.formats.messages import Messages, columned
from lakehouse.rules import MICROSECOND, Event, fields
from lakehouse.streaming import Stream

POISON, REJECTED, UNFIT, AHEAD = "poison", "rejected", "unfit", "ahead"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Times that can be written: of the years 1 to 9998, in microseconds.
_FIRST, _LAST = ((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) // MICROSECOND for year in (1, 9999))


class Reader:
    """Reads the messages of a stream. counts: by word, what became of those that are no events."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._source = stream, stream.source
        self._said = {"generation": str(stream.feed.generation)}
        self._ahead = stream.ahead // MICROSECOND
        numbers = [pl.col(name).cast(pl.Float64) for name in fields(stream.rules)]
        self._wanted = [pl.col("_line"), pl.col(stream.key), pl.col(stream.time).dt.epoch("us"), *numbers]
        self.counts: Counter[str] = Counter()

    def read(self, messages: Mapping[str, Sequence[object]]) -> list[Event | None]:
        """The event in each message, given as columns like `messages.RECEIVED`; None where nothing follows from it.

        Whatever the messages hold, nothing is raised for it. Raises DefinitionError when tidy yields other rows than
        the contract names.
        """
        count = len(messages["offset"])
        found: list[Event | None] = [None] * count
        try:
            accepted, refused = self._judged(messages)
        except pl.exceptions.PolarsError:
            # Of a tidy that cannot bear every text. One message is to stop no other.
            if count == 1:
                self.counts[f"{POISON}: cannot be read"] += 1
                return found
            each = ({name: values[at : at + 1] for name, values in messages.items()} for at in range(count))
            return [event for one in each for event in self.read(one)]
        for reasons in refused["reasons"]:
            self.counts[POISON if reasons[0].startswith("record:") else REJECTED] += 1
        for line, key, at, *values in accepted.select(self._wanted).iter_rows():
            place = line - 1
            sent = messages["timestamp"][place]
            if why := self._unfit(key, at, values):
                self.counts[f"{UNFIT}: {why}"] += 1
            elif isinstance(sent, int) and at > sent * 1000 + self._ahead:
                self.counts[AHEAD] += 1
            else:
                offset = messages["offset"][place]
                assert isinstance(offset, int)
                found[place] = Event(key, at, tuple(values), offset)
        return found

    def _judged(self, messages: Mapping[str, Sequence[object]]) -> tuple[pl.DataFrame, pl.DataFrame]:
        written = self._stream.payloads
        assert isinstance(written, Messages)
        # The same whenever the log is read.
        origin = {"_file": self._stream.topic, "_checksum": "", "_delivered": date.min, "_received_at": _EPOCH}
        table = written.of(columned(messages), self._said, written.asked(self._source.header))
        return judge_each(self._source, table, {**origin, "_site": self._stream.system})

    def _unfit(self, key: str | None, at: int | None, values: Sequence[float | None]) -> str | None:
        """Why a row that keeps the contract cannot be judged; None when it can."""
        if not key:
            return "no key"
        if at is None or not _FIRST <= at < _LAST:
            return "no time"
        return None if all(value is None or isfinite(value) for value in values) else "no number"
