"""What the thermometer's tables must hold, worked out in plain Python from the deliveries alone.

Written from the rules, not from the engine: dicts and loops over the whole history, nothing incremental or shared.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise

HEADER = ["SENSOR", "HOUR", "CELSIUS"]


@dataclass(frozen=True)
class Record:
    line: int
    text: str
    reasons: tuple[str, ...]
    row: tuple[str, int | None, str | None, float | None] | None


@dataclass(frozen=True)
class Version:
    """One delivery: the bytes a path held, `nth` of that path."""

    path: str
    nth: int
    data: bytes

    @property
    def site(self) -> str:
        return self.path.split("/")[0]

    @cached_property
    def checksum(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def day(self) -> date | None:
        found = re.search(r"_(\d{4})-(\d{2})-(\d{2})\.csv$", self.path)
        assert found
        try:
            return date(*map(int, found.groups()))
        except ValueError:
            return None

    @cached_property
    def refusal(self) -> str | None:
        """The reason for which the file is refused whole, whatever its records are."""
        if not self.data.strip():
            return "file:empty"
        try:
            text = self.data.decode()
        except UnicodeDecodeError:
            return "file:encoding"
        if self.day is None:
            return "file:day"
        return None if set(HEADER) <= set(text.splitlines()[0].split(",")) else "file:header"

    @cached_property
    def records(self) -> list[Record]:
        if self.refusal in {"file:empty", "file:encoding"}:
            return []
        lines = self.data.decode().split("\n")
        header = lines[0].split(",")
        found = []
        for number, text in enumerate(lines[1:], start=2):
            if not text:
                continue
            fields = next(csv.reader(io.StringIO(text)))
            if self.refusal:
                found.append(Record(number, text, (self.refusal,), None))
            elif len(fields) != len(header):
                found.append(
                    Record(number, text, (f"record:{'short' if len(fields) < len(header) else 'long'}",), None)
                )
            else:
                found.append(_judged(number, text, dict(zip(header, fields, strict=True))))
        return found


def _judged(line: int, text: str, fields: dict[str, str]) -> Record:
    sensor, hour_text, celsius_text = (fields[name] or None for name in HEADER)
    hour = int(hour_text) if hour_text and re.fullmatch(r"\d+", hour_text) else None
    celsius = float(celsius_text) if celsius_text and re.fullmatch(r"[+-]?\d+(\.\d+)?", celsius_text) else None
    reasons = []
    if sensor is None:
        reasons.append("sensor|nullability")
    if hour is not None and hour > 23:
        reasons.append("hour|max")
    if celsius is not None and celsius > 100:
        reasons.append("celsius|max")
    if celsius_text is not None and celsius is None:
        reasons.append("temperature_is_a_number")
    return Record(line, text, tuple(reasons), None if reasons else (str(sensor), hour, celsius_text, celsius))


class Model:
    """Everything that was ever delivered and withdrawn, and the tables that follow from it.

    snapshot: each file is all its site has. hottest: what the contract takes for a temperature, in degrees Celsius.
    """

    def __init__(self, *, snapshot: bool = False, hottest: float = 100) -> None:
        self.paths: dict[str, list[Version]] = {}
        self.seen_at: dict[str, int] = {}
        # By path, after how many of its versions it was withdrawn.
        self.withdrawn: dict[str, list[int]] = {}
        self.snapshot = snapshot
        self.hottest = hottest

    def see(self, path: str, data: bytes, time: int = 0) -> None:
        """The landing folder was read while `path` held `data`, last written at `time`."""
        versions = self.paths.setdefault(path, [])
        taken_back = len(versions) in self.withdrawn.get(path, [])
        sent_again = time != self.seen_at.get(path)
        if not versions or versions[-1].data != data or (taken_back and sent_again):
            versions.append(Version(path, len(versions) + 1, data))
        self.seen_at[path] = time

    def withdraw(self, path: str) -> None:
        """What `path` delivered until now no longer counts."""
        self.withdrawn.setdefault(path, []).append(len(self.paths[path]))

    def counting(self) -> list[str]:
        """Paths that hold something that could be withdrawn."""
        return [path for path, found in self.paths.items() if len(found) not in self.withdrawn.get(path, [])]

    def tables(self) -> dict[str, Counter[tuple[object, ...]]]:
        """raw, processed, quarantine, superseded and account, as multisets of rows."""
        tables: dict[str, Counter[tuple[object, ...]]] = {
            name: Counter() for name in ("raw", "processed", "quarantine", "superseded", "account")
        }
        fate: dict[tuple[str, int], Counter[str]] = {}
        keys: dict[tuple[str, int | None], list[tuple[Version, Record]]] = {}

        def count(version: Version, what: str) -> None:
            fate.setdefault((version.path, version.nth), Counter())[what] += 1

        def quarantine(version: Version, record: Record, reasons: tuple[str, ...]) -> None:
            row = (version.path, version.checksum, record.line, frozenset(reasons), record.text)
            tables["quarantine"][row] += 1
            count(version, "quarantined")

        standing: dict[Version, str] = {}
        heirs: dict[Version, Version | None] = {}
        # What took it back: the delivery of its path that replaced it, or the withdrawal after so many.
        ends_at: dict[Version, tuple[str, int]] = {}
        for path, versions in self.paths.items():
            ends = sorted({0, *self.withdrawn.get(path, []), len(versions)})
            for begin, end in pairwise(ends):
                era = versions[begin:end]
                for version, state in self._states(era):
                    closed = end in self.withdrawn.get(path, []) and state != "replaced"
                    standing[version] = "withdrawn" if closed else state
                    heir = heirs[version] = self._heir(era, version) if state == "replaced" else None
                    ends_at[version] = ("delivered", heir.nth) if heir else ("withdrawn", end)
        for version, state in standing.items():
            for record in version.records:
                tables["raw"][version.path, version.checksum, record.line] += 1
            if state in {"replaced", "withdrawn"}:
                heir = heirs[version]
                by = (version.path, heir.checksum) if heir else (None, None)
                ended = ends_at[version]
                for record in version.records:
                    told = (version.path, version.checksum, record.line, *self._key(record), state, *by, None, ended)
                    tables["superseded"][told] += 1
                    count(version, "superseded")
                continue
            if version.refusal:
                tables["quarantine"][version.path, version.checksum, 0, frozenset([version.refusal]), None] += 1
            for record in version.records:
                if reasons := self._reasons(record):
                    quarantine(version, record, reasons)
                else:
                    assert record.row
                    keys.setdefault(record.row[:2], []).append((version, record))
        newest = self._newest_snapshots(standing)
        for everyone in keys.values():
            rivals = []
            for site in {version.site for version, _ in everyone}:
                mine = [rival for rival in everyone if rival[0].site == site]
                winner, best = max(mine, key=_order)
                says = newest.get(site)
                if says is None or (winner.day, winner.path.encode()) >= (says.day, says.path.encode()):
                    rivals += mine
                    continue
                for version, record in mine:
                    vanished = record is best
                    by = (says.path, says.checksum, None) if vanished else (winner.path, winner.checksum, best.line)
                    kind = "vanished" if vanished else "key"
                    told = (version.path, version.checksum, record.line, *self._key(record), kind, *by, None)
                    tables["superseded"][told] += 1
                    count(version, "superseded")
            if not rivals:
                continue
            if len({version.site for version, _ in rivals}) > 1:
                for version, record in rivals:
                    quarantine(version, record, ("key:two_sites",))
                    where = (version.path, version.checksum, record.line, *self._key(record))
                    told = (*where, "contested", None, None, None, None)
                    tables["superseded"][told] += 1
                continue
            winner, best = max(rivals, key=_order)
            for version, record in rivals:
                if record is best:
                    assert record.row
                    row = (*record.row, version.path, record.line, version.checksum, version.day, version.site)
                    tables["processed"][row] += 1
                    count(version, "accepted")
                else:
                    where = (version.path, version.checksum, record.line, *self._key(record))
                    tables["superseded"][*where, "key", winner.path, winner.checksum, best.line, None] += 1
                    count(version, "superseded")
        for version, state in standing.items():
            counts = fate.get((version.path, version.nth), Counter())
            row = (version.path, version.checksum, version.nth, version.day, version.site, len(version.data))
            fates = (counts["accepted"], counts["quarantined"], counts["superseded"])
            assert sum(fates) == len(version.records)
            told = version.refusal is not None or state == "withdrawn"
            tables["account"][*row, len(version.records), *fates, state, told] += 1
        return tables

    def _reasons(self, record: Record) -> tuple[str, ...]:
        celsius = record.row[3] if record.row else None
        hot = celsius is not None and celsius > self.hottest
        return ("celsius|max",) if hot and not record.reasons else record.reasons

    def _key(self, record: Record) -> tuple[str | None, int | None]:
        """The key of a record that is good; of another nobody can tell."""
        return record.row[:2] if record.row and not self._reasons(record) else (None, None)

    def _usable(self, version: Version) -> bool:
        """Whether it can govern its path."""
        accepted = [record for record in version.records if not self._reasons(record)]
        return version.refusal is None and (bool(accepted) or not version.records)

    def _states(self, versions: list[Version]) -> list[tuple[Version, str]]:
        usable = [version for version in versions if self._usable(version)]
        governing = usable[-1] if usable else None
        return [
            (version, "in effect" if version is governing else "rejected" if version is versions[-1] else "replaced")
            for version in versions
        ]

    def _heir(self, versions: list[Version], replaced: Version) -> Version:
        later = versions[versions.index(replaced) + 1 :]
        if not self._usable(replaced):
            return later[0]
        return next(version for version in later if self._usable(version))

    def _newest_snapshots(self, standing: dict[Version, str]) -> dict[str, Version]:
        """By site, the newest file in effect of which every record is good."""
        found: dict[str, Version] = {}
        for version, state in standing.items():
            sound = version.records and not any(self._reasons(record) for record in version.records)
            if self.snapshot and state == "in effect" and sound and not version.refusal:
                rival = found.get(version.site)
                if rival is None or (version.day, version.path.encode()) > (rival.day, rival.path.encode()):
                    found[version.site] = version
        return found


def _order(rival: tuple[Version, Record]) -> tuple[date, bytes, int]:
    version, record = rival
    assert version.day
    return version.day, version.path.encode(), record.line
