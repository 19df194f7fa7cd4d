"""Streams: events judged by rules as they come, within a fraction of a second.

The way in is the topic of a source, the ways out a topic, a webhook and a Delta table. The same messages come into the
lake by the source's feed, record by record; nothing here keeps them. What a message says, and whether it is one to
believe, the source tells to both.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta

import dataframely as dy
import polars as pl

from lakehouse.curated import Through
from lakehouse.errors import SourceError
from lakehouse.feeds.kafka import KafkaTopic
from lakehouse.formats.messages import Messages
from lakehouse.rules import Rule, fields
from lakehouse.source import Source

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
    """Rules on the messages of a source's topic, declared once. Raises SourceError when made in a way that cannot work.

    System, topic, payload and contract are the source's. A message that its contract rejects leads to no alert: it is
    counted here, and is in quarantine by the source's feed. Each is judged by itself, so a rule of the contract that
    holds records against each other has no place there. All messages of one key belong in one partition, as producers
    that send it as the message's key have it: each partition is judged by itself, in the order of its log.

    name: names the table `alerts/name`; lower snake case.
    source: what is judged; its feed is a `KafkaTopic`.
    key, time: columns of its contract: whom an event is about (text), and when it was (with a time zone).
    rules: what to look for in columns of numbers; where one is null, there is no reading for the rule.
    alerts_topic: the topic, at the same brokers, that alerts are sent to; None sends none.
    webhook: names the system that each alert is posted to, by its LAKEHOUSE_SYSTEM_<NAME>; None posts none.
    lateness: how far behind the newest event of its partition an event's time may be; later ones are only counted.
    ahead: an event whose time is so much after the broker's for its message is counted as ahead, and decides nothing:
        one wrong clock would make everyone else late.
    lag_limit: how long messages may wait, or the service be silent while they do, before a check fails; at least a
        minute.
    forget: a key that is silent for so long is forgotten. most_keys: so many are remembered for each partition.
    """

    name: str
    description: str
    owner: str
    source: Source
    key: str
    time: str
    rules: tuple[Rule, ...]
    alerts_topic: str | None = None
    webhook: str | None = None
    lateness: timedelta = timedelta(seconds=30)
    ahead: timedelta = timedelta(minutes=5)
    lag_limit: timedelta = timedelta(minutes=2)
    forget: timedelta = timedelta(days=1)
    most_keys: int = 100_000
    table: str = field(init=False)

    def __post_init__(self) -> None:
        for name in (self.name, *([self.webhook] if self.webhook is not None else [])):
            if not _NAME.fullmatch(name):
                raise SourceError(f"stream {self.name!r}: {name!r} is not lower snake case, as names and systems are")
        if not isinstance(self.source.feed, KafkaTopic) or not isinstance(self.payloads, Messages):
            raise SourceError(f"stream {self.name}: its source has to have a KafkaTopic and be written as Messages")
        if not self.rules:
            raise SourceError(f"stream {self.name}: without rules there is nothing to tell")
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SourceError(f"stream {self.name}: rules {twice} are declared twice; alerts are told by their names")
        if self.alerts_topic == self.topic:
            raise SourceError(f"stream {self.name}: alerts sent to {self.topic} would come back as events")
        self._check_columns()
        if self.lateness < timedelta(0) or self.ahead <= timedelta(0) or self.most_keys < 1:
            raise SourceError(f"stream {self.name}: lateness is 0 or more; ahead and most_keys are more than 0")
        if self.lag_limit < timedelta(minutes=1):
            raise SourceError(
                f"stream {self.name}: lag_limit is a minute or more: its service is heard every half minute"
            )
        if self.forget <= self.lateness:
            raise SourceError(f"stream {self.name}: forget must be longer than the lateness, {self.lateness}")
        object.__setattr__(self, "table", f"alerts/{self.name}")

    def _check_columns(self) -> None:
        kinds, read = self.source.contract.create_empty().schema, fields(self.rules)
        if own := {self.key, self.time} & set(read):
            raise SourceError(f"stream {self.name}: rules read {sorted(own)}, which is the key or the time of an event")
        if lacks := [name for name in (self.key, self.time, *read) if name not in kinds]:
            raise SourceError(f"stream {self.name}: the contract of {self.source.name} has no columns {lacks}")
        if wrong := [name for name in read if not kinds[name].is_numeric()]:
            raise SourceError(f"stream {self.name}: rules read {wrong}, which are no numbers in the contract")
        if kinds[self.key] != pl.String or kinds[self.time] != pl.Datetime("us", "UTC"):
            raise SourceError(f"stream {self.name}: its key is a column of text, its time one of moments in UTC")
        if lacks := [name for name in ("kafka_partition", "kafka_offset") if name not in self.source.header]:
            raise SourceError(
                f"stream {self.name}: source {self.source.name} needs columns {lacks}: alerts lead back by them"
            )
        if self.source.contract.primary_key():
            raise SourceError(f"stream {self.name}: a contract with a primary key holds records against each other")

    @property
    def through(self) -> Through:
        """The records that an alert is about, the first one and the one that decided: by their places in the topic."""
        places = """behind.kafka_offset in (cast(this.first_offset as varchar), cast(this."offset" as varchar))"""
        return Through(
            f"raw.{self.source.name}", f"""behind.kafka_partition = cast(this."partition" as varchar) and {places}"""
        )

    @property
    def feed(self) -> KafkaTopic:
        """Where the events come from."""
        assert isinstance(self.source.feed, KafkaTopic)
        return self.source.feed

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self.feed.topic

    @property
    def system(self) -> str:
        """Name of the brokers' system."""
        return self.feed.system

    @property
    def judged(self) -> str:
        """Names what alerts are made of, for their ids: offsets of a topic that was made anew are others."""
        return f"{self.name} {self.feed.stream(0)}" if self.feed.generation else self.name

    @property
    def payloads(self) -> object:
        """How messages are written."""
        return self.source.dialect_of(self.feed.system)
