"""Delivered bytes to records: every record as text, with the line it starts on, or the reason it is not one.

Other formats than CSV tell their records apart themselves. For CSV there are two readers that agree: whole batches of
plain files go through Polars at once; a file with anything unusual (quotes that span lines or are in the header, NUL,
delimiters beyond ASCII) goes record by record through Python's strict csv reader. Nothing is guessed: a record that
does not fit its header keeps its text and a problem, and a file whose header is wrong keeps all its records under one
reason.
"""

import codecs
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from lakehouse import header
from lakehouse.contract import PROVENANCE
from lakehouse.dialect import PLAIN, Dialect, occurrences
from lakehouse.errors import RefusalError
from lakehouse.formats import Format, Table

csv.field_size_limit(sys.maxsize)

# Hardly in any text: a separator that leaves lines whole.
_NEVER = "\x01"
EMPTY = ("file:empty", "the file is empty; export it again")
PROBLEMS = {
    "record:short": "the record has fewer fields than the header",
    "record:long": "the record has more fields than the header",
    "record:quotes": "the record's quotes do not match, so where its fields end cannot be told",
    "record:nul": "the record contains a NUL byte",
    "record:json": "the record is not a JSON object in which each name is there once, at most 100 levels deep",
    "record:payload": "the message cannot be decoded as its topic's messages are agreed to be written",
}


@dataclass(frozen=True)
class Delivery:
    """One delivery as the ledger has it, and its bytes, or the header line and some records of them.

    refusal: why its day keeps it out, if so. unreadable: (name, words) when its bytes are known not to be text.
    refused: (name, words) when records that are not here have shown that the file is refused whole.
    decoded: the data is UTF-8 already.
    skipped: lines between the header and the records that are here. piece: these are not all records, so that what its
    records come to as a file is not judged by them but given: spoiled, (name, words) when all of it is refused; names,
    what its columns are called, where not all records have all of them (`Format.varies`).
    """

    provenance: dict[str, object]
    data: bytes
    refusal: str | None = None
    unreadable: tuple[str, str] | None = None
    refused: tuple[str, str] | None = None
    decoded: bool = False
    skipped: int = 0
    piece: bool = False
    spoiled: tuple[str, str] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Records:
    """Records of a batch.

    rows: one row per record: the source's columns as text, `_extra` (columns it does not know, as a JSON object),
        provenance, `_problem` (a name of PROBLEMS or `file:header`, null for a sound record) and `_text` (the record as
        delivered). The columns of a record with a problem are null: which field is which cannot be told.
    refused: by index of the delivery, (name, words) for a file that is refused whole.
    """

    rows: pl.DataFrame
    refused: dict[int, tuple[str, str]]


def schema(columns: Sequence[str]) -> dict[str, pl.DataType]:
    """Schema of `Records.rows` for a source that knows these columns; `raw/name` has the same."""
    known = dict.fromkeys(columns, pl.String())
    return {**known, "_extra": pl.String(), **PROVENANCE, "_problem": pl.String(), "_text": pl.String()}


def parse(
    deliveries: Sequence[Delivery],
    required: Sequence[str],
    optional: Sequence[str],
    dialects: Sequence[Dialect | Format] | None = None,
) -> Records:
    """Split deliveries into records. `required` and `optional` are the header names the source knows.

    dialects: how each delivery is written; plain CSV in UTF-8 when not given.
    A file is refused whole when it is empty, cannot be unpacked or decoded, or its header lacks a required column,
    names one twice or leaves one without a name; its records, where they can be told apart, are in `rows` all the same.
    """
    known = (*required, *optional)
    refused: dict[int, tuple[str, str]] = {}
    groups: dict[tuple[Dialect, bytes], list[tuple[int, bytes]]] = defaultdict(list)
    odd: dict[int, tuple[bytes, Dialect]] = {}
    dialects = [PLAIN] * len(deliveries) if dialects is None else dialects
    frames = []
    for index, (delivery, dialect) in enumerate(zip(deliveries, dialects, strict=True)):
        if delivery.unreadable:
            refused[index] = delivery.unreadable
            continue
        try:
            data = _text(delivery, dialect)
        except RefusalError as refusal:
            refused[index] = (refusal.rule, str(refusal))
            continue
        if (not data or data.isspace()) and not delivery.decoded:
            refused[index] = EMPTY
            continue
        if delivery.refused:
            refused[index] = delivery.refused
        elif delivery.refusal:
            refused[index] = ("file:day", delivery.refusal)
        elif (
            isinstance(dialect, Dialect)
            and dialect.header
            and not delivery.skipped
            and _has_header(data.decode(), dialect)
        ):
            words = "the first line is a header, and this site's files are agreed to have none; send it without"
            refused[index] = ("file:header", words)
        if isinstance(dialect, Format):
            try:
                frame, names = tabled(dialect.table(data, dialect.asked(known)), known, dialect, index)
            except RefusalError as refusal:
                refused.setdefault(index, (refusal.rule, str(refusal)))
                continue
            frames.append(frame)
            # Without records and without a header there is nothing to find fault with.
            names = dialect.names(delivery.names) or names
            if names and (fault := header.problem(names, required, optional)):
                refused.setdefault(index, fault)
        elif (head_and_body := _plain(data, dialect)) is None:
            odd[index] = (data, dialect)
        else:
            head, body = head_and_body
            groups[dialect, head].append((index, body))
    for (dialect, head), members in groups.items():
        names = dialect.names(dialect.header or head.decode().split(dialect.delimiter))
        frame, spanning = _fast(names, members, known, dialect)
        frames.append(frame)
        odd.update((index, (_text(deliveries[index], dialect), dialect)) for index in spanning)
        if fault := header.problem(names, required, optional):
            for index, _ in members:
                refused.setdefault(index, fault)
    for index, (data, dialect) in odd.items():
        frame, names = _careful(index, data.decode(), known, dialect)
        frames.append(frame)
        if fault := header.problem(names, required, optional):
            refused.setdefault(index, fault)
    return Records(_with_provenance(frames, deliveries, known), refused)


def _text(delivery: Delivery, dialect: Dialect | Format) -> bytes:
    """A delivery as text in UTF-8; what is no text, out of its compression."""
    if delivery.decoded:
        return delivery.data
    if isinstance(dialect, Dialect):
        return dialect.decode(delivery.data)
    data = dialect.unpacked(delivery.data)
    return dialect.lines.decode(data) if dialect.lines else data


def tabled(table: Table, known: Sequence[str], form: Format, index: int = 0) -> tuple[pl.DataFrame, list[str]]:
    """Records of a delivery that is not CSV, the known columns as far as they are there; and what its columns are
    called. index: of the delivery.
    """
    names = form.names(table.names)
    lines = table.rows.select("_line", "_text", "_problem", _index=pl.lit(index, pl.Int64))
    if len(set(names)) < len(names):
        return lines.with_columns(_problem=pl.lit("file:header")), names
    sound = table.rows["_problem"].is_null()
    there = set(table.rows.columns)
    named = zip(table.names, names, strict=True)
    values = pl.DataFrame({known: table.rows[name] for name, known in named if name in there})
    values = values if sound.all() else values.select(pl.when(sound).then(pl.all()))
    return pl.concat([lines, _known_and_extra(values, known, lines.height)], how="horizontal"), names


def _plain(data: bytes, dialect: Dialect) -> tuple[bytes, bytes] | None:
    """Header line and records of a file that the fast reader can have, with LF line ends; None for any other."""
    delimiter, quote = dialect.delimiter, (dialect.quote or "").encode()
    if b"\0" in data or not delimiter.isascii() or not quote.isascii():
        return None
    if b"\r" in data:
        # A quoted one is part of its field; but its line then has an open quote, and the fast reader hands the file on.
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    head, _, body = (b"", b"", data) if dialect.header else data.partition(b"\n")
    if quote and quote in head:
        return None
    return head, body + b"\n" if body and not body.endswith(b"\n") else body


def _has_header(text: str, dialect: Dialect) -> bool:
    """Whether a file that is to have no header line begins with one: the declared names, in any order."""
    rows = csv.reader(io.StringIO(text, newline=""), **csv_format(dialect))
    first = dialect.names(next(filter(None, rows), []))
    return dialect.header is not None and sorted(first) == sorted(dialect.names(dialect.header))


@cache
def _patterns(delimiter: str, quote: str) -> tuple[str, str]:
    """Of a line with balanced quotes (RFC 4180), which alone the fast reader splits, and of a quoted field."""
    comma, mark = f"\\x{ord(delimiter):02x}", f"\\x{ord(quote):02x}"
    quoted = f"{mark}(?:[^{mark}]|{mark}{mark})*{mark}"
    one = f"(?:[^{mark}{comma}]*|{quoted})"
    return f"^{one}(?:{comma}{one})*$", quoted


def _fast(
    names: list[str], members: list[tuple[int, bytes]], known: Sequence[str], dialect: Dialect = PLAIN
) -> tuple[pl.DataFrame, list[int]]:
    """Records of plain files that share a header, and the indexes of those that need the careful reader after all."""
    delimiter, quote = dialect.delimiter, dialect.quote
    body = b"".join(body for _, body in members)
    if not body:
        return pl.DataFrame(), []
    first = 1 if dialect.header else 2
    quoting = quote is not None and quote.encode() in body
    lines = _numbered(members, first).hstack([_lines(body)])
    values = None if quoting else _even(body, names, delimiter, lines.height)
    if values is not None:
        lines = lines.with_columns(_problem=pl.lit(None, pl.String))
        return pl.concat([lines, _known_and_extra(values, known, values.height)], how="horizontal"), []
    text, spanning, width, whole = pl.col("_text"), [], pl.col("_text"), lines.height
    if quoting:
        well_formed, quoted = _patterns(delimiter, str(quote))
        broken = lines.filter(text.str.contains(str(quote), literal=True) & ~text.str.contains(well_formed))
        spanning = broken["_index"].unique().to_list()
        lines = lines.filter(~pl.col("_index").is_in(spanning)) if spanning else lines
        width = text.str.replace_all(quoted, "")
    # Counted once, which two expressions would not.
    fields = lines.select(width.str.count_matches(delimiter, literal=True).cast(pl.Int64) + 1).to_series()
    short, long = fields < len(names), fields > len(names)
    uneven = pl.when(short).then(pl.lit("record:short")).when(long).then(pl.lit("record:long"))
    named_twice = len(set(names)) < len(names)
    lines = lines.with_columns(_problem=pl.lit("file:header") if named_twice else uneven)
    if (lines["_text"] == "").any():
        lines = lines.filter(text != "")
    sound = lines["_problem"].is_null()
    count = int(sound.sum())
    if not count:
        return lines, spanning
    if count < whole:
        body = "\n".join([*lines["_text"].filter(sound), ""]).encode()
    values = _values(body, names, delimiter, quote if quoting else None, count)
    values = _known_and_extra(values, known, values.height)
    if count < lines.height:
        # A line that is no record has no values, in its place.
        values = values[pl.select(pl.when(sound).then(sound.cum_sum() - 1)).to_series()]
    return pl.concat([lines, values], how="horizontal"), spanning


def _numbered(members: Sequence[tuple[int, bytes]], first: int) -> pl.DataFrame:
    """`_index` and `_line` of the lines of plain files. first: the number of a file's first line here."""
    counts = np.array([occurrences(body, b"\n") for _, body in members])
    owners = np.repeat([index for index, _ in members], counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    numbers = np.arange(len(owners)) - starts + first
    return pl.DataFrame({"_index": pl.Series(owners, dtype=pl.Int64), "_line": pl.Series(numbers, dtype=pl.Int64)})


def _even(body: bytes, names: list[str], delimiter: str, count: int) -> pl.DataFrame | None:
    """The values of `count` lines without quotes, when each has as many fields as the header; None when one has not.

    There are as many delimiters as there should be, and Polars refuses a line with too many: so none has too few.
    """
    # A blank line is no record; among lines of one field it could not be told from an empty one.
    enough = len(names) > 1 and len(set(names)) == len(names)
    if not enough or occurrences(body, delimiter.encode()) != count * (len(names) - 1):
        return None
    try:
        return _values(body, names, delimiter, None, count)
    except pl.exceptions.PolarsError:
        return None


def _values(body: bytes, names: list[str], delimiter: str, quote: str | None, count: int) -> pl.DataFrame:
    """The fields of `count` records as text, null where they are empty."""
    schema = dict.fromkeys(names, pl.String())
    # Without quotes every empty field is null by itself, and is not compared.
    nulls = [""] if quote else None
    values = pl.read_csv(
        _marked(body), has_header=False, separator=delimiter, schema=schema, null_values=nulls, quote_char=quote
    )
    if values.height != count:
        raise AssertionError(f"{count} records became {values.height} rows: the two readers disagree")
    # Read in parts, which whatever is made of them would have to cut others to.
    return values.rechunk()


def _lines(body: bytes) -> pl.Series:
    """`_text`: the lines of text that ends with a line end, each without its own."""
    if _NEVER.encode() in body:
        return pl.Series("_text", [body[:-1].decode()]).str.split("\n").explode()
    # Three times as quick, and half the memory.
    lines = pl.read_csv(
        _marked(body), has_header=False, separator=_NEVER, schema={"_text": pl.String()}, quote_char=None
    )
    return lines["_text"].rechunk().fill_null("")


def _marked(body: bytes) -> bytes:
    """Text for Polars, which takes a first U+FEFF for the file's mark, and here it is the beginning of a value."""
    return codecs.BOM_UTF8 + body if body.startswith(codecs.BOM_UTF8) else body


def csv_format(dialect: Dialect) -> dict[str, Any]:
    """A dialect in the words of the csv module."""
    if dialect.quote is None:
        return {"delimiter": dialect.delimiter, "quotechar": None, "quoting": csv.QUOTE_NONE}
    return {"delimiter": dialect.delimiter, "quotechar": dialect.quote}


def _careful(index: int, text: str, known: Sequence[str], dialect: Dialect = PLAIN) -> tuple[pl.DataFrame, list[str]]:
    """Records of one file by Python's strict csv reader, and its header (empty when that cannot be read)."""
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, strict=True, **csv_format(dialect))
    found: list[tuple[int, str, str | None]] = []
    values: list[list[str | None]] = []
    names = dialect.names(dialect.header) if dialect.header else None
    while reader.line_num < len(lines):
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except csv.Error:
            fields = None
        whole = "".join(lines[start - 1 : reader.line_num])
        if names is None:
            names = [] if fields is None else dialect.names(fields or [""])
            continue
        if fields == []:
            continue
        problem = _problem(fields, names, whole)
        found.append((start, whole.rstrip("\r\n"), problem))
        values.append([field or None for field in fields] if fields and not problem else [None] * len(names))
    names = names or []
    frame = pl.DataFrame(found, schema={"_line": pl.Int64, "_text": pl.String, "_problem": pl.String}, orient="row")
    frame = frame.with_columns(_index=pl.lit(index, pl.Int64))
    if len(set(names)) < len(names) or not found or not names:
        return frame, names
    table = pl.DataFrame(values, schema=dict.fromkeys(names, pl.String()), orient="row")
    return pl.concat([frame, _known_and_extra(table, known, frame.height)], how="horizontal"), names


def _problem(fields: list[str] | None, names: Sequence[str], text: str) -> str | None:
    if len(set(names)) < len(names) or not names:
        return "file:header"
    if fields is None:
        return "record:quotes"
    if "\0" in text:
        return "record:nul"
    if len(fields) != len(names):
        return "record:short" if len(fields) < len(names) else "record:long"
    return None


def _known_and_extra(values: pl.DataFrame, known: Sequence[str], height: int) -> pl.DataFrame:
    """Known columns, and the others as JSON. height: of the frame, also where no sound record tells a name."""
    wanted = set(known)
    extra = [name for name in values.columns if name not in wanted]
    # By position: among names, `*` and `^x$` stand for others.
    packed = pl.repeat(None, height, dtype=pl.String(), eager=True)
    if extra:
        packed = pl.DataFrame({name: values[name] for name in extra}).to_struct("_extra").struct.json_encode()
    return pl.DataFrame([*(values[name] for name in values.columns if name in wanted), packed.alias("_extra")])


def _with_provenance(
    frames: Sequence[pl.DataFrame], deliveries: Sequence[Delivery], known: Sequence[str]
) -> pl.DataFrame:
    """The frames as one, each record beside its delivery's provenance, in the order of deliveries and lines."""
    origin = pl.DataFrame(
        [delivery.provenance for delivery in deliveries],
        schema={name: kind for name, kind in PROVENANCE.items() if name != "_line"},
    ).with_columns(_skipped=pl.Series([delivery.skipped for delivery in deliveries], dtype=pl.Int64))
    whole = schema(known)
    lacking = {name: kind for name, kind in whole.items() if name not in origin} | {"_index": pl.Int64()}
    if len(frames) == 1 and frames[0].width:
        # Nothing is copied to learn what it lacks.
        rows = frames[0].with_columns(
            pl.lit(None, kind).alias(name) for name, kind in lacking.items() if name not in frames[0].columns
        )
    else:
        rows = pl.concat([pl.DataFrame(schema=lacking), *frames], how="diagonal")
    if len(frames) > 1:
        # Each is in order.
        rows = rows.sort("_index", "_line")
    # Of a single delivery it is the same in every row, and need not be looked up for each.
    same = [pl.lit(column).first() for column in origin]
    rows = rows.with_columns(same) if len(origin) == 1 else rows.hstack(origin[rows["_index"]])
    return rows.with_columns(pl.col("_line") + pl.col("_skipped")).select(list(whole))
