"""CSV as the world writes it: for each thing that sites do, which records are accepted and what is said of the others.

The expectations are written by hand; the fuzzer (test_fuzz.py) looks for what nobody thought of.
"""

import gzip
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import meter
import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER

from lakehouse import archive
from lakehouse.dialect import PLAIN, Dialect, reading
from lakehouse.errors import SourceError
from lakehouse.evaluate import Judged, judge
from lakehouse.records import Delivery
from lakehouse.source import Source

HEAD = "METER,VALUE,READ\n"


def delivery(data: bytes, site: str = "A") -> Delivery:
    origin = {
        "_file": f"{site}/meters_2020-01-01.csv",
        "_checksum": f"sum of {site}",
        "_delivered": date(2020, 1, 1),
        "_site": site,
        "_received_at": datetime(2020, 1, 2, tzinfo=UTC),
    }
    return Delivery(origin, data)


def accepted(judged: Judged) -> list[tuple[object, ...]]:
    return judged.accepted.select("_line", "meter", "value", "read", "note").rows()


def rejected(judged: Judged) -> list[tuple[object, ...]]:
    rows = judged.rejected.sort("_site", "_line").select("_line", "reasons", "_text").rows()
    return [(line, *reasons, text) for line, reasons, text in rows]


@dataclass
class Case:
    """A file, how its site is declared to write, and what becomes of it.

    good: (line, meter, value, day read, note). bad: (line, reasons..., text). words: part of what the site is told.
    """

    name: str
    data: str | bytes
    good: list[tuple[object, ...]] = field(default_factory=list)
    bad: list[tuple[object, ...]] = field(default_factory=list)
    words: str = ""
    dialect: Dialect = PLAIN


def one(line: int = 2, value: float | None = 1.5, note: str | None = None, meter: str = "m") -> tuple[object, ...]:
    return (line, meter, value, "2020-01-01", note)


ROW = "m,1.5,2020-01-01"
GOOD = f"{HEAD}{ROW}\n"
SEMICOLON = Dialect(delimiter=";", decimal=",")
NULLS = Dialect(nulls=("NA", "."))
BARE = Dialect(header=("METER", "VALUE", "READ"))
NAMES = Dialect(aliases={"Zähler": "METER", "WERT": "VALUE", " READ": "READ"})


def whole(rule: str, *texts: tuple[int, str]) -> list[tuple[object, ...]]:
    """Of a file refused whole: the file itself, and its records."""
    return [(0, rule, None), *((line, rule, text) for line, text in texts)]


CASES = [
    Case("plain", GOOD, [one()]),
    # Ends of lines and files.
    Case("crlf", GOOD.replace("\n", "\r\n"), [one()]),
    Case("cr", GOOD.replace("\n", "\r"), [one()]),
    Case("cr with quotes", GOOD.replace("\n", "\r") + '"n",2,2020-01-01\r', [one(), one(3, 2.0, meter="n")]),
    Case("mixed ends", f"{HEAD}{ROW}\rn,1.5,2020-01-01\r\no,1.5,2020", [
        one(), one(3, meter="n"), (4, "o", 1.5, "2020", None)]),
    Case("blank lines between", f"{HEAD}\n\n{ROW}\n\r\n\nn,1.5,2020-01-01\n\n", [one(4), one(7, meter="n")]),
    Case("no final newline", GOOD.rstrip(), [one()]),
    Case("header only", HEAD),
    Case("header only, no newline", HEAD.rstrip()),
    Case("empty file", b"", [], whole("file:empty"), "the file is empty"),
    Case("blank file", b"\r\n \n", [], whole("file:empty")),
    Case("mark only", b"\xef\xbb\xbf", [], whole("file:empty")),
    # Quotes.
    Case("quoted newlines", f'{HEAD}"m\n\n1",1.5,2020-01-01\n"n",2,2020-01-01\n', [
        one(meter="m\n\n1"), one(5, 2.0, meter="n")]),
    Case("quoted delimiter and quote", f'{HEAD}"m,""1""",1.5,2020-01-01\n', [one(meter='m,"1"')]),
    Case("text after a quote", f'{HEAD}"m"x,1.5,2020-01-01\n{ROW}\n', [one(3)], [
        (2, "record:quotes", '"m"x,1.5,2020-01-01')], "quotes do not match"),
    Case("open quote", f'{HEAD}{ROW}\n"n,1.5,2020-01-01\no,1,2020\n', [one()], [
        (3, "record:quotes", '"n,1.5,2020-01-01\no,1,2020')]),
    Case("other quote", f"{HEAD}'m,1',1.5,2020-01-01\n\"n\",1.5,2020-01-01\n", [
        one(meter="m,1"), one(3, meter='"n"')], dialect=Dialect(quote="'")),
    Case("no quotes", f'{HEAD}5" pipe,1.5,2020-01-01\n"n",1.5,2020-01-01\n"o,1,1.5,2020\n', [
        one(meter='5" pipe'), one(3, meter='"n"')], [(4, "record:long", '"o,1,1.5,2020')], dialect=Dialect(quote=None)),
    # Rows that do not fit.
    Case("short row", f"{HEAD}{ROW}\nn,1.5\no\n", [one()], [
        (3, "record:short", "n,1.5"), (4, "record:short", "o")], "fewer fields than the header"),
    Case("long row", f"{HEAD}{ROW}\nn,1,5,2020-01-01\n", [one()], [
        (3, "record:long", "n,1,5,2020-01-01")], "more fields than the header"),
    Case("short row over lines", f'{HEAD}"n\nn",1.5\r\n{ROW}\n', [one(4)], [(2, "record:short", '"n\nn",1.5')]),
    Case("nul", f"{HEAD}{ROW}\nn\0,1.5,2020-01-01\n", [one()], [(3, "record:nul", "n\0,1.5,2020-01-01")]),
    Case("nul in the header", f"METER\0,VALUE,READ\n{ROW}\n", [], whole("file:header", (2, ROW)), "lacks METER"),
    # Headers.
    Case("reordered header", "READ,NOTE,METER,VALUE\n2020-01-01,ok,m,1.5\n", [one(note="ok")]),
    Case("unknown column", f"METER,VALUE,READ,_file\n{ROW},x\n", [one()]),
    Case("renamed header", f"METER,VALUES,READ\n{ROW}\n", [], whole("file:header", (2, ROW)), "lacks VALUE;"),
    Case("padded header", f"METER,VALUE , READ\n{ROW}\n", [], whole("file:header", (2, ROW)),
        "lacks VALUE, READ, and has 'VALUE ' where 'VALUE' is meant, and has ' READ' where"),
    Case("padded optional column", f"METER,VALUE,READ,NOTE \n{ROW},x\n", [], whole("file:header", (2, f"{ROW},x")),
        "has 'NOTE ' where 'NOTE' is meant"),
    Case("lower case header", HEAD.lower() + ROW, [], whole("file:header", (2, ROW)), "'meter' where 'METER' is meant"),
    Case("duplicated header", f"METER,VALUE,READ,VALUE\n{ROW},2\n", [], whole("file:header", (2, f"{ROW},2")),
        "names VALUE more than once"),
    Case("nameless column", f"METER,VALUE,READ,,\n{ROW},,\n", [], whole("file:header", (2, f"{ROW},,")),
        "gives column 4, 5 no name"),
    Case("no header", f"{ROW}\nn,1.5,2020-01-01\n", [], whole("file:header", (2, "n,1.5,2020-01-01")), "lacks METER"),
    Case("blank first line", f"\n{GOOD}", [], whole("file:header", (2, HEAD.strip()), (3, ROW)), "no header"),
    Case("blank first line, careful", f'\n{HEAD}"m\n",1,2020', [], whole(
        "file:header", (2, HEAD.strip()), (3, '"m\n",1,2020')), "no header"),
    Case("aliases", f"Zähler,WERT, READ\n{ROW}\n", [one()], dialect=NAMES),
    Case("aliases, quoted", f'"Zähler","WERT"," READ"\n{ROW}\n', [one()], dialect=NAMES),
    Case("aliases may be left alone", GOOD, [one()], dialect=NAMES),
    Case("alias beside its name", f"Zähler,WERT,READ,VALUE\n{ROW},2\n", [], whole("file:header", (2, f"{ROW},2")),
        "names VALUE more than once", NAMES),
    Case("alias of a nameless column", f"METER,VALUE,READ,\n{ROW},x\n", [one(note="x")],
        dialect=Dialect(aliases={"": "NOTE"})),
    Case("declared without header", f"{ROW}\nn,1.5,2020-01-01\n", [one(1), one(meter="n")], dialect=BARE),
    Case("declared without header, careful", '"m\n",1.5,2020-01-01\nn,1.5,2020-01-01\n', [
        one(1, meter="m\n"), one(3, meter="n")], dialect=BARE),
    Case("declared without header, aliases", f"1.5,{ROW}\n", [(1, "m", 1.5, "2020-01-01", None)],
        dialect=Dialect(header=("extra", "m", "VALUE", "READ"), aliases={"m": "METER"})),
    Case("declared without header, short row", f"{ROW}\nn,1.5\n", [one(1)], [(2, "record:short", "n,1.5")],
        dialect=BARE),
    Case("declared without header, has one", GOOD, [], whole("file:header", (1, HEAD.strip()), (2, ROW)),
        "the first line is a header", BARE),
    Case("declared without header, has another", f'\n"READ",METER,VALUE\n{ROW}\n', [], whole(
        "file:header", (2, '"READ",METER,VALUE'), (3, ROW)), "the first line is a header", BARE),
    # Encodings.
    Case("utf-8 with mark", b"\xef\xbb\xbf" + GOOD.encode(), [one()]),
    Case("utf-8 with mark, quoted", b'\xef\xbb\xbf"METER",VALUE,READ\n' + ROW.encode(), [one()]),
    Case("latin-1 undeclared", f"{HEAD}m,1.5,2020\nm°,1.5,2020\n".encode("latin-1"), [], whole("file:encoding"),
        "not UTF-8 (line 3 holds the byte 0xB0)"),
    Case("latin-1 undeclared, cr", f"{HEAD}m,1.5,2020\nm°,1.5".replace("\n", "\r").encode("latin-1"), [],
        whole("file:encoding"), "line 3 holds"),
    Case("latin-1", f"{HEAD}m°,1.5,2020-01-01\n".encode("latin-1"), [one(meter="m°")],
        dialect=Dialect(encoding="latin-1")),
    Case("cp1252 byte without meaning", HEAD.encode() + b"m\x80,1.5,2020\nm\x81,1.5,2020\n", [],
        whole("file:encoding"), "not CP1252 (line 3 holds the byte 0x81)", Dialect(encoding="cp1252")),
    Case("utf-8 mark, declared latin-1", b"\xef\xbb\xbf" + GOOD.encode(), [], whole("file:encoding"),
        "marked as UTF-8; save it as LATIN-1", Dialect(encoding="latin-1")),
    Case("utf-16", GOOD.encode("utf-16"), [one()], dialect=Dialect(encoding="utf-16")),
    Case("utf-16, big end first", b"\xfe\xff" + GOOD.encode("utf-16-be"), [one()], dialect=Dialect(encoding="utf-16")),
    Case("utf-16 without mark", GOOD.encode("utf-16-le"), [], whole("file:encoding"), "byte order mark",
        Dialect(encoding="utf-16")),
    Case("utf-16-le without mark", GOOD.encode("utf-16-le"), [one()], dialect=Dialect(encoding="utf-16-le")),
    Case("utf-16-le with mark", GOOD.encode("utf-16"), [one()], dialect=Dialect(encoding="utf-16-le")),
    Case("utf-16-be marked otherwise", GOOD.encode("utf-16"), [], whole("file:encoding"), "marked as UTF-16-LE",
        Dialect(encoding="utf-16-be")),
    Case("utf-16 undeclared", GOOD.encode("utf-16"), [], whole("file:encoding"), "marked as UTF-16-LE"),
    Case("utf-16 cut off", GOOD.encode("utf-16")[:-1], [], whole("file:encoding"), "line 2 holds",
        Dialect(encoding="utf-16")),
    Case("lone surrogate in utf-8", GOOD.encode() + b"\xed\xa0\x80,1,2020\n", [], whole("file:encoding"), "line 3"),
    Case("lone surrogate in utf-16", (GOOD + "\ud800,1,2020\n").encode("utf-16", "surrogatepass"), [],
        whole("file:encoding"), "line 3", Dialect(encoding="utf-16")),
    Case("beyond the first plane, right to left", f"{HEAD}𝄞מד\u200f\u2067عداد\u2069,1.5,2020-01-01\n",
        [one(meter="𝄞מד\u200f\u2067عداد\u2069")]),
    Case("line separators that end no line", f"{HEAD}m\u2028\x85\x0b\x0cn,1.5,2020-01-01\n",
        [one(meter="m\u2028\x85\x0b\x0cn")]),
    Case("mark that is no mark", f"{HEAD}\ufeffm,1.5,2020-01-01\n\ufeffn,1.5,2020-01-01\n", [
        one(meter="\ufeffm"), one(3, meter="\ufeffn")]),
    Case("two marks", f"\ufeff\ufeff{ROW}\n", [one(1, meter="\ufeffm")], dialect=BARE),
    Case("mark that is no mark, after a short row", f"{HEAD}x\n\ufeff,1.5,2020-01-01\n", [one(3, meter="\ufeff")], [
        (2, "record:short", "x")]),
    # Delimiters.
    Case("semicolon undeclared", GOOD.replace(",", ";"), [], whole("file:header", (2, ROW.replace(",", ";"))), "lacks"),
    Case("semicolon", "METER;VALUE;READ\nm;1,5;2020-01-01\n\"n;\";2;2020-01-01\no;2\n", [
        one(), one(3, 2.0, meter="n;")], [(4, "record:short", "o;2")], dialect=SEMICOLON),
    Case("tab", GOOD.replace(",", "\t") + "\t\t\n", [one()], [
        (3, "meter|nullability", "\t\t")], dialect=Dialect(delimiter="\t")),
    Case("blank", GOOD.replace(",", " ") + "n  2020-01-01\n", [one(), one(3, None, meter="n")],
        dialect=Dialect(delimiter=" ")),
    Case("pipe", GOOD.replace(",", "|"), [one()], dialect=Dialect(delimiter="|")),
    Case("beyond ascii", GOOD.replace(",", "¦"), [one()], dialect=Dialect(delimiter="¦")),
    Case("quote of patterns", f"{HEAD}^m,1^,1.5,2020-01-01\n", [one(meter="m,1")], dialect=Dialect(quote="^")),
    Case("delimiter of patterns", GOOD.replace(",", "]") + "\\]1.5]2020-01-01\n", [one(), one(3, meter="\\")],
        dialect=Dialect(delimiter="]")),
    # Numbers, dates and null marks.
    Case("leading zero", f"{HEAD}m,036.2,2020-01-01\n", [one(value=36.2)]),
    Case("below the limit", f"{HEAD}m,<0.1,2020\n", [], [(2, "value_is_a_number", "m,<0.1,2020")], "is a number"),
    Case("decimal comma undeclared", f'{HEAD}m,"1,5",2020\n', [], [(2, "value_is_a_number", 'm,"1,5",2020')]),
    Case("too great", f"{HEAD}m,1e400,2020\n", [], [(2, "value|inf", "m,1e400,2020")], "value is infinite"),
    Case("not a number", f"{HEAD}m,NaN,2020\n", [], [(2, "value|nan", "m,NaN,2020")]),
    Case("exponent", f"{HEAD}m,15e-1,2020-01-01\n", [one()]),
    Case("padded number", f"{HEAD}m, 1.5,2020\n", [], [(2, "value_is_a_number", "m, 1.5,2020")]),
    Case("decimal commas", "METER;VALUE;READ\na;1,5;2020\nb;-0,5e1;2020\nc;,5;2020\nd;7;2020\ne;;2020\n", [
        (2, "a", 1.5, "2020", None), (3, "b", -5.0, "2020", None), (4, "c", 0.5, "2020", None),
        (5, "d", 7.0, "2020", None), (6, "e", None, "2020", None)], dialect=SEMICOLON),
    Case("points where commas are decimal", "METER;VALUE;READ\na;1.500;2020\nb;1.234,5;2020\nc;<.5;2020\n", [], [
        (2, "VALUE|decimal", "a;1.500;2020"), (3, "VALUE|decimal", "b;1.234,5;2020"),
        (4, "VALUE|decimal", "c;<.5;2020")], "VALUE has a point", SEMICOLON),
    Case("no numbers with commas", "METER;VALUE;READ\na;<0,1;2020\nb;1,2,3;2020\nc;1,5 ;2020\nd;,;2020\n", [], [
        (2, "value_is_a_number", "a;<0,1;2020"), (3, "value_is_a_number", "b;1,2,3;2020"),
        (4, "value_is_a_number", "c;1,5 ;2020"), (5, "value_is_a_number", "d;,;2020")], dialect=SEMICOLON),
    Case("commas are kept outside numbers", "METER;VALUE;READ\n1,5;2;2020-01-01\n", [one(value=2.0, meter="1,5")],
        dialect=SEMICOLON),
    Case("null marks undeclared", f"{HEAD}m,NA,2020\n", [], [(2, "value_is_a_number", "m,NA,2020")]),
    Case("null marks", 'METER,VALUE,READ,NOTE\nm,NA,2020-01-01,.\nn,.,2020-01-01,"NA"\no,1.5,2020-01-01,NA.\n', [
        one(value=None), one(3, None, meter="n"), one(4, note="NA.", meter="o")], dialect=NULLS),
    Case("null mark in what must be given", f"{HEAD}NA,1,2020\n", [], [(2, "meter|nullability", "NA,1,2020")],
        dialect=NULLS),
    Case("null mark like a number", "METER;VALUE;READ\nm;-9.9;2020-01-01\n", [one(value=None)],
        dialect=Dialect(delimiter=";", decimal=",", nulls=("-9.9",))),
    Case("partial dates", f"{HEAD}m,1,2020\nn,1,2020-02\n", [
        (2, "m", 1.0, "2020", None), (3, "n", 1.0, "2020-02", None)]),
    Case("impossible dates", f"{HEAD}m,1,2020-02-30\nn,1,2020-13\no,1,30.01.2020\n", [], [
        (2, "day_is_real", "m,1,2020-02-30"), (3, "day_is_real", "n,1,2020-13"), (4, "day_is_real", "o,1,30.01.2020")]),
    # Of two faults all are told.
    Case("two faults", f"{HEAD},<1,2020\n", [], [(2, "value_is_a_number", "meter|nullability", ",<1,2020")]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_record_is_handled_or_quarantined(case: Case) -> None:
    data = case.data if isinstance(case.data, bytes) else case.data.encode()
    judged = judge(meter.source(case.dialect), [delivery(data)])
    assert accepted(judged) == case.good
    assert rejected(judged) == case.bad
    told = judged.rejected["explanation"].to_list()
    assert not case.words or any(case.words in words for words in told), told
    assert judged.deliveries["records"].item() == len(case.good) + len([row for row in case.bad if row[0]])


def test_cases_have_names_of_their_own() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


BIG = "x" * 50_000_000


@pytest.mark.parametrize("text", [BIG, f'"{BIG}"', f'"\n{BIG}"'], ids=["plain", "quoted", "over lines"])
def test_a_field_of_50_mb_is_a_field(text: str) -> None:
    judged = judge(meter.source(), [delivery(f"{HEAD}{text},1.5,2020-01-01\n{ROW}\n".encode())])
    assert judged.accepted["meter"].to_list() == [text.strip('"'), "m"]
    judged = judge(meter.source(), [delivery(f"{HEAD}{text}\n{ROW}\n".encode())])
    assert [(line, reason, len(kept)) for line, reason, kept in rejected(judged)] == [(2, "record:short", len(text))]


@pytest.mark.parametrize("mark", ["", '"'])
def test_5000_columns_are_columns(mark: str) -> None:
    names = [f"C{number}" for number in range(5_000)] + list(meter.COLUMNS)
    cells = [f"{mark}{number}{mark}" for number in range(5_000)]
    rows = [",".join([*cells, "m", "1.5", "2020-01-01"]), ",".join(cells), ",".join([*cells, "n", "1", "2020", ""])]
    judged = judge(meter.source(), [delivery("\n".join([",".join(names), *rows]).encode())])
    assert accepted(judged) == [one()]
    assert rejected(judged) == [(3, "record:short", rows[1]), (4, "record:long", rows[2])]
    assert judged.raw["_extra"].str.json_path_match("$.C4999").to_list() == ["4999", None, None]


def test_raw_has_every_value_as_it_was_delivered() -> None:
    dialect = Dialect(delimiter=";", decimal=",", nulls=("NA",))
    judged = judge(meter.source(dialect), [delivery(b"METER;VALUE;READ;NOTE\nm;1,5;2020;NA\nn;1.5;NA;\no;1\n")])
    assert judged.raw.select("METER", "VALUE", "READ", "NOTE", "_problem", "_text").rows() == [
        ("m", "1,5", "2020", "NA", None, None),
        ("n", "1.5", "NA", None, None, None),
        (None, None, None, None, "record:short", "o;1"),
    ]
    assert judged.accepted.select("value_text", "value").rows() == [("1.5", 1.5)]


def test_only_a_whole_number_is_written_with_a_point() -> None:
    texts = ["1,5", "-1,", "+,5e-3", "7", "", "<0,1", "1,2,3", "1,5 ", ",", "1,5\n", "1,5e", "NA"]
    rows = pl.DataFrame({"VALUE": [text or None for text in texts], "READ": texts})
    found = reading(rows, pl.lit(True), Dialect(decimal=",", nulls=("NA",)), ("VALUE", "READ"), ("VALUE",))
    assert found["VALUE"].to_list() == ["1.5", "-1.", "+.5e-3", "7", None, *texts[5:-1], None]
    assert found["READ"].to_list() == [*texts[:-1], None]


def test_each_site_is_read_in_its_own_dialect() -> None:
    sites = {"B": SEMICOLON, "C": NULLS, "D": Dialect(encoding="utf-16", delimiter="\t"), "E": BARE}
    source = meter.source(PLAIN, sites)
    files = {
        "A": GOOD.encode() + b"n,NA,2020\n",
        "B": b"METER;VALUE;READ\nm;1,5;2020-01-01\nn;1.5;2020\n",
        "C": GOOD.encode() + b'n,NA,2020\no,"1,5",2020\n',
        "D": GOOD.replace(",", "\t").encode("utf-16"),
        "E": f"{ROW}\n".encode(),
        "F": b"METER;VALUE;READ\nm;1,5;2020-01-01\n",
    }
    judged = judge(source, [delivery(data, site) for site, data in files.items()])
    good = judged.accepted.select("_site", "_line", "meter", "value").rows()
    assert good == [("A", 2, "m", 1.5), ("B", 2, "m", 1.5), ("C", 2, "m", 1.5), ("C", 3, "n", None), ("D", 2, "m", 1.5),
                    ("E", 1, "m", 1.5)]  # fmt: skip
    bad = judged.rejected.sort("_site", "_line").select("_site", "_line", pl.col("reasons").list.join(" ")).rows()
    assert bad == [("A", 3, "value_is_a_number"), ("B", 3, "VALUE|decimal"), ("C", 4, "value_is_a_number"),
                   ("F", 0, "file:header"), ("F", 2, "file:header")]  # fmt: skip


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        target.comment = comment
        for name, data in files:
            target.writestr(name, data)
    return buffer.getvalue()


def streamed(data: bytes) -> bytes:
    """A zip archive written to a pipe: sizes follow the member."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    buffer = Pipe()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target, target.open("x.csv", "w") as member:
        member.write(data)
    return buffer.getvalue()


PACKED = gzip.compress(GOOD.encode(), mtime=0)
ZIPPED = zipped(("x.csv", GOOD.encode()))
LOCKED = ZIPPED.replace(b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\1\0")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("gzip", PACKED),
        ("gzip", gzip.compress(b"\xef\xbb\xbf" + GOOD.encode(), 1, mtime=0)),
        ("zip", ZIPPED),
        ("zip", zipped(("folder/x.csv", GOOD.encode()), method=zipfile.ZIP_STORED)),
        ("zip", zipped(("x.csv", GOOD.encode()), comment=b"weekly")),
        ("zip", streamed(GOOD.encode())),
    ],
)
def test_compressed_files_are_unpacked(kind: str, data: bytes) -> None:
    assert accepted(judge(meter.source(Dialect(compression=kind)), [delivery(data)])) == [one()]


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("gzip", GOOD.encode(), "not compressed with gzip"),
        ("gzip", b"", "not compressed with gzip"),
        ("gzip", ZIPPED, "not compressed with gzip"),
        ("gzip", PACKED[:-1], "damaged or not complete"),
        ("gzip", PACKED[:12], "damaged or not complete"),
        ("gzip", PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:], "damaged"),
        ("gzip", PACKED + PACKED, "goes on after its end"),
        ("gzip", PACKED + b"m,2,2020\n", "goes on after its end"),
        ("zip", GOOD.encode(), "not a zip archive"),
        ("zip", PACKED, "not a zip archive"),
        ("zip", zipped(), "holds 0 entries; put exactly one file"),
        ("zip", zipped(("x.csv", GOOD.encode()), ("y.csv", GOOD.encode())), "holds 2 entries"),
        ("zip", LOCKED, "locked with a password"),
        ("zip", zipped(("x.csv", GOOD.encode()), method=zipfile.ZIP_BZIP2), "unusual method"),
        ("zip", ZIPPED[:-1], "damaged"),
        ("zip", ZIPPED[:40] + b"\0" + ZIPPED[41:], "damaged"),
        ("zip", ZIPPED + b"m,2,2020\n", "damaged"),
        ("zip", ZIPPED + ZIPPED, "damaged"),
        ("zip", b"PK\3\4" + GOOD.encode() + ZIPPED, "damaged"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_one_file_is_refused_whole(kind: str, data: bytes, words: str) -> None:
    judged = judge(meter.source(Dialect(compression=kind)), [delivery(data)])
    assert rejected(judged) == whole("file:compression")
    assert words in judged.deliveries["reason"].item()
    assert judged.deliveries["records"].item() == 0


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_an_archive_that_unpacks_to_far_more_is_not_unpacked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_ALWAYS", 1_000)
    data = GOOD.encode() + b"\n" * 100_000
    packed = gzip.compress(data) if kind == "gzip" else zipped(("x.csv", data))
    judged = judge(meter.source(Dialect(compression=kind)), [delivery(packed)])
    assert "too much for its size" in judged.deliveries["reason"].item()
    monkeypatch.setattr(archive, "_RATIO", 10_000)
    assert accepted(judge(meter.source(Dialect(compression=kind)), [delivery(packed)])) == [one()]
    monkeypatch.setattr(archive, "_MOST", 1_000)
    assert judge(meter.source(Dialect(compression=kind)), [delivery(packed)]).accepted.is_empty()


def test_memory_is_not_taken_for_what_is_refused() -> None:
    engine = zlib.compressobj(9, wbits=31)
    bomb = b"".join([engine.compress(bytes(1 << 20)) for _ in range(300)]) + engine.flush()
    assert len(bomb) < 400_000
    judged = judge(meter.source(Dialect(compression="gzip")), [delivery(bomb)])
    assert "more than 64 MiB" in judged.deliveries["reason"].item()


def test_a_zip_that_lies_about_its_size_is_refused() -> None:
    data = zipped(("x.csv", GOOD.encode()))
    at = data.index(b"PK\1\2") + 24
    shorter = data[:at] + struct.pack("<L", 20) + data[at + 4 :]
    judged = judge(meter.source(Dialect(compression="zip")), [delivery(shorter)])
    assert rejected(judged) == whole("file:compression")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"delimiter": ""}, "delimiter '' and quote '\"' must be one character each"),
        ({"delimiter": ";;"}, "must be one character each"),
        ({"delimiter": "\n"}, "line end"),
        ({"quote": "\0"}, "line end or NUL"),
        ({"quote": ""}, "quote may be None"),
        ({"delimiter": '"'}, "cannot be both delimiter and quote"),
        ({"decimal": "'"}, "decimal \"'\" must be '.' or ','"),
        ({"nulls": "NA"}, "nulls 'NA' must be a tuple of texts"),
        ({"nulls": (None,)}, "must be a tuple of texts"),
        ({"header": "METER"}, "header 'METER' must be a tuple of texts"),
        ({"header": ()}, "must name every column, and each once"),
        ({"header": ("A", "A")}, "each once"),
        ({"header": ("A", "")}, "name every column"),
        ({"header": ("A", "B"), "aliases": {"A": "B"}}, "each once"),
        ({"encoding": "utf-9"}, "encoding 'utf-9' is not one"),
        ({"encoding": "base64"}, "encoding 'base64' is not one"),
        ({"encoding": "utf-7"}, "encoding 'utf-7' is not one"),
        ({"encoding": "unicode_escape"}, "is not one"),
        ({"encoding": "idna"}, "is not one"),
        ({"encoding": "ascii", "delimiter": "¦"}, "cannot be written in ascii"),
        ({"encoding": "latin-1", "nulls": ("…",)}, "cannot be written in latin-1"),
        ({"compression": "bz2"}, "compression 'bz2' must be None, 'gzip' or 'zip'"),
    ],
)
def test_a_dialect_that_cannot_work_says_why(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError) as raised:
        Dialect(**given)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"numbers": ("PRESSURE",)}, "numbers ['PRESSURE'] are not header columns"),
        ({"dialect": Dialect(aliases={"T": "TEMPERATURE"})}, "source thermometer: aliases stand for ['TEMPERATURE']"),
        ({"site_dialects": {"A": Dialect(aliases={"T": "X"})}}, "source thermometer, site A: aliases stand for ['X']"),
        ({"dialect": Dialect(header=("SENSOR", "HOUR"))}, "the dialect's header lacks ['CELSIUS']"),
        ({"dialect": Dialect(decimal=",")}, "a decimal comma changes nothing unless `numbers` names columns"),
    ],
)
def test_a_dialect_that_does_not_fit_its_source_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError) as raised:
        replace(THERMOMETER, **changes)
    assert words in str(raised.value)


def test_the_contract_version_follows_the_dialects() -> None:
    versions = {
        source.contract_version
        for source in (
            meter.source(),
            meter.source(SEMICOLON),
            meter.source(PLAIN, {"A": SEMICOLON}),
            meter.source(PLAIN, {"B": SEMICOLON}),
            replace(meter.source(), numbers=()),
            *(meter.source(replace(PLAIN, **change)) for change in (
                {"quote": None}, {"nulls": ("NA",)}, {"encoding": "latin-1"}, {"compression": "zip"},
                {"aliases": {"M": "METER"}}, {"header": meter.COLUMNS})),
        )
    }  # fmt: skip
    assert len(versions) == 11
    first, second = Dialect(aliases={"a": "METER", "b": "VALUE"}), Dialect(aliases={"b": "VALUE", "a": "METER"})
    assert meter.source(first).contract_version == meter.source(second).contract_version
    ordered = meter.source(PLAIN, {"A": first, "B": NULLS}), meter.source(PLAIN, {"B": NULLS, "A": second})
    assert ordered[0].contract_version == ordered[1].contract_version


@pytest.mark.parametrize(
    ("source", "path", "claimed"),
    [
        (meter.source(), "A/meters_2020-01-01.csv.gz", False),
        (meter.source(PLAIN, {"B": Dialect(compression="gzip")}), "B/meters_2020-01-01.csv.gz", True),
        (meter.source(PLAIN, {"B": Dialect(compression="gzip")}), "B/meters_2020-01-01.csv", True),
        (meter.source(PLAIN, {"B": Dialect(compression="gzip")}), "B/meters_2020-01-01.csv.zip", False),
        (meter.source(Dialect(compression="zip")), "A/meters_2020-01-01.csv.zip", True),
        (meter.source(Dialect(compression="zip")), "A/meters_2020-01-01.csvxzip", False),
        (replace(meter.source(), path="{site}/{day}.csv.gz"), "A/2020-01-01.csv.gz", True),
        (replace(meter.source(Dialect(compression="gzip")), path="{site}/{day}.csv.gz"), "A/2020-01-01.csv", False),
        (replace(meter.source(Dialect(compression="gzip")), path="{site}/{day}.csv.gz"), "A/2020-01-01.csv.gz.gz",
            False),
    ],
)  # fmt: skip
def test_names_of_compressed_files_are_claimed(source: Source, path: str, claimed: bool) -> None:
    match = source.pattern.fullmatch(path)
    assert bool(match) == claimed
    assert not match or match["day"] == "2020-01-01"


def test_what_is_kept_is_what_was_delivered(house: House) -> None:
    sites = {"B": Dialect(compression="gzip"), "C": Dialect(compression="zip"), "D": Dialect(encoding="utf-16")}
    house = replace(house, source=meter.source(PLAIN, sites))
    files = {
        "A/meters_2020-01-01.csv": GOOD.encode(),
        "B/meters_2020-01-01.csv.gz": gzip.compress(GOOD.replace("m,", "b,").encode()),
        "C/meters_2020-01-01.csv.zip": zipped(("x.csv", GOOD.replace("m,", "c,").encode())),
        "D/meters_2020-01-01.csv": GOOD.replace("m,", "d,").encode("utf-16"),
    }
    for path, data in files.items():
        house.land(path, data)
    house.run()
    assert sorted(house.table("processed")["meter"]) == ["b", "c", "d", "m"]
    account = house.table("account")
    assert {row["_file"]: house.lake.kept(row["_checksum"]) for row in account.iter_rows(named=True)} == files
    assert house.unbalanced().is_empty()


def test_a_dialect_declared_later_mends_what_was_refused(house: House) -> None:
    house = replace(house, source=meter.source())
    house.land("A/meters_2020-01-01.csv", b"METER;VALUE;READ\nm;1,5;2020-01-01\n")
    house.run()
    assert house.table("processed").is_empty()
    assert house.table("account").select("records", "quarantined", "state").rows() == [(1, 1, "rejected")]
    house = replace(house, source=meter.source(PLAIN, {"A": SEMICOLON}))
    house.run()
    assert house.table("processed").select("_line", "meter", "value").rows() == [(2, "m", 1.5)]
    assert house.table("quarantine").is_empty()
    assert house.table("account").select("records", "accepted", "state").rows() == [(1, 1, "in effect")]
    assert house.unbalanced().is_empty()
