"""How many messages of 1 KB a second go from a topic into a delivery's bytes, and from there into columns.

    python -m bench.kafka [messages] [partitions]

The broker is the tests' own and works on the same cores. Producing comes before and is not counted.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lakehouse"))

from feeds.broker import serving

from lakehouse.feeds import Reached
from lakehouse.feeds.kafka import KafkaTopic
from lakehouse.formats.messages import Messages

_SIZE = 1024
_MOST_BYTES = 64 * 2**20


class Anyone:
    """Stands for a source, of which a pull needs the name."""

    name = "bench"


def value(number: int) -> bytes:
    """A reading as JSON, 1,024 bytes long."""
    said = {"reading_id": number, "device": f"d{number % 500}", "event_time": "2014-01-02T03:04:05Z", "rate": 70.5}
    text = json.dumps({**said, "samples": ""}, separators=(",", ":"))[:-2].encode()
    samples = b"%x" % (number * 2654435761) * _SIZE
    return text + samples[: _SIZE - len(text) - 2] + b'"}'


def main(count: int, partitions: int) -> None:
    with serving() as broker:
        topic = broker.topic(partitions)
        for at in range(partitions):
            broker.produce(topic, (value(number) for number in range(at, count, partitions)), at)
        feed = KafkaTopic(system="bench", topic=topic)
        began, worked = time.perf_counter(), time.process_time()
        extracts = list(feed.pull(broker.url(), Anyone(), Reached(), _MOST_BYTES))  # type: ignore[arg-type]
        pulled, pulling = time.perf_counter(), time.process_time() - worked
        rows = sum(Messages().table(extract.data).rows.height for extract in extracts)
        decoded, both = time.perf_counter(), time.process_time() - worked
    size = sum(len(extract.data) for extract in extracts)
    assert rows == count, f"{rows} of {count}"
    print(f"{count} messages of {_SIZE} bytes in {partitions} partitions; {len(extracts)} deliveries, {size} bytes")
    for name, seconds, work in (("pull", pulled - began, pulling), ("decode", decoded - pulled, both - pulling)):
        print(f"{name}: {count / seconds:,.0f} a second, {count / work:,.0f} a second of this process's work")
    print(f"both, one after the other: {count / (decoded - began):,.0f} a second")


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["300000", "2"][len(sys.argv) - 1 :])))
