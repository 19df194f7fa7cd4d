"""A schema registry for tests: a server that knows the schemas it is given, and counts what it is asked."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Schemas:
    """A registry that is up. asked: the numbers it was asked for. down: answers 503 to all."""

    url: str = ""
    asked: list[int] = field(default_factory=list)
    down: bool = False


def framed(number: int, datum: bytes) -> bytes:
    """A value as registries have it written."""
    return b"\0" + number.to_bytes(4, "big") + datum


def signed(folder: Path) -> Path:
    """A file with a certificate for this machine that it has signed itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    clear = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *clear)
    )
    return file


@contextmanager
def serving(schemas: Mapping[int, object], certificate: Path | None = None) -> Iterator[Schemas]:
    """A registry of these schemas, by number, while the block runs. certificate: has it speak TLS, as `signed` made."""
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
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
