"""Rows of changes as extracts: what is read some at a time, in Parquet of about a given size."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.feeds import Extract, Part

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_postgresql.dbapi import Cursor

# A change's columns beside the table's own; `STARTS` is the same for all of a pull.
STARTS = "cdc_starts"
LSN, SEQ, OP, XID, AT, UNCHANGED = "cdc_lsn", "cdc_seq", "cdc_op", "cdc_xid", "cdc_at", "cdc_unchanged"
ADDED = (OP, LSN, SEQ, XID, AT, UNCHANGED)
# Ends the position of the last change of a transaction: it is whole.
WHOLE = "9" * 10
_BATCH = "adbc.postgresql.batch_size_hint_bytes"


def today() -> date:
    """The day that an extract is delivered."""
    return datetime.now(UTC).date()


def batches(cursor: "Cursor", query: str, most_bytes: int) -> Iterator["pa.RecordBatch"]:
    """The rows of a query, some at a time."""
    cursor.adbc_statement.set_options(**{_BATCH: str(max(2**12, min(most_bytes, 2**24)))})
    cursor.execute(query)
    yield from cursor.fetch_record_batch()


def snapshot_frames(
    batches: Iterator["pa.RecordBatch"], columns: Sequence[str], place: int, at: str
) -> Iterator[pl.DataFrame]:
    """The table's rows as changes at one position, and a last row that says that they are all."""

    def told(rows: pl.DataFrame, operation: str, first: int) -> pl.DataFrame:
        return rows.with_columns(
            pl.lit(operation).alias(OP),
            pl.lit(f"{place:016X}").alias(LSN),
            pl.int_range(first, first + len(rows), dtype=pl.UInt64, eager=True).alias(SEQ),
            pl.lit(None, pl.String).alias(XID),
            pl.lit(at).alias(AT),
            pl.lit(None, pl.String).alias(UNCHANGED),
        ).select(*columns, *ADDED)

    count = 1
    for batch in batches:
        rows = pl.DataFrame(pl.from_arrow(batch))
        yield told(rows, "snapshot", count)
        count += len(rows)
    yield told(
        pl.DataFrame({name: [None] for name in columns}, schema=dict.fromkeys(columns, pl.String)), "complete", count
    )


@dataclass(frozen=True)
class Told:
    """What all extracts of a pull have alike: their stream, the feed's `starts`, and what tells what is in a footer."""

    stream: str
    starts: int
    about: Callable[[], Mapping[str, str]]


def extracts(frames: Iterator[pl.DataFrame], told: Told, most_bytes: int, last: str) -> Iterator[Extract]:
    """Rows after `last` in extracts of about `most_bytes`.

    What is held back until the next rows come tells whether the transaction before them is whole.
    """
    held: list[pl.DataFrame] = []
    size = 0
    for frame in frames:
        after = frame.filter(_places(frame) > last) if last else frame
        if after.is_empty():
            continue
        bytes_ = _size(after)
        if held and (size + bytes_ > most_bytes or held[0].columns != after.columns):
            begun = after["cdc_lsn"][0] == held[-1]["cdc_lsn"][-1]
            yield _extract(held, told, whole=not begun)
            held, size = [], 0
        held.append(after)
        size += bytes_
    if held:
        yield _extract(held, told, whole=True)


def _size(rows: pl.DataFrame) -> int:
    """Bytes of the rows' texts, and as much as a text takes beside; rows may share their buffer with many others."""
    texts = rows.select(pl.sum_horizontal(pl.col(pl.String).str.len_bytes().sum())).item()
    return int(texts) + 16 * rows.width * len(rows)


def _places(rows: pl.DataFrame) -> pl.Series:
    """Positions of rows, as parts name them."""
    return rows.select(
        pl.concat_str("cdc_lsn", pl.col("cdc_seq").cast(pl.String).str.zfill(10), separator=".")
    ).to_series()


def _extract(held: list[pl.DataFrame], told: Told, *, whole: bool) -> Extract:
    begin, end = _places(held[0][:1])[0], _places(held[-1][-1:])[0]
    if whole:
        end = f"{end[:16]}.{WHOLE}"
    return extract(held, told, begin, end)


def extract(frames: list[pl.DataFrame], told: Told, begin: str, end: str) -> Extract:
    """Rows as Parquet whose columns are all text."""
    written = io.BytesIO()
    rows = pl.concat(frames).with_columns(pl.col("cdc_seq").cast(pl.String), pl.lit(str(told.starts)).alias(STARTS))
    rows.write_parquet(written, compression="zstd", compression_level=1, statistics=False, metadata=dict(told.about()))
    return Extract(Part(told.stream, begin, end), written.getvalue(), today())
