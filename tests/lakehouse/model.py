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

    @cached_property
    def usable(self) -> bool:
        """Whether it can govern its path."""
        accepted = [record for record in self.records if record.row]
        return self.refusal is None and (bool(accepted) or not self.records)


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
    """Everything that was ever delivered, and the tables that follow from it."""

    def __init__(self) -> None:
        self.paths: dict[str, list[Version]] = {}

    def see(self, path: str, data: bytes) -> None:
        """The landing folder was read while `path` held `data`."""
        versions = self.paths.setdefault(path, [])
        if not versions or versions[-1].data != data:
            versions.append(Version(path, len(versions) + 1, data))

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

        standing = {version: state for versions in self.paths.values() for version, state in _states(versions)}
        for version, state in standing.items():
            for record in version.records:
                tables["raw"][version.path, version.checksum, record.line] += 1
            if state == "replaced":
                heir = _heir(self.paths[version.path], version)
                for record in version.records:
                    told = (version.path, version.checksum, record.line, "replaced", version.path, heir.checksum, None)
                    tables["superseded"][told] += 1
                    count(version, "superseded")
                continue
            if version.refusal:
                tables["quarantine"][version.path, version.checksum, 0, frozenset([version.refusal]), None] += 1
            for record in version.records:
                if record.reasons:
                    quarantine(version, record, record.reasons)
                else:
                    assert record.row
                    keys.setdefault(record.row[:2], []).append((version, record))
        for rivals in keys.values():
            if len({version.site for version, _ in rivals}) > 1:
                for version, record in rivals:
                    quarantine(version, record, ("key:two_sites",))
                    told = (version.path, version.checksum, record.line, "contested", None, None, None)
                    tables["superseded"][told] += 1
                continue
            winner, best = max(rivals, key=lambda rival: (rival[0].day, rival[0].path.encode(), rival[1].line))
            for version, record in rivals:
                if record is best:
                    assert record.row
                    row = (*record.row, version.path, record.line, version.checksum, version.day, version.site)
                    tables["processed"][row] += 1
                    count(version, "accepted")
                else:
                    told = (version.path, version.checksum, record.line, "key", winner.path, winner.checksum, best.line)
                    tables["superseded"][told] += 1
                    count(version, "superseded")
        for version, state in standing.items():
            counts = fate.get((version.path, version.nth), Counter())
            row = (version.path, version.checksum, version.nth, version.day, version.site, len(version.data))
            fates = (counts["accepted"], counts["quarantined"], counts["superseded"])
            assert sum(fates) == len(version.records)
            tables["account"][*row, len(version.records), *fates, state, version.refusal is not None] += 1
        return tables


def _states(versions: list[Version]) -> list[tuple[Version, str]]:
    usable = [version for version in versions if version.usable]
    governing = usable[-1] if usable else None
    return [
        (version, "in effect" if version is governing else "rejected" if version is versions[-1] else "replaced")
        for version in versions
    ]


def _heir(versions: list[Version], replaced: Version) -> Version:
    later = versions[replaced.nth :]
    return next(version for version in later if version.usable) if replaced.usable else later[0]
