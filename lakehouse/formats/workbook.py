"""What is in an Excel workbook: an archive of XML parts (ECMA-376), its sheets, and the texts of their cells."""

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from lakehouse.archive import most
from lakehouse.errors import RefusalError
from lakehouse.formats.serial import Kind, kind_of, number, text

RULE = "file:format"
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    expat.ExpatError,
    EOFError,
    OSError,
    ValueError,
    # An encoding that nobody knows is one, too.
    LookupError,
    NotImplementedError,
    # zipfile's word for a part that is locked.
    RuntimeError,
)
_LAST_ROW, _LAST_COLUMN = 1 << 20, 1 << 14
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
# How a character that XML cannot hold is written.
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")

_Attributes = dict[str, str]


class Workbook:
    """Reads a workbook's sheets. Raises RefusalError when it is none, or is damaged."""

    def __init__(self, data: bytes) -> None:
        self._left = most(len(data))
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            self._names = set(self._archive.namelist())
            self._book = self._find_book()
        except _DAMAGE as error:
            raise _damaged() from error

    def rows(self, sheet: str | None) -> Iterator[tuple[int, dict[int, str]]]:
        """The rows of a sheet that hold a value: the row's number, and texts by column; both count from 1."""
        try:
            part = self._sheet(sheet)
            reader = _Cells(self._strings(), self._styles(), self._book.since_1904)
            self._parse(part, reader.start, reader.end, reader.characters)
        except _DAMAGE as error:
            raise _damaged() from error
        yield from reader.rows.items()

    def _sheet(self, wanted: str | None) -> str:
        """The part that holds a sheet."""
        sheets = self._book.sheets
        names = ", ".join(list(sheets)[:10])
        if wanted is None and len(sheets) != 1:
            raise RefusalError(RULE, f"the workbook has {len(sheets)} sheets ({names}); send one with one sheet")
        name = next(iter(sheets)) if wanted is None else wanted
        if name not in sheets:
            raise RefusalError(RULE, f"the workbook has no sheet {name}; it has {names}; rename it and send it again")
        return sheets[name]

    def _find_book(self) -> "_Book":
        main = next(
            (target for kind, target in self._relations("").values() if kind == "officeDocument"), "xl/workbook.xml"
        )
        related, book = self._relations(main), _Book()

        def start(tag: str, attributes: _Attributes) -> None:
            if tag == "workbookPr":
                book.since_1904 = attributes.get("date1904") in ("1", "true")
            elif tag == "sheet":
                kind, target = related[attributes["id"]]
                # Others are sheets of one chart.
                if kind == "worksheet":
                    book.sheets[attributes["name"]] = target

        self._parse(main, start)
        parts = dict(related.values())
        book.strings, book.styles = parts.get("sharedStrings"), parts.get("styles")
        return book

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """What a part points to: kind and part by number."""
        folder, name = posixpath.split(part)
        found: dict[str, tuple[str, str]] = {}

        def start(tag: str, attributes: _Attributes) -> None:
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, attributes["Target"])).lstrip("/")
                found[attributes["Id"]] = attributes["Type"].rpartition("/")[2], target

        if (path := posixpath.join(folder, "_rels", f"{name}.rels")) in self._names:
            self._parse(path, start)
        return found

    def _strings(self) -> list[str]:
        """The texts that cells share."""
        found: list[str] = []
        reader = _Text()

        def start(tag: str, _: _Attributes) -> None:
            if tag == "si":
                reader.begin()
            reader.start(tag)

        def end(tag: str) -> None:
            reader.end(tag)
            if tag == "si":
                found.append(reader.text)

        if self._book.strings:
            self._parse(self._book.strings, start, end, reader.characters)
        return found

    def _styles(self) -> list[Kind | None]:
        """By number of a cell's style, what its numbers are."""
        codes: dict[int, str] = {}
        styles: list[Kind | None] = []
        within = [False]

        def start(tag: str, attributes: _Attributes) -> None:
            if tag == "cellXfs":
                within[0] = True
            elif tag == "numFmt":
                codes[int(attributes["numFmtId"])] = attributes["formatCode"]
            elif tag == "xf" and within[0]:
                form = int(attributes.get("numFmtId", "0"))
                styles.append(kind_of(form, codes.get(form)))

        def end(tag: str) -> None:
            if tag == "cellXfs":
                within[0] = False

        if self._book.styles:
            self._parse(self._book.styles, start, end)
        return styles

    def _parse(
        self,
        part: str,
        start: Callable[[str, _Attributes], None],
        end: Callable[[str], None] = lambda _: None,
        characters: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Hand the elements of a part to some functions, by names without what stands before a colon."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = lambda tag, attributes: start(
            tag.rpartition(":")[2], {name.rpartition(":")[2]: value for name, value in attributes.items()}
        )
        parser.EndElementHandler = lambda tag: end(tag.rpartition(":")[2])
        parser.CharacterDataHandler = characters
        parser.StartDoctypeDeclHandler = _no_doctype
        if self._archive.getinfo(part).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("a part is packed by an unusual method")
        with self._archive.open(part) as stream:
            # In small pieces, the parser would go through a very long comment again with each.
            while chunk := stream.read(1 << 20):
                self._left -= len(chunk)
                if self._left < 0:
                    raise RefusalError(RULE, "the workbook unpacks to too much for its size; send it in smaller parts")
                parser.Parse(chunk)
        parser.Parse(b"", True)


@dataclass
class _Book:
    """sheets: the part of each sheet by its name. strings, styles: the parts that hold these, where there are any."""

    sheets: dict[str, str] = field(default_factory=dict)
    since_1904: bool = False
    strings: str | None = None
    styles: str | None = None


class _Text:
    """The text of an element: its `t`s, but for those that say how it is pronounced."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self._parts: list[str] = []
        self._open = self._aside = False

    def start(self, tag: str) -> None:
        self._aside = self._aside or tag == "rPh"
        self._open = tag == "t" and not self._aside

    def characters(self, some: str) -> None:
        if self._open:
            self._parts.append(some)

    def end(self, tag: str) -> None:
        self._open = False
        self._aside = self._aside and tag != "rPh"

    @property
    def text(self) -> str:
        whole = "".join(self._parts)
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), whole) if "_x" in whole else whole


class _Cells:
    """Gathers the texts of a sheet's cells, by row and column."""

    def __init__(self, strings: list[str], styles: list[Kind | None], since_1904: bool) -> None:
        self._strings, self._styles, self._since_1904 = strings, styles, since_1904
        self.rows: dict[int, dict[int, str]] = {}
        self._row = self._column = 0
        self._type, self._style = "n", 0
        self._inline, self._value, self._in_value = _Text(), [""], False

    def start(self, tag: str, attributes: _Attributes) -> None:
        if tag == "row":
            self._row, self._column = int(attributes.get("r", self._row + 1)), 0
        elif tag == "c":
            self._column += 1
            if "r" in attributes:
                self._column, self._row = _place(attributes["r"])
            if not (0 < self._row <= _LAST_ROW and 0 < self._column <= _LAST_COLUMN):
                raise ValueError("a cell is outside the sheet")
            self._type, self._style = attributes.get("t", "n"), int(attributes.get("s", "0"))
            self._value = []
            self._inline.begin()
        elif tag == "v":
            self._in_value = True
        else:
            self._inline.start(tag)

    def characters(self, some: str) -> None:
        if self._in_value:
            self._value.append(some)
        else:
            self._inline.characters(some)

    def end(self, tag: str) -> None:
        if tag == "v":
            self._in_value = False
        elif tag == "c":
            if found := self._found("".join(self._value)):
                row = self.rows.setdefault(self._row, {})
                if self._column in row:
                    raise ValueError("a cell is there twice")
                row[self._column] = _storable(found)
        else:
            self._inline.end(tag)

    def _found(self, value: str) -> str:
        """The text of the cell that ends here; empty when it has none."""
        match self._type:
            case "s":
                index = int(value)
                if index < 0:
                    raise ValueError("no such text")
                return self._strings[index]
            case "inlineStr":
                return self._inline.text
            case "str":
                return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value)
            case "b":
                return {"1": "TRUE", "0": "FALSE", "": ""}[value]
            case "e" | "d":
                return value
            case "n":
                if not value.strip():
                    return ""
                kind = self._styles[self._style] if self._style else next(iter(self._styles), None)
                found = float(value)
                return text(found, kind, since_1904=self._since_1904) if kind else number(found)
        raise ValueError("a cell of an unknown type")


def _storable(found: str) -> str:
    """Raises ValueError for half a character, which no table can hold."""
    found.encode()
    return found


def _place(reference: str) -> tuple[int, int]:
    """Column and row of a cell, from 1: AB3 is (28, 3)."""
    match = _REFERENCE.fullmatch(reference)
    if not match:
        raise ValueError("a cell has no place")
    column = 0
    for letter in match[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column, int(match[2])


def _no_doctype(*_: object) -> None:
    raise ValueError("a workbook declares no types")


def _damaged() -> RefusalError:
    return RefusalError(RULE, "the file is no Excel workbook (xlsx), or is damaged; save it again and send it")
