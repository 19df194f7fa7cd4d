"""The streaming service, with a real broker and a real receiver of a webhook."""

import io
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import broker
import fastavro
import pytest
import schemas
from confluent_kafka import Message, TopicPartition
from rates import (
    Receiver,
    Running,
    declared,
    expected,
    ids_on_record,
    in_topic,
    message,
    on_record,
    running,
    until,
)

from lakehouse import query
from lakehouse.errors import SupersededError, UnavailableError
from lakehouse.feeds import FeedError
from lakehouse.formats.payloads import Avro
from lakehouse.lake import Lake
from lakehouse.streaming import backlog
from lakehouse.streaming.brokers import AnotherTopicError, Log
from lakehouse.streaming.pulse import look
from lakehouse.streaming.record import Record
from lakehouse.streaming.refusals import Refusal, keep
from lakehouse.streaming.service import Addresses, Service

HIGH = [message("a", at, 130) for at in range(2)]


def url(kafka: broker.Broker) -> str:
    return kafka.url()


def topic(kafka: broker.Broker, partitions: int = 1) -> str:
    name = kafka.topic(partitions)
    kafka.topic(1, f"{name}-alerts")
    return name


def highs(number: int, begin: int = 0) -> list[bytes]:
    """Messages that give `number` alerts: of so many keys, two readings each that are too high."""
    return [message(f"k{begin + place}", at, 130) for place in range(number) for at in range(2)]


def test_an_alert_goes_to_table_topic_and_webhook(kafka: broker.Broker, lake: Lake, webhook: Receiver) -> None:
    stream = declared(topic(kafka, 2))
    log = {0: [*HIGH, message("c", 400, 70)], 1: [message("b", 0, 60), message("b", 1, 125)]}
    with running(stream, lake, Addresses(url(kafka), webhook.url)) as service:
        for partition, values in log.items():
            kafka.produce(stream.topic, values, partition)
        until(lambda: len(webhook.got) == 3)
        until(lambda: on_record(lake).height == 3)
    ids = expected(stream, log)
    assert len(ids) == 3
    assert ids_on_record(lake) == sorted(webhook.ids) == ids
    sent = in_topic(kafka.client, f"{stream.topic}-alerts")
    assert sorted(item["id"] for item in sent) == ids
    assert webhook.keys == [item["id"] for item in webhook.got]
    (high,) = [item for item in webhook.got if item["rule"] == "high"]
    assert {name: high[name] for name in ("stream", "key", "at", "value", "says")} == {
        "stream": "rates",
        "key": "a",
        "at": "2023-11-14T22:13:21+00:00",
        "value": 130.0,
        "says": "rate above 120 for 2 readings",
    }
    assert query.sql(lake, "select rule from alerts.rates order by rule")["rule"].to_list() == [
        "high",
        "jump",
        "silent",
    ]
    assert service.lines[-1].startswith("rates: 5 events, 3 alerts, 0 to read")


def test_a_restart_goes_on_where_it_was(kafka: broker.Broker, lake: Lake, webhook: Receiver) -> None:
    """Half of a run comes before the stop, half after; nothing is delivered twice after an orderly stop."""
    stream = declared(topic(kafka))
    where = Addresses(url(kafka), webhook.url)
    kafka.produce(stream.topic, [*highs(1), HIGH[0]])
    with running(stream, lake, where) as service:
        until(lambda: len(webhook.got) == 1 and " 3 events" in service.service.told())
    kafka.produce(stream.topic, [HIGH[1]])
    with running(stream, lake, where) as service:
        until(lambda: len(webhook.got) == 2)
    assert service.lines[-1].startswith("rates: 4 events, 2 alerts")
    with running(stream, lake, where):
        pass
    assert ids_on_record(lake) == sorted(item["id"] for item in webhook.got)
    assert len(in_topic(kafka.client, f"{stream.topic}-alerts")) == 2


def test_poison_late_and_ahead_events_are_counted(kafka: broker.Broker, lake: Lake) -> None:
    stream = replace(declared(topic(kafka)), most_keys=1)
    naive, text = b'{"who": "a", "at": "2024-01-01"}', b'{"who": "a", "at": 1, "rate": "x"}'
    late, ahead = message("a", 50, 130), message("a", 9e9, 130)
    bad = [b"\xff", b"[]", b'{"who": 1}', naive, text, None]
    kafka.produce(stream.topic, [*bad, message("a", 100, 70), late, ahead, message("a", 100, 70)])
    with running(stream, lake, Addresses(url(kafka))) as service:
        until(lambda: "1 again" in service.service.told())
    kafka.produce(stream.topic, [message("a", 101, 130), message("a", 102, 130), message("b", 103, 70)])
    with running(stream, lake, Addresses(url(kafka))) as service:
        until(lambda: on_record(lake).height == 2 and " 6 events" in service.service.told())
    told = service.lines[-1]
    for words in ("6 events", "1 late", "1 again", "1 keys forgotten", "1 ahead", "3 poison", "3 rejected"):
        assert f" {words}," in told


def test_what_the_contract_rejects_raises_no_alert(kafka: broker.Broker, lake: Lake, webhook: Receiver) -> None:
    """And what no clock can have shown ends nothing, whatever comes of it."""
    stream = declared(topic(kafka))
    early = [b'{"who": "c", "at": "0001-01-01T00:00:0%d+14:00", "rate": 130}' % at for at in range(3)]
    kafka.produce(stream.topic, [*early, message("a", 0, 501), message("a", 1, 501), *highs(1)])
    with running(stream, lake, Addresses(url(kafka), webhook.url)) as service:
        until(lambda: len(webhook.got) == 1)
    assert on_record(lake)["key"].to_list() == ["k0"]
    assert "2 rejected, 3 unfit: no time," in service.lines[-1]


def test_messages_with_schemas_wait_for_their_registry(
    kafka: broker.Broker, lake: Lake, webhook: Receiver, tmp_path: Path
) -> None:
    """As in batches: what it does not know is poison, and while it is down nothing is passed over, nor after a stop."""
    fields = [{"name": "who", "type": "string"}, {"name": "at", "type": "string"}, {"name": "rate", "type": "double"}]
    schema = {"type": "record", "name": "Rate", "fields": fields}

    def avro(number: int, who: str) -> list[bytes]:
        made = []
        for at in range(2):
            with io.BytesIO() as stream:
                rate = {"who": who, "at": f"2024-01-01T00:00:0{at}Z", "rate": 130.0}
                fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), rate)
                made.append(schemas.framed(number, stream.getvalue()))
        return made

    certificate = schemas.signed(tmp_path)
    with schemas.serving({7: schema}, certificate) as registry:
        stream = declared(topic(kafka), Avro())
        where = Addresses(kafka.url(registry=quote(registry.url), ca=quote(str(certificate))), webhook.url)
        kafka.produce(stream.topic, [*avro(7, "a"), *avro(9, "x"), *avro(7, "b")])
        registry.down = True
        with running(stream, lake, where) as service:
            until(lambda: "registry answers 503" in service.service.told())
        assert not webhook.got
        with running(stream, lake, where) as service:
            until(lambda: "registry answers 503" in service.service.told())
            registry.down = False
            until(lambda: len(webhook.got) == 2)
    assert [item["key"] for item in webhook.got] == ["a", "b"]
    assert "4 events, 2 alerts, 2 poison, 0 to read" in service.lines[-1]


def test_a_webhook_that_is_down_stops_nothing(
    kafka: broker.Broker, lake: Lake, webhook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table and the topic go on, memory holds a few, and all is delivered in order when it is back."""
    monkeypatch.setattr(backlog, "_KEPT", 5)
    stream = declared(topic(kafka))
    webhook.status = 503
    with running(stream, lake, Addresses(url(kafka), webhook.url)) as service:
        kafka.produce(stream.topic, highs(300))
        until(lambda: on_record(lake).height == 300)
        until(lambda: webhook.refused > 0)
        webhook.down()
        kafka.produce(stream.topic, highs(300, begin=300))
        until(lambda: on_record(lake).height == 600)
        until(lambda: len(in_topic(kafka.client, f"{stream.topic}-alerts")) == 600)
        until(lambda: service.service._backlog.unrecorded == 0)
        assert len(service.service._backlog._held) == 5
        webhook.status = 200
        webhook.up()
        until(lambda: len(webhook.got) >= 600)
    assert [item["id"] for item in webhook.got] == on_record(lake)["id"].to_list()


def test_with_too_many_alerts_that_are_not_on_record_reading_waits(
    kafka: broker.Broker, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds them all, so their number is bounded."""
    monkeypatch.setattr("lakehouse.streaming.service._MOST_UNRECORDED", 10)
    real, free = Record.save, threading.Event()

    def save(self: Record, *given: Any) -> None:
        free.wait(60)
        real(self, *given)

    monkeypatch.setattr(Record, "save", save)
    stream = declared(topic(kafka))
    with running(stream, lake, Addresses(url(kafka))) as service:
        waits: list[float] = []
        monkeypatch.setattr(service.stop, "wait", waits.append)
        kafka.produce(stream.topic, highs(10))
        until(lambda: " 10 alerts" in service.service.told())
        kafka.produce(stream.topic, highs(10, begin=10))
        until(lambda: len(waits) > 100, "it waits")
        assert service.service.told().startswith("rates: 20 events, 10 alerts")
        free.set()
        until(lambda: on_record(lake).height == 20)


def test_many_alerts_come_on_record_before_their_time(
    kafka: broker.Broker, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakehouse.streaming.service._MOST_UNRECORDED", 10)
    stream = declared(topic(kafka))
    with running(stream, lake, Addresses(url(kafka)), 3600) as service:
        kafka.produce(stream.topic, highs(10))
        until(lambda: on_record(lake).height == 10)
        kafka.produce(stream.topic, highs(15, begin=10))
        until(lambda: service.service.told().startswith("rates: 50 events, 25 alerts"))
        until(lambda: on_record(lake).height >= 20)


def test_a_lake_that_fails_is_not_asked_again_and_again(
    kafka: broker.Broker, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakehouse.streaming.service._MOST_UNRECORDED", 10)
    asked: list[tuple[Any, ...]] = []

    def save(*given: Any) -> None:
        asked.append(given)
        raise UnavailableError("no room on the disk")

    stream = declared(topic(kafka))
    with running(stream, lake, Addresses(url(kafka)), 3600) as service:
        monkeypatch.setattr(Record, "save", save)
        kafka.produce(stream.topic, highs(20))
        until(lambda: bool(asked))
        waits: list[float] = []
        monkeypatch.setattr(service.stop, "wait", waits.append)
        until(lambda: len(waits) > 1000)
        assert len(asked) == 1
        monkeypatch.undo()


def test_what_a_webhook_missed_comes_with_the_next_start(kafka: broker.Broker, lake: Lake, webhook: Receiver) -> None:
    stream = declared(topic(kafka))
    webhook.status = 500
    kafka.produce(stream.topic, highs(20))
    with running(stream, lake, Addresses(url(kafka), webhook.url)) as service:
        until(lambda: on_record(lake).height == 20 and webhook.refused > 0)
    assert "20 alerts wait: the webhook answers 500" in service.lines[-1]
    assert "secret" not in " ".join(service.lines)
    webhook.status = 200
    with running(stream, lake, Addresses(url(kafka), webhook.url)):
        until(lambda: len(webhook.got) == 20)
    assert len(in_topic(kafka.client, f"{stream.topic}-alerts")) == 20


def test_what_a_webhook_refuses_for_good_is_set_aside_on_record(
    kafka: broker.Broker, lake: Lake, webhook: Receiver
) -> None:
    """It holds up nothing behind it, and is not sent again; the alert stays in the table."""
    stream = declared(topic(kafka))
    webhook.odd = "k1"
    kafka.produce(stream.topic, highs(3))
    where = Addresses(url(kafka), webhook.url)
    for _ in range(2):
        with running(stream, lake, where) as service:
            until(lambda: len(webhook.got) == 2 and on_record(lake).height == 3)
    assert (webhook.refused, [item["key"] for item in webhook.got]) == (1, ["k0", "k2"])
    assert "1 refused by the webhook" in service.lines[-1]
    joined = "select key, way, why from refused.rates join alerts.rates using (id)"
    assert query.sql(lake, joined).rows() == [("k1", "webhook", "the webhook answers 400")]
    known = [Refusal(*row) for row in query.sql(lake, "select * from refused.rates").rows()]
    keep(lake, "rates", [*known, *known])
    assert query.sql(lake, "select * from refused.rates").height == 1


def test_an_alert_too_large_for_its_topic_holds_up_nothing(kafka: broker.Broker, lake: Lake) -> None:
    stream = declared(kafka.topic(1, max_message_bytes="10000000"))
    kafka.topic(1, stream.alerts_topic)
    kafka.produce(stream.topic, [message("x" * 1_100_000, at, 130) for at in range(2)], key=b"x")
    kafka.produce(stream.topic, highs(1))
    with running(stream, lake, Addresses(url(kafka))):
        until(lambda: on_record(lake).height == 2)
        until(lambda: len(in_topic(kafka.client, f"{stream.topic}-alerts")) == 1)
    assert query.sql(lake, "select way from refused.rates").rows() == [("topic",)]


def test_messages_of_50_mb_are_judged_like_any_other(kafka: broker.Broker, lake: Lake, webhook: Receiver) -> None:
    """Whether they keep the contract or are poison; those before and after them raise their alerts."""
    stream = declared(kafka.topic(1, max_message_bytes="100000000"))
    kafka.topic(1, stream.alerts_topic)
    much = b"x" * 50_000_000
    large = message("a", 1, 130)[:-1] + b', "much": "' + much + b'"}'
    log = [*highs(1), message("a", 0, 130), large, much, *highs(1, begin=1)]
    kafka.produce(stream.topic, log)
    with running(stream, lake, Addresses(url(kafka), webhook.url)) as service:
        until(lambda: len(webhook.got) == 3)
    assert [item["key"] for item in webhook.got] == ["k0", "a", "k1"]
    assert ids_on_record(lake) == sorted(webhook.ids)
    assert len(in_topic(kafka.client, f"{stream.topic}-alerts")) == 3
    assert service.lines[-1].startswith("rates: 6 events, 3 alerts, 1 poison, 0 to read")


def test_a_second_service_gives_up_and_the_table_stays_exact(kafka: broker.Broker, lake: Lake) -> None:
    stream = declared(topic(kafka))
    where = Addresses(url(kafka))
    kafka.produce(stream.topic, highs(10))
    slow = Running(stream, lake, where, commit_seconds=1e6)
    until(lambda: " 10 alerts" in slow.service.told())
    with running(stream, lake, where):
        until(lambda: on_record(lake).height == 10)
    kafka.produce(stream.topic, highs(10, begin=10))
    until(lambda: " 20 alerts" in slow.service.told())
    with pytest.raises(SupersededError, match="another lakehouse stream rates is at work"):
        slow.end()
    assert on_record(lake).height == 10
    with running(stream, lake, where):
        until(lambda: on_record(lake).height == 20)
    assert on_record(lake)["ordinal"].to_list() == list(range(1, 21))
    assert on_record(lake)["id"].n_unique() == 20


def test_partitions_that_are_added_are_followed(
    kafka: broker.Broker, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakehouse.streaming.service._LOOK_SECONDS", 0.1)
    stream = declared(topic(kafka))
    with running(stream, lake, Addresses(url(kafka))):
        kafka.produce(stream.topic, highs(1))
        until(lambda: on_record(lake).height == 1)
        kafka.widen(stream.topic, 2)
        kafka.produce(stream.topic, highs(1, begin=1), partition=1)
        until(lambda: on_record(lake).height == 2)


def test_messages_that_are_gone_are_told(kafka: broker.Broker, lake: Lake) -> None:
    stream = declared(topic(kafka))
    kafka.produce(stream.topic, [message("a", 0, 70)])
    with running(stream, lake, Addresses(url(kafka))) as service:
        until(lambda: " 1 events" in service.service.told())
    kafka.produce(stream.topic, [message("b", place, 70) for place in range(9)])
    kafka.expire(stream.topic, {0: 6})
    with running(stream, lake, Addresses(url(kafka))) as service:
        until(lambda: " 5 events" in service.service.told())
    assert "5 messages of partition 0 were gone" in service.lines[0]
    assert "5 lost" in service.lines[-1]


def test_messages_that_are_gone_of_a_partition_that_was_added_meanwhile_are_told(
    kafka: broker.Broker, lake: Lake
) -> None:
    stream = declared(topic(kafka))
    kafka.produce(stream.topic, [message("a", 0, 70)])
    # What was gone before the first start is no loss.
    kafka.expire(stream.topic, {0: 1})
    with running(stream, lake, Addresses(url(kafka))) as service:
        kafka.produce(stream.topic, [message("a", 1, 70)])
        until(lambda: " 1 events" in service.service.told())
    assert not any("gone" in line for line in service.lines)
    kafka.widen(stream.topic, 2)
    kafka.produce(stream.topic, [message("b", place, 70) for place in range(9)], partition=1)
    kafka.expire(stream.topic, {1: 6})
    with running(stream, lake, Addresses(url(kafka))) as service:
        until(lambda: " 4 events" in service.service.told())
    assert "6 messages of partition 1 were gone" in service.lines[0]


@pytest.mark.parametrize(
    ("again", "words"), [(0, "ends at 0, and was read up to 6"), (5, "another message at offset 5")]
)
def test_a_topic_that_was_made_anew_is_refused(kafka: broker.Broker, lake: Lake, again: int, words: str) -> None:
    """Whether it holds fewer messages than were read, or more."""
    stream = declared(topic(kafka))
    kafka.produce(stream.topic, highs(3))
    with running(stream, lake, Addresses(url(kafka))):
        until(lambda: on_record(lake).height == 3)
    kafka.drop(stream.topic)
    kafka.topic(1, stream.topic)
    kafka.produce(stream.topic, highs(again, begin=50))
    refused = Running(stream, lake, Addresses(url(kafka)), 1)
    refused.join()
    with pytest.raises(UnavailableError, match=words):
        refused.end()
    assert on_record(lake).height == 3
    # One word at the source says to the feed and to the rules that it is another topic.
    feed = replace(stream.feed, generation=1)
    kafka.produce(stream.topic, highs(1, begin=99))
    with running(replace(stream, source=replace(stream.source, feed=feed)), lake, Addresses(url(kafka))):
        until(lambda: on_record(lake).height == 3 + again + 1)
    assert on_record(lake)["id"].n_unique() == 3 + again + 1


@pytest.mark.parametrize("again", [1, 3, 5])
def test_a_topic_that_is_deleted_at_work_is_told_and_a_new_one_of_its_name_is_refused(
    kafka: broker.Broker, lake: Lake, webhook: Receiver, monkeypatch: pytest.MonkeyPatch, again: int
) -> None:
    """Whether it holds fewer messages than were read, as many, or more. What was found before comes on record."""
    monkeypatch.setattr("lakehouse.streaming.service.SPEAK_SECONDS", 0.1)
    stream = declared(topic(kafka))
    # Nothing is put on record by the clock: what waits for that is lost with the topic, or else it is not.
    service = Running(stream, lake, Addresses(url(kafka), webhook.url), 3600)
    kafka.produce(stream.topic, highs(3))
    until(lambda: len(webhook.got) == 3)
    kafka.drop(stream.topic)
    gone = f"topic {stream.topic} is gone"
    until(lambda: gone in service.service.told() and gone in str(look(lake, stream, "").trouble))
    assert look(lake, stream, "").state == "at work"
    kafka.topic(1, stream.topic)
    kafka.produce(stream.topic, highs(again, begin=50))
    service.join()
    with pytest.raises(AnotherTopicError, match=f"partition 0 of topic {stream.topic} .* the topic was made anew"):
        service.end()
    assert "the topic was made anew" in service.service.told()
    assert "the topic was made anew" in str(look(lake, stream, "").trouble)
    found = on_record(lake)
    assert (found["key"].to_list(), found["id"].to_list()) == (["k0", "k1", "k2"], [item["id"] for item in webhook.got])
    # Nor is it taken for the same by whoever starts the service again.
    later = Running(stream, lake, Addresses(url(kafka), webhook.url), 1)
    later.join()
    with pytest.raises(AnotherTopicError):
        later.end()
    assert (len(webhook.got), on_record(lake).height) == (3, 3)


@pytest.mark.parametrize("comes_back", [True, False])
def test_what_was_found_in_a_topic_that_is_gone_is_put_on_record_once_the_lake_is_back(
    kafka: broker.Broker, lake: Lake, webhook: Receiver, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    stream, away, real = declared(topic(kafka)), [False], Record.save

    def save(*asked: Any) -> None:
        if away[0]:
            raise UnavailableError("the lake is away")
        real(*asked)

    monkeypatch.setattr("lakehouse.streaming.service._AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(Record, "save", save)
    service = Running(stream, lake, Addresses(url(kafka), webhook.url), 3600)
    kafka.produce(stream.topic, highs(3))
    until(lambda: len(webhook.got) == 3)
    away[0] = True
    kafka.drop(stream.topic)
    until(lambda: "is gone" in service.service.told())
    kafka.topic(1, stream.topic)
    kafka.produce(stream.topic, highs(1, begin=50))
    until(lambda: sum("the lake is away" in line for line in service.lines) > 2)
    if comes_back:
        away[0] = False
        service.join()
    with pytest.raises(AnotherTopicError, match="the topic was made anew") as told:
        service.end()
    assert ("found last are not on record" in str(told.value)) == (not comes_back)
    away[0] = False
    assert on_record(lake).height == (3 if comes_back else 0)


def stopped(one: broker.Broker) -> None:
    assert one.process is not None
    one.process.terminate()
    one.process.wait()


def test_brokers_that_come_back_with_another_topic_are_noticed(tmp_path: Path) -> None:
    """It has grown past what was read by then."""
    port = broker.free_port()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with broker.started(port, tmp_path / "one") as first:
        first.produce(first.topic(1, "rates"), highs(3))
        with closing(Log("rates", {**first.client, "log_level": 0}, lambda *_: None)) as log:
            log.follow({})
            until(lambda: bool(log.next(0.1)) or log.positions == {0: 6})
            stopped(first)
            until(lambda: not log.next(0.1) and log.trouble is not None)
            with broker.started(port, tmp_path / "other") as second:
                second.produce(second.topic(1, "rates"), highs(5, begin=50))
                with pytest.raises(AnotherTopicError, match="the topic was made anew"):
                    until(lambda: bool(log.next(0.1)))


def test_a_broker_that_is_gone_while_a_position_is_looked_for_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has said that a position is out of range, and then nobody answers what the range is."""
    monkeypatch.setattr("lakehouse.streaming.brokers._SOON_SECONDS", 0.2)
    port = broker.free_port()
    with broker.started(port, tmp_path) as first:
        first.produce(first.topic(1, "rates"), highs(3))
        with closing(Log("rates", {**first.client, "log_level": 0}, lambda *_: None)) as log:
            log.follow({})
            until(lambda: bool(log.next(0.1)) or log.positions == {0: 6})
            log._consumer.incremental_unassign([TopicPartition("rates", 0)])
            log._consumer.incremental_assign([TopicPartition("rates", 0, 99)])
            until(lambda: not log.next(0.1) and bool(log._adrift))
            stopped(first)
            assert log.next(0.1) == log.next(0.1) == []
            assert "the brokers do not answer" in str(log.trouble)
            with broker.started(port, tmp_path) as second:
                second.produce("rates", highs(1, begin=3))
                found: list[Message] = []
                until(lambda: bool(found.extend(log.next(0.1)) or len(found) == 2))
            assert [message.offset() for message in found] == [6, 7]


def test_a_broker_that_restarts_is_waited_for(lake: Lake, tmp_path: Path, webhook: Receiver) -> None:
    (tmp_path / "kafka").mkdir()
    port = broker.free_port()
    with broker.started(port, tmp_path / "kafka") as first:
        stream = declared(topic(first))
        one = Running(stream, lake, Addresses(url(first), webhook.url), 0.2)
        first.produce(stream.topic, highs(5))
        until(lambda: len(webhook.got) == 5)
        stopped(first)
    until(lambda: "the brokers do not answer" in one.service.told())
    with broker.started(port, tmp_path / "kafka") as second:
        second.produce(stream.topic, highs(5, begin=5))
        until(lambda: len(webhook.ids) == 10)
        until(lambda: "do not answer" not in one.service.told())
        one.end()
        assert ids_on_record(lake) == sorted(webhook.ids)
        assert {item["id"] for item in in_topic(second.client, f"{stream.topic}-alerts")} == webhook.ids


def test_what_is_not_there_is_told_in_words(kafka: broker.Broker, lake: Lake) -> None:
    for where, words in ((url(kafka), "is its name right"), ("kafka://127.0.0.1:1", "the brokers do not answer")):
        service = Running(declared("nowhere"), lake, Addresses(where), 1)
        service.join()
        with pytest.raises(UnavailableError, match=words):
            service.end()


@pytest.mark.parametrize("written", ["http://host", "kafka://", "host:9092", "kafka://u:hidden@host:1?x=1"])
def test_addresses_are_checked_and_never_told(lake: Lake, written: str) -> None:
    with pytest.raises(FeedError, match="devices: its URL") as told:
        Service(declared("rates"), lake, Addresses(written), print)
    assert "hidden" not in str(told.value)


def test_an_address_is_written_as_for_feeds(lake: Lake) -> None:
    where = "kafka://me:p%40ss@one:9092,two:9092/?mechanism=PLAIN&registry=https%3A%2F%2Fregistry"
    found = Service(declared("rates"), lake, Addresses(where), print)._brokers
    assert found["bootstrap.servers"] == "one:9092,two:9092"
    assert (found["security.protocol"], found["sasl.username"], found["sasl.password"]) == ("SASL_SSL", "me", "p@ss")


def test_a_lake_that_fails_for_a_while_delays_only_the_table(
    kafka: broker.Broker, lake: Lake, webhook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst of failures: the commit came through, and was told as one that did not."""
    stream = declared(topic(kafka))
    real, failing = Lake.commit, True

    def commit(self: Lake, delta: object, *args: object, **named: object) -> int:
        at = real(self, delta, *args, **named)  # type: ignore[arg-type]
        if failing and "alerts" in delta.table_uri:  # type: ignore[attr-defined]
            raise UnavailableError("the lake is away")
        return at

    monkeypatch.setattr(Lake, "commit", commit)
    with running(stream, lake, Addresses(url(kafka), webhook.url)) as service:
        kafka.produce(stream.topic, highs(10))
        until(lambda: len(webhook.got) == 10 and "the lake is away" in " ".join(service.lines))
        kafka.produce(stream.topic, highs(10, begin=10))
        until(lambda: len(webhook.got) == 20)
        failing = False
    assert on_record(lake)["ordinal"].to_list() == list(range(1, 21))
    assert ids_on_record(lake) == sorted(webhook.ids)
