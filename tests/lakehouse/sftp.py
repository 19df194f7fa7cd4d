"""A real SFTP server for tests: paramiko's, over a folder."""

import base64
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import paramiko
from paramiko import SFTPAttributes, SFTPServer

PASSWORD = "s3cret/word"


@dataclass
class Server:
    """A server over `folder`. cut_after: it closes the connection after so many bytes were read."""

    folder: Path
    key: paramiko.PKey = field(default_factory=lambda: paramiko.RSAKey.generate(2048))
    port: int = 0
    cut_after: int | None = None
    reads: int = 0
    transports: list[paramiko.Transport] = field(default_factory=list)

    def url(self, path: str = "/", password: str = PASSWORD, host_key: str | None = None) -> str:
        """Its address, with the password and a pinned key."""
        key = self.fingerprint if host_key is None else host_key
        pin = f"?host_key={quote(key)}" if key else ""
        return f"sftp://tester:{quote(password, safe='')}@127.0.0.1:{self.port}{path}{pin}"

    @property
    def fingerprint(self) -> str:
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.key.asbytes()).digest()).decode().rstrip("=")


class _Login(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        good = (username, password) == ("tester", PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, _kind: str, _number: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):
    def __init__(self, server: Server, path: Path) -> None:
        super().__init__()
        self._server, self.readfile = server, path.open("rb")

    def read(self, offset: int, length: int) -> bytes:
        server = self._server
        server.reads += length
        if server.cut_after is not None and server.reads > server.cut_after:
            for transport in server.transports:
                transport.close()
        return super().read(offset, length)


def _files(server: Server) -> type[paramiko.SFTPServerInterface]:
    class Files(paramiko.SFTPServerInterface):
        def _path(self, path: str) -> Path:
            return server.folder / self.canonicalize(path).lstrip("/")

        def list_folder(self, path: str) -> list[SFTPAttributes] | int:
            try:
                return [
                    SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name)
                    for entry in os.scandir(self._path(path))
                ]
            except OSError as error:
                return SFTPServer.convert_errno(error.errno)

        def lstat(self, path: str) -> SFTPAttributes | int:
            try:
                return SFTPAttributes.from_stat(self._path(path).lstat())
            except OSError as error:
                return SFTPServer.convert_errno(error.errno)

        stat = lstat

        def open(self, path: str, _flags: int, _attributes: SFTPAttributes) -> paramiko.SFTPHandle | int:
            if path.endswith("forbidden_2020-01-01.csv"):
                return paramiko.SFTP_PERMISSION_DENIED
            try:
                return _Handle(server, self._path(path))
            except OSError as error:
                return SFTPServer.convert_errno(error.errno)

    return Files


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server that is up while the block runs."""
    server = Server(folder)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    transport = paramiko.Transport(connection)
                    transport.add_server_key(server.key)
                    transport.set_subsystem_handler("sftp", SFTPServer, _files(server))
                    server.transports.append(transport)
                    # A client that hangs up on the way ends its own connection, not the server.
                    with suppress(paramiko.SSHException, EOFError, OSError):
                        transport.start_server(server=_Login())

        threading.Thread(target=accept, daemon=True).start()
        yield server
        listening.shutdown(socket.SHUT_RDWR)
        for transport in server.transports:
            transport.close()
