"""What a stream has on record: its alerts in a Delta table, each once, and how far it is.

A commit to `alerts/<name>` holds the alerts of a stretch of the log and names, as its application transaction, the file
`streams/<name>/<transaction>.zst` with the state after that stretch: positions, rules at work, what was delivered. The
file is written first, under a number nobody else takes, so that state and alerts come into effect together, whenever
whoever dies. Of two services that go on from the same state, only the first can commit.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import randbits
from typing import Any

import msgspec
import obstore
import polars as pl
import zstandard

from lakehouse import manifest
from lakehouse.errors import SupersededError, UnavailableError, unavailable
from lakehouse.lake import Change, Lake
from lakehouse.rules import Alert
from lakehouse.streaming import AlertRow, Stream

SCHEMA: dict[str, pl.DataType] = dict(AlertRow.create_empty().schema)
# A transaction is a count of commits and, in its last bits, what tells one attempt from another.
_BITS = 24
_ATTEMPTS = 5
Numbered = tuple[int, Alert]


@dataclass(frozen=True)
class State:
    """Where a stream is.

    ordinal: of its last alert. positions: by partition, the offset of the next message. judges: by partition, the rules
    at work. delivered: by way out, the ordinal of the last alert that went through. counts: by word, what became of
    messages that are no events. prints: by partition, what tells the message before the position from any other.
    generation: of the topic, that positions, judges and prints are of.
    """

    ordinal: int = 0
    positions: Mapping[int, int] = field(default_factory=dict)
    judges: Mapping[int, Any] = field(default_factory=dict)
    delivered: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    prints: Mapping[int, str] = field(default_factory=dict)
    generation: int = 0

    def packed(self) -> bytes:
        return zstandard.compress(msgspec.json.encode(self), 1)


class Record:
    """The record of one stream, as one service goes on from it. Raises UnavailableError when the lake fails."""

    def __init__(self, lake: Lake, stream: Stream) -> None:
        self._lake, self._stream = lake, stream
        self._app = f"streams/{stream.name}"
        self._at: int | None = None
        self._ordinal = 0
        # A commit that failed in words may have come through all the same: its transaction, and its last alert.
        self._unsure: tuple[int, int] | None = None
        self._shown = False

    def load(self) -> State:
        """The state that was committed last; an empty one before."""
        delta = self._lake.create(self._stream.table, SCHEMA)
        self._at = delta.transaction_version(self._app)
        if self._at is None:
            return State()
        try:
            packed = bytes(obstore.get(self._lake.store, self._file(self._at)).bytes())
        except FileNotFoundError:
            raise UnavailableError(
                f"{self._file(self._at)}, where stream {self._stream.name} is, is gone; its alerts are kept. Either "
                "another service has just gone on from it, or it has to be restored from a backup"
            ) from None
        except Exception as error:
            raise unavailable(error, f"the state of stream {self._stream.name} cannot be read") from error
        said = msgspec.json.decode(zstandard.decompress(packed))
        # States of earlier versions of this code have no prints.
        for name in ("positions", "judges", "prints"):
            said[name] = {int(partition): value for partition, value in said.get(name, {}).items()}
        state = State(**said)
        self._ordinal = state.ordinal
        return state

    def save(self, alerts: Sequence[Numbered], ordinal: int, packed: bytes) -> None:
        """Commit alerts and the packed state after them; `ordinal` is the state's.

        alerts: all since the last save that succeeded. Raises SupersededError when another service has gone on from the
        state that this one went on from: nothing was written, and this one has to end.
        """
        version = (((self._at or 0) >> _BITS) + 1) << _BITS | randbits(_BITS)
        for attempt in range(_ATTEMPTS):
            delta = self._lake.open(self._stream.table)
            if delta is None:
                raise UnavailableError(f"{self._stream.table} is gone; restore it from a backup, with streams/")
            there = delta.transaction_version(self._app)
            if self._unsure and there == self._unsure[0]:
                self._at, self._ordinal = self._unsure
                self._unsure = None
                return self.save(alerts, ordinal, packed)
            if there != self._at:
                raise SupersededError(
                    f"another lakehouse stream {self._stream.name} is at work on the same lake and has committed "
                    f"first; this one ends, and nothing of it is missing there. Run one of them"
                )
            new = [item for item in alerts if item[0] > self._ordinal]
            try:
                if not attempt:
                    obstore.put(self._lake.store, self._file(version), packed)
                self._unsure = (version, ordinal)
                at = self._lake.commit(delta, Change(_frame(new)), self._app, version)
            except SupersededError:
                # Housekeeping may have come in between; the next look tells whether it was another service.
                continue
            except UnavailableError:
                raise
            except Exception as error:
                raise unavailable(error, f"the state of stream {self._stream.name} cannot be kept") from error
            self._at, self._ordinal, self._unsure = version, ordinal, None
            self._show(at, bool(new))
            self._clear(version)
            return None
        raise UnavailableError(f"{self._stream.table} is being written by others all the time; it is tried again")

    def after(self, ordinal: int, limit: int) -> list[Numbered]:
        """The alerts on record that come after this one, in order, at most so many."""
        found = (
            self._lake.scan(self._stream.table, schema=SCHEMA)
            .filter(pl.col("ordinal") > ordinal, pl.col("ordinal") <= ordinal + limit)
            .sort("ordinal")
            .with_columns(pl.col("at", "first_at").dt.epoch("us"))
            .collect()
        )
        return [(row[0], Alert(*row[1:])) for row in found.iter_rows()]

    def _file(self, version: int) -> str:
        return f"streams/{self._stream.name}/{version}.zst"

    def _show(self, version: int, changed: bool) -> None:
        """Let readers of the manifest see this version of the table."""
        if self._shown and not changed:
            return
        table = self._stream.table
        # A later version is shown already: all the better.
        with suppress(SupersededError):
            manifest.record(self._lake, manifest.State(table, version, {table: version}, {}, ""))
        self._shown = True

    def _clear(self, version: int) -> None:
        """Remove the states before this one."""
        listed = obstore.list(self._lake.store, f"streams/{self._stream.name}").collect()
        numbers = {item["path"]: item["path"].rpartition("/")[2].removesuffix(".zst") for item in listed}
        if old := [path for path, number in numbers.items() if number.isdigit() and int(number) < version]:
            obstore.delete(self._lake.store, old)


def _frame(alerts: Sequence[Numbered]) -> pl.DataFrame:
    rows = [(ordinal, *alert) for ordinal, alert in alerts]
    return pl.DataFrame(rows, schema={**SCHEMA, "at": pl.Int64(), "first_at": pl.Int64()}, orient="row").with_columns(
        pl.from_epoch(name, "us").dt.replace_time_zone("UTC") for name in ("at", "first_at")
    )
