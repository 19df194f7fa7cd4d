"""Whether a stream is at work: its service says so, and when it is silent its brokers tell what waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import broker
import pytest
from rates import Receiver, declared, message, running, until

from lakehouse.lake import Lake
from lakehouse.streaming import Stream
from lakehouse.streaming.pulse import Pulse, Standing, give, last, look, looks
from lakehouse.streaming.service import Addresses

NOW = datetime.now(UTC)
LONG_AGO = int((NOW - timedelta(hours=1)).timestamp() * 1000)


@pytest.fixture
def stream(kafka: broker.Broker) -> Stream:
    return replace(declared(kafka.topic()), alerts_topic=None)


def test_a_service_says_how_it_goes_and_what_is_the_matter(
    kafka: broker.Broker, lake: Lake, stream: Stream, webhook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakehouse.streaming.service.SPEAK_SECONDS", 0.1)
    values = [message("a", at, 130) for at in range(2)]
    with running(stream, lake, Addresses(kafka.url(), webhook.url)):
        kafka.produce(stream.topic, [*values, b"{", message("a", 9, 999)])
        until(lambda: look(lake, stream, "").counts.get("rejected") == 1)
        until(lambda: look(lake, stream, "").events == 0)
        found = look(lake, stream, "")
        assert (found.state, found.seconds, found.trouble) == ("at work", 0.0, None)
        assert {name: found.counts[name] for name in ("events", "alerts", "poison")} == {
            "events": 2,
            "alerts": 1,
            "poison": 1,
        }
        webhook.status = 503
        kafka.produce(stream.topic, [message("b", 20 + at, 130) for at in range(2)])
        until(lambda: "the webhook answers 503" in str(look(lake, stream, "").trouble))
        webhook.status = 204
        until(lambda: look(lake, stream, "").trouble is None)
    pulse = last(lake, stream.name)
    assert pulse
    assert (pulse.stopped, pulse.positions) == (True, {0: 6})


def test_what_is_not_judged_while_the_service_is_at_work_is_told(lake: Lake, stream: Stream) -> None:
    give(lake, stream.name, Pulse(NOW, NOW - timedelta(minutes=5), {0: 1}, waiting=1200))
    found = look(lake, stream, "", NOW + timedelta(seconds=30))
    assert (found.state, found.events, found.seconds) == ("at work", 1200, 300.0)
    assert found.trouble == "for 300 s no message was judged, and 1,200 wait"


@pytest.mark.parametrize("stopped", [False, True])
def test_a_service_that_is_dead_is_told_when_messages_wait(
    kafka: broker.Broker, lake: Lake, stream: Stream, stopped: bool
) -> None:
    kafka.produce(stream.topic, [message("a", 0, 70)] * 3, timestamp=LONG_AGO)
    give(lake, stream.name, Pulse(NOW - timedelta(minutes=10), NOW, {0: 3}, stopped=stopped))
    found = look(lake, stream, kafka.url(), NOW)
    assert (found.state, found.events, found.trouble) == ("stopped" if stopped else "silent", 0, None)
    kafka.produce(stream.topic, [message("a", 0, 70)] * 2, timestamp=LONG_AGO)
    found = look(lake, stream, kafka.url(), NOW)
    assert (found.events, found.seconds, found.heard) == (2, 600.0, 600.0)
    assert found.trouble == (
        "its service has said nothing for 600 s, and 2 messages wait: start lakehouse stream rates"
    )
    # One that was stopped a moment ago is perhaps just being started anew.
    give(lake, stream.name, Pulse(NOW, NOW, {0: 3}, stopped=True))
    assert look(lake, stream, kafka.url(), NOW + timedelta(seconds=60)).trouble is None


def test_a_stream_that_never_ran_is_told_and_one_that_is_not_connected_is_not(
    kafka: broker.Broker, lake: Lake, stream: Stream
) -> None:
    assert looks(lake, [(stream, None)]) == [Standing("not connected: set LAKEHOUSE_SYSTEM_DEVICES")]
    kafka.produce(stream.topic, [message("a", 0, 70)], timestamp=LONG_AGO)
    [found] = looks(lake, [(stream, kafka.url())])
    assert found.state == "not started"
    assert "never ran, and 1 messages wait" in str(found.trouble)


def test_brokers_that_do_not_answer_are_told(lake: Lake, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse.feeds.kafka.SECONDS", 0.5)
    [found] = looks(lake, [(stream, f"kafka://127.0.0.1:{broker.free_port()}")])
    assert "devices could not be read" in str(found.trouble)
