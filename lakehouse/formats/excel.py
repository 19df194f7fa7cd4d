"""Excel workbooks (.xlsx, .xlsm): one sheet's cells as text.

Read here and not by a library: those that there are round numbers to 15 digits where a column also holds text, and
make nothing of error cells and of days that they cannot place.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from lakehouse.errors import RefusalError, SourceError
from lakehouse.formats import Format, Table, ours
from lakehouse.formats.workbook import RULE, Workbook

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LOCKED = "EncryptedPackage".encode("utf-16-le")


@dataclass(frozen=True, kw_only=True)
class Excel(Format):
    """A sheet of an Excel workbook. Raises SourceError when made in a way that cannot work.

    sheet: its name; None where the workbook has one. header_row: the row of the sheet that names the columns, from 1.
    `_line` is the sheet's row. Texts are as they were typed: 007 as text stays 007. Numbers are the shortest text that
    reads back as the same double; dates ISO 8601, told by the cell's format; booleans TRUE and FALSE; formulas the
    values that were saved with them; error cells their words, such as #N/A. Of merged cells the first has the value.
    Rows without a value are passed over, and columns with neither a name nor a value. A row with a value beyond the
    last name is long.
    """

    sheet: str | None = None
    header_row: int = 1
    packed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.header_row < 1:
            raise SourceError(f"excel: header_row {self.header_row} must be 1 or more, as the sheet counts its rows")

    def table(self, data: bytes, _asked: Collection[str] = ()) -> Table:
        """The sheet's records; raises RefusalError when the file is no workbook, is locked or damaged, or has no such
        sheet.
        """
        if data.startswith(_OLE):
            words = "is in Excel's old form; save it as xlsx"
            if _LOCKED in data:
                words = "is locked with a password; send it without"
            raise RefusalError(RULE, f"the workbook {words} and send it again")
        rows = dict(Workbook(data).rows(self.sheet))
        header = {column: text for column, text in rows.pop(self.header_row, {}).items() if text.strip()}
        cells = {number: row for number, row in rows.items() if number > self.header_row}
        return _table(header, cells)


def _table(header: Mapping[int, str], cells: Mapping[int, Mapping[int, str]]) -> Table:
    """header: names by column. cells: texts by row and column. Both count from 1."""
    last = max(header, default=0)
    used = {column for row in cells.values() for column in row}
    columns = [column for column in range(1, last + 1) if column in header or column in used]
    names = tuple(ours(header.get(column, "")) for column in columns)
    texts = [
        {"_line": number, "_text": _json(row), "_problem": _problem(row, last, names)} for number, row in cells.items()
    ]
    frame = pl.DataFrame(texts, schema={"_line": pl.Int64, "_text": pl.String, "_problem": pl.String})
    if len(set(names)) < len(names):
        return Table(names, frame)
    sound = [row if text["_problem"] is None else {} for row, text in zip(cells.values(), texts, strict=True)]
    values = {
        name: pl.Series([row.get(column) for row in sound], dtype=pl.String)
        for name, column in zip(names, columns, strict=True)
    }
    return Table(names, pl.DataFrame({**frame.to_dict(), **values}).sort("_line"))


def _problem(row: Mapping[int, str], last: int, names: tuple[str, ...]) -> str | None:
    if len(set(names)) < len(names) or not names:
        return "file:header"
    if any("\0" in text for text in row.values()):
        return "record:nul"
    return "record:long" if max(row) > last else None


def _json(row: Mapping[int, str]) -> str:
    return json.dumps({_letters(column): text for column, text in sorted(row.items())}, ensure_ascii=False)


def _letters(column: int) -> str:
    """A column as Excel calls it: 1 is A, 27 is AA."""
    name = ""
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
