"""Damaged files by the thousand: whatever a file has become, nothing of it is lost and nothing is made up.

Hypothesis writes valid files in dialects of its choice and damages their bytes. What must hold is worked out here from
the bytes with Python's own gzip, zipfile, codecs and csv, not with the engine's readers. `make soak` asks for many
more.
"""

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import dataframely as dy
import polars as pl
import pytest
from house import House
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lakehouse.contract import Contract
from lakehouse.dialect import Dialect
from lakehouse.evaluate import Judged, judge
from lakehouse.lake import Lake
from lakehouse.records import Delivery
from lakehouse.source import Source

COLUMNS = ("ID", "VALUE", "TEXT")
MARKS = {
    "utf-8": (b"", b"\xef\xbb\xbf"),
    "utf-16": (b"\xff\xfe", b"\xfe\xff"),
    "utf-16-le": (b"", b"\xff\xfe"),
    "latin-1": (b"",),
    "cp1252": (b"",),
}
ORDERS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class Anything(Contract):
    """Columns that take any text, so that what is accepted shows what was read."""

    id = dy.String(nullable=True)
    value = dy.String(nullable=True)
    text = dy.String(nullable=True)
    more = dy.String(nullable=True)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select(pl.col("^_.*$").exclude("_extra"), id="ID", value="VALUE", text="TEXT", more="MORE")


def source(dialect: Dialect) -> Source:
    return Source(
        name="anything",
        description="Anything.",
        owner="team:fuzz",
        contract=Anything,
        tidy=tidy,
        key=("id", "value", "text"),
        columns=COLUMNS,
        optional=("MORE",),
        numbers=("VALUE",),
        dialect=dialect,
    )


DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from([",", ",", ";", "\t", "|", " ", "¦"]),
    quote=st.sampled_from(['"', '"', '"', "'", None]),
    decimal=st.sampled_from([".", ","]),
    nulls=st.sampled_from([(), ("NA",), ("-", "n/a")]),
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "utf-16-le", "latin-1", "cp1252"]),
    compression=st.sampled_from([None, None, None, "gzip", "zip"]),
    aliases=st.sampled_from([{}, {"Wert": "VALUE"}, {" ID": "ID"}]),
    header=st.sampled_from([None, None, ("ID", "VALUE", "TEXT"), ("TEXT", "Z", "ID", "VALUE")]),
)
CELL = st.one_of(
    st.text(st.sampled_from("ab1 ,;\t|'\"\n\r¦é-"), max_size=5),
    st.sampled_from(["", "1", "1.5", "1,5", "036.2", "<0,1", "1e400", "NaN", "NA", "-", "n/a", "ID", "مرحبا", "𝄞"]),
)


@dataclass(frozen=True)
class File:
    """A valid file: its dialect, the header as the site writes it (also where the file has none), rows and text."""

    dialect: Dialect
    header: tuple[str, ...]
    rows: list[list[str]]
    text: str
    mark: bytes

    def data(self, befallen: Sequence["Damage"] = ()) -> bytes:
        """The file as delivered, after some damage."""
        text, mark, encoding = self.text, self.mark, self.dialect.encoding
        for damage in befallen:
            text = damage.of("text", text)
        data = mark + text.encode(ORDERS.get(mark, encoding), "ignore")
        for damage in befallen:
            data = damage.of("bytes", data)
        if self.dialect.compression == "gzip":
            data = gzip.compress(data, mtime=0)
        elif self.dialect.compression == "zip":
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(zipfile.ZipInfo("x.csv"), data, zipfile.ZIP_DEFLATED)
            data = buffer.getvalue()
        for damage in befallen:
            data = damage.of("file", data)
        return data


@st.composite
def files(draw: st.DrawFn) -> File:
    """Valid files of any dialect."""
    dialect = draw(DIALECTS)
    given = {known: name for name, known in dialect.aliases.items()}
    names = draw(st.permutations([*COLUMNS, *draw(st.sampled_from([[], ["MORE"], ["Z"], ["MORE", "Z"]]))]))
    # Without quotes a name cannot hold the delimiter.
    assume(dialect.quote or not any(dialect.delimiter in name for name in given.values()))
    header = dialect.header or tuple(given.get(name, name) for name in names)
    rows = draw(st.lists(st.lists(CELL, min_size=len(header), max_size=len(header)), max_size=6))
    if dialect.quote is None:
        special = re.compile(rf"[\r\n{re.escape(dialect.delimiter)}]")
        rows = [[special.sub("", cell) for cell in row] for row in rows]
    rows = [[cell.encode(dialect.encoding, "ignore").decode(dialect.encoding) for cell in row] for row in rows]
    ending = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = written([*([] if dialect.header else [header]), *rows], dialect, ending, draw(st.booleans()))
    text = text if draw(st.booleans()) else text.removesuffix(ending)
    return File(dialect, header, rows, text, draw(st.sampled_from(MARKS[dialect.encoding])))


def written(rows: list[tuple[str, ...] | list[str]], dialect: Dialect, ending: str, every: bool) -> str:
    """CSV text, written out here: every field in quotes, or those that need it."""
    mark, delimiter = dialect.quote, dialect.delimiter

    def cell(text: str) -> str:
        if mark and (every or any(letter in text for letter in f"{mark}{delimiter}\r\n")):
            return mark + text.replace(mark, mark * 2) + mark
        return text

    return "".join(delimiter.join(map(cell, row)) + ending for row in rows)


SNIPPETS = ["\n", "\r", "\r\n", '"', "'", ",", ";", "\t", "|", "\0", "\ufeff", "é", " ", '"\n', ',"', "NA", "1,5",
            "1.500", "ID,VALUE,TEXT\n", "x" * 70_000, "\0\n", "\n\n", '""', "," * 6_000, "\u2028", "¦"]  # fmt: skip
BYTES = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xe9", b"\xed\xa0\x80", b"\xff", b"\x80" * 9, b"\0", b"PK\3\4", b"PK\5\6",
         b"\x1f\x8b", b"\n", b"\r", b'"', b","]  # fmt: skip


@dataclass(frozen=True)
class Damage:
    """One thing that befalls a file somewhere: in its text, in the bytes of the text, or in the file delivered."""

    layer: str
    kind: str
    at: float
    until: float
    size: int
    snippets: tuple[str, str]
    bytes_: bytes

    def of(self, layer: str, whole: Any) -> Any:
        """A text or some bytes after it; unchanged when it befalls another layer."""
        if layer != self.layer:
            return whole
        first, last = int(self.at * len(whole)), int(self.until * len(whole))
        snippet = self.snippets[0] if isinstance(whole, str) else self.bytes_
        match self.kind:
            case "flip" if not isinstance(whole, str) and whole[first:]:
                return whole[:first] + bytes([whole[first] ^ 1 << self.size]) + whole[first + 1 :]
            case "delete":
                return whole[:first] + whole[first + 1 + self.size :]
            case "truncate":
                return whole[:first]
            case "duplicate":
                return whole[:last] + whole[first:last] + whole[last:]
            case "swap" if isinstance(whole, str):
                return whole.replace(*self.snippets, 1 + self.size)
            case "head":
                return snippet + whole
        return whole[:first] + snippet + whole[first:]


DAMAGES = st.builds(
    Damage,
    layer=st.sampled_from(["text", "text", "text", "bytes", "file"]),
    kind=st.sampled_from(["flip", "insert", "insert", "delete", "truncate", "duplicate", "swap", "head"]),
    at=st.floats(0, 1),
    until=st.floats(0, 1),
    size=st.integers(0, 7),
    snippets=st.tuples(st.sampled_from(SNIPPETS), st.sampled_from(SNIPPETS)),
    bytes_=st.sampled_from(BYTES),
)


def delivery(data: bytes) -> Delivery:
    origin = {
        "_file": "A/anything_2020-01-01.csv",
        "_checksum": "c0ffee",
        "_delivered": date(2020, 1, 1),
        "_site": "A",
        "_received_at": datetime(2020, 1, 2, tzinfo=UTC),
    }
    return Delivery(origin, data)


def decoded(data: bytes, dialect: Dialect) -> str:
    """The text of a file, by Python's own means. Raises one of UNREADABLE."""
    if dialect.compression == "gzip":
        data = gzip.decompress(data)
    elif dialect.compression == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (name,) = archive.namelist()
            data = archive.read(name)
    if dialect.encoding == "utf-8":
        return data.decode("utf-8-sig")
    if dialect.encoding == "utf-16-le":
        return data.removeprefix(b"\xff\xfe").decode("utf-16-le")
    return data.decode(dialect.encoding)


UNREADABLE = (UnicodeError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
              RuntimeError)  # fmt: skip


def reader(text: str, dialect: Dialect) -> list[list[str]]:
    """Records by the csv module; raises csv.Error where quotes do not match."""
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    stream = io.StringIO(text, newline="")
    read = csv.reader(stream, delimiter=dialect.delimiter, quotechar=dialect.quote, quoting=quoting, strict=True)
    return [row for row in read if row]


def meant(row: list[str], names: list[str], dialect: Dialect) -> tuple[str | None, ...]:
    """What a record says in ID, VALUE, TEXT and MORE."""
    cells = dict(zip([dialect.aliases.get(name, name) for name in names], row, strict=True))
    found = [cells.get(name) or None for name in (*COLUMNS, "MORE")]
    found = [None if text in dialect.nulls else text for text in found]
    number = found[1]
    if dialect.decimal == "," and number and re.fullmatch(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?", number, re.ASCII):
        found[1] = number.replace(",", ".")
    return tuple(found)


def split(text: str) -> list[str]:
    """Lines, whatever ends them."""
    return re.split(r"\r\n|\r|\n", text)


def check(judged: Judged, data: bytes, dialect: Dialect) -> None:
    """Whatever the bytes are: the account balances, no line is lost, and what was accepted is what the file says."""
    count, refused = judged.deliveries.select("records", "reason").row(0)
    accepted = {row[0]: row[1:] for row in judged.accepted.select("_line", "id", "value", "text", "more").rows()}
    rejected = judged.rejected.filter(pl.col("_line") > 0)
    assert count == judged.raw.height == judged.texts.height == len(accepted) + rejected.height
    assert not (refused and accepted)
    assert rejected["reasons"].list.len().min() != 0
    assert rejected["explanation"].null_count() == rejected["_text"].null_count() == 0
    assert (judged.rejected["_line"] == 0).sum() == bool(refused)
    if judged.rejected["reasons"].list.contains("file:empty").any():
        assert not decoded(data, dialect).strip()
        return
    try:
        text = decoded(data, dialect)
    except UNREADABLE:
        assert refused
        assert count == 0
        return
    if refused and not count:
        # Unpacked or decoded by Python's more lenient means, or nothing but a header.
        return
    texts = dict(judged.texts.select("_line", "_text").sort("_line").rows())
    lines = split(text)
    first = 1
    if not dialect.header:
        # A header that cannot be split ends where the first record begins.
        first = min(texts, default=len(lines) + 1)
        head = "\n".join(lines[: first - 1])
        names = next(iter(reader(head, dialect)), []) if not refused else []
    else:
        names = list(dialect.header)
    for line, kept in texts.items():
        covered = split(kept)
        assert lines[line - 1 : line - 1 + len(covered)] == covered
        lines[line - 1 : line - 1 + len(covered)] = [""] * len(covered)
    assert not any(lines[first - 1 :])
    for line, values in accepted.items():
        (row,) = reader(texts[line], dialect) if texts[line] else ([],)
        assert meant(row, names, dialect) == values
    if accepted and "\0" not in text:
        try:
            rows = reader(text, dialect)[0 if dialect.header else 1 :]
        except csv.Error:
            return
        assert len(rows) == count
        for row, line in zip(rows, texts, strict=True):
            assert line not in accepted or meant(row, names, dialect) == accepted[line]


EXAMPLES = settings.default.max_examples
LENIENT = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(LENIENT, max_examples=max(100, EXAMPLES // 10))
@given(files())
def test_every_record_of_a_valid_file_is_read(file: File) -> None:
    rows = file.rows
    content = (file.dialect.header is None) or any(cell.strip() for row in rows for cell in row)
    assume(content)
    first = sorted(file.dialect.aliases.get(name, name) for name in rows[0]) if rows else []
    assume(file.dialect.header is None or first != sorted(file.header))
    judged = judge(source(file.dialect), [delivery(file.data())])
    assert judged.deliveries["reason"].item() is None
    doubt = re.compile(r"[0-9]\.|\.[0-9]")
    expected = [meant(row, list(file.header), file.dialect) for row in rows]
    if file.dialect.decimal == ",":
        at = [file.dialect.aliases.get(name, name) for name in file.header].index("VALUE")
        expected = [
            values for row, values in zip(rows, expected, strict=True) if row[at] in file.dialect.nulls or not
            doubt.search(row[at])
        ]  # fmt: skip
    assert judged.accepted.select("id", "value", "text", "more").rows() == expected
    rules = set(judged.rejected["reasons"].explode())
    assert rules <= {"VALUE|decimal"}
    assert judged.rejected.height == len(rows) - len(expected)


@LENIENT
@given(files(), st.lists(DAMAGES, min_size=1, max_size=4))
def test_nothing_is_lost_or_made_up_whatever_befalls_a_file(file: File, befallen: list[Damage]) -> None:
    data = file.data(befallen)
    check(judge(source(file.dialect), [delivery(data)]), data, file.dialect)


@settings(LENIENT, max_examples=max(3, EXAMPLES // 400))
@given(st.lists(st.tuples(files(), st.lists(DAMAGES, max_size=2)), min_size=1, max_size=6))
def test_a_lakehouse_of_damaged_files_balances(
    tmp_path_factory: pytest.TempPathFactory, befallen: list[tuple[File, list[Damage]]]
) -> None:
    folder = tmp_path_factory.mktemp("house")
    sites = {f"S{number}": file.dialect for number, (file, _) in enumerate(befallen)}
    house = House(folder, Lake(str(folder / "lake")), replace(source(Dialect()), site_dialects=sites))
    delivered = {}
    for site, (file, damage) in zip(sites, befallen, strict=True):
        data = file.data(damage)
        delivered[f"{site}/anything_2020-01-01.csv"] = data
        house.land(f"{site}/anything_2020-01-01.csv", data)
    house.run()
    assert house.idle()
    assert house.unbalanced().is_empty()
    account = house.table("account")
    assert {row["_file"]: house.lake.kept(row["_checksum"]) for row in account.iter_rows(named=True)} == delivered
