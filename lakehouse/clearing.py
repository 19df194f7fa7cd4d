"""Clearing the landing folder of files whose bytes are kept and whose records are in the tables."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from lakehouse import ledger, manifest
from lakehouse.batch import PARTS
from lakehouse.errors import UnavailableError
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.source import Source

# Hidden, so that no source claims what is in it.
CLEARED = ".cleared"


def clear(lake: Lake, source: Source, landing: Path, now: datetime | None = None) -> int:
    """Move or delete landed files as the source's landing policy says; how many.

    Only a file that is as it was when it was put on record, longer ago than `clear_after`, and that the tables reflect.
    Raises UnavailableError when the landing folder cannot be written.
    """
    if source.after_landing == "keep":
        return 0
    on_record = ledger.read(lake, source)
    state = manifest.states(lake).get(source.name, manifest.State(source.name))
    since = (now or datetime.now(UTC)) - source.clear_after
    newest = on_record.drop_nulls("_file").group_by("_file", maintain_order=True).last()
    safe = newest.filter(pl.col("seq") <= state.seq // PARTS, pl.col("_received_at") <= since)
    latest = {path: (known.size, known.mtime_ns) for path, known in ledger.latest(on_record).items()}
    done = set(safe["_file"])
    cleared = 0
    try:
        for file in listing(landing, [source]).claimed[source.name]:
            if file.path in done and latest[file.path] == (file.size, file.mtime_ns):
                cleared += _clear(landing, file.path, latest[file.path], keep=source.after_landing == "move")
    except OSError as error:
        raise UnavailableError(
            f"the landing folder {landing} cannot be cleared ({error.strerror}): make it writable; nothing is lost"
        ) from None
    return cleared


def _clear(landing: Path, path: str, known: tuple[int, int], *, keep: bool) -> bool:
    """Take one file away, unless a new one has taken its place at this very moment."""
    target = landing / CLEARED / path
    target.parent.mkdir(parents=True, exist_ok=True)
    (landing / path).rename(target)
    stat = target.stat()
    if (stat.st_size, stat.st_mtime_ns) != known:
        # Linking fails where renaming would replace a file that is newer still.
        (landing / path).hardlink_to(target)
        target.unlink()
        return False
    if not keep:
        target.unlink()
    return True
