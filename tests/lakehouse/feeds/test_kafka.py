"""What is produced is in processed once, whatever happens to the topic, its messages and whoever reads them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from feeds import broker
from feeds.broker import Broker
from feeds.steps import house, pull, source, steps
from house import House

from lakehouse.feeds import Extract, FeedError, Lag, Part, Reached, kafka_reading, pulling
from lakehouse.feeds.kafka import KafkaTopic
from lakehouse.feeds.kafka_client import consuming
from lakehouse.feeds.kafka_reading import Span
from lakehouse.formats import messages

MOST = 10**7


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    with broker.serving() as one:
        yield one


def ns(*numbers: int) -> list[bytes]:
    return [json.dumps({"n": number}).encode() for number in numbers]


def ends(**streams: int) -> Reached:
    return Reached({stream: f"{end:020}" for stream, end in streams.items()})


def pulled(kafka: Broker, topic: str, reached: Reached | None = None, **feed: object) -> list[Part]:
    one = source(topic, **feed)
    assert one.feed
    return [extract.part for extract in one.feed.pull(kafka.url(), one, reached or Reached(), MOST)]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from feeds.steps import house
from lakehouse.feeds import pulling
one = house(Path(sys.argv[2]), sys.argv[3])
left = [int(sys.argv[5])]
def say(_):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
pulling.pull(one.lake, one.source, one.landing, sys.argv[4], one.clock, 3000, (), say)
"""


def test_a_consumer_that_is_killed_leaves_no_gap_and_no_double(kafka: Broker, tmp_path: Path) -> None:
    """The truth is the log of what was produced."""
    topic = kafka.topic(2)
    log = [(at, offset, offset) for at in range(2) for offset in kafka.produce(topic, ns(*range(200)), at)]
    one = house(tmp_path, topic)
    for after in (1, 3, 5):
        words = [str(Path(__file__).parents[1]), str(tmp_path), topic, kafka.url(), str(after)]
        died = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, *words], check=False)
        assert died.returncode == -signal.SIGKILL
        if after == 3:
            one.run()
    assert pull(one, kafka.url(), 3000).trouble is None
    assert steps(one) == log
    account = one.table("account")
    assert account["records"].sum() == len(log)
    assert one.unbalanced().is_empty()


def test_a_pull_adds_one_version_to_each_table_however_many_files_it_lands(kafka: Broker, tmp_path: Path) -> None:
    topic = kafka.topic(3)
    one = house(tmp_path, topic)
    for at in range(3):
        kafka.produce(topic, ns(0), at)
    pull(one, kafka.url())
    before = {table: version(one, table) for table in one.lake.tables()}
    for at in range(3):
        kafka.produce(topic, ns(*range(1, 50)), at)
    assert pull(one, kafka.url()).extracts == 3
    assert {table: version(one, table) for table in before} == {table: at + 1 for table, at in before.items()}


def version(one: House, table: str) -> int:
    delta = one.lake.open(table)
    assert delta
    return delta.version()


def test_a_replay_adds_nothing_twice_and_passes_over_nothing(kafka: Broker, tmp_path: Path) -> None:
    topic, today = kafka.topic(1), datetime.now(UTC).date()
    noon = datetime.now(UTC).replace(hour=12)
    before = [int((noon - timedelta(days=days)).timestamp() * 1000) for days in (2, 1)]
    kafka.produce(topic, ns(*range(10)), timestamp=before[0])
    one = house(tmp_path, topic)
    pull(one, kafka.url())
    kafka.produce(topic, ns(10), timestamp=before[0])
    kafka.produce(topic, ns(11), timestamp=before[1])
    # One day is all new, with something between that was not pulled yet; the other is mostly known.
    assert pull(one, kafka.url(), days=(today - timedelta(days=1),)).extracts == 1
    assert steps(one) == [(0, n, n) for n in (*range(10), 11)]
    kafka.produce(topic, ns(12))
    assert pull(one, kafka.url()).trouble is None
    assert steps(one) == [(0, n, n) for n in range(13)]
    assert pull(one, kafka.url(), days=(today - timedelta(days=2),)).extracts == 1
    assert steps(one) == [(0, n, n) for n in range(13)]
    assert one.unbalanced().is_empty()
    past = (today - timedelta(days=400),)
    assert "has no messages of these days" in str(pull(one, kafka.url(), days=past).trouble)


def test_a_replay_is_not_cut_short_by_the_time_of_a_pull(kafka: Broker) -> None:
    """A pull that ends early has a next one that goes on; a replay has none."""
    topic, today = kafka.topic(2), datetime.now(UTC).date()
    for at in range(2):
        kafka.produce(topic, ns(*range(30)), at)
    one = source(topic, most_seconds=1e-9)
    assert one.feed
    extracts = list(one.feed.replay(kafka.url(), one, Reached(), [today], 1000))
    read = {(row["partition"], row["offset"]) for one in extracts for row in rows(one)}
    assert read == {(at, offset) for at in range(2) for offset in range(30)}


def rows(extract: Extract) -> Iterator[dict[str, object]]:
    return messages.received(extract.data).iter_rows(named=True)


def test_a_look_at_the_lag_reads_no_delivery(kafka: Broker) -> None:
    """Only a pull has to know the topic again by the last message that it read."""
    topic = kafka.topic(1)
    kafka.produce(topic, ns(1, 2))
    asked: list[str] = []
    one = source(topic)
    assert one.feed
    reached = Reached({"p0": f"{0:020}"}, asked.append)
    assert one.feed.lag(kafka.url(), one, reached).events == 1
    assert asked == []
    assert len(list(one.feed.pull(kafka.url(), one, reached, MOST))) == 1
    assert asked == ["p0"]


def test_partitions_together_hold_no_more_than_asked(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is of all partitions at a time, however many there are."""
    topic, most, held, greatest = kafka.topic(8), 5000, dict[int, int](), [0]
    for at in range(8):
        kafka.produce(topic, [b"x" * 200] * 40, at)
    taken = kafka_reading._add

    def add(part: kafka_reading.Held, message: object) -> int:
        size = taken(part, message)
        held[part.partition] = part.size
        greatest[0] = max(greatest[0], sum(held.values()))
        return size

    monkeypatch.setattr(kafka_reading, "_add", add)
    spans, limits = [kafka_reading.Span(at, 0, 40) for at in range(8)], kafka_reading.Limits(most, 10**6)
    count = 0
    with consuming(kafka.url(), "wristbands", "tests") as consumer:
        for part in kafka_reading.read(consumer, topic, spans, limits, pytest.fail):
            count += len(part.columns["offset"])
            del held[part.partition]
    assert count == 8 * 40
    # With the one message that was too much.
    assert most <= greatest[0] < most + 400


def test_parts_follow_each_other_and_hold_no_more_than_asked(kafka: Broker) -> None:
    topic = kafka.topic(1)
    kafka.produce(topic, ns(*range(1000)))
    parts = pulled(kafka, topic, most_records=300)
    assert [int(part.end) for part in parts] == [299, 599, 899, 999]
    assert int(parts[0].begin) == 0
    assert all(int(after.begin) == int(before.end) + 1 for before, after in pairwise(parts))


def test_markers_of_transactions_are_passed_over_and_what_was_aborted_is_not_read(
    kafka: Broker, tmp_path: Path
) -> None:
    topic = kafka.topic(1)
    # Not by one producer: the server tells who begins to read later of its aborts that were over by then.
    producer, other = (kafka.producer(**{"transactional.id": f"{topic}-{name}"}) for name in "ab")
    producer.init_transactions(30)
    other.init_transactions(30)
    for by, value, end in (
        (producer, 1, producer.commit_transaction),
        (other, 2, other.abort_transaction),
        (producer, 3, producer.commit_transaction),
    ):
        by.begin_transaction()
        by.produce(topic, ns(value)[0], partition=0)
        by.flush(30)
        end(30)
    one = house(tmp_path, topic)
    pull(one, kafka.url())
    assert [n for _, _, n in steps(one)] == [1, 3]
    assert not lag(one, kafka).any
    producer.begin_transaction()
    producer.produce(topic, ns(4)[0], partition=0)
    producer.flush(30)
    assert pull(one, kafka.url()) == pulling.Pulled()
    producer.commit_transaction(30)
    assert pull(one, kafka.url()).trouble is None
    assert [n for _, _, n in steps(one)] == [1, 3, 4]


def lag(one: House, kafka: Broker) -> Lag:
    assert one.source.feed
    return one.source.feed.lag(kafka.url(), one.source, pulling.reached(one.lake, one.source, one.landing))


def test_lag_counts_what_waits_and_for_how_long(kafka: Broker, tmp_path: Path) -> None:
    topic = kafka.topic(2)
    long_ago = int((datetime.now(UTC) - timedelta(hours=2)).timestamp() * 1000)
    kafka.produce(topic, ns(1, 2), 0, timestamp=long_ago)
    kafka.produce(topic, ns(3), 1)
    one = house(tmp_path, topic)
    found = lag(one, kafka)
    assert (found.events, found.bytes) == (3, sum(map(len, ns(1, 2, 3))))
    assert found.about
    assert 7200 <= (found.seconds or 0) < 9000
    pull(one, kafka.url())
    found = lag(one, kafka)
    assert (found.events, found.bytes, found.any) == (0, 0, False)
    kafka.produce(topic, ns(*range(100, 800)), 0, key=b"some")
    found = lag(one, kafka)
    assert (found.events, found.bytes) == (700, 700 * (len(ns(100)[0]) + 4))


def test_messages_that_retention_took_are_counted_and_reading_stops(kafka: Broker, tmp_path: Path) -> None:
    topic = kafka.topic(2)
    kafka.produce(topic, ns(*range(4)))
    one = house(tmp_path, topic)
    pull(one, kafka.url())
    kafka.produce(topic, ns(*range(4, 20)))
    kafka.produce(topic, ns(7), 1)
    kafka.expire(topic, {0: 15})
    said = str(pull(one, kafka.url()).trouble)
    assert "partition 0 lost offsets 4 to 14 (11)" in said
    assert "on_loss" in said
    assert "(11)" in str(lag(one, kafka).trouble)
    # The other partition is read all the same.
    assert steps(one) == [*((0, n, n) for n in range(4)), (1, 0, 7)]
    on = house(tmp_path, topic, on_loss="go on")
    assert "reading went on with offset 15" in str(pull(on, kafka.url()).trouble)
    assert steps(on) == [*((0, n, n) for n in (*range(4), *range(15, 20))), (1, 0, 7)]
    assert pull(on, kafka.url()).trouble is None


def test_what_retention_took_of_a_partition_that_was_empty_or_not_there_is_told(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = kafka.topic(3)
    # What was gone before anything was read is no loss, and no reason to stop.
    kafka.produce(topic, ns(*range(4)), 2)
    kafka.expire(topic, {2: 4})
    kafka.produce(topic, ns(1))
    one = house(tmp_path, topic)
    assert pull(one, kafka.url()).trouble is None
    # Nothing is read for that with each look, as long as nothing waits there.
    with monkeypatch.context() as patched:
        patched.setattr(messages, "about", lambda _: pytest.fail("a delivery was read"))
        assert lag(one, kafka).trouble is None
    kafka.produce(topic, ns(*range(20)), 1)
    kafka.produce(topic, ns(7), 2)
    kafka.widen(topic, 4)
    kafka.produce(topic, ns(*range(9)), 3)
    kafka.expire(topic, {1: 15, 3: 2})
    said = str(pull(one, kafka.url()).trouble)
    assert "partition 1 lost offsets 0 to 14 (15)" in said
    assert "partition 3 lost offsets 0 to 1 (2)" in said
    assert "partition 2" not in said
    assert "(15)" in str(lag(one, kafka).trouble)
    assert steps(one) == [(0, 0, 1), (2, 4, 7)]
    on = house(tmp_path, topic, on_loss="go on")
    assert "reading went on with offset 15" in str(pull(on, kafka.url()).trouble)
    assert pull(on, kafka.url()).trouble is None
    rest = [*((1, n, n) for n in range(15, 20)), (2, 4, 7), *((3, n, n) for n in range(2, 9))]
    assert steps(on) == [(0, 0, 1), *rest]


class Refusing:
    """Stands for a consumer whom a cluster does not let read, or does not answer: no broker of the tests can."""

    def __init__(self, error: int | None) -> None:
        self._error = error

    def assign(self, _places: object) -> None: ...

    def consume(self, _most: int, timeout: float) -> list[Any]:
        time.sleep(timeout)
        if self._error is None:
            return []
        error = KafkaError(self._error)
        return [SimpleNamespace(partition=lambda: 0, error=lambda: error)]

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        assert timeout > 0
        assert self._error is not None
        return [SimpleNamespace(partition=one.partition, offset=-1001, error=KafkaError(self._error)) for one in asked]


@pytest.mark.parametrize(
    ("error", "words"), [(KafkaError.TOPIC_AUTHORIZATION_FAILED, "TOPIC_AUTHORIZATION_FAILED"), (None, "TIMED_OUT")]
)
def test_a_topic_that_may_not_be_read_has_a_lag_that_says_so(
    monkeypatch: pytest.MonkeyPatch, error: int | None, words: str
) -> None:
    monkeypatch.setattr("lakehouse.feeds.kafka.SECONDS", 1)
    feed = KafkaTopic(system="wearables", topic="t")
    with pytest.raises(FeedError, match=words):
        feed._oldest(Refusing(error), [Span(0, 0, 100)])  # type: ignore[arg-type]


def test_a_replay_of_a_partition_that_does_not_answer_fails() -> None:
    feed = KafkaTopic(system="wearables", topic="t")
    with pytest.raises(FeedError, match="LEADER_NOT_AVAILABLE"):
        feed._at(Refusing(KafkaError.LEADER_NOT_AVAILABLE), {0: (0, 9)}, date(2014, 1, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("again", [2, 9])
def test_a_topic_made_again_is_never_taken_for_the_old(kafka: Broker, tmp_path: Path, again: int) -> None:
    """Whether it holds fewer messages than were read, or more."""
    topic = kafka.topic(1)
    kafka.produce(topic, ns(*range(5)))
    one = house(tmp_path, topic)
    pull(one, kafka.url())
    before = steps(one)
    kafka.drop(topic)
    kafka.topic(1, topic)
    kafka.produce(topic, ns(*range(100, 100 + again)))
    said = pull(one, kafka.url())
    assert "is not the one that was read before" in str(said.trouble)
    assert "generation" in str(said.trouble)
    assert (said.extracts, steps(one)) == (0, before)
    new = [(part.stream, int(part.begin), int(part.end)) for part in pulled(kafka, topic, ends(p0=4), generation=1)]
    assert new == [("g1_p0", 0, again - 1)]
    on = house(tmp_path, topic, generation=1)
    assert pull(on, kafka.url()).trouble is None
    assert steps(on) == sorted([*before, *((0, n, 100 + n) for n in range(again))])


def again(kafka: Broker, topic: str, *partitions: tuple[int, ...]) -> None:
    """Delete a topic and make it again, with these messages in its partitions."""
    kafka.drop(topic)
    kafka.topic(len(partitions), topic)
    for at, numbers in enumerate(partitions):
        kafka.produce(topic, ns(*numbers), at)


@pytest.mark.parametrize(
    "made",
    [((100, 101), (200, 201)), (tuple(range(100, 110)), (200, 201)), (tuple(range(100, 105)), (200, 201)), (range(5),)],
    ids=["shorter", "longer", "as long", "without the second partition"],
)
def test_of_a_topic_made_again_no_partition_is_read(
    kafka: Broker, tmp_path: Path, made: tuple[tuple[int, ...]]
) -> None:
    """Not those either in which there is nothing to tell it by: their messages would be in processed twice."""
    topic = kafka.topic(2)
    kafka.produce(topic, ns(*range(5)), 0)
    if len(made) == 1:
        kafka.produce(topic, ns(9), 1)
    one = house(tmp_path, topic)
    pull(one, kafka.url())
    before = steps(one)
    again(kafka, topic, *made)
    said = pull(one, kafka.url())
    assert "Nothing of it was read" in str(said.trouble)
    assert (said.extracts, steps(one)) == (0, before)
    today = datetime.now(UTC).date()
    assert "Nothing of it was read" in str(pull(one, kafka.url(), days=(today,)).trouble)
    assert steps(one) == before
    on = house(tmp_path, topic, generation=1)
    assert pull(on, kafka.url()).trouble is None
    new = [(at, offset, n) for at, numbers in enumerate(made) for offset, n in enumerate(numbers)]
    assert steps(on) == sorted([*before, *new])


@pytest.mark.parametrize(
    "bound", [{"most_seconds": 1e-9}, {"pull_records": 7}, {"pull_bytes": 800}], ids=["seconds", "records", "bytes"]
)
def test_a_pull_that_ends_at_a_bound_is_gone_on_with_by_the_next(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: dict[str, float]
) -> None:
    monkeypatch.setattr(kafka_reading, "_AT_ONCE", 5)
    topic = kafka.topic(2)
    for at in range(2):
        kafka.produce(topic, ns(*range(20)), at)
    one, counts = house(tmp_path, topic, **bound), list[int]()
    while done := pulling.pull(one.lake, one.source, one.landing, kafka.url(), one.clock, MOST).extracts:
        counts.append(sum(int(part.end) - int(part.begin) + 1 for _, part in pulling._landed(one.landing, one.source)))
        assert done <= 2
    assert counts[0] <= 8
    assert len(counts) >= 4
    assert counts[-1] == 40
    one.run()
    assert steps(one) == [(at, n, n) for at in range(2) for n in range(20)]


def test_a_deleted_topic_and_an_absent_partition_are_told(kafka: Broker) -> None:
    with pytest.raises(FeedError, match="has no topic nowhere"):
        pulled(kafka, "nowhere")
    with pytest.raises(FeedError, match="partition 3 is gone"):
        pulled(kafka, kafka.topic(1), ends(p3=1))


def test_a_topic_that_is_deleted_is_told_and_what_was_read_of_it_stays(kafka: Broker, tmp_path: Path) -> None:
    """By a pull, a look and a replay; and having been seen as gone it is no less known again."""
    topic = kafka.topic(2)
    for at in range(2):
        kafka.produce(topic, ns(*range(5)), at)
    one = house(tmp_path, topic)
    pull(one, kafka.url())
    before, deliveries = one.tables(), files(one)
    kafka.drop(topic)
    gone = f"wristbands has no topic {topic}: see that it was not deleted"
    for days in ((), (datetime.now(UTC).date(),)):
        said = pull(one, kafka.url(), days=days)
        assert gone in str(said.trouble)
        assert "what was pulled before is kept" in str(said.trouble)
        assert said.extracts == 0
    assert gone in str(pulling.lag(one.lake, one.source, one.landing, kafka.url()).trouble)
    assert (one.tables(), files(one)) == (before, deliveries)
    assert one.unbalanced().is_empty()
    kafka.topic(2, topic)
    for at in range(2):
        kafka.produce(topic, ns(*range(100, 110)), at)
    assert "is not the one that was read before" in str(pull(one, kafka.url()).trouble)
    assert (one.tables(), files(one)) == (before, deliveries)


def files(house: House) -> list[str]:
    """What lies in the landing folder."""
    return sorted(file.name for file in house.landing.rglob("*") if file.is_file())


def test_partitions_that_are_added_are_read_from_their_beginning(kafka: Broker, tmp_path: Path) -> None:
    topic = kafka.topic(1)
    kafka.produce(topic, ns(1))
    one = house(tmp_path, topic)
    pull(one, kafka.url())
    kafka.widen(topic, 3)
    kafka.produce(topic, ns(2), 2)
    kafka.produce(topic, ns(3), 0)
    assert pull(one, kafka.url()).trouble is None
    assert steps(one) == [(0, 0, 1), (0, 1, 3), (2, 0, 2)]


def test_poison_is_quarantined_with_its_place_and_stops_nothing(kafka: Broker, tmp_path: Path) -> None:
    topic = kafka.topic(1)
    kafka.produce(topic, [*ns(1), b"{", b"\xff\x00", None, *ns(2)])
    one = house(tmp_path, topic)
    pull(one, kafka.url())
    assert steps(one) == [(0, 0, 1), (0, 4, 2)]
    quarantined = one.table("quarantine").sort("_line")
    assert quarantined["_line"].to_list() == [2, 3, 4]
    assert {"record:payload"} == {word for words in quarantined["reasons"].to_list() for word in words}
    told = [json.loads(text) for text in quarantined["_text"]]
    place = {"topic": topic, "partition": 0}
    assert told == [
        {**place, "offset": 1, "value": "{"},
        {**place, "offset": 2, "value_base64": "/wA="},
        {**place, "offset": 3, "value": None},
    ]


def test_a_message_of_50_mb_is_in_processed(kafka: Broker, tmp_path: Path) -> None:
    topic = kafka.topic(1, max_message_bytes="100000000")
    value = b'{"n": 1, "much": "' + b"x" * 50_000_000 + b'"}'
    kafka.produce(topic, [*ns(0), value, *ns(2)])
    one = source(topic)
    assert one.feed
    extracts = list(one.feed.pull(kafka.url(), one, Reached(), 1000))
    held = [row["value"] for extract in extracts for row in messages.received(extract.data).iter_rows(named=True)]
    assert held == [*ns(0), value, *ns(2)]
    here = house(tmp_path, topic)
    assert pull(here, kafka.url(), 1000).trouble is None
    assert steps(here) == [(0, n, n) for n in range(3)]


def test_what_is_on_record_is_committed_to_the_group(kafka: Broker) -> None:
    topic = kafka.topic(2)
    kafka.produce(topic, ns(1, 2, 3), 1)
    one = source(topic)
    assert one.feed
    one.feed.release(kafka.url(), one, ends(p1=1, p0_again=7))
    watcher = Consumer({**kafka.client, "group.id": "lakehouse-steps"})
    committed = watcher.committed([TopicPartition(topic, at) for at in range(2)], timeout=10)
    watcher.close()
    assert [one.offset for one in committed] == [-1001, 2]


def member(kafka: Broker, topic: str) -> Consumer:
    """One more of those who have joined the group that is named for the source."""
    settings = {"group.id": "lakehouse-steps", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    one = Consumer({**kafka.client, **settings, "topic.metadata.refresh.interval.ms": 200})
    one.subscribe([topic])
    return one


def shared_out(members: list[Consumer], partitions: int) -> None:
    """Wait until a group has its topic's partitions shared out among all of its members."""
    for _ in range(1000):
        for one in members:
            one.poll(0.01)
        held = [{place.partition for place in one.assignment()} for one in members]
        if all(held) and sorted(at for each in held for at in each) == [*range(partitions)]:
            return
    raise AssertionError(f"the group shares out {held}")


def test_a_group_of_the_name_of_ours_decides_nothing(kafka: Broker, tmp_path: Path) -> None:
    """While we read, others join it, share out the partitions among them, commit what is wrong, and leave."""
    topic, partitions = kafka.topic(2), 2
    one, log, members = house(tmp_path, topic), list[tuple[int, int, int]](), list[Consumer]()
    # Behind all; in the midst of what comes next; behind all; past every end.
    turns = (("join", 0), ("join", 125), ("widen", 0), ("leave", 10**6))
    with ThreadPoolExecutor(1) as others:
        for step, (what, wrong) in enumerate(turns):
            if what == "widen":
                partitions = 4
                kafka.widen(topic, partitions)
            elif what == "join":
                members.append(member(kafka, topic))
            else:
                members.pop().close()
            rebalanced = others.submit(shared_out, members, partitions)
            for at in range(partitions):
                begin = 50 * step if at < 2 else 50 * (step - 2)
                new = range(begin, begin + 50)
                kafka.produce(topic, ns(*new), at)
                log += [(at, n, n) for n in new]
            assert pull(one, kafka.url(), 2000).trouble is None
            assert steps(one) == sorted(log)
            # A cluster may refuse what one who is no member commits while there are some.
            pulling.release(one.lake, one.source, kafka.url())
            rebalanced.result()
            for each in members:
                places = [TopicPartition(topic, place.partition, wrong) for place in each.assignment()]
                each.commit(offsets=places, asynchronous=False)
            assert not lag(one, kafka).any
    members.pop().close()
    with consuming(kafka.url(), "wristbands", "lakehouse-steps") as watcher:
        committed = watcher.committed([TopicPartition(topic, at) for at in range(partitions)], timeout=10)
    assert {place.offset for place in committed} == {10**6}
    assert pull(one, kafka.url()) == pulling.Pulled()
    assert steps(one) == sorted(log)
    assert one.table("account")["records"].sum() == len(log)
    assert one.unbalanced().is_empty()


def test_a_cluster_that_is_not_there_is_told_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse.feeds.kafka.SECONDS", 2.0)
    one = source("anything")
    assert one.feed
    url = f"kafka://reader:s3cret@127.0.0.1:{broker.free_port()}/?tls=off"
    with pytest.raises(FeedError, match="wristbands could not be read") as raised:
        list(one.feed.pull(url, one, Reached(), MOST))
    assert "s3cret" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)


def test_the_tests_use_the_cluster_of_a_url_that_is_given(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leave none of their topics there."""
    monkeypatch.setenv("LAKEHOUSE_KAFKA", kafka.url())
    with broker.serving() as given:
        topic = given.topic(1)
        assert topic in kafka.admin.list_topics(timeout=10).topics
    assert topic not in kafka.admin.list_topics(timeout=10).topics
    secured = Broker("kafka://me:p%40ss@one:9092,two:9092/?mechanism=PLAIN&ca=/certificates.pem")
    wanted = {"bootstrap.servers": "one:9092,two:9092", "sasl.password": "p@ss", "ssl.ca.location": "/certificates.pem"}
    assert wanted.items() <= secured.client.items()
    assert secured.url(registry="r").endswith("?mechanism=PLAIN&ca=/certificates.pem&registry=r")
    assert "p%40ss" not in repr(secured)
