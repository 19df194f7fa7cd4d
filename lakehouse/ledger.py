"""The ledger: every delivery on record, in the order it was first seen, and every act that changes what counts.

A delivery is (path, checksum, observation): the same bytes under one path after other bytes were there are a delivery
of their own. Its bytes are kept before its row is written, so whatever is on record can be read again. `seq` numbers
the rows from 1 without gaps; every table downstream says up to which `seq` it reflects.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import cast

import polars as pl

from lakehouse.clock import Clock
from lakehouse.errors import NotOnRecordError, SupersededError
from lakehouse.lake import Change, Lake
from lakehouse.landing import Landed, refusal
from lakehouse.near import near
from lakehouse.source import Source

# What a row puts on record: a delivery; a file that was touched but not changed, to remember its new time; that what a
# path delivered until then no longer counts; or that all tables are to be made anew from what is on record.
DELIVERED, SEEN_AGAIN, WITHDRAWN, REBUILD = "delivered", "seen_again", "withdrawn", "rebuild"
SCHEMA: dict[str, pl.DataType] = {
    "seq": pl.Int64(),
    "act": pl.String(),
    "_file": pl.String(),
    "_checksum": pl.String(),
    "_observation": pl.Int64(),
    "_delivered": pl.Date(),
    "_site": pl.String(),
    "_received_at": pl.Datetime("us", "UTC"),
    "bytes": pl.Int64(),
    # How much of it, or of what is made anew, is read at a time: an attempt that goes on after a crash must cut at the
    # same places.
    "part_bytes": pl.Int64(),
    "mtime_ns": pl.Int64(),
    # Why the file's day keeps it out, judged once by the clock of that moment so that a rebuild judges alike.
    "refusal": pl.String(),
    # Whose act it was and why; null for what the sites deliver.
    "who": pl.String(),
    "why": pl.String(),
}


# An object store takes its time, and many at once; a folder is the quicker the fewer threads there are.
_AT_ONCE = 16
# A group of files is short enough to show progress.
_GROUP = 8192


# A row, by its `seq` and `_received_at`; the first of none.
Last = tuple[int, datetime | None]
NONE: Last = (0, None)


@dataclass(frozen=True)
class Known:
    """What the ledger knows of a path: its newest bytes, how often it changed, how its folder entry looked, and whether
    it was withdrawn since.
    """

    checksum: str
    observation: int
    size: int
    mtime_ns: int
    withdrawn: bool
    refused: bool


def table(source: Source) -> str:
    return f"ledger/{source.name}"


def scan(lake: Lake, source: Source) -> pl.LazyFrame:
    """Every row on record, in no order."""
    return lake.scan(table(source), schema=SCHEMA)


def read(lake: Lake, source: Source, columns: Sequence[str] = tuple(SCHEMA)) -> pl.DataFrame:
    """Every row on record, in order; only these `columns`, `seq` among them, of the table's files are read."""
    return scan(lake, source).select(columns).sort("seq").collect()


def after(lake: Lake, source: Source, last: Last, columns: Sequence[str]) -> tuple[pl.DataFrame, bool]:
    """The rows from `last` on, in order, with their `seq` and `_received_at`; and whether these are all there are,
    because `last` is none of this ledger's: a ledger only grows, unless it is another one.
    """
    columns = ["seq", "_received_at", *columns]
    if last[0]:
        rows = scan(lake, source).filter(pl.col("seq") >= last[0]).select(columns).sort("seq").collect()
        if not rows.is_empty() and rows.row(0)[:2] == last:
            return rows, False
    return scan(lake, source).select(columns).sort("seq").collect(), True


def latest(ledger: pl.DataFrame) -> dict[str, Known]:
    """What is known of each path."""
    columns = ["_file", "_checksum", "_observation", "bytes", "mtime_ns"]
    newest = ledger.drop_nulls("_file").group_by("_file", maintain_order=True).last()
    newest = newest.select(*columns, pl.col("act") == WITHDRAWN, pl.col("refusal").is_not_null())
    return {row[0]: Known(*row[1:]) for row in newest.iter_rows()}


def last_seq(rows: pl.DataFrame) -> int:
    """The last `seq` of some ledger rows; 0 when there are none."""
    return 0 if rows.is_empty() else int(rows["seq"][-1])


def unseen(files: Iterable[Landed], on_record: pl.DataFrame) -> list[Landed]:
    """The files that may hold something new: unknown paths, and known ones whose size or time has changed.

    on_record: at least `_file`, `bytes` and `mtime_ns` of every row, in order.
    """
    rows = on_record.select("_file", "bytes", "mtime_ns").drop_nulls("_file").iter_rows()
    entries = {path: (size, mtime_ns) for path, size, mtime_ns in rows}
    return [file for file in files if entries.get(file.path) != (file.size, file.mtime_ns)]


def register(
    lake: Lake,
    source: Source,
    landing: Path,
    files: list[Landed],
    clock: Clock,
    part_bytes: int,
    progress: Callable[[int], None] | None = None,
    *,
    checksum: Callable[[Landed, BufferedReader, int], str] = lambda _file, stream, _size: _digest(stream),
    renew: bool = False,
) -> dict[str, bytes]:
    """Keep the bytes of `files` and put them on record; the first `part_bytes` of them by checksum, to be read next.

    checksum: reads a file of more than `part_bytes`, which it is told, to the end for its checksum.
    renew: write the kept bytes even if they are there, in case they are damaged.

    A file that is gone, not readable or changed by now is left for the next run. Raises UnavailableError when the lake
    cannot be written; what is on record by then stays.
    """
    held: dict[str, bytes] = {}
    found = []
    hold = part_bytes

    def keep(file: Landed) -> tuple[str | None, bytes | None]:
        try:
            with open(_path(landing, file), "rb") as stream:  # noqa: PTH123
                if file.size <= part_bytes:
                    data = stream.read()
                    name = hashlib.sha256(data).hexdigest()
                    lake.keep(data, name, renew=renew)
                    return name, data
                name = checksum(file, stream, part_bytes)
            return (name if lake.keep_file(landing / file.path, name, renew=renew) else None), None
        except OSError:
            return None, None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        each = pool.map if lake.remote else map
        for some in groups(files, part_bytes):
            for file, (name, data) in zip(some, each(keep, some), strict=True):
                if name is None:
                    continue
                if data is not None and (hold := hold - len(data)) >= 0:
                    held[name] = data
                found.append((file, name, file.size if data is None else len(data)))
                if progress:
                    progress(1)

    def news(on_record: pl.LazyFrame) -> pl.DataFrame:
        # Looked at again now that this snapshot is open: newer bytes that another run records after it stop our commit,
        # and newer bytes recorded before it show in the folder.
        listed = [item for item in found if _as_listed(landing, item[0])]
        paths = pl.DataFrame({"_file": [file.path for file, _, _ in listed]}, schema={"_file": pl.String})
        of_paths = on_record.filter(near(paths)).join(paths.lazy(), on="_file", how="semi").sort("seq")
        earlier, last = pl.collect_all([of_paths, on_record.select(pl.col("seq").max())])
        return _rows(listed, earlier, last.item() or 0, source, clock, part_bytes)

    if found:
        _append(lake, source, news)
    return held


def rebuild(lake: Lake, source: Source, who: str, why: str, part_bytes: int) -> None:
    """Put on record that the source's tables are to be made anew from all that is on record, `part_bytes` at a time.

    Nothing happens when no delivery is on record.
    """

    def order(on_record: pl.LazyFrame) -> pl.DataFrame:
        last = _last(on_record)
        if not last:
            return pl.DataFrame(schema=SCHEMA)
        return _act(last, REBUILD, who, why, {"bytes": 0, "part_bytes": part_bytes // source.expands})

    _append(lake, source, order)


def withdraw(lake: Lake, source: Source, path: str, who: str, why: str) -> None:
    """Put on record that nothing delivered under `path` until now counts any longer. The bytes stay.

    Raises NotOnRecordError when nothing that still counts is on record under this path.
    """

    def act(on_record: pl.LazyFrame) -> pl.DataFrame:
        newest = on_record.filter(pl.col("_file") == path).sort("seq").tail(1).collect()
        if newest.is_empty() or newest["act"].item() == WITHDRAWN:
            raise NotOnRecordError(
                f"{path}: nothing of source {source.name} that still counts is on record under this path; "
                f'lakehouse sql "select _file, state from quality.deliveries" lists what is'
            )
        kept = newest.select("_file", "_checksum", "_observation", "_delivered", "_site", "bytes", "mtime_ns")
        return _act(_last(on_record), WITHDRAWN, who, why, kept.row(0, named=True))

    _append(lake, source, act)


def _last(on_record: pl.LazyFrame) -> int:
    """The last `seq`; 0 when there is none."""
    return on_record.select(pl.col("seq").max()).collect().item() or 0


def _act(last: int, act: str, who: str, why: str, known: Mapping[str, object]) -> pl.DataFrame:
    """A ledger row for what a person did; `known`: the columns that say to what."""
    row = {**dict.fromkeys(SCHEMA), **known, "seq": last + 1, "act": act, "who": who, "why": why}
    return pl.DataFrame([{**row, "_received_at": datetime.now(UTC)}], schema=SCHEMA)


def _append(lake: Lake, source: Source, rows: Callable[[pl.LazyFrame], pl.DataFrame]) -> None:
    """Put on record the rows that `rows` makes of what is on record."""
    while True:
        delta = lake.create(table(source), SCHEMA)
        new = rows(scan(lake, source))
        if new.is_empty():
            return
        try:
            lake.commit(delta, Change(new), "ledger", last_seq(new))
            return
        except SupersededError:
            # Another run put something on record meanwhile: number ours after it, and leave out what is there.
            continue


def missing(lake: Lake, source: Source, files: Iterable[Landed]) -> list[str]:
    """Paths whose deliveries count and that are not among `files`."""
    known = latest(read(lake, source))
    return sorted({path for path, entry in known.items() if not entry.withdrawn} - {file.path for file in files})


def groups(files: Sequence[Landed], size: int) -> Iterator[list[Landed]]:
    """The files in order, in groups of at most `size` bytes, or one."""
    group: list[Landed] = []
    total = 0
    for file in files:
        total += file.size
        if group and (total > size or len(group) == _GROUP):
            yield group
            group, total = [], file.size
        group.append(file)
    if group:
        yield group


def _path(landing: Path, file: Landed) -> str:
    # There are many, and a Path takes as long to make as a small file to read.
    return f"{landing}/{file.path}"


def _digest(stream: BufferedReader) -> str:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _as_listed(landing: Path, file: Landed) -> bool:
    try:
        stat = os.stat(_path(landing, file))  # noqa: PTH116
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime_ns)


def _rows(
    found: list[tuple[Landed, str, int]],
    earlier: pl.DataFrame,
    last: int,
    source: Source,
    clock: Clock,
    part: int,
) -> pl.DataFrame:
    """Ledger rows after row `last`. earlier: all rows of the files' paths."""
    known, now, rows = latest(earlier), datetime.now(UTC), []
    if not earlier.is_empty():
        # The time tells the same bytes from the same bytes before, whatever the machine's clock has done meanwhile.
        now = max(now, cast("datetime", earlier["_received_at"].max()) + timedelta(microseconds=1))
    for file, checksum, size in found:
        entry = known.get(file.path)
        same = entry is not None and entry.checksum == checksum
        if same and entry and (entry.size, entry.mtime_ns) == (size, file.mtime_ns):
            continue
        reason = refusal(file, source, clock)
        # The very bytes that were withdrawn, or whose day had not come, sent again: they are delivered anew.
        if entry and (entry.withdrawn or (entry.refused and reason is None)):
            same = False
        observation = (entry.observation if entry else 0) + (0 if same else 1)
        delivered = None if reason else file.delivered
        last += 1
        act = SEEN_AGAIN if same else DELIVERED
        told = (file.path, checksum, observation, delivered, file.site, now, size, part, file.mtime_ns, reason)
        rows.append((last, act, *told, None, None))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
