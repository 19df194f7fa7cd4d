"""Streams: events judged by rules as they come, within a fraction of a second.

The way in is Kafka, the ways out a topic, a webhook and a Delta table. The same topic's messages come into the lake by
a feed of a source, on its own and record by record; nothing here keeps them.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta

import dataframely as dy

import lakehouse.feeds  # noqa: F401  keeps addresses out of logs
from lakehouse.errors import SourceError
from lakehouse.rules import Rule, fields

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class AlertRow(dy.Schema):
    """A row of `alerts/name`: something that a rule said of a key."""

    ordinal = dy.Int64(min=1, description="Counts a stream's alerts in the order they came on record.")
    id = dy.String(description="Names the alert: the same whenever the same log is judged.")
    rule = dy.String(description="Name of the rule.")
    says = dy.String(description="What the rule says, in words.")
    key = dy.String(description="Whom it is about.")
    at = dy.Datetime(
        time_unit="us",
        time_zone="UTC",
        description="Time of the event that decided; when a silence was too long.",
    )
    first_at = dy.Datetime(
        time_unit="us",
        time_zone="UTC",
        description="Time of the run's first event; of the last before a silence.",
    )
    value = dy.Float64(nullable=True, description="Value of the event that decided; null for a silence.")
    readings = dy.Int64(description="Events that the run had by then.")
    partition = dy.Int64(description="Partition of the topic.")
    first_offset = dy.Int64(description="Place of the first event in the partition's log.")
    offset = dy.Int64(description="Place of the event that decided.")


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A topic whose events are judged, declared once. Raises SourceError when made in a way that cannot work.

    Messages are JSON objects. All messages of one key belong in one partition, as producers that send it as the
    message's key have it: each partition is judged by itself, in the order of its log.

    name: names the table `alerts/name`; lower snake case. system: names the brokers; their address is the setting
    LAKEHOUSE_SYSTEM_<NAME>, credentials included.
    key, time: names in a message of whom it is about (text) and of its time (ISO 8601 text with a zone, or milliseconds
        since 1970 as a whole number).
    rules: what to look for; a field of theirs is a number, is null or is not there.
    alerts_topic: the topic, at the same brokers, that alerts are sent to; None sends none.
    webhook: names the system that each alert is posted to, by its LAKEHOUSE_SYSTEM_<NAME>; None posts none.
    lateness: how far behind the newest event of its partition an event's time may be; later ones are only counted.
    ahead: an event whose time is so much after the broker's for its message is counted as ahead, and decides nothing:
        one wrong clock would make everyone else late.
    forget: a key that is silent for so long is forgotten. most_keys: so many are remembered for each partition.
    """

    name: str
    description: str
    owner: str
    system: str
    topic: str
    key: str
    time: str
    rules: tuple[Rule, ...]
    alerts_topic: str | None = None
    webhook: str | None = None
    lateness: timedelta = timedelta(seconds=30)
    ahead: timedelta = timedelta(minutes=5)
    forget: timedelta = timedelta(days=1)
    most_keys: int = 100_000
    table: str = field(init=False)

    def __post_init__(self) -> None:
        for name in (self.name, self.system, *([self.webhook] if self.webhook is not None else [])):
            if not _NAME.fullmatch(name):
                raise SourceError(f"stream {self.name!r}: {name!r} is not lower snake case, as names and systems are")
        if not self.rules:
            raise SourceError(f"stream {self.name}: without rules there is nothing to tell")
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SourceError(f"stream {self.name}: rules {twice} are declared twice; alerts are told by their names")
        if self.alerts_topic == self.topic:
            raise SourceError(f"stream {self.name}: alerts sent to {self.topic} would come back as events")
        if own := {self.key, self.time} & set(fields(self.rules)):
            raise SourceError(f"stream {self.name}: rules read {sorted(own)}, which is the key or the time of an event")
        if self.lateness < timedelta(0) or self.ahead <= timedelta(0) or self.most_keys < 1:
            raise SourceError(f"stream {self.name}: lateness is 0 or more; ahead and most_keys are more than 0")
        if self.forget <= self.lateness:
            raise SourceError(f"stream {self.name}: forget must be longer than the lateness, {self.lateness}")
        object.__setattr__(self, "table", f"alerts/{self.name}")
