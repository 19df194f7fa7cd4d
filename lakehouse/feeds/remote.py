"""Landing folders elsewhere: what is new in them is brought into this machine's, each file under its own path.

A file is known by its path, size and time, which the copy carries: so a file is brought again when it has changed, and
not when it was cleared from the landing folder after it was put on record. What is gone from the other side means
nothing, as in the landing folder itself. Archives of many files are brought as well, to be unpacked where they land.
"""

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lakehouse import ledger
from lakehouse.errors import LakehouseError
from lakehouse.feeds import in_words
from lakehouse.feeds.folders import Changed, Entry, Folder, folder
from lakehouse.lake import Lake
from lakehouse.landing import plain, visible
from lakehouse.putting import put, sweep
from lakehouse.source import Source
from lakehouse.unpacking import is_archive, unpacked

_SHOWN = 3
_FETCHING = "fetching", "check LAKEHOUSE_REMOTE; what was fetched before is kept"
# Of this process: a look that goes on in the background keeps others from bringing the same files beside it.
_LOOKING = threading.Lock()
# By lake and source, a ledger's last row and what `on_record` knows up to it: a look reads what has come since.
_SEEN: dict[tuple[str, str], tuple[ledger.Last, dict[str, tuple[int, int]]]] = {}


@dataclass(frozen=True)
class Fetched:
    """What a look brought.

    files: the paths that landed, in order. bytes: of all of them. left: by path, why a file was not brought, in words.
    unclaimed: how many files no source claims; they are not brought. more: whether time was up before the last file.
    passing: which of those left the next look may bring.
    """

    files: tuple[str, ...] = ()
    bytes: int = 0
    left: Mapping[str, str] = field(default_factory=dict)
    unclaimed: int = 0
    more: bool = False
    passing: frozenset[str] = frozenset()

    @property
    def stuck(self) -> dict[str, str]:
        """What was not brought and will not be until somebody does something."""
        return {path: why for path, why in self.left.items() if path not in self.passing}


@dataclass(frozen=True)
class Looked:
    """What came of a look. trouble: why it ended early, in words; what it brought before has landed all the same."""

    fetched: Fetched = Fetched()
    trouble: str | None = None

    @property
    def wrong(self) -> str | None:
        """What a person has to know, in words; None when all is well."""
        stuck = [f"{path}: {why}" for path, why in self.fetched.stuck.items()]
        told = [*([self.trouble] if self.trouble else []), *stuck[:_SHOWN]]
        if stuck[_SHOWN:]:
            told.append(f"and {len(stuck) - _SHOWN} more files are not brought")
        return "; ".join(told) or None

    def __str__(self) -> str:
        files, size = len(self.fetched.files), self.fetched.bytes
        brought = f"{files:,} files ({size:,} bytes) were fetched" if files else ""
        going = "more are being fetched" if self.fetched.more else ""
        return "; ".join(filter(None, (brought, going, self.wrong))) or "nothing new in the folder elsewhere"


def look(
    url: str,
    lake: Lake,
    landing: Path,
    sources: Sequence[Source],
    settle_seconds: float,
    seconds: float = float("inf"),
) -> Looked:
    """Bring what is new, and tell what goes wrong instead of raising it: it keeps back nothing that has landed.

    sources: those of them that have a feed get their files by that, and none from here. seconds: no further file is
    begun after so long. See `fetch` for the others.
    """
    if not landing.is_dir():
        # Not made here: a share that is not mounted is not to be hidden by a folder in its place.
        return Looked(trouble=f"the landing folder {landing} does not exist: create it or set LAKEHOUSE_LANDING")
    sources = [source for source in sources if source.feed is None]
    if not _LOOKING.acquire(blocking=False):
        return Looked(Fetched(more=True))
    try:
        with in_words(*_FETCHING):
            return Looked(fetch(url, landing, sources, on_record(lake, sources), settle_seconds, seconds=seconds))
    except LakehouseError as error:
        return Looked(trouble=str(error))
    finally:
        _LOOKING.release()


def on_record(lake: Lake, sources: Sequence[Source]) -> dict[str, tuple[int, int]]:
    """Size and time of the newest version of every path on record."""
    known: dict[str, tuple[int, int]] = {}
    for source in sources:
        own = (lake.root, source.name)
        last, before = _SEEN.get(own, (ledger.NONE, {}))
        rows, anew = ledger.after(lake, source, last, ("_file", "bytes", "mtime_ns"))
        versions = rows.drop_nulls("_file").select("_file", "bytes", "mtime_ns").iter_rows()
        found = {**({} if anew else before), **{path: (size, mtime_ns) for path, size, mtime_ns in versions}}
        _SEEN[own] = (rows.row(-1)[:2] if rows.height else ledger.NONE), found
        known |= found
    return known


def fetch(
    url: str,
    landing: Path,
    sources: Sequence[Source],
    known: Mapping[str, tuple[int, int]],
    settle_seconds: float = 0.0,
    options: Mapping[str, str] | None = None,
    seconds: float = float("inf"),
) -> Fetched:
    """Bring what is new or changed in the folder at `url` into `landing`; what was brought.

    An archive of files, which no source claims, is brought unless it was unpacked already.
    url: `s3://bucket/prefix`, or `sftp://user:password@host:port/folder?host_key=SHA256:…`. known: see `on_record`.
    settle_seconds: a file that changed later than so long ago may still be written, and is left for the next look.
    options: of the object store, beside the usual AWS_* variables. seconds: no further file is begun after so long.
    Holds a part of one file in memory. Raises FeedError when the other side cannot be reached or fails on the way, and
    UnavailableError when the landing folder cannot be written; what had landed by then stays.
    """
    files: list[str] = []
    size = unclaimed = 0
    left: dict[str, str] = {}
    begun, more = time.monotonic(), False
    done = unpacked(landing)
    swept: set[PurePosixPath] = set()
    passing: set[str] = set()
    with folder(url, options) as remote:
        for entry in sorted(remote.entries(), key=lambda entry: entry.path):
            if not visible(entry.path):
                continue
            claimed = any(source.pattern.fullmatch(entry.path) for source in sources)
            if not plain(entry.path):
                left[ascii(entry.path)] = "its name leads out of the folder or is no text: rename it"
            elif not claimed and not is_archive(entry.path):
                unclaimed += 1
            elif _had(entry, landing, known, set() if claimed else done):
                continue
            elif time.time() - entry.mtime_ns // 10**9 < settle_seconds:
                late = Changed("it was written just now", passing=True)
                left[entry.path] = str(late)
                passing.add(entry.path)
            elif files and time.monotonic() - begun > seconds:
                more = True
                break
            else:
                if (place := PurePosixPath(entry.path).parent) not in swept:
                    sweep(landing, [entry.path])
                    swept.add(place)
                try:
                    _bring(remote, entry, landing)
                except Changed as reason:
                    left[entry.path] = str(reason)
                    passing |= {entry.path} if reason.passing else set()
                else:
                    files.append(entry.path)
                    size += entry.size
    return Fetched(tuple(files), size, left, unclaimed, more, frozenset(passing))


def _had(
    entry: Entry, landing: Path, known: Mapping[str, tuple[int, int]], done: Collection[tuple[str, int, int]]
) -> bool:
    """Whether this version of a file is on record, has landed, or is an archive that was unpacked."""
    version = entry.size, entry.mtime_ns
    name = PurePosixPath(entry.path).with_suffix("").as_posix()
    return version in (known.get(entry.path), _here(landing / entry.path)) or (name, *version) in done


def _here(path: Path) -> tuple[int, int] | None:
    """Size and time of a landed file."""
    try:
        stat = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _bring(remote: Folder, entry: Entry, landing: Path) -> None:
    """Copy a file, which is there whole or not at all. Raises Changed when it changed meanwhile or may not be read."""
    size, chunks = 0, remote.read(entry)
    with put(landing, entry.path, entry.mtime_ns) as write:
        for chunk in chunks:
            write(chunk)
            size += len(chunk)
        if size != entry.size:
            raise Changed("it changed while it was read, or came cut short", passing=True)
