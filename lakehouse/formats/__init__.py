"""How deliveries that are not CSV are written: each format turns a delivery's bytes into records, as text.

A format says where records begin and what their columns are called, nothing of what a value means: raw holds every
value as text, as it was delivered, and the contract judges it. `Source.dialect` takes a format wherever it takes a
`Dialect` of CSV.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from lakehouse.archive import EXPANDS, KINDS, unpack
from lakehouse.dialect import Dialect
from lakehouse.errors import SourceError

_ENGINE = re.compile(r"_+(?:line|text|problem)")


@dataclass(frozen=True)
class Table:
    """The records of one delivery.

    names: what its columns are called, as delivered; none where there are no records and nothing else names them.
    rows: a row for each record: `_line` (Int64: the line it starts on; where there are no lines, the record's number
        from 1 on), `_text` (the record as delivered; JSON where it is no text), `_problem` (a name of
        `records.PROBLEMS`, or `file:header` where the names are at fault; null for a sound record), and a String
        column for each name that is asked for, and for the others as far as there is room. A name that is one of those
        above gets one more `_` in front, see `ours`.
    """

    names: tuple[str, ...]
    rows: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class Format(ABC):
    """Base of every format. Raises SourceError when made in a way that cannot work.

    nulls: texts that mean that there is no value, in any column. compression: None, `gzip` or `zip` (of one file).
    aliases: column names as delivered to names the source knows.
    """

    nulls: tuple[str, ...] = ()
    compression: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    decimal: ClassVar[str] = "."
    # Whether deliveries are packed by the format itself.
    packed: ClassVar[bool] = False
    header: ClassVar[tuple[str, ...] | None] = None
    # Whether a record may lack columns that others of its delivery have.
    varies: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.compression is not None and self.compression not in KINDS:
            raise SourceError(f"format: compression {self.compression!r} must be None, {' or '.join(KINDS)}")
        # A copy in one order: equal formats are told by equal words.
        object.__setattr__(self, "aliases", dict(sorted(self.aliases.items())))

    @property
    def expands(self) -> int:
        """How many times its size a delivery may be as text."""
        return EXPANDS if self.packed or self.compression else 1

    def names(self, written: Sequence[str]) -> list[str]:
        """Column names as the source knows them."""
        return [self.aliases.get(name, name) for name in written]

    def unpacked(self, data: bytes) -> bytes:
        """A delivery's bytes out of their compression; raises RefusalError when they cannot be had."""
        return unpack(data, self.compression) if self.compression else data

    @property
    def lines(self) -> Dialect | None:
        """Where each line is a record, a dialect of such lines, so that a large delivery can be cut between them; its
        encoding is the file's. None for other formats, whose deliveries are read whole.
        """
        return None

    def found(self, data: bytes) -> tuple[str, ...]:
        """What the columns of some `lines` are called."""
        return self.table(data).names

    def asked(self, known: Collection[str]) -> set[str]:
        """What the columns that a source knows may be called in a delivery."""
        return {*known, *self.aliases}

    @abstractmethod
    def table(self, data: bytes, asked: Collection[str] = ()) -> Table:
        """The records in uncompressed bytes, which are UTF-8 without a mark where records are `lines`.

        asked: names that are to have a column, if they are there, however many others are.
        Raises RefusalError when none can be told apart.
        """


def ours(name: str) -> str:
    """What a column that was delivered as `name` is called beside those of the engine."""
    return f"_{name}" if _ENGINE.fullmatch(name) else name


def of_texts(values: pl.DataFrame) -> Table:
    """Records that have no lines, and columns of text by their names: numbered, and told as JSON objects."""
    if not values.width:
        return Table((), pl.DataFrame(schema={"_line": pl.Int64, "_text": pl.String, "_problem": pl.String}))
    nul = pl.any_horizontal(pl.all().str.contains("\0", literal=True)).fill_null(False)
    told = {
        "_line": pl.int_range(1, values.height + 1, dtype=pl.Int64, eager=True),
        "_text": values.to_struct().struct.json_encode(),
        "_problem": values.select(pl.when(nul).then(pl.lit("record:nul"))).to_series(),
    }
    columns = {ours(name): column for name, column in values.select(pl.when(~nul).then(pl.all())).to_dict().items()}
    return Table(tuple(columns), pl.DataFrame({**told, **columns}))


# How lines are cut that are records whatever they hold.
LINES = Dialect(quote=None, header=("line",))


def cut(dialect: Dialect | Format) -> Dialect | None:
    """How to cut deliveries written so between records; None when they have to be read whole."""
    if dialect.compression:
        return None
    return dialect.lines if isinstance(dialect, Format) else dialect
