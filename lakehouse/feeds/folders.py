"""Folders of files on object storage and behind SFTP: what is in them, and the bytes of one file."""

import base64
import hashlib
import hmac
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from lakehouse.errors import ConfigurationError
from lakehouse.feeds import FeedError
from lakehouse.landing import visible

if TYPE_CHECKING:
    import paramiko
    from obstore.store import ClientConfig, S3Config

_CHUNK = 1 << 20
_SECONDS = 30.0
_KEPT = "what was fetched before is kept, and nothing counts as removed"
_SETTING = "LAKEHOUSE_REMOTE"
# A listing that is refused is a GenericError, which no type and no field tells from other failures.
_FORBIDDEN = "403 Forbidden"


class Changed(Exception):  # noqa: N818
    """A file is not what it was listed as, or may not be read; says so in words. passing: mends itself."""

    def __init__(self, words: str, *, passing: bool = False) -> None:
        super().__init__(f"{words}: it is looked at again" if passing else words)
        self.passing = passing


class _StrangerError(Exception):
    """A server's key is another than the one that is pinned, or nobody knows it."""


@dataclass(frozen=True)
class Entry:
    """A file: its path below the folder, bytes, and time in nanoseconds since 1970, the copy's too. tag: its version,
    where there is one; the time's microseconds then tell versions of one second apart.
    """

    path: str
    size: int
    mtime_ns: int
    tag: str | None = None


class Folder(ABC):
    """A folder elsewhere. Raises FeedError when it fails."""

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every file in it, in no order."""

    @abstractmethod
    def read(self, entry: Entry) -> Iterator[bytes]:
        """A file's bytes, some at a time. Raises Changed."""


@contextmanager
def folder(url: str, options: Mapping[str, str] | None = None) -> Iterator[Folder]:
    """The folder at a URL. Raises ConfigurationError when there can be none, FeedError when it cannot be reached."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("s3", "sftp") or not host:
        raise ConfigurationError(
            f"{_SETTING} must be a URL like s3://bucket/prefix or "
            "sftp://user:password@host:22/folder?host_key=SHA256:…; nothing was fetched"
        )
    if parts.scheme == "s3":
        yield _Bucket(parts, options or {})
    else:
        with _connected(parts) as client:
            yield _Sftp(client, unquote(parts.path).rstrip("/") or "/")


class _Bucket(Folder):
    """Objects below a prefix."""

    def __init__(self, parts: SplitResult, options: Mapping[str, str]) -> None:
        from obstore.store import S3Store

        config: dict[str, Any] = {name.lower(): value for name, value in options.items()}
        http = str(config.pop("aws_allow_http", "")).lower() == "true"
        # Options of the connection take the place of the environment's, such as AWS_ALLOW_HTTP, all of them; without
        # any an answer may take 30 seconds.
        client = {"allow_http": True} if http else None
        self._store = S3Store(
            parts.netloc, prefix=parts.path.strip("/") or None, config=cast("S3Config", config),
            client_options=cast("ClientConfig | None", client),
            retry_config={"max_retries": 2},
        )  # fmt: skip

    def entries(self) -> Iterator[Entry]:
        import obstore

        with _answering("the object store"):
            for batch in obstore.list(self._store):
                for item in batch:
                    tag = item["e_tag"]
                    yield Entry(item["path"], item["size"], _stamp(item["last_modified"].timestamp(), tag), tag)

    def read(self, entry: Entry) -> Iterator[bytes]:
        import obstore
        from obstore.exceptions import NotFoundError, PermissionDeniedError, PreconditionError

        try:
            with _answering("the object store", NotFoundError, PermissionDeniedError, PreconditionError):
                found = obstore.get(self._store, entry.path, options={"if_match": entry.tag} if entry.tag else {})
                for chunk in found.stream(min_chunk_size=_CHUNK):
                    yield bytes(chunk)
        except (NotFoundError, PreconditionError):
            raise Changed("it changed while it was read", passing=True) from None
        except PermissionDeniedError:
            raise Changed("it may not be read: grant this user the right to read it") from None


class _Sftp(Folder):
    """Files in a folder of a server, and in those below it. Links are passed over."""

    def __init__(self, client: "paramiko.SFTPClient", root: str) -> None:
        self._client, self._root = client, root

    def entries(self) -> Iterator[Entry]:
        with _answering("the SFTP server"):
            yield from self._below("")

    def _below(self, path: str) -> Iterator[Entry]:
        try:
            found = self._client.listdir_attr(f"{self._root}/{path}")
        except FileNotFoundError:
            if not path:
                raise FeedError(f"the SFTP server has no such folder: mend {_SETTING}; {_KEPT}") from None
            return
        except PermissionError:
            if not path:
                raise FeedError(f"the SFTP server does not let this user into the folder; {_KEPT}") from None
            return
        for one in found:
            mode, name = one.st_mode or 0, f"{path}{one.filename}"
            if stat.S_ISDIR(mode):
                if visible(one.filename):
                    yield from self._below(f"{name}/")
            elif stat.S_ISREG(mode):
                yield Entry(name, one.st_size or 0, (one.st_mtime or 0) * 10**9)

    def read(self, entry: Entry) -> Iterator[bytes]:
        path = f"{self._root}/{entry.path}"
        try:
            with _answering("the SFTP server", FileNotFoundError, PermissionError):
                with self._client.open(path, "rb") as stream:
                    stream.prefetch(entry.size, max_concurrent_requests=32)
                    while chunk := stream.read(_CHUNK):
                        yield chunk
                now = self._client.lstat(path)
        except FileNotFoundError:
            raise Changed("it is gone since it was listed", passing=True) from None
        except PermissionError:
            raise Changed("it may not be read: grant this user the right to read it") from None
        if (now.st_size, now.st_mtime) != (entry.size, entry.mtime_ns // 10**9):
            raise Changed("it changed while it was read", passing=True)


@contextmanager
def _connected(parts: SplitResult) -> Iterator["paramiko.SFTPClient"]:
    """A session with a server whose key is the one that is pinned, or that this user's known_hosts has."""
    import paramiko

    pinned = parse_qs(parts.query).get("host_key", [""])[0].replace(" ", "+")
    client = paramiko.SSHClient()

    class Known(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, _client: object, _host: str, key: paramiko.PKey) -> None:
            found = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
            if not hmac.compare_digest(f"SHA256:{found}", pinned.rstrip("=")):
                raise _StrangerError

    if pinned and not pinned.startswith("SHA256:"):
        raise ConfigurationError(f"host_key in {_SETTING} must be SHA256:…, as ssh-keygen -l prints it")
    if not pinned:
        client.load_system_host_keys()
    client.set_missing_host_key_policy(Known())
    password = unquote(parts.password) if parts.password else None
    with closing(client), _answering("the SFTP server"):
        client.connect(
            str(parts.hostname), parts.port or 22, unquote(parts.username or "") or None, password, timeout=_SECONDS,
            banner_timeout=_SECONDS, auth_timeout=_SECONDS, look_for_keys=password is None, allow_agent=False,
        )  # fmt: skip
        session = client.open_sftp()
        channel = session.get_channel()
        assert channel is not None
        channel.settimeout(_SECONDS)
        with closing(session):
            yield session


@contextmanager
def _answering(what: str, *passed: type[Exception]) -> Iterator[None]:
    """Raise a library's failure as a FeedError, without its words, which hold addresses. passed: not these."""
    import paramiko
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except passed:
        raise
    except (paramiko.AuthenticationException, PermissionDeniedError, UnauthenticatedError):
        raise FeedError(f"{what} refuses this user: mend the credentials; {_KEPT}") from None
    except (paramiko.BadHostKeyException, _StrangerError):
        raise FeedError(_stranger(what)) from None
    except paramiko.SSHException:
        raise FeedError(f"{what} broke off: try again later; {_KEPT}") from None
    except (BaseError, OSError, EOFError) as error:
        if _FORBIDDEN in str(error):
            raise FeedError(f"{what} refuses this user: mend the credentials; {_KEPT}") from None
        raise FeedError(f"{what} does not answer, or broke off: check {_SETTING} and try again; {_KEPT}") from None


def _stranger(what: str) -> str:
    return (
        f"{what} shows another key than the one that is pinned or known, so it may be another server: ask who runs it "
        f"and mend host_key in {_SETTING}; nothing was sent to it, and {_KEPT}"
    )


def _stamp(seconds: float, tag: str | None) -> int:
    """A time in nanoseconds whose microseconds are made of the version."""
    mark = int.from_bytes(hashlib.sha256((tag or "").encode()).digest()[:8]) % 10**6
    return int(seconds) * 10**9 + mark * 1000
