"""Ways out of a stream: a webhook and a topic, each alert at least once and in order, under its stable id.

Each way has a thread of its own, so that one that is down stops neither the others nor the judging; what it has not
delivered waits in the backlog, of which memory holds a bounded part.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from lakehouse.errors import LakehouseError, UnavailableError
from lakehouse.feeds.http import client
from lakehouse.rules import Alert
from lakehouse.streaming.backlog import Backlog
from lakehouse.streaming.record import Numbered
from lakehouse.streaming.refusals import Refusal

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_BATCH = 200
_SECONDS = 10.0
_LONGEST_PAUSE = 30.0
# Answers that speak of the alert itself: the same alert would be refused for ever, and the next one need not be. What
# speaks of the address, of who asks or of the receiver's state (401, 404, 429, 500) is mended, and tried until then.
_FOR_GOOD = {400, 409, 413, 422}


class Letter(NamedTuple):
    """An alert to be delivered, written."""

    ordinal: int
    id: str
    key: str
    body: bytes


def written(stream: str, alert: Alert) -> bytes:
    """An alert as JSON: what an alert has, times as ISO 8601 in UTC, and the stream's name. Raises ValueError and
    OverflowError for a time of no year from 1 to 9999.
    """
    times = {name: _iso(getattr(alert, name)) for name in ("at", "first_at")}
    return msgspec.json.encode({"stream": stream, **alert._asdict(), **times})


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000).isoformat()


class Done(Protocol):
    """Told of an alert that it is done with. refused: why it did not go through, and never will."""

    def __call__(self, ordinal: int, refused: str | None = None) -> None: ...


class Sink(Protocol):
    """A way out."""

    name: str

    def deliver(self, letters: Sequence[Letter], done: "Done") -> None:
        """Send alerts in order; `done` is told the number of each that went through, or was refused for good, and why.

        Raises UnavailableError, saying what is the matter, when one does not go through for now.
        """

    def close(self) -> None: ...


class Webhook:
    """Posts each alert to a URL, over one connection that is kept. Any 2xx answer is taken for a receipt,
    400, 409, 413 and 422 for a refusal of this one alert.
    """

    name = "webhook"

    def __init__(self, url: str) -> None:
        import httpx

        self._url = url
        self._client = client(
            timeout=_SECONDS, limits=httpx.Limits(max_connections=1, keepalive_expiry=300), trust_env=False
        )

    def deliver(self, letters: Sequence[Letter], done: Done) -> None:
        import httpx

        for ordinal, name, _, body in letters:
            # Who receives can tell by the key that it has an alert already.
            headers = {"Content-Type": "application/json", "Idempotency-Key": name}
            try:
                answer = self._client.post(self._url, content=body, headers=headers)
            except httpx.HTTPError as error:
                raise UnavailableError(f"the webhook does not answer ({type(error).__name__})") from None
            except httpx.InvalidURL:
                raise UnavailableError("the webhook's address is no URL") from None
            if answer.is_success:
                done(ordinal)
            elif answer.status_code in _FOR_GOOD:
                done(ordinal, f"the webhook answers {answer.status_code}")
            else:
                raise UnavailableError(f"the webhook answers {answer.status_code}")

    def close(self) -> None:
        self._client.close()


class Topic:
    """Produces each alert to a topic, under the alert's key, so that the alerts of one key stay in order."""

    name = "topic"

    def __init__(self, topic: str, brokers: dict[str, Any]) -> None:
        from confluent_kafka import Producer

        self._topic = topic
        # One at a time: what is tried again would come after what was sent behind it.
        waits = {"linger.ms": 0, "acks": "all", "message.timeout.ms": int(_SECONDS * 1000), "max.in.flight": 1}
        self._producer = Producer({**brokers, **waits})

    def deliver(self, letters: Sequence[Letter], done: Done) -> None:
        from confluent_kafka import KafkaException

        failed: dict[int, str] = {}
        sent: set[int] = set()

        def told(ordinal: int) -> Callable[["KafkaError | None", "Message"], None]:
            def tell(error: "KafkaError | None", _: "Message") -> None:
                if error is None:
                    sent.add(ordinal)
                else:
                    failed[ordinal] = error.name()

            return tell

        for ordinal, _, key, body in letters:
            try:
                self._producer.produce(self._topic, body, key=key.encode(), on_delivery=told(ordinal))
            except KafkaException as error:
                failed[ordinal] = error.args[0].name()
        self._producer.flush(_SECONDS + 5)
        for ordinal, *_ in letters:
            if ordinal in sent:
                done(ordinal)
            elif failed.get(ordinal) == "MSG_SIZE_TOO_LARGE":
                done(ordinal, "the alert is larger than the alerts' topic takes")
            else:
                raise UnavailableError(f"the alerts' topic takes nothing ({failed.get(ordinal, 'no answer')})")

    def close(self) -> None:
        self._producer.purge()
        self._producer.flush(1)


class Courier(threading.Thread):
    """Delivers a stream's backlog by one way out, again and again until each alert went through or was refused for
    good. An alert that cannot be written is one that is refused.

    delivered: the number of the last alert that it is done with. refused: what was refused, for the service to take and
    put on record. trouble: why the next one does not go through, in words; None while it does.
    """

    def __init__(self, stream: str, sink: Sink, backlog: Backlog, delivered: int) -> None:
        super().__init__(name=f"courier {sink.name}", daemon=True)
        self._stream, self.sink, self.delivered = stream, sink, delivered
        self.trouble: str | None = None
        self.failure: Exception | None = None
        self.refused: deque[Refusal] = deque()
        self._backlog, self._ending, self._pause = backlog, threading.Event(), 0.0

    @property
    def waiting(self) -> int:
        """How many alerts it has to deliver."""
        return self._backlog.ordinal - self.delivered

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                self._deliver()
        except Exception as error:  # noqa: BLE001 told to whoever runs the service, in whose thread it ends it
            self.failure = error
        finally:
            self.sink.close()

    def _deliver(self) -> None:
        try:
            if alerts := self._backlog.after(self.delivered, _BATCH, wait=1.0):
                ids = {ordinal: alert.id for ordinal, alert in alerts}

                def done(ordinal: int, refused: str | None = None) -> None:
                    if refused:
                        # First: what is delivered comes on record no sooner than what was refused of it.
                        self.refused.append(Refusal(ids[ordinal], self.sink.name, refused, datetime.now(UTC)))
                    self.delivered, self.trouble, self._pause = ordinal, None, 0.0

                letters = self._letters(alerts)
                if letters:
                    self.sink.deliver(letters, done)
                else:
                    done(alerts[0][0], "the alert cannot be written")
        except LakehouseError as error:
            self.trouble = str(error)
            self._pause = min(_LONGEST_PAUSE, max(0.1, self._pause * 2))
            self._ending.wait(self._pause * random.uniform(0.5, 1))

    def _letters(self, alerts: Sequence[Numbered]) -> list[Letter]:
        """The alerts up to one that cannot be written."""
        letters = []
        for ordinal, alert in alerts:
            try:
                letters.append(Letter(ordinal, alert.id, alert.key, written(self._stream, alert)))
            except (ValueError, OverflowError):
                break
        return letters

    def end(self, seconds: float) -> None:
        """Stop: what it is at may take so long, what it then has not delivered waits for the next start."""
        self._ending.set()
        self._backlog.wake()
        self.join(seconds)
