"""Housekeeping: few files and a short log for every table, however many batches have gone into it.

Small data files are put together, files and log entries that no version worth keeping needs are removed. Worth keeping
is every version of the last days, whatever the manifest names, what data cuts pin, and what the caller pins. Rows never
change, nor do the transactions that say how far a table is. Delivered bytes are never touched.

It runs beside ingestion: its commits give way to any other, and what it could not do is left to the next time.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import obstore
import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from lakehouse import cuts, manifest
from lakehouse.errors import SupersededError, UnavailableError, unavailable
from lakehouse.lake import PROPERTIES, Lake

# Files up to this size are put together; no bigger, because a change to a few rows rewrites the files they are in.
_TARGET_BYTES = 32 * 2**20
# Fewer small files than this are left alone, so that a table is not written anew for every batch.
_SMALL_FILES = 8
_ATTEMPTS = 3
_VERSION = re.compile(r"/_delta_log/(\d{20})\.(checkpoint\.)?")


@dataclass(frozen=True)
class Tidied:
    """What housekeeping did to one table.

    files: data files that a reader of its newest version opens. log: entries in its log. freed: bytes removed.
    gave_way: other commits were faster each time; its files were left as they are.
    """

    table: str
    files_before: int
    files: int
    log_before: int
    log: int
    freed: int
    gave_way: bool


def report(done: Collection[Tidied]) -> pl.DataFrame:
    """What was done, one row per table."""
    names = ["table", "files_before", "files", "log_before", "log", "freed"]
    return (
        pl.DataFrame([{name: getattr(item, name) for name in names} for item in done]).rename({"freed": "bytes_freed"})
        if done
        else pl.DataFrame()
    )


def housekeep(
    lake: Lake,
    keep: timedelta,
    pins: Mapping[str, Collection[int]] | None = None,
    tables: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Tidied]:
    """Tidy `tables` (default: all of the lake); what was done to each.

    keep: every version of this last time stays readable; nothing but tests asks for less than a day, for a file that
        somebody reads must not go. pins: further versions to keep, by table. progress: is told tables done, and of how
        many. Raises UnavailableError when the lake fails; every table stays readable.
    """
    chosen = lake.tables() if tables is None else [table for table in lake.tables() if table in tables]
    done = []
    for number, table in enumerate(chosen, 1):
        done.append(_tidy(lake, table, keep, (pins or {}).get(table, ())))
        if progress:
            progress(number, len(chosen))
    return done


def _tidy(lake: Lake, table: str, keep: timedelta, pinned: Collection[int]) -> Tidied:
    try:
        begun = _open(lake, table)
        files = len(begun.file_uris())
        before = _stored(lake, table)
        try:
            _compact(lake, table, keep)
            gave_way = False
        except SupersededError:
            gave_way = True
        needed = _needed(lake, table, pinned)
        hours = int(keep / timedelta(hours=1))
        _vacuum(_open(lake, table), hours, needed, before)
        _checkpoint(lake, table)
        _clean_log(lake, table, needed, datetime.now(UTC) - keep)
        after = _stored(lake, table)
        freed = sum(size for path, (size, _) in before.items() if path not in after)
        log_before, log = len(_commits(before)), len(_commits(after))
        return Tidied(table, files, len(_open(lake, table).file_uris()), log_before, log, freed, gave_way)
    except (DeltaError, OSError) as error:
        raise unavailable(error, f"{table} cannot be tidied") from error


def _open(lake: Lake, table: str) -> DeltaTable:
    delta = lake.open(table)
    assert delta is not None
    return delta


def _needed(lake: Lake, table: str, pinned: Collection[int]) -> set[int]:
    """The versions that must stay readable: for everyone who reads by the manifest, and the pinned ones there are."""
    states = manifest.states(lake).values()
    named = {version for state in states if (version := state.version(table)) is not None}
    # What curated tables were made from is compared with what is there when they are made again.
    made_from = {version for state in states if (version := (state.inputs or {}).get(table)) is not None}
    held = {*made_from, *pinned, *cuts.pinned(lake).get(table, ())}
    return named | {version for version in held if _readable(lake, table, version)}


def _readable(lake: Lake, table: str, version: int) -> bool:
    try:
        return lake.open(table, version) is not None
    except UnavailableError:
        return False


def _compact(lake: Lake, table: str, keep: timedelta) -> None:
    """Put small files together, in the order they were written: days stay beside each other.

    Raises SupersededError when other commits are faster.
    """
    # Checkpoints forget after this time which files were removed when; until then vacuum must know.
    lasting = {**PROPERTIES, "delta.deletedFileRetentionDuration": f"interval {max(1, keep.days)} days"}
    for _ in range(_ATTEMPTS):
        delta = _open(lake, table)
        try:
            if {**delta.metadata().configuration, **lasting} != delta.metadata().configuration:
                delta.alter.set_table_properties(lasting)
            target = int(delta.metadata().configuration.get("delta.targetFileSize", _TARGET_BYTES))
            small = [size for size in delta.get_add_actions()["size_bytes"].to_pylist() if size < target]
            if len(small) >= _SMALL_FILES:
                delta.optimize.compact(target_size=target)
        except CommitFailedError:
            continue
        return
    raise SupersededError(f"{table} is being written; its small files are left to the next time")


def _vacuum(delta: DeltaTable, hours: int, needed: Collection[int], stored: Collection[str]) -> None:
    """Remove data files that only versions older than `hours` had; from a day on, also what died before its commit."""

    def run(*, dry_run: bool) -> list[str]:
        return delta.vacuum(
            hours,
            dry_run=dry_run,
            enforce_retention_duration=False,
            full=hours >= 24,
            keep_versions=sorted(needed),
        )

    # It names what it has removed before as well, and commits even so. File names are unique; paths may be encoded.
    if {path.rpartition("/")[2] for path in run(dry_run=True)} & {path.rpartition("/")[2] for path in stored}:
        run(dry_run=False)


def _checkpoint(lake: Lake, table: str) -> None:
    delta = _open(lake, table)
    if delta.version() not in _checkpoints(_stored(lake, table)):
        delta.create_checkpoint()


def _clean_log(lake: Lake, table: str, needed: Collection[int], until: datetime) -> None:
    """Remove what comes before the newest checkpoint that every version still needed can be read from.

    Needed is also the version that was current at `until`, and all after it.
    """
    stored = _stored(lake, table)
    commits = _commits(stored)
    old = [version for version, modified in commits.items() if modified < until]
    oldest = min([*needed, max(old, default=min(commits))])
    start = max((version for version in _checkpoints(stored) if version <= oldest), default=0)
    gone = [path for path in stored if (found := _VERSION.search(path)) and int(found[1]) < start]
    if gone:
        obstore.delete(lake.store, gone)


def _stored(lake: Lake, table: str) -> dict[str, tuple[int, datetime]]:
    """Size and time of every file of a table, by path."""
    listed = obstore.list(lake.store, table).collect()
    return {item["path"]: (item["size"], item["last_modified"]) for item in listed}


def _commits(stored: Mapping[str, tuple[int, datetime]]) -> dict[int, datetime]:
    found = ((_VERSION.search(path), modified) for path, (_, modified) in stored.items())
    return {int(match[1]): modified for match, modified in found if match and not match[2]}


def _checkpoints(stored: Mapping[str, tuple[int, datetime]]) -> list[int]:
    return [int(match[1]) for path in stored if (match := _VERSION.search(path)) and match[2]]
