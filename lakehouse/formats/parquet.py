"""Parquet: typed columns, read as text."""

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from lakehouse.errors import RefusalError
from lakehouse.formats import Format, Table, of_texts

_RULE = "file:parquet"


@dataclass(frozen=True, kw_only=True)
class Parquet(Format):
    """Parquet files. A record is a row, numbered from 1.

    Text is taken as it is. Whole numbers and decimals are written with all their digits, floating-point numbers in the
    shortest form that reads back to the same number, `true` and `false`, dates and times as ISO 8601 (2014-01-02,
    2014-01-02T03:04:05.000006, with the offset where there is a time zone), bytes in hexadecimal, lists and structs as
    JSON.
    """

    packed: ClassVar[bool] = True

    def table(self, data: bytes, _asked: Collection[str] = ()) -> Table:
        """The rows of one file, as text."""
        with undamaged(_RULE, "the file is no Parquet file, or is damaged; write it again"):
            frame = read(data)
            return of_texts(pl.DataFrame({name: as_text(column) for name, column in frame.to_dict().items()}))


def read(data: bytes) -> pl.DataFrame:
    """The rows of a Parquet file. Raises anything when it is damaged, see `undamaged`."""
    from pyarrow.parquet import ParquetFile

    # Polars believes what a page says of its size and asks for so much memory, which ends the process. Arrow does not.
    for _ in ParquetFile(io.BytesIO(data)).iter_batches(use_threads=False):
        pass
    return pl.read_parquet(io.BytesIO(data), glob=False)


@contextmanager
def undamaged(rule: str, words: str) -> Iterator[None]:
    """Raise a RefusalError for whatever reading a damaged file fails with."""
    try:
        yield
    # Damage shows as any of Polars' errors, and as a panic, which is no Exception.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise RefusalError(rule, words) from None


def as_text(column: pl.Series) -> pl.Series:
    """A column's values as text, as `Parquet` says; null stays null."""
    kind = column.dtype
    if kind == pl.String:
        return column
    if kind == pl.Binary:
        return column.bin.encode("hex")
    if isinstance(kind, pl.Datetime):
        zone = "" if kind.time_zone is None else "%:z"
        digits = {"ms": "%.3f", "us": "%.6f", "ns": "%.9f"}[kind.time_unit]
        return column.dt.to_string(f"%Y-%m-%dT%H:%M:%S{digits}{zone}")
    if isinstance(kind, pl.Duration):
        return column.dt.to_string("iso")
    if kind.is_nested():
        # JSON is written for structs alone.
        wrapped = column.rename("v").to_frame().to_struct("").struct.json_encode()
        bare = wrapped.str.strip_prefix('{"v":').str.strip_suffix("}")
        return bare.set(column.is_null(), None).rename(column.name)
    return column.cast(pl.String)
