"""Text whose fields are told by their place in the line: fixed-width exports."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import polars as pl

from lakehouse.dialect import Dialect
from lakehouse.errors import SourceError
from lakehouse.formats import Format, Table


@dataclass(frozen=True, kw_only=True)
class FixedWidth(Format):
    """Lines of one width. Raises SourceError when made in a way that cannot work.

    columns: name to (first, last) character of it, counted from 1, both included; they may leave gaps, and may not
        overlap. encoding: of Python's text encodings; a place is a character, however many bytes it takes.
    A value loses its trailing blanks; one of blanks only is null. Lines of blanks only are passed over. A line that
    ends before the last column does is short: whether blanks or a value were cut off cannot be told. One with more than
    blanks after the last column is long.
    """

    columns: Mapping[str, tuple[int, int]] = field(hash=False)
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.columns:
            raise SourceError("fixed width: columns are missing; give each name its first and last character")
        places = sorted(self.columns.values())
        if wrong := [name for name, (first, last) in self.columns.items() if not 1 <= first <= last]:
            raise SourceError(f"fixed width: {wrong} must begin at 1 or after, and end where they begin or after")
        if any(last >= begin for (_, last), (begin, _) in pairwise(places)):
            raise SourceError("fixed width: columns overlap; a character belongs to one column")
        object.__setattr__(self, "columns", dict(self.columns))
        # Judges the encoding.
        _ = self.lines

    @property
    def lines(self) -> Dialect:
        """Lines without quotes, none of them a header."""
        return Dialect(quote=None, encoding=self.encoding, header=("line",))

    def table(self, data: bytes, _asked: Collection[str] = ()) -> Table:
        """The records in text that is UTF-8 by now; all or a piece of a delivery."""
        text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
        lines = pl.Series("_text", [text.removesuffix("\n")]).str.split("\n").explode()
        rows = pl.DataFrame([lines]).with_row_index("_line", 1).filter(pl.col("_text").str.strip_chars(" ") != "")
        width = max(last for _, last in self.columns.values())
        line = pl.col("_text")
        problem = (
            pl.when(line.str.contains("\0", literal=True))
            .then(pl.lit("record:nul"))
            .when(line.str.len_chars() < width)
            .then(pl.lit("record:short"))
            .when(line.str.slice(width).str.strip_chars(" ") != "")
            .then(pl.lit("record:long"))
        )
        values = [
            pl.when(problem.is_null(), value != "").then(value).alias(name)
            for name, (first, last) in self.columns.items()
            for value in [line.str.slice(first - 1, last - first + 1).str.strip_chars_end(" ")]
        ]
        told = rows.select(pl.col("_line").cast(pl.Int64), "_text", problem.alias("_problem"), *values)
        return Table(tuple(self.columns), told)
