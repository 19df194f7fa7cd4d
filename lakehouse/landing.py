"""The landing folder: which files are there, whose they are, and whether they are complete."""

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from lakehouse.clock import Clock
from lakehouse.errors import ConfigurationError, DefinitionError
from lakehouse.source import Source

# What transfer tools call a file they are still writing.
TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")


@dataclass(frozen=True)
class Landed:
    """One landed file, as its folder entry and its path tell it.

    path: below the landing folder, with '/'. site, day: as written in the path. delivered: the day, when it is one.
    size: bytes. mtime_ns: last change, as the sender may have set it. changed: last change by this machine's clock, in
    seconds since 1970.
    """

    path: str
    site: str
    day: str
    delivered: date | None
    size: int
    mtime_ns: int
    changed: float

    def settled(self, seconds: float, now: float | None = None) -> bool:
        """Whether the file has been left alone for `seconds`: nobody is still writing it."""
        return (time.time() if now is None else now) - self.changed >= seconds


@dataclass(frozen=True)
class Listing:
    """The landing folder at one moment: files by source name, and paths no source claims."""

    claimed: dict[str, list[Landed]]
    unclaimed: list[str]


def visible(path: str) -> bool:
    """Whether a file is not one that somebody hides or still writes, in a folder that nobody hides or still writes."""
    # Of "." and ".." it is not for this rule to judge.
    return all(_shown(part) for part in path.split("/") if part not in (".", ".."))


def plain(path: str) -> bool:
    """Whether a path is one that a file below the landing folder can have: text, and not leading out of it."""
    pure = PurePosixPath(path)
    text = path.isprintable() and "\\" not in path
    return text and pure.as_posix() == path and not pure.is_absolute() and not {"..", "."} & set(pure.parts)


def listing(landing: Path, sources: Sequence[Source], below: str = "") -> Listing:
    """Every file below `landing` under the source that claims it, in the order of their paths.

    below: a folder in it, to look only there. Hidden and temporary names are passed over. Links are never followed:
    they count as unclaimed, as do files that may not be read.
    Raises ConfigurationError when the folder does not exist, DefinitionError when two sources claim one file.
    """
    if not landing.is_dir():
        raise ConfigurationError(
            f"the landing folder {landing} does not exist: create it or set LAKEHOUSE_LANDING; nothing was read"
        )
    claimed: dict[str, list[Landed]] = {source.name: [] for source in sources}
    unclaimed = []
    for path, entry in _below(landing, below):
        # A name that is not text has bytes no table can hold.
        readable = path.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in path)
        named = [(source, source.pattern.fullmatch(path)) for source in sources if readable]
        owners = [(source, match) for source, match in named if match]
        if len(owners) > 1:
            names = " and ".join(source.name for source, _ in owners)
            raise DefinitionError(f"sources {names} both claim {path}: make their `path` patterns differ")
        if not owners or not entry.is_file(follow_symlinks=False) or not os.access(entry.path, os.R_OK):
            unclaimed.append(path.encode(errors="backslashreplace").decode())
            continue
        source, match = owners[0]
        try:
            stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        day = match["day"]
        landed = Landed(path, match["site"], day, _day(day), stat.st_size, stat.st_mtime_ns, stat.st_ctime)
        claimed[source.name].append(landed)
    return Listing(claimed, unclaimed)


def settled(landing: Path, source: Source, seconds: float) -> list[Landed]:
    """The source's complete files. A file that was just written is waited for; one that goes on growing is left out."""
    files = listing(landing, [source]).claimed[source.name]
    youngest = max((file.changed for file in files if not file.settled(seconds)), default=None)
    if youngest is None:
        return files
    time.sleep(max(0.0, min(seconds, youngest + seconds - time.time())))
    return [file for file in listing(landing, [source]).claimed[source.name] if file.settled(seconds)]


def refusal(landed: Landed, source: Source, clock: Clock) -> str | None:
    """Why a file's day keeps it out of the partitions, in words for the site; None when the day is good."""
    if landed.delivered is None:
        return (
            f"the file name is dated {landed.day!r}, which is not a day (YYYY-MM-DD); rename the file and send it again"
        )
    if landed.delivered > clock.last_day:
        return (
            f"the file name is dated {landed.day}, which has not come yet: the last day there may be files of is "
            f"{clock.last_day}; rename the file and send it again"
        )
    if landed.delivered < source.first_day:
        return f"the file name is dated {landed.day}, before {source.first_day}; rename the file and send it again"
    return None


def _day(text: str) -> date | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _below(landing: Path, below: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files in a folder of the landing folder, as they are found on the way through all of it."""
    place = landing
    for part in filter(None, below.split("/")):
        place = place / part
        if place.is_symlink() or not place.is_dir() or not visible(part):
            return
    yield from _files(place, f"{below}/" if below else "")


def _files(folder: Path, below: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, PermissionError):
        # One folder that may not be read keeps nobody else's files back.
        return
    for entry in _visible(ordered):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), f"{below}{entry.name}/")
        else:
            yield f"{below}{entry.name}", entry


def _visible(entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in entries if _shown(entry.name))


def _shown(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(TEMPORARY)
