"""JSON lines: a JSON object on each line."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from lakehouse.dialect import Dialect
from lakehouse.formats import LINES, Format, Table
from lakehouse.formats.members import columns, named

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, kw_only=True)
class JsonLines(Format):
    """A JSON object on each line, in UTF-8. Its members are the columns; one that is absent is null.

    A text is taken as it is, a number exactly as it is written, an object or a list as its JSON text.
    """

    varies: ClassVar[bool] = True

    @property
    def lines(self) -> Dialect:
        return LINES

    def found(self, data: bytes) -> tuple[str, ...]:
        return named([*filter(bytes.strip, _LINE_END.split(data))])

    def table(self, data: bytes, asked: Collection[str] = ()) -> Table:
        """The objects of some lines; blank lines are passed over."""
        written = _LINE_END.split(data)
        numbers = [number for number, line in enumerate(written, start=1) if line.strip()]
        lines = [written[number - 1] for number in numbers]
        names, rows = columns(lines, asked)
        text = pl.Series("_text", [line.decode() for line in lines], dtype=pl.String)
        return Table(names, rows.with_columns(text, pl.Series("_line", numbers, dtype=pl.Int64)))
