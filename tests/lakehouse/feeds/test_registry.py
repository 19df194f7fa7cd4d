"""A schema comes with its messages; one that nobody knows is poison, and a registry that is down is a failure."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from feeds import broker, schemas
from feeds.schemas import Schemas, framed
from feeds.steps import house, pull, steps

from lakehouse.feeds import FeedError
from lakehouse.feeds.kafka_client import Address
from lakehouse.feeds.registry import Registry
from lakehouse.formats.payloads import JsonSchema

# What the registry of a test knows.
KNOWN: dict[int, object] = {}
FITS = {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.fixture
def registry() -> Iterator[Schemas]:
    KNOWN.clear()
    KNOWN[7] = FITS
    with schemas.serving(KNOWN) as one:
        yield one


def test_each_number_is_asked_for_once(registry: Schemas) -> None:
    with Registry(registry.url, "wristbands") as one:
        found = one.schemas([framed(7, b""), None, b"{}", framed(9, b""), framed(7, b"x"), framed(9, b"")])
    assert found == [json.dumps(FITS), None, None, None, json.dumps(FITS), None]
    assert registry.asked == [7, 9]


def test_a_registry_that_is_down_says_nothing_of_a_schema(registry: Schemas) -> None:
    registry.down = True
    with Registry(registry.url, "wristbands") as one:
        with pytest.raises(FeedError, match="answers 503"):
            one.schema(7)
        registry.down = False
        assert one.schema(7) == json.dumps(FITS)
    gone = Registry(f"http://u:s3cret@127.0.0.1:{broker.free_port()}", "wristbands")
    with gone, pytest.raises(FeedError, match="does not answer") as raised:
        gone.schema(7)
    assert "s3cret" not in str(raised.value)


def test_the_certificates_of_the_url_are_those_that_the_registry_is_trusted_by(tmp_path: Path) -> None:
    """As they are for the brokers."""
    certificate = schemas.signed(tmp_path)
    with schemas.serving({7: FITS}, certificate) as one:
        with Registry(one.url, "wristbands") as strange, pytest.raises(FeedError, match="does not answer"):
            strange.schema(7)
        where = Address.of(f"kafka://host:9092/?ca={quote(str(certificate))}&registry={quote(one.url)}", "wristbands")
        with Registry(str(where.registry), "wristbands", where.ca) as trusted:
            assert trusted.schema(7) == json.dumps(FITS)
    with Registry(one.url, "wristbands", str(tmp_path / "none")) as none, pytest.raises(FeedError, match="names a PEM"):
        none.schema(7)


def test_a_number_that_nobody_knew_is_asked_for_again(registry: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that runs for months meets schemas that were registered since."""
    with Registry(registry.url, "wristbands") as one:
        assert one.schemas([framed(9, b"")] * 2) == [None, None]
        KNOWN[9] = {}
        monkeypatch.setattr("lakehouse.feeds.registry.time.monotonic", lambda: 10.0**9)
        assert one.schema(9) == "{}"
    assert registry.asked == [9, 9]


def test_messages_wait_for_the_registry_and_unknown_schemas_for_a_replay(registry: Schemas, tmp_path: Path) -> None:
    with broker.serving() as kafka:
        topic = kafka.topic()
        kafka.produce(topic, [framed(7, b'{"n": 1}'), framed(9, b'{"n": 2}'), framed(7, b'{"n": "x"}')])
        one = house(tmp_path, topic, JsonSchema())
        url = kafka.url(registry=registry.url)
        registry.down = True
        assert "schema registry answers 503" in str(pull(one, url).trouble)
        registry.down = False
        assert pull(one, url).trouble is None
        assert steps(one) == [(0, 0, 1)]
        assert one.table("quarantine")["_line"].sort().to_list() == [2, 3]
        # Registered since, the message is mended by a replay of its day, and adds nothing else.
        KNOWN[9] = FITS
        assert pull(one, url, days=(datetime.now(UTC).date(),)).trouble is None
        assert steps(one) == [(0, 0, 1), (0, 1, 2)]
        assert one.unbalanced().is_empty()
