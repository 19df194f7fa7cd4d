"""The trial's other systems, as real servers on this machine: a laboratory's API, an EDC database, a stream of devices.

For trying out: `lakehouse demo --with api,cdc,stream`. What they hold is the pilot study, in the lakehouse's home
folder; they are stopped with the command, and a second call goes on with them.
"""

import importlib.util
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import polars as pl

from assets import catalog
from assets.pilot import edc, wearables
from lakehouse import manifest
from lakehouse.clock import Clock
from lakehouse.errors import ConfigurationError, UnavailableError
from lakehouse.feeds import pulling
from lakehouse.lake import Lake
from lakehouse.settings import inherited

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

# By the word that asks for it: what a system is called, by the setting LAKEHOUSE_SYSTEM_<NAME>.
SYSTEMS = {"api": "central_lab", "cdc": "edc", "stream": "wearables"}
_SECONDS = 60.0
# Of so many subjects, on one day.
_WEARERS = 40
# Transactions of coordinators, of each of eleven kinds some.
_STEPS = 33


@contextmanager
def serving(kinds: Collection[str], folder: Path, say: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Start some of SYSTEMS; their addresses by system, while the block runs.

    folder: where they keep their data. say: is told what is started. Raises ConfigurationError when one is not
    installed, UnavailableError when one does not come up.
    """
    starts = {"api": _laboratory, "cdc": _edc, "stream": _wearables}
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        addresses = {}
        for kind in kinds:
            say(f"Starting the {kind} system …")
            addresses[SYSTEMS[kind]] = stack.enter_context(starts[kind](folder))
        yield addresses


def work(lake: Lake, landing: Path, url: str, clock: Clock, most_bytes: int) -> Counter[str]:
    """Take a snapshot of the EDC at `url`, and let coordinators work in it; how many transactions of each kind.

    The next pull captures their changes. None are done where the EDC was followed before.
    """
    followed = [source for source in catalog.sources() if source.feed and source.feed.system == SYSTEMS["cdc"]]
    if any(pulling.reached(lake, source, landing).ends for source in followed):
        return Counter()
    for source in followed:
        pulling.pull(lake, source, landing, url, clock, most_bytes)
    return edc.coordinate(url, 0, _STEPS)


def captured(lake: Lake) -> pl.DataFrame:
    """By source of the EDC, how many changes of each kind were captured, rows of the snapshot among them."""
    versions = manifest.versions(lake)
    found = []
    for source in catalog.sources():
        table = f"processed/{source.name}"
        if source.feed and source.feed.system == SYSTEMS["cdc"] and table in versions:
            kinds = lake.scan(table, versions[table]).group_by(kind="cdc_op").len("changes")
            found.append(
                kinds.filter(pl.col("kind") != "complete")
                .sort("kind")
                .select(pl.lit(source.name).alias("source"), "kind", "changes")
            )
    return pl.concat(found).collect() if found else pl.DataFrame(schema=["source", "kind", "changes"])


@contextmanager
def _laboratory(folder: Path) -> Iterator[str]:
    from assets.pilot.laboratory import CLIENT, SECRET

    port = _free_port()
    words = [sys.executable, "-m", "assets.pilot.laboratory", "--port", str(port), "--login", "oauth", "--disagree"]
    with _program(words, folder / "laboratory.log", "the laboratory's API", lambda: _listens(port)):
        yield f"http://{quote(CLIENT)}:{quote(SECRET, safe='')}@127.0.0.1:{port}"


@contextmanager
def _edc(folder: Path) -> Iterator[str]:
    with edc.serving(folder / "edc") as url:
        yield url


@contextmanager
def _wearables(folder: Path) -> Iterator[str]:
    from confluent_kafka.admin import AdminClient

    port, data = _free_port(), folder / "wearables"
    address = f"127.0.0.1:{port}"
    with _program(broker(port, data), folder / "wearables.log", "the devices' broker", lambda: _listens(port)):
        admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
        if wearables.TOPIC not in admin.list_topics(timeout=_SECONDS).topics:
            _fill(admin, address)
        yield f"kafka://{address}/"


def _fill(admin: "AdminClient", address: str) -> None:
    """A topic with a day of the subjects' readings."""
    from confluent_kafka.cimpl import NewTopic

    from assets.pilot.land import EXPORTS, collected

    # What the readings' own times would have it forget at once.
    topic = NewTopic(wearables.TOPIC, 2, 1, config={"retention.ms": "-1"})
    admin.create_topics([topic])[wearables.TOPIC].result(_SECONDS)
    wearers = collected(EXPORTS["subjects"])["USUBJID"].unique().sort()[:_WEARERS].to_list()
    wearables.produce(address, wearables.stream(wearers).messages)


@contextmanager
def _program(words: list[str], log: Path, name: str, up: Callable[[], bool]) -> Iterator[None]:
    """A server that runs while the block does. Raises UnavailableError when it does not come up."""
    with log.open("ab") as output:
        # A group of its own: Ctrl-C stops the command, and the command stops it, in that order.
        server = subprocess.Popen(
            words, stdout=output, stderr=output, cwd=log.parent, start_new_session=True, env=inherited()
        )
    try:
        until = time.monotonic() + _SECONDS
        while not up():
            if server.poll() is not None or time.monotonic() > until:
                raise UnavailableError(f"{name} does not come up; {log} says why")
            time.sleep(0.1)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def broker(port: int, data: Path) -> list[str]:
    """The command of a small server of Kafka's protocol, from a package; docs/streams.md says what it is good for.

    data: the folder it keeps its data in. Raises ConfigurationError when it is not installed.
    """
    found = importlib.util.find_spec("noida_db")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError("the stream's broker is not installed: pip install noida-db, or make setup")
    # The program itself: what the package starts it by leaves a child behind.
    program = Path(found.submodule_search_locations[0], "noida-db")
    # A wheel need not keep the right to run.
    program.chmod(0o755)
    return [str(program), "start", "--data-dir", str(data), "--only", "kafka", "--kafka-port", str(port)]
