"""A schema registry for tests: a server that knows the schemas it is given, and counts what it is asked."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Schemas:
    """A registry that is up. asked: the numbers it was asked for. down: answers 503 to all."""

    url: str = ""
    asked: list[int] = field(default_factory=list)
    down: bool = False


def framed(number: int, datum: bytes) -> bytes:
    """A value as registries have it written."""
    return b"\0" + number.to_bytes(4, "big") + datum


@contextmanager
def serving(schemas: Mapping[int, object]) -> Iterator[Schemas]:
    """A registry of these schemas, by number, while the block runs."""
    state = Schemas()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(self.path.removeprefix("/schemas/ids/"))
            state.asked.append(number)
            known = number in schemas and not state.down
            self.send_response(200 if known else 503 if state.down else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"schema": json.dumps(schemas[number])} if known else {}).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
