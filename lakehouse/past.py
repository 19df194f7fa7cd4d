"""What readers were shown at an earlier time, as the manifest's own history tells it, and what of it can still be read.

Days are UTC's, and by the time at which the lakehouse recorded a state: when it was known, not when it was delivered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import unquote

import obstore
import polars as pl

from lakehouse import manifest
from lakehouse.curate import GROUP, inputs_reached, sources_followed
from lakehouse.errors import CutError, UnavailableError
from lakehouse.lake import Lake
from lakehouse.source import Source


@dataclass(frozen=True)
class Settled:
    """A state in which the curated tables show exactly the processed tables beside them.

    ahead: names of sources that had moved on by the time asked for, while the curated tables had not followed.
    """

    shown: manifest.Shown
    ahead: tuple[str, ...] = ()


def settled(lake: Lake, sources: Sequence[Source], day: date | None = None) -> Settled:
    """The last settled state up to now, or up to the end of `day`, all of whose tables can be read.

    Between an ingestion and the curation after it, readers are shown new processed tables beside curated ones that do
    not know of them yet: a state that is passed over. Raises CutError when there is none, or when it cannot be read any
    more, with the oldest day there is.
    """
    newest = lake.open(manifest.TABLE)
    if newest is None:
        raise CutError("the lake is empty; lakehouse run fills it")
    last = newest.version() if day is None else _last_version(lake, newest.version(), end_of(day))
    found = None if last is None else _settle(lake, sources, last)
    gone = unreadable(lake, manifest.readable(found.states)) if found else []
    if day is not None and (found is None or gone):
        raise _too_early(lake, sources, newest.version(), day)
    if found is None or last is None:
        raise CutError(
            "no state whose curated tables have followed their sources is on record; lakehouse run makes one"
        )
    if gone:
        raise CutError(
            f"{', '.join(gone)} cannot be read: files are gone that housekeeping never removes; nothing was recorded; "
            "restore the lake from a backup, or make the tables anew with lakehouse rebuild"
        )
    asked = manifest.shown(lake, last).states
    moved = (source.name for source in sources if found.states.get(source.name) != asked.get(source.name))
    return Settled(found, tuple(moved))


def unreadable(lake: Lake, versions: Mapping[str, int]) -> list[str]:
    """The tables that cannot be read at these versions, because the log or a data file of theirs is gone."""
    return [table for table, version in sorted(versions.items()) if not _whole(lake, table, version)]


def end_of(day: date) -> datetime:
    """The moment a day is over."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def _settle(lake: Lake, sources: Sequence[Source], version: int) -> manifest.Shown | None:
    """The last settled state up to a version of the manifest; None when there is none, or it cannot be read."""
    curates = GROUP in manifest.states(lake)
    for earlier in range(version, -1, -1):
        shown = _shown(lake, earlier)
        if shown is None or not shown.states:
            return None
        made = shown.states.get(GROUP)
        if not curates or (made is not None and sources_followed(made) == inputs_reached(shown.states, sources)):
            return shown
        if made is None:
            return None
    return None


def _shown(lake: Lake, version: int) -> manifest.Shown | None:
    """What the manifest said at a version; None when housekeeping has removed it."""
    try:
        return manifest.shown(lake, version)
    except (UnavailableError, OSError, pl.exceptions.ComputeError):
        return None


def _last_version(lake: Lake, newest: int, before: datetime) -> int | None:
    """The last version of the manifest recorded before a moment, or None. Versions that are gone are the oldest."""
    low, high, found = 0, newest, None
    while low <= high:
        middle = (low + high) // 2
        shown = _shown(lake, middle)
        if shown is None or shown.at is None or shown.at < before:
            # Later ones are looked at next; one that cannot be read is never the answer.
            found = middle if shown and shown.at else found
            low = middle + 1
        else:
            high = middle - 1
    return found


def _too_early(lake: Lake, sources: Sequence[Source], newest: int, day: date) -> CutError:
    oldest = _oldest_day(lake, sources, newest)
    there = (
        f"the oldest day there is: {oldest}"
        if oldest
        else "no day on record is over yet; leave out --as-of for a cut of now"
    )
    return CutError(
        f"the lake as it was at the end of {day} cannot be read: it held nothing yet, or housekeeping has removed it "
        f"since (LAKEHOUSE_KEEP_DAYS tells for how long every version is kept); nothing was recorded; {there}"
    )


def _oldest_day(lake: Lake, sources: Sequence[Source], newest: int) -> date | None:
    """The first day that is over and at whose end the lake held what can be read still."""
    low, high, first = 0, newest, None
    while low <= high:
        middle = (low + high) // 2
        shown = _shown(lake, middle)
        if shown is None or shown.at is None:
            low = middle + 1
        else:
            first, high = shown.at.date(), middle - 1
    today = datetime.now(UTC).date()
    known: dict[int, bool] = {}
    while first is not None and first < today:
        version = _last_version(lake, newest, end_of(first))
        if version is not None and version not in known:
            shown = _settle(lake, sources, version)
            known[version] = shown is not None and not unreadable(lake, manifest.readable(shown.states))
        if version is not None and known[version]:
            return first
        first += timedelta(days=1)
    return None


def _whole(lake: Lake, table: str, version: int) -> bool:
    try:
        delta = lake.open(table, version)
    except UnavailableError:
        return False
    if delta is None:
        return False
    # File names are unique; paths may be encoded.
    there = {unquote(item["path"]).rpartition("/")[2] for item in obstore.list(lake.store, table).collect()}
    return {unquote(path).rpartition("/")[2] for path in delta.file_uris()} <= there
