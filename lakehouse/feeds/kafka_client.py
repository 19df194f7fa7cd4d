"""Reaching a cluster that speaks Kafka's protocol: its address as the setting has it, and what its failures mean."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from lakehouse.feeds import FeedError

if TYPE_CHECKING:
    from confluent_kafka import Consumer

SECONDS = 20.0
_QUERY = {"registry", "mechanism", "tls", "ca"}
_ADVICE = {
    "_AUTHENTICATION": "it refuses these credentials: mend the user and password in the system's URL",
    "SASL_AUTHENTICATION_FAILED": "it refuses these credentials: mend the user and password in the system's URL",
    "_SSL": "no secure connection comes about: see whether it speaks TLS (?tls=off) and who signed for it (?ca=file)",
    "TOPIC_AUTHORIZATION_FAILED": "this user may not read the topic: have the right to read it granted",
    "GROUP_AUTHORIZATION_FAILED": "this user may not use the group: have the right to read it granted",
    "_MSG_TOO_LARGE": "a message is larger than a client can receive (2 GB): have the producer divide it",
}


@dataclass(frozen=True)
class Address:
    """Where a cluster is, from `kafka://user:password@host:9092,host:9092/?registry=...`.

    client: settings of a client of librdkafka. registry: the schema registry's URL, if there is one. ca: the file of
    certificates that both are trusted by.
    """

    client: dict[str, Any] = field(repr=False)
    registry: str | None = field(repr=False, default=None)
    ca: str | None = None

    @classmethod
    def of(cls, url: str, system: str) -> "Address":
        """A system's URL, taken apart. In its query, each value with `%` for what URLs do not hold: `registry`;
        `mechanism`, how a user is known (SCRAM-SHA-512); `tls`, `on` or `off` (on where there is a user); `ca`, a file
        of certificates to trust. Raises FeedError, which does not tell the URL.
        """
        parts = urlsplit(url)
        who, _, hosts = parts.netloc.rpartition("@")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.scheme != "kafka" or not hosts:
            raise FeedError(f"{system}: its URL is not kafka://host:port or kafka://user:password@host:port; set it so")
        if strange := sorted(query.keys() - _QUERY):
            raise FeedError(
                f"{system}: its URL asks for {', '.join(strange)}; what it can: {', '.join(sorted(_QUERY))}"
            )
        tls = query.get("tls", "on" if who else "off")
        if tls not in ("on", "off"):
            raise FeedError(f"{system}: tls in its URL is on or off")
        client: dict[str, Any] = {"bootstrap.servers": hosts}
        client["security.protocol"] = ("SASL_" if who else "") + ("SSL" if tls == "on" else "PLAINTEXT")
        if who:
            user, _, password = who.partition(":")
            mechanism = query.get("mechanism", "SCRAM-SHA-512")
            client |= {"sasl.mechanism": mechanism, "sasl.username": unquote(user), "sasl.password": unquote(password)}
        if "ca" in query:
            client["ssl.ca.location"] = query["ca"]
        return cls(client, query.get("registry"), query.get("ca"))


@contextmanager
def consuming(url: str, system: str, group: str, **settings: object) -> Iterator["Consumer"]:
    """A consumer of a system, for the block. What fails in it is told as a FeedError, in words without addresses."""
    from confluent_kafka import Consumer, KafkaError, KafkaException

    seen: list[str] = []
    ours = {
        "group.id": group,
        # Nobody but us says what we read, and how far we got is what is on record.
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        # A large message comes whole or not at all; a server may also answer with more than was asked for.
        "receive.message.max.bytes": 2_000_000_000,
        "queued.max.messages.kbytes": 32_768,
        "fetch.wait.max.ms": 50,
        "error_cb": lambda error: seen.append(error.name()),
        "logger": _silent(),
    }
    consumer = None
    try:
        consumer = Consumer({**Address.of(url, system).client, **ours, **settings})
        yield consumer
    except KafkaException as error:
        what = error.args[0] if error.args else None
        raise FeedError(failure(system, what.name() if isinstance(what, KafkaError) else "", seen)) from None
    finally:
        if consumer is not None:
            consumer.close()


def failure(system: str, name: str, seen: list[str] | tuple[str, ...] = ()) -> str:
    """What a failure means and what to do. name: of the error; seen: names of errors that came before it."""
    advice = next((_ADVICE[one] for one in (name, *seen) if one in _ADVICE), None)
    advice = advice or "see that it is up and that the system's URL names it"
    return (
        f"{system} could not be read ({name.strip('_') or 'no connection'}): {advice}; what was pulled before is kept"
    )


def _silent() -> logging.Logger:
    """librdkafka's own log, which has addresses in it, goes nowhere."""
    logger = logging.getLogger("lakehouse.kafka.client")
    logger.disabled = True
    return logger
