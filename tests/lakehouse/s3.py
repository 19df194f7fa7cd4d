"""A real S3 server (SeaweedFS) for tests, with an empty bucket."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

_KEY, _SECRET = "tester", "s3cret-of-the-tester"
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")


@dataclass(frozen=True)
class Bucket:
    """A bucket, and the options that let a lake use it."""

    name: str
    options: dict[str, str]

    def root(self, folder: str) -> str:
        """A lake's root in it."""
        return f"s3://{self.name}/{folder}"

    @property
    def environment(self) -> dict[str, str]:
        """The same options as the variables that a person sets."""
        return {name.upper(): value for name, value in self.options.items()}


def _ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def serving() -> Iterator[Bucket]:
    """A server that is up while the block runs, its data gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="s3-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        who = {"name": "tester", "credentials": [{"accessKey": _KEY, "secretKey": _SECRET}], "actions": ["Admin"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [who]}))
        (folder / "data").mkdir()
        free = iter(_ports(2 * len(_PORTS)))
        ports = {f"{port}{suffix}": next(free) for port in _PORTS for suffix in ("", ".grpc")}
        words = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}", f"-s3.config={folder / 's3.json'}"]
        # 0 is off for these two, which would take ports of their own.
        words += ["-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64"]
        words += [f"-{port}={number}" for port, number in ports.items()]
        weed = Path(sys.executable).with_name("weed")
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([weed, f"-logdir={folder}", "server", *words], stdout=log, stderr=log)
        try:
            options = {
                "aws_access_key_id": _KEY,
                "aws_secret_access_key": _SECRET,
                "aws_endpoint_url": f"http://127.0.0.1:{ports['s3.port']}",
                "aws_region": "us-east-1",
                "aws_allow_http": "true",
            }
            _make("lake", options, server, folder / "log")
            yield Bucket("lake", options)
        finally:
            server.kill()
            server.wait()


def _make(bucket: str, options: dict[str, str], server: subprocess.Popen[bytes], log: Path) -> None:
    """Make a bucket by putting something into it, as soon as the server is up."""
    config = {name: value for name, value in options.items() if name != "aws_allow_http"}
    store = S3Store(bucket, config=config, client_options={"allow_http": True}, retry_config={"max_retries": 0})
    for _ in range(600):
        try:
            obstore.put(store, "made", b"made")
        except BaseError:
            assert server.poll() is None, log.read_text()[-2000:]
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"the S3 server does not come up: {log.read_text()[-2000:]}")
