"""The service of one stream: reads its topic, judges each event as it comes, tells what follows.

Alerts go out at once, and come on record every minute and a half, together with where the service is. After any end it
goes on from what is on record: it judges the same events again, finds the same alerts under the same ids, and delivers
those of which it does not know that they went through.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.errors import LakehouseError, UnavailableError
from lakehouse.feeds import FeedError
from lakehouse.feeds.kafka_client import Address
from lakehouse.feeds.registry import Registry
from lakehouse.judge import Judge
from lakehouse.lake import Lake
from lakehouse.rules import Alert
from lakehouse.streaming import Stream
from lakehouse.streaming.backlog import Backlog
from lakehouse.streaming.brokers import AnotherTopicError, Log
from lakehouse.streaming.events import Reader
from lakehouse.streaming.pulse import Pulse, give
from lakehouse.streaming.record import Record, State
from lakehouse.streaming.refusals import Refusal, keep
from lakehouse.streaming.sinks import Courier, Sink, Topic, Webhook

if TYPE_CHECKING:
    from confluent_kafka import Message

# Seconds between two commits; without alerts, where the service is comes on record less often. A source's feed pulls as
# often, so that the two, and the curated tables after them, add at most 120 versions an hour to the manifest.
COMMIT_SECONDS = 90.0
SPEAK_SECONDS = 30.0
_QUIET = 10
# With so many alerts that are not on record, reading waits until they are.
_MOST_UNRECORDED = 50_000
_LOOK_SECONDS = 60.0
_LAST_SECONDS = 5.0
_AGAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Addresses:
    """Where a stream's brokers and its webhook are: URLs with credentials, never to be printed."""

    brokers: str
    webhook: str | None = None


class Service:
    """A stream at work, from `run` until `stop` is set. Only `told` may be called from another thread."""

    def __init__(
        self,
        stream: Stream,
        lake: Lake,
        addresses: Addresses,
        tell: Callable[[str], None],
        commit_seconds: float = COMMIT_SECONDS,
    ) -> None:
        """tell: is given a line for people now and then. commit_seconds: how often alerts come on record."""
        self._stream, self._tell, self._every = stream, tell, commit_seconds
        address = Address.of(addresses.brokers, stream.system)
        # The client's own log has addresses in it.
        self._brokers = {**address.client, "log_level": 0}
        self._registry = Registry(address.registry, stream.system, address.ca) if address.registry else None
        self._webhook = addresses.webhook
        self._lake, self._record = lake, Record(lake, stream)
        self._reader = Reader(stream)
        self._counts = self._reader.counts
        # Messages that wait for the registry, and why; where reading was before them.
        self._held: list[Message] = []
        self._waits: str | None = None
        self._before: tuple[dict[int, int], dict[int, str]] = ({}, {})
        self._moved = datetime.now(UTC)
        self._judges: dict[int, Judge] = {}
        self._couriers: list[Courier] = []
        self._refused: list[Refusal] = []
        self._saving: Future[None] | None = None
        self._failed = False
        self._saved = State()
        self._log: Log | None = None

    def run(self, stop: threading.Event, *, once: bool = False) -> None:
        """Work until `stop` is set, or with `once` until all there is has been read; then put on record where it is.

        Raises UnavailableError when brokers or lake are not there to begin with, SupersededError when another service
        of the same stream is at work, LakehouseError otherwise; all that is on record stays in every case.
        AnotherTopicError, when the topic is made anew meanwhile: what was found in the old one is on record then.
        """
        state = self._record.load()
        if state.generation != self._stream.feed.generation:
            # Of another topic of this name.
            state = replace(state, positions={}, judges={}, prints={}, generation=self._stream.feed.generation)
        self._saved = state
        self._counts.update(state.counts)
        log = self._log = Log(self._stream.topic, self._brokers, self._lost)
        another: AnotherTopicError | None = None
        with closing(log), ThreadPoolExecutor(1, thread_name_prefix="record") as keeper:
            try:
                self._begin(log, state)
                try:
                    self._work(log, keeper, stop, once)
                except AnotherTopicError as error:
                    # Nobody can find again what was found in the topic that is gone. Nothing of the new one was judged.
                    another, log.trouble = error, str(error)
                    log.positions, log.prints = self._before
            finally:
                for courier in self._couriers:
                    courier.end(_LAST_SECONDS)
            if self._saving:
                self._saving.result()
            if self._unsaved(log):
                self._save(log, keeper).result()
                # Nobody else can put on record what was found in a topic that is gone.
                while another and self._failed and not stop.wait(_AGAIN_SECONDS):
                    self._save(log, keeper).result()
            if another and self._failed:
                another = AnotherTopicError(f"{another}; alerts that were found last are not on record")
            if another is None:
                log.look()
            # Behind those that were to be said before.
            keeper.submit(self._say, self._pulse(log, stopped=another is None)).result()
            if another:
                raise another
            self._tell(self.told() + "; stopped")

    def _begin(self, log: Log, state: State) -> None:
        for partition, saved in state.judges.items():
            self._judge(partition).restore(saved)
        # A partition that has no messages any more is followed all the same.
        log.follow(state.positions, state.prints)
        self._backlog = Backlog(state.ordinal, self._record.after)
        for sink in self._sinks():
            # A way out that is new begins with what comes from now on.
            courier = Courier(self._stream.name, sink, self._backlog, state.delivered.get(sink.name, state.ordinal))
            self._couriers.append(courier)
            courier.start()

    def _sinks(self) -> list[Sink]:
        sinks: list[Sink] = [Webhook(self._webhook)] if self._webhook else []
        topic = self._stream.alerts_topic
        return [*sinks, *([Topic(topic, self._brokers)] if topic else [])]

    def _judge(self, partition: int) -> Judge:
        if partition not in self._judges:
            stream = self._stream
            self._judges[partition] = Judge(
                stream.judged, partition, stream.rules, stream.lateness, stream.forget, stream.most_keys
            )
        return self._judges[partition]

    def _work(self, log: Log, keeper: ThreadPoolExecutor, stop: threading.Event, once: bool) -> None:
        committed = looked = spoke = time.monotonic()
        keeper.submit(self._say, self._pulse(log))
        while not stop.is_set():
            full = self._backlog.unrecorded >= _MOST_UNRECORDED
            if full:
                stop.wait(0.1)
            elif not self._take(log, stop) and once:
                log.look()
                if log.waiting == 0:
                    return
            now = time.monotonic()
            self._check()
            due = now - committed >= self._every * (1 if self._backlog.unrecorded else _QUIET)
            # When the lake has just failed, there is nothing to be had from asking sooner.
            if not self._saving and (due or (full and not self._failed)):
                committed = now
                if self._unsaved(log):
                    self._save(log, keeper)
            if now - looked >= _LOOK_SECONDS:
                looked = now
                self._look(log)
            if now - spoke >= SPEAK_SECONDS:
                spoke = now
                log.look()
                keeper.submit(self._say, self._pulse(log))
                self._tell(self.told())

    def _take(self, log: Log, stop: threading.Event) -> bool:
        """Read the messages that there are, and send out what follows from them; whether there were any."""
        if not self._held:
            self._before = dict(log.positions), dict(log.prints)
            self._held = log.next(0.1)
        if not self._held:
            self._moved = datetime.now(UTC) if log.trouble is None else self._moved
            return False
        try:
            columns = self._columns(self._held)
        except FeedError as error:
            # It says nothing of the messages: they wait, and all after them.
            self._waits = str(error)
            stop.wait(1.0)
            return True
        for partition, event in zip(columns["partition"], self._reader.read(columns), strict=True):
            if event and (alerts := self._judge(partition).see(event)):
                self._backlog.add(alerts)
        self._held, self._waits, self._moved = [], None, datetime.now(UTC)
        return True

    def _columns(self, messages: "list[Message]") -> dict[str, list[Any]]:
        """Messages in columns, as a feed has them. Raises FeedError when the registry does not answer."""
        values = [message.value() for message in messages]
        count, times = len(messages), [message.timestamp() for message in messages]
        return {
            "topic": [self._stream.topic] * count,
            "partition": [message.partition() for message in messages],
            "offset": [message.offset() for message in messages],
            # Of a kind that is 0 means that the broker has none.
            "timestamp": [moment if kind else None for kind, moment in times],
            "key": [message.key() for message in messages],
            "value": values,
            "headers": [None] * count,
            "schema": self._registry.schemas(values) if self._registry else [None] * count,
        }

    def _at(self, log: Log) -> tuple[dict[int, int], dict[int, str]]:
        """By partition, up to where messages have been judged, and the print of the last one."""
        return self._before if self._held else (dict(log.positions), dict(log.prints))

    def _check(self) -> None:
        """End with what ended a thread, but go on when the lake only was not there for a commit."""
        for courier in self._couriers:
            if courier.failure:
                raise LakehouseError(f"the way out {courier.sink.name} ended") from courier.failure
        if self._saving and self._saving.done():
            saving, self._saving = self._saving, None
            saving.result()

    def _unsaved(self, log: Log) -> bool:
        delivered = {courier.sink.name: courier.delivered for courier in self._couriers}
        return (self._at(log)[0], delivered, self._backlog.ordinal) != (
            self._saved.positions,
            self._saved.delivered,
            self._saved.ordinal,
        )

    def _save(self, log: Log, keeper: ThreadPoolExecutor) -> "Future[None]":
        """Put on record, in a thread of its own, the state as it is at this moment."""
        ordinal = self._backlog.ordinal
        delivered = {courier.sink.name: min(courier.delivered, ordinal) for courier in self._couriers}
        self._take_refused()
        positions, prints = self._at(log)
        state = State(
            ordinal,
            positions,
            {partition: judge.saved() for partition, judge in self._judges.items()},
            delivered,
            dict(self._counts),
            prints,
            self._stream.feed.generation,
        )
        packed, alerts = state.packed(), self._backlog.pending()
        self._saving = keeper.submit(self._keep, state, packed, alerts, self._refused.copy())
        return self._saving

    def _take_refused(self) -> None:
        """Take over from the couriers what was refused for good, and count it."""
        for courier in self._couriers:
            while courier.refused:
                self._refused.append(courier.refused.popleft())
                self._counts[f"refused by the {courier.sink.name}"] += 1

    def _keep(self, state: State, packed: bytes, alerts: list[tuple[int, Alert]], refused: list[Refusal]) -> None:
        name = self._stream.name
        try:
            # Before the state, which says that these need not be sent any more.
            if refused:
                keep(self._lake, name, refused)
            self._record.save(alerts, state.ordinal, packed)
        except UnavailableError as error:
            self._failed = True
            self._tell(f"{name}: {error}; alerts go out meanwhile, and it is tried again")
            return
        if refused:
            # Nobody else takes from its beginning.
            del self._refused[: len(refused)]
            why = ", ".join(sorted({one.why for one in refused}))
            self._tell(
                f"{name}: {len(refused):,} alerts were refused for good and set aside ({why}): alerts/{name} has them, "
                f"refused/{name} says which; have whoever receives them look why"
            )
        self._failed = False
        self._backlog.recorded(state.ordinal)
        self._saved = replace(state, judges={}, counts={}, prints={})

    def _look(self, log: Log) -> None:
        """Follow partitions that were added to the topic."""
        try:
            log.follow({})
        except LakehouseError as error:
            log.trouble = str(error)

    def _lost(self, partition: int, messages: int) -> None:
        self._counts["lost"] += messages
        self._tell(
            f"{self._stream.name}: {messages:,} messages of partition {partition} were gone before they were judged: "
            "the topic keeps them for too short a time, or the service was down for too long"
        )

    def _pulse(self, log: Log, *, stopped: bool = False) -> Pulse:
        """How it goes, for whoever looks from elsewhere."""
        positions, _ = self._at(log)
        return Pulse(
            datetime.now(UTC),
            self._moved,
            positions,
            self._stream.feed.generation,
            log.waiting,
            self._counted(),
            "; ".join(self._troubles()) or None,
            stopped,
        )

    def _say(self, pulse: Pulse) -> None:
        try:
            give(self._lake, self._stream.name, pulse)
        except UnavailableError as error:
            # That it is not heard shows wherever somebody looks.
            self._tell(f"{self._stream.name}: {error}")

    def _counted(self) -> dict[str, int]:
        """What became of all messages since the stream's first start."""
        total = Counter[str](events=0, alerts=0)
        for judge in self._judges.values():
            total.update(vars(judge.counts))
        total["keys forgotten"] = total.pop("forgotten", 0)
        counts = {name: total[name] for name in ("events", "alerts", "late", "again", "keys forgotten")}
        return {**counts, **dict(sorted(self._counts.items()))}

    def _troubles(self) -> list[str]:
        words = [self._log.trouble] if self._log and self._log.trouble else []
        words += [self._waits] if self._waits else []
        return words + [
            f"{courier.waiting:,} alerts wait: {courier.trouble}" for courier in self._couriers if courier.trouble
        ]

    def told(self) -> str:
        """A line on how it goes: counts since the stream's first start, and what is the matter."""
        counts = self._counted().items()
        words = [f"{number:,} {name}" for name, number in counts if number or name in ("events", "alerts")]
        if self._log:
            words += [f"{self._log.waiting:,} to read"] if self._log.waiting is not None else []
        return f"{self._stream.name}: " + ", ".join(words + self._troubles())
