"""How a site writes its CSV: declared by the source, never found out from the file.

What belongs here is what differs between sites that deliver the same thing: marks, encoding, compression, names of
columns. What a value means is the contract's matter.

A dialect acts at two places. Before records are told apart, bytes become text and header names become the source's.
Raw then holds every value as delivered. Between raw and `tidy`, and nowhere else, null marks become null and decimal
commas become points (`reading`), so that one tidy and one contract serve all sites.
"""

import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Protocol, TypeVar

import numpy as np
import polars as pl

from lakehouse.archive import EXPANDS, KINDS, unpack
from lakehouse.errors import RefusalError, SourceError

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

_DECIMALS = (".", ",")
# Codecs that yield what is no text of a file (lone surrogates, escapes), or that exist on one system only.
_UNFIT = {"utf-7", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
# Byte order marks, the longer first because one begins like another, and what they say.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# Which byte order is not said by their names, so the mark must say it.
_NEED_MARK = ("utf-16", "utf-32")
_LINE_END = re.compile(r"\r\n|\r|\n")
_BLOCK = 1 << 21

# A number with at most one comma, as a whole; and a point that may be a decimal point or part thousands.
_WITH_COMMA = r"^[+-]?(?:[0-9]+,[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_WITH_POINT = r"[0-9]\.|\.[0-9]"


class Marks(Protocol):
    """What of a dialect, or of another format, says how values are to be read."""

    @property
    def nulls(self) -> tuple[str, ...]: ...

    @property
    def decimal(self) -> str: ...


@cache
def codec(encoding: str) -> str | None:
    """The name of a text encoding that files can be written in, or None."""
    try:
        found = codecs.lookup(encoding)
        "A,1\r\n".encode(encoding)
    except (LookupError, ValueError):
        return None
    name = found.name.removesuffix("-sig").replace("_", "-")
    return None if name in _UNFIT else name


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How CSV is written. Raises SourceError when made in a way that cannot work.

    delimiter: one character between fields. quote: one character around fields that need it, doubled inside them; None
        when quotes are ordinary characters.
    decimal: `.` or `,`; a comma is read in the columns that the source names in `numbers`.
    nulls: texts that mean that there is no value, in any column, beside the empty field, which always does. Quotes
        around a mark make no difference.
    encoding: of Python's text encodings. A byte order mark must agree; utf-16 and utf-32 must have one.
    compression: None, `gzip` or `zip` (one compressed file, no more).
    aliases: header names as the site writes them (exactly, blanks too) to names the source knows.
    header: the columns in order, for files without a header line.
    """

    delimiter: str = ","
    quote: str | None = '"'
    decimal: str = "."
    nulls: tuple[str, ...] = ()
    encoding: str = "utf-8"
    compression: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    header: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        marks = (self.delimiter,) if self.quote is None else (self.delimiter, self.quote)
        if any(len(mark) != 1 or mark in "\r\n\0\ufeff" for mark in marks):
            raise SourceError(
                f"dialect: delimiter {self.delimiter!r} and quote {self.quote!r} must be one character each, and no "
                "line end or NUL; quote may be None"
            )
        if self.delimiter == self.quote:
            raise SourceError(f"dialect: {self.quote!r} cannot be both delimiter and quote")
        if self.decimal not in _DECIMALS:
            raise SourceError(f"dialect: decimal {self.decimal!r} must be '.' or ','")
        for name, texts in (("nulls", self.nulls), ("header", self.header or ())):
            if not isinstance(texts, tuple) or not all(isinstance(text, str) for text in texts):
                raise SourceError(f"dialect: {name} {texts!r} must be a tuple of texts")
        if codec(self.encoding) is None:
            raise SourceError(f"dialect: encoding {self.encoding!r} is not one that files are written in; try 'cp1252'")
        try:
            "".join((*marks, *self.nulls)).encode(self.encoding)
        except UnicodeEncodeError as error:
            raise SourceError(f"dialect: a mark cannot be written in {self.encoding}: {error}") from error
        if self.compression is not None and self.compression not in KINDS:
            raise SourceError(
                f"dialect: compression {self.compression!r} must be None, {' or '.join(map(repr, KINDS))}"
            )
        # A copy in one order: equal dialects are told by equal words.
        object.__setattr__(self, "aliases", dict(sorted(self.aliases.items())))
        if self.header is not None:
            names = self.names(self.header)
            if not names or "" in names or len(set(names)) < len(names):
                raise SourceError(f"dialect: header {self.header!r} must name every column, and each once")

    @property
    def expands(self) -> int:
        """How many times its size a delivery may be as text."""
        return EXPANDS if self.compression else 1

    def names(self, written: Sequence[str]) -> list[str]:
        """Header names as the source knows them."""
        return [self.aliases.get(name, name) for name in written]

    def unpacked(self, data: bytes) -> bytes:
        """A delivery's bytes out of their compression; raises RefusalError when they cannot be had."""
        return unpack(data, self.compression) if self.compression else data

    def decode(self, data: bytes) -> bytes:
        """A delivery's text as UTF-8 without a byte order mark; raises RefusalError when it cannot be had."""
        data = self.unpacked(data)
        mark, codec = self.mark(data)
        data = data.removeprefix(mark)
        if codec == "utf-8" and data.isascii():
            return data
        try:
            text = data.decode(codec)
        except UnicodeDecodeError as error:
            raise self._undecodable(error, 1) from error
        return data if codec == "utf-8" else text.encode()

    def decode_chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Like `decode`, a chunk at a time, of a delivery that is not compressed."""
        chunks, begin = iter(chunks), b""
        while len(begin) < 4 and (chunk := next(chunks, None)) is not None:
            begin += chunk
        mark, codec = self.mark(begin)
        decoder, line, last = codecs.getincrementaldecoder(codec)(), 1, b""
        for chunk, final in chain(
            ((chunk, False) for chunk in chain([begin.removeprefix(mark)], chunks)), [(b"", True)]
        ):
            if codec == "utf-8" and chunk.isascii() and not decoder.getstate()[0]:
                text = chunk
            else:
                try:
                    text = decoder.decode(chunk, final).encode()
                except UnicodeDecodeError as error:
                    raise self._undecodable(error, line) from error
            line += line_ends(text) - (last == b"\r" and text[:1] == b"\n")
            last = text[-1:] or last
            yield text

    def _undecodable(self, error: UnicodeDecodeError, line: int) -> RefusalError:
        """error: of bytes that begin on `line`."""
        line += len(_LINE_END.findall(error.object[: error.start].decode(error.encoding)))
        name = self.encoding.upper()
        return RefusalError(
            "file:encoding",
            f"the file is not {name} (line {line} holds the byte 0x{error.object[error.start]:02X}); save it as {name} "
            "and send it again",
        )

    def mark(self, data: bytes) -> tuple[bytes, str]:
        """The byte order mark a file begins with, and the codec that it and the declaration agree on."""
        found = codec(self.encoding)
        assert found is not None
        own = [mark for mark, said in _MARKS.items() if said.startswith(found)]
        if mark := next((mark for mark in own if data.startswith(mark)), b""):
            return mark, _MARKS[mark]
        name = self.encoding.upper()
        if other := next((said for mark, said in _MARKS.items() if data.startswith(mark)), None):
            raise RefusalError(
                "file:encoding", f"the file is marked as {other.upper()}; save it as {name} and send it again"
            )
        if found in _NEED_MARK and data:
            raise RefusalError(
                "file:encoding",
                f"the file does not begin with a byte order mark, as {name} does; save it as {name} and send it again",
            )
        return b"", found


def line_ends(text: bytes) -> int:
    """How many lines end in `text`, by any of the three line ends."""
    return occurrences(text, b"\n") + (text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0)


def occurrences(text: bytes, byte: bytes) -> int:
    """How often a byte is in `text`, several times as quickly as `bytes.count`, and while other threads go on."""
    values, code = np.frombuffer(text, np.uint8), ord(byte)
    # Not all at once: comparing takes as much memory again as what is compared.
    blocks = (values[begin : begin + _BLOCK] for begin in range(0, len(values), _BLOCK))
    return sum(int(np.count_nonzero(block == code)) for block in blocks)


# RFC 4180 in UTF-8.
PLAIN = Dialect()


def reading(rows: Frame, where: pl.Expr, dialect: Marks, columns: Collection[str], numbers: Collection[str]) -> Frame:
    """Raw rows with the values of those `where` holds as tidy is to read them: null marks null, decimal commas points.

    Only a value that is as a whole a number with a comma is rewritten: `<0,1` stays as it is, for the contract to
    judge.
    """
    if dialect.nulls:
        marked = where & pl.col(*columns).is_in(dialect.nulls)
        rows = rows.with_columns(pl.when(~marked).then(pl.col(*columns)))
    if dialect.decimal == ",":
        comma = where & pl.col(*numbers).str.contains(_WITH_COMMA)
        pointed = pl.col(*numbers).str.replace(",", ".", literal=True)
        rows = rows.with_columns(pl.when(comma).then(pointed).otherwise(pl.col(*numbers)))
    return rows


def doubtful(dialect: Marks, column: str) -> pl.Expr:
    """Whether a number's text can mean two things: where commas are decimal, 1.500 may be 1500 or 1.5."""
    if dialect.decimal == ".":
        return pl.lit(False)
    return pl.col(column).str.contains(_WITH_POINT) & ~pl.col(column).is_in(dialect.nulls)
