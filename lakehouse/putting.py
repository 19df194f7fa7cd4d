"""Putting files into the landing folder: each is there whole or not at all, whatever dies.

A file is written under a hidden name beside its own and renamed when its bytes are safe. What a process that died has
left is removed by whoever puts a file there next.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from mmap import mmap
from pathlib import Path

import psutil

from lakehouse.errors import UnavailableError

_ENDING = ".part"
# Seconds. A file system may know no locks, and a process's number is given to another some day.
_ABANDONED = 86_400.0


@contextmanager
def put(landing: Path, path: str, mtime_ns: int | None = None) -> Iterator[Callable[[bytes | mmap], None]]:
    """Writes a file's bytes, some at a time; it is there when the block ends, and not when anything is raised in it.

    mtime_ns: the time to give it. Raises UnavailableError when the landing folder cannot be written.
    """
    target = landing / path
    # Short, because a name may be as long as a name can be.
    aside = target.with_name(f".{threading.get_ident()}.{os.getpid()}{_ENDING}")
    with _opened(landing, aside) as descriptor:

        def write(data: bytes | mmap) -> None:
            view = memoryview(data)
            with _writable(landing):
                while view:
                    view = view[os.write(descriptor, view) :]

        yield write
        with _writable(landing):
            if mtime_ns is not None:
                os.utime(descriptor, ns=(mtime_ns, mtime_ns))
            os.fsync(descriptor)
            aside.rename(target)
            _sync(target.parent)


def sweep(landing: Path, paths: Iterable[str]) -> None:
    """Remove what processes that died have left in the folders of these paths."""
    for folder in {(landing / path).parent for path in paths}:
        for left in folder.glob(f".*{_ENDING}"):
            with suppress(OSError):
                if _is_left(left):
                    left.unlink()


def unwritable(landing: Path, error: OSError) -> UnavailableError:
    """That the landing folder cannot be written, and what mends it."""
    return UnavailableError(
        f"the landing folder {landing} cannot be written ({error.strerror}): make room or make it writable; what was "
        "landed before is kept, and the rest is tried again"
    )


@contextmanager
def _opened(landing: Path, aside: Path) -> Iterator[int]:
    """A new file, which is gone afterwards unless it was renamed."""
    with _writable(landing):
        aside.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)
        with suppress(OSError):
            aside.unlink()


def _is_left(aside: Path) -> bool:
    """Whether nobody is at work at a file: no process here, nor one elsewhere that holds its lock."""
    writer = aside.name.split(".")[-2]
    if not writer.isdigit():
        return False
    old = time.time() - aside.stat().st_mtime > _ABANDONED
    if psutil.pid_exists(int(writer)) and not old:
        return False
    with aside.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return old
    return True


def _sync(folder: Path) -> None:
    """Make a rename in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writable(landing: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(landing, error) from None
