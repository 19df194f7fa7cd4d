"""A broker that can be killed, and lines to one that can be cut, for those who read its topics.

It is Tansu: it keeps what it was told in an object store, and has its clients find it at any address.
"""

import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import broker
import psutil
import s3
from lines import Line


class Durable:
    """A broker that keeps what it was told whatever dies. kafka: as its clients see it."""

    def __init__(self, folder: Path, bucket: s3.Bucket) -> None:
        self._folder, self._bucket, self._port = folder, bucket, broker.free_port()
        self._stack = ExitStack()
        self.kafka = self._up()

    def kill(self, down: float = 0.0) -> bool:
        """Kill it and have it up again, after so many seconds."""
        self._stack.close()
        time.sleep(down)
        self._up()
        return True

    def watched(self) -> Callable[[], bool]:
        """Tells whether anybody connected from now on."""
        before = self._connections()
        return lambda: bool(self._connections() - before)

    def settle(self) -> None:
        """Let the next message be of another second than the last ones.

        It takes for a partition's last message the first of those that the store has of the last second.
        """
        time.sleep(1.1)

    def close(self) -> None:
        self._stack.close()

    def _connections(self) -> set[int]:
        found = self._server.net_connections("tcp4")
        return {one.raddr.port for one in found if one.raddr and one.laddr.port == self._port}

    def _up(self) -> broker.Broker:
        options = self._bucket.environment
        # It calls two of them by names of its own.
        own = {**options, "AWS_ENDPOINT": options["AWS_ENDPOINT_URL"], "AWS_CONDITIONAL_PUT": "etag"}
        up = self._stack.enter_context(broker.tansu(self._port, self._folder, f"s3://{self._bucket.name}/", own))
        assert up.process
        self._server = psutil.Process(up.process.pid)
        return up


@contextmanager
def durable() -> Iterator[Durable]:
    """Such a broker, up while the block runs, its data gone afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kafka-")))
        one = Durable(folder, stack.enter_context(s3.serving()))
        stack.callback(one.close)
        yield one


@contextmanager
def behind_a_line(chance: random.Random) -> Iterator[tuple[broker.Broker, Line]]:
    """A broker whose clients all come by a line."""
    near = socket.create_server(("127.0.0.1", 0))
    port, at = broker.free_port(), near.getsockname()[1]
    line = Line(near, ("127.0.0.1", port), chance)
    with ExitStack() as stack:
        stack.callback(line.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kafka-")))
        yield stack.enter_context(broker.tansu(port, folder, at=at)), line
