"""Archives of many files in the landing folder: each member lands as a file of its own, under the archive's folder.

An archive that is not sound is refused whole, and stays where it is. One that is unpacked is kept in `.unpacked/`: its
bytes are what was received. Members are given a time that follows from the archive, so unpacking again what a crash cut
short changes nothing of what had landed.
"""

import fcntl
import hashlib
import os
import re
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO

from lakehouse.archive import RULE, checked, most
from lakehouse.errors import LakehouseError, RefusalError
from lakehouse.landing import Listing, listing, plain, visible
from lakehouse.putting import put, sweep, unwritable
from lakehouse.source import Source

# Hidden, so that no source claims what is in it.
UNPACKED = ".unpacked"
_CHUNK = 1 << 20
# Empty members take no bytes, but each takes a place in the file system.
_MOST_FILES = 100_000
_SHOWN = 3
_LONGEST, _LONGEST_PART = 1000, 255
_DAMAGED = "the zip file is damaged or not complete; send it again"
# What macOS puts into archives beside the files.
_BESIDE = re.compile(r"__MACOSX/.*|(.*/)?\.DS_Store")
_UTF8 = 0x800
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError)

Patterns = tuple[re.Pattern[str], ...]
# Of a file: inode, size, last change as the sender set it, and by this machine's clock.
Identity = tuple[int, int, int, int]


@dataclass(frozen=True)
class Unpacked:
    """What became of the archives. landed: by path, how many files. refused: by path, why, in words for the site."""

    landed: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def wrong(self) -> str | None:
        """What a person has to know, in words; None when all is well."""
        told = [f"{path} is not unpacked: {why}" for path, why in self.refused.items()]
        more = [f"and {len(told) - _SHOWN} more archives are not unpacked"] if told[_SHOWN:] else []
        return "; ".join(told[:_SHOWN] + more) or None


def look(
    landing: Path, sources: Sequence[Source], settle_seconds: float, *, wait: bool = False
) -> tuple[Listing, Unpacked]:
    """The landing folder's files once the archives that no source claims are unpacked, and what became of these.

    settle_seconds: an archive that changed later than so long ago may still be written, and is left; or, with `wait`,
    waited for once. Raises what `listing` raises.
    """
    found = listing(landing, sources)
    archives = [path for path in found.unclaimed if is_archive(path)]
    if not archives:
        return found, Unpacked()
    if wait and (youngest := max((_changed(landing / path) for path in archives), default=0.0)):
        time.sleep(max(0.0, min(settle_seconds, youngest + settle_seconds - time.time())))
    patterns = tuple(source.pattern for source in sources)
    landed: dict[str, int] = {}
    refused: dict[str, str] = {}
    for path in archives:
        try:
            if time.time() - _changed(landing / path) >= settle_seconds:
                count = _unpack(landing, path, patterns)
                landed |= {} if count is None else {path: count}
        except (RefusalError, LakehouseError) as error:
            refused[path] = str(error)
    return (listing(landing, sources) if landed else found), Unpacked(landed, refused)


def refusals(landing: Path, sources: Sequence[Source], unclaimed: Iterable[str]) -> dict[str, str]:
    """By path, why archives among the unclaimed files cannot be unpacked. Writes nothing."""
    patterns = tuple(source.pattern for source in sources)
    found: dict[str, str] = {}
    for path in filter(is_archive, unclaimed):
        with suppress(OSError):
            reason = _refusal(landing, path, _identity((landing / path).stat(follow_symlinks=False)), patterns)
            found |= {path: reason} if reason else {}
    return found


def is_archive(path: str) -> bool:
    """Whether a file that no source claims is taken for an archive of files."""
    return path.lower().endswith(".zip")


def unpacked(landing: Path) -> set[tuple[str, int, int]]:
    """Every archive that was unpacked: its path without its ending, its size, and its time in nanoseconds."""
    found = set()
    for kept in (landing / UNPACKED).rglob("*.zip"):
        with suppress(OSError):
            entry = kept.stat()
            # Without the checksum, too.
            path = kept.relative_to(landing / UNPACKED).with_suffix("").with_suffix("").as_posix()
            found.add((path, entry.st_size, entry.st_mtime_ns))
    return found


def _changed(path: Path) -> float:
    """Last change by this machine's clock; 0 when the file is gone."""
    try:
        return path.stat(follow_symlinks=False).st_ctime
    except OSError:
        return 0.0


def _identity(found: os.stat_result) -> Identity:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _unpack(landing: Path, path: str, patterns: Patterns) -> int | None:
    """Land an archive's files and put it aside; how many, or None when somebody else is at it or it is gone.

    Raises RefusalError when it is not sound, UnavailableError when the landing folder cannot be written.
    """
    try:
        identity = _identity((landing / path).stat(follow_symlinks=False))
        if reason := _refusal(landing, path, identity, patterns):
            raise RefusalError(RULE, reason)
        with (landing / path).open("rb") as stream, zipfile.ZipFile(stream) as archive:
            if not _ours(stream) or _identity(os.fstat(stream.fileno())) != identity:
                return None
            stream.seek(0)
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
            # To the second the archive's time; the rest tells archives of one second apart.
            mtime_ns = identity[2] // 10**9 * 10**9 + int(checksum[:8], 16) % 10**6 * 1000
            members = _members(archive)
            sweep(landing, (_below(path, member) for member in members))
            for member in members:
                _land(archive, member, landing, _below(path, member), mtime_ns)
            # Where another version has taken its place meanwhile, that is next.
            if _identity((landing / path).stat(follow_symlinks=False)) == identity:
                aside = landing / UNPACKED / PurePosixPath(path).with_name(f"{Path(path).stem}.{checksum[:16]}.zip")
                aside.parent.mkdir(parents=True, exist_ok=True)
                (landing / path).rename(aside)
        return len(members)
    except FileNotFoundError:
        return None
    except _DAMAGE:
        raise RefusalError(RULE, "it changed while it was read; it is looked at again") from None
    except OSError as error:
        raise unwritable(landing, error) from None


def _ours(stream: IO[bytes]) -> bool:
    """Whether nobody else is at this archive, as far as the file system can tell."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some shares know no locks. Two at a time write the same bytes.
        return True
    return True


def _refusal(landing: Path, path: str, identity: Identity, patterns: Patterns) -> str | None:
    """Why an archive cannot be unpacked; None when it can."""
    if not stat.S_ISREG((landing / path).stat(follow_symlinks=False).st_mode):
        return "it is a link or no file; put the archive itself in its place"
    if reason := _unsound(landing / path, path, identity, patterns):
        return reason
    with zipfile.ZipFile(landing / path) as archive:
        places = [_below(path, member) for member in _members(archive)]
    taken = next((place for place in places if not _free(landing, place)), None)
    return f"a folder or a link is in the way of {taken}; rename one of them" if taken else None


@lru_cache(maxsize=1024)
def _unsound(file: Path, path: str, identity: Identity, patterns: Patterns) -> str | None:
    """What is wrong with an archive's bytes and names. Found out once for each version of it, because it reads all."""
    try:
        with file.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            if reason := _misnamed(checked(stream, archive), path, patterns):
                return reason
            members, limit = _members(archive), most(identity[1])
            if not members:
                return "it holds no file"
            if len(members) > _MOST_FILES or sum(member.file_size for member in members) > limit:
                return (
                    f"it unpacks to more than {limit >> 20} MiB or {_MOST_FILES:,} files, too much for its size; send "
                    "it in smaller parts"
                )
            for member in members:
                if sum(map(len, _chunks(archive, member))) != member.file_size:
                    return _DAMAGED
    except RefusalError as error:
        return str(error)
    except PermissionError:
        return "it may not be read; grant this user the right to read it"
    except _DAMAGE:
        return _DAMAGED
    return None


def _misnamed(members: Sequence[zipfile.ZipInfo], path: str, patterns: Patterns) -> str | None:
    """Why members cannot be files below the archive's folder, each of a name of its own; None when they can."""
    files: set[str] = set()
    folders: set[str] = set()
    for member in members:
        name = member.filename
        below = name.removesuffix("/")
        shown = ascii(name)
        if not name.isascii() and not member.flag_bits & _UTF8:
            return f"the name {shown} is in no known encoding; use plain letters, or a tool that writes UTF-8"
        if member.orig_filename != name or not plain(below):
            return (
                f"the name {shown} leads out of the folder, is no plain path or has characters that no path here has; "
                "rename it and put / between folders"
            )
        if len(name) > _LONGEST or any(len(part.encode()) > _LONGEST_PART for part in below.split("/")):
            return f"the name {shown[:40]}… is too long; rename it"
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            return f"{shown} is a link or no file; put the file itself in its place"
        if _BESIDE.fullmatch(name):
            continue
        if not visible(below):
            return f"{shown} is hidden or temporary by its name, so nobody would read it; rename it or leave it out"
        if member.is_dir():
            if member.file_size:
                return f"the folder {shown} has bytes of its own; pack the archive anew"
            folders.add(below)
            continue
        if name in files:
            return f"it holds {shown} twice; leave out one of them"
        if is_archive(name) and not any(pattern.fullmatch(_below(path, member)) for pattern in patterns):
            return f"it holds the archive {shown}; send that by itself"
        files.add(name)
        folders.update(parent.as_posix() for parent in PurePosixPath(below).parents)
    if both := sorted(files & folders):
        return f"{both[0]!a} is a file and a folder; rename one of them"
    return None


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files to be landed, in the order of their names."""
    files = (member for member in archive.infolist() if not member.is_dir() and not _BESIDE.fullmatch(member.filename))
    return sorted(files, key=lambda member: member.filename)


def _below(path: str, member: zipfile.ZipInfo) -> str:
    """Where a member lands, below the landing folder."""
    return (PurePosixPath(path).parent / member.filename).as_posix()


def _free(landing: Path, path: str) -> bool:
    """Whether a file can be written under this path: its folders are folders, and it is none."""
    place = landing
    *folders, name = PurePosixPath(path).parts
    for part in folders:
        place = place / part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            return False
    return not (place / name).is_symlink() and not (place / name).is_dir()


def _chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(member) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _land(archive: zipfile.ZipFile, member: zipfile.ZipInfo, landing: Path, path: str, mtime_ns: int) -> None:
    """Write a member as a file that is there whole or not at all; nothing when it is there already."""
    target = landing / path
    with suppress(FileNotFoundError):
        found = target.stat(follow_symlinks=False)
        if (found.st_size, found.st_mtime_ns) == (member.file_size, mtime_ns):
            return
    with put(landing, path, mtime_ns) as write:
        for chunk in _chunks(archive, member):
            write(chunk)
