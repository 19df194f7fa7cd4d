"""Judges the events of one partition, in the order of its log, by rules on each key.

Each event is judged as it comes, in its place by its own time among those of its key: events that are out of order by
no more than the allowed lateness are put where they belong, and the readings after them are judged again. So every run
that the readings have in order of time is told, at the latest when the last of its readings comes. An alert is not
taken back when an event comes in between afterwards: a run of which a part was told counts as told.

The watermark is the newest event time seen, less the allowed lateness. Behind it all is settled: an event from before
it is late, is counted, and decides nothing. A silence is told when the watermark has passed it.

Memory is bounded: a key keeps the readings that are not settled, at most `_MOST_READINGS`; a key that is silent for
`forget` is forgotten, and so are the longest silent ones when there are more than `most_keys`.
"""

import heapq
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from lakehouse.rules import MICROSECOND, Absence, Alert, Event, Reading, Rule, Run, fields, identity

_MOST_READINGS = 1000
# Time, place in the log, values, and the rules (as bits) of alerts that it was part of.
_Waiting = tuple[int, int, tuple[float | None, ...], int]


@dataclass
class Counts:
    """What became of the events of a partition. again: the same reading once more. forgotten: keys, not events."""

    events: int = 0
    late: int = 0
    again: int = 0
    alerts: int = 0
    forgotten: int = 0


@dataclass
class _Subject:
    """What is remembered of a key.

    waiting: readings that are not settled, by time and place. settled: for each rule on readings, the run up to them;
    head: the run after them. last: time and place of the newest settled event. silent: by rule on silence, whether the
    silence after `last` was told. due: its time in the list of reminders, never later than it has to be.
    """

    settled: list[Run]
    head: list[Run]
    silent: list[bool]
    waiting: list[_Waiting] = field(default_factory=list)
    last: tuple[int, int] | None = None
    due: int | None = None


class Judge:
    """The rules of a stream at work on one partition. Holds all its state; `saved` and `restore` carry it over."""

    def __init__(
        self,
        stream: str,
        partition: int,
        rules: tuple[Rule, ...],
        lateness: timedelta,
        forget: timedelta,
        most_keys: int,
    ) -> None:
        self.counts = Counts()
        self._stream, self._partition = stream, partition
        self._rules = [rule for rule in rules if isinstance(rule, Reading)]
        self._silences = [(rule, rule.after // MICROSECOND) for rule in rules if isinstance(rule, Absence)]
        self._fields = fields(rules)
        self._columns = [self._fields.index(rule.field) for rule in self._rules]
        self._lateness, self._forget, self._most_keys = lateness // MICROSECOND, forget // MICROSECOND, most_keys
        self._top: int | None = None
        self._subjects: dict[str, _Subject] = {}
        # When a key has to be looked at without an event of its own: `due` of each, among times that are no more.
        self._due: list[tuple[int, str]] = []

    @property
    def watermark(self) -> int | None:
        """Everything before it is settled, in microseconds since 1970 UTC; None before the first event."""
        return None if self._top is None else self._top - self._lateness

    def see(self, event: Event) -> list[Alert]:
        """Judge the next event of the log; the alerts that follow from it, in a fixed order."""
        self.counts.events += 1
        watermark = self.watermark
        subject = self._subjects.get(event.key)
        place = (event.at, event.offset)
        if (watermark is not None and event.at < watermark) or (subject and subject.last and place < subject.last):
            self.counts.late += 1
            return []
        alerts: list[Alert] = []
        if subject is None:
            subject = self._new(event)
        if not self._put(event, subject, alerts):
            self.counts.again += 1
            return []
        if self._top is None or event.at > self._top:
            self._top = event.at
        now = self._top - self._lateness
        self._settle(event.key, subject, now, alerts)
        self._remind(event.key, subject)
        self._pass(now, alerts)
        self.counts.alerts += len(alerts)
        return alerts

    def _new(self, event: Event) -> _Subject:
        if len(self._subjects) >= self._most_keys:
            self._make_room()
        runs = [Run.none() for _ in self._rules]
        subject = _Subject(runs, [run.copy() for run in runs], [False] * len(self._silences))
        self._subjects[event.key] = subject
        return subject

    def _put(self, event: Event, subject: _Subject, alerts: list[Alert]) -> bool:
        """Put an event in its place and judge what that changes; False when the same reading is there already."""
        waiting = subject.waiting
        place = len(waiting)
        if waiting and waiting[-1][0] >= event.at:
            place = bisect_right(waiting, event.at, key=lambda item: item[0])
            same = place
            while same and waiting[same - 1][0] == event.at:
                same -= 1
                if waiting[same][2] == event.values:
                    return False
        waiting.insert(place, (event.at, event.offset, event.values, 0))
        if place < len(waiting) - 1:
            subject.head = [run.copy() for run in subject.settled]
            for index in range(len(waiting)):
                self._judge(event.key, subject, index, alerts)
        else:
            self._judge(event.key, subject, place, alerts)
        return True

    def _judge(self, key: str, subject: _Subject, index: int, alerts: list[Alert] | None) -> None:
        """Take a waiting reading into the runs of `head`. alerts: None when what it leads to was told before."""
        at, offset, values, marks = subject.waiting[index]
        for bit, (rule, column, run) in enumerate(zip(self._rules, self._columns, subject.head, strict=True)):
            value = values[column]
            if value is None or not rule.step(run, at, offset, value, bool(marks >> bit & 1)) or alerts is None:
                continue
            alerts.append(self._alert(rule, key, at, value, run.readings, (run.first_at, run.first_offset), offset))
            run.told = True
            # Whatever comes in between later, a run that has one of these readings is known to be told.
            begun = subject.settled[bit]
            begun.told |= begun.readings > 0 and begun.first_offset == run.first_offset
            for earlier in range(index, -1, -1):
                when, where, same, told = subject.waiting[earlier]
                if (when, where) < (run.first_at, run.first_offset):
                    break
                subject.waiting[earlier] = (when, where, same, told | 1 << bit)

    def _settle(self, key: str, subject: _Subject, watermark: int, alerts: list[Alert]) -> None:
        """Settle the readings before the watermark, and any that are too many; tell the silences between and after."""
        waiting, done = subject.waiting, 0
        while done < len(waiting) and (waiting[done][0] < watermark or len(waiting) - done > _MOST_READINGS):
            at, offset, values, marks = waiting[done]
            for bit, (rule, column) in enumerate(zip(self._rules, self._columns, strict=True)):
                if (value := values[column]) is not None:
                    rule.step(subject.settled[bit], at, offset, value, bool(marks >> bit & 1))
            self._silence(key, subject, at, alerts)
            subject.last = (at, offset)
            subject.silent = [False] * len(self._silences)
            done += 1
        del waiting[:done]
        self._silence(key, subject, watermark, alerts)

    def _silence(self, key: str, subject: _Subject, until: int, alerts: list[Alert]) -> None:
        """Tell the silence from the last settled event until then, by each rule that it is too long for, once."""
        if subject.last is None:
            return
        at, offset = subject.last
        for index, (rule, after) in enumerate(self._silences):
            if until - at > after and not subject.silent[index]:
                subject.silent[index] = True
                alerts.append(self._alert(rule, key, at + after, None, 0, subject.last, offset))

    def _pass(self, watermark: int, alerts: list[Alert]) -> None:
        """Look at the keys whose time has come now that the watermark is here: tell their silence, or forget them."""
        while self._due and self._due[0][0] < watermark:
            when, key = heapq.heappop(self._due)
            subject = self._subjects.get(key)
            if subject is None or subject.due != when:
                continue
            # In the order in which keys are really due, whenever they were last looked at.
            if self._next(subject) == when:
                self._settle(key, subject, watermark, alerts)
                if not subject.waiting and subject.last and watermark - subject.last[0] > self._forget:
                    del self._subjects[key]
                    self.counts.forgotten += 1
                    continue
            subject.due = None
            self._remind(key, subject)

    def _remind(self, key: str, subject: _Subject) -> None:
        due = self._next(subject)
        if subject.due is None or due < subject.due:
            subject.due = due
            heapq.heappush(self._due, (due, key))

    def _next(self, subject: _Subject) -> int:
        """When a key has to be looked at again if nothing comes from it."""
        times = [subject.waiting[0][0] + after for _, after in self._silences] if subject.waiting else []
        if subject.last is not None:
            begun = subject.last[0]
            told = zip(self._silences, subject.silent, strict=True)
            times += [begun + after for (_, after), silent in told if not silent]
            times += [begun + self._forget] if not subject.waiting else []
        return min(times, default=subject.waiting[0][0] + self._forget if subject.waiting else 0)

    def _make_room(self) -> None:
        """Forget the tenth of the keys that has been silent for longest."""

        def newest(key: str) -> tuple[int, str]:
            subject = self._subjects[key]
            return (subject.waiting[-1][0] if subject.waiting else (subject.last or (0, 0))[0], key)

        gone = heapq.nsmallest(max(1, self._most_keys // 10), self._subjects, key=newest)
        for key in gone:
            del self._subjects[key]
        self.counts.forgotten += len(gone)
        self._due = [(subject.due, key) for key, subject in self._subjects.items() if subject.due is not None]
        heapq.heapify(self._due)

    def _alert(
        self, rule: Rule, key: str, at: int, value: float | None, readings: int, first: tuple[int, int], last: int
    ) -> Alert:
        name = identity(self._stream, rule, key, self._partition, first[1], last)
        return Alert(name, rule.name, rule.says, key, at, first[0], value, readings, self._partition, first[1], last)

    def saved(self) -> dict[str, Any]:
        """All of its state, as JSON has it."""
        return {
            "rules": [repr(rule) for rule in self._rules],
            "silences": [repr(rule) for rule, _ in self._silences],
            "fields": self._fields,
            "top": self._top,
            "counts": asdict(self.counts),
            "subjects": {
                key: [one.waiting, [list(vars(run).values()) for run in one.settled], one.silent, one.last]
                for key, one in self._subjects.items()
            },
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from a saved state, exactly there. A rule that is not declared as it was then begins anew."""
        self._top, self.counts = saved["top"], Counts(**saved["counts"])
        rules = _places([repr(rule) for rule in self._rules], saved["rules"])
        silences = _places([repr(rule) for rule, _ in self._silences], saved["silences"])
        columns = _places(self._fields, saved["fields"])
        for key, (waiting, settled, silent, last) in saved["subjects"].items():
            runs = [Run.none() if place is None else _run(settled[place]) for place in rules]
            subject = _Subject(
                runs,
                [run.copy() for run in runs],
                [place is not None and silent[place] for place in silences],
                [_carried(item, columns, rules) for item in waiting],
                None if last is None else (last[0], last[1]),
            )
            for index in range(len(subject.waiting)):
                self._judge(key, subject, index, None)
            self._subjects[key] = subject
            self._remind(key, subject)


def _places(names: Sequence[str], among: Sequence[str]) -> list[int | None]:
    """Where each name is among others; None where it is not."""
    return [among.index(name) if name in among else None for name in names]


def _carried(written: Sequence[Any], columns: Sequence[int | None], rules: Sequence[int | None]) -> _Waiting:
    """A saved reading, its values and marks where fields and rules have their places now."""
    at, offset, values, marks = written
    moved = sum((marks >> place & 1) << bit for bit, place in enumerate(rules) if place is not None)
    return at, offset, tuple(None if place is None else values[place] for place in columns), moved


def _run(written: Sequence[Any]) -> Run:
    readings, first_at, first_offset, told, lows, highs = written
    earlier = [[(at, value) for at, value in seen] for seen in (lows, highs)]
    return Run(readings, first_at, first_offset, told, *earlier)
