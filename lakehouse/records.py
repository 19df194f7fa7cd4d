"""Delivered bytes to records: every CSV record as text, with the line it starts on, or the reason it is not one.

Two readers that agree: whole batches of plain files go through Polars at once; a file with anything unusual (quotes
that span lines, lone carriage returns, NUL) goes record by record through Python's strict csv reader. Nothing is
guessed: a record that does not fit its header keeps its text and a problem, and a file whose header or encoding is
wrong keeps all its records under one reason.
"""

import codecs
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lakehouse.contract import PROVENANCE

csv.field_size_limit(sys.maxsize)

# A line whose quotes are balanced the way RFC 4180 has them; only such lines are split by the fast reader.
_FIELD = r'(?:[^",]*|"(?:[^"]|"")*")'
_WELL_FORMED = rf"^{_FIELD}(?:,{_FIELD})*$"
_QUOTED = r'"(?:[^"]|"")*"'
_BOM = b"\xef\xbb\xbf"

PROBLEMS = {
    "record:short": "the record has fewer fields than the header",
    "record:long": "the record has more fields than the header",
    "record:quotes": "the record's quotes do not match, so where its fields end cannot be told",
    "record:nul": "the record contains a NUL byte",
}


@dataclass(frozen=True)
class Delivery:
    """One delivery as the ledger has it, and its bytes, or the header line and some records of them.

    refusal: why its day keeps it out, if so. unreadable: (name, words) when its bytes are known not to be text.
    skipped: lines between the header and the records that are here. piece: these are not all records, so that what its
    records come to as a file is not judged by them but given: spoiled, (name, words) when all of it is refused.
    """

    provenance: dict[str, object]
    data: bytes
    refusal: str | None = None
    unreadable: tuple[str, str] | None = None
    skipped: int = 0
    piece: bool = False
    spoiled: tuple[str, str] | None = None


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


def schema(header: Sequence[str]) -> dict[str, pl.DataType]:
    """Schema of `Records.rows` for a source with these columns; `raw/name` has the same."""
    known = dict.fromkeys(header, pl.String())
    return {**known, "_extra": pl.String(), **PROVENANCE, "_problem": pl.String(), "_text": pl.String()}


def parse(deliveries: Sequence[Delivery], required: Sequence[str], optional: Sequence[str]) -> Records:
    """Split deliveries into records. `required` and `optional` are the header names the source knows.

    A file is refused whole when it is empty, not UTF-8, or its header lacks a required column or names one twice; its
    records, where they can be told apart, are in `rows` all the same.
    """
    known = (*required, *optional)
    refused: dict[int, tuple[str, str]] = {}
    groups: dict[bytes, list[tuple[int, bytes]]] = defaultdict(list)
    odd: list[int] = []
    for index, delivery in enumerate(deliveries):
        data = delivery.data.removeprefix(_BOM)
        if reason := delivery.unreadable or _unreadable(data):
            refused[index] = reason
            continue
        if delivery.refusal:
            refused[index] = ("file:day", delivery.refusal)
        head, _, body = data.partition(b"\n")
        head = head.removesuffix(b"\r")
        body = body.replace(b"\r\n", b"\n") if b"\r\n" in body else body
        if b'"' in head or b"\r" in head or b"\r" in body or b"\0" in data:
            odd.append(index)
        else:
            groups[head].append((index, body + b"\n" if body and not body.endswith(b"\n") else body))
    frames = []
    for head, members in groups.items():
        names = head.decode().split(",")
        frame, spanning = _fast(names, members, known)
        frames.append(frame)
        odd.extend(spanning)
        if header := _header_problem(names, required):
            for index, _ in members:
                refused.setdefault(index, header)
    for index in odd:
        frame, names = _careful(index, deliveries[index].data.removeprefix(_BOM).decode(), known)
        frames.append(frame)
        if header := _header_problem(names, required):
            refused.setdefault(index, header)
    return Records(_with_provenance(frames, deliveries, known), refused)


def _unreadable(data: bytes) -> tuple[str, str] | None:
    if not data.strip():
        return "file:empty", "the file is empty; export it again"
    if data.isascii():
        return None
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return _encoding(data[error.start], data.count(b"\n", 0, error.start) + 1)
    return None


def undecodable(chunks: Iterable[bytes]) -> tuple[str, str] | None:
    """What `parse` would say of bytes that are not UTF-8, without holding them all; None when they are."""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    for chunk in chunks:
        pending = decoder.getstate()[0]
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return _encoding((pending + chunk)[error.start], line + (pending + chunk).count(b"\n", 0, error.start))
        line += chunk.count(b"\n")
    rest = decoder.getstate()[0]
    return _encoding(rest[0], line) if rest else None


def _encoding(byte: int, line: int) -> tuple[str, str]:
    return (
        "file:encoding",
        f"the file is not UTF-8 (line {line} holds the byte 0x{byte:02X}); save it as UTF-8 and send it again",
    )


def _header_problem(names: Sequence[str], required: Sequence[str]) -> tuple[str, str] | None:
    if not names:
        return "file:header", "the header's quotes do not match; mend the first line and send the file again"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return (
            "file:header",
            f"the header names {', '.join(twice)} more than once; name each column once and send it again",
        )
    if missing := [name for name in required if name not in names]:
        return "file:header", f"the header lacks {', '.join(missing)}; add what is missing and send the file again"
    return None


def _fast(names: list[str], members: list[tuple[int, bytes]], known: Sequence[str]) -> tuple[pl.DataFrame, list[int]]:
    """Records of plain files that share a header, and the indexes of those that need the careful reader after all."""
    body = b"".join(body for _, body in members)
    if not body:
        return pl.DataFrame(), []
    owners = np.repeat([index for index, _ in members], [body.count(b"\n") for _, body in members])
    lines = pl.DataFrame(
        {
            "_index": pl.Series(owners, dtype=pl.Int64),
            "_text": pl.Series([body[:-1].decode()]).str.split("\n").explode(),
        }
    ).with_columns(_line=pl.int_range(pl.len(), dtype=pl.Int64).over("_index") + 2)
    text, spanning, width = pl.col("_text"), [], pl.col("_text")
    if b'"' in body:
        broken = lines.filter(text.str.contains('"', literal=True) & ~text.str.contains(_WELL_FORMED))
        spanning = broken["_index"].unique().to_list()
        lines = lines.filter(~pl.col("_index").is_in(spanning)) if spanning else lines
        width = text.str.replace_all(_QUOTED, "")
    excess = width.str.count_matches(",", literal=True).cast(pl.Int64) - (len(names) - 1)
    uneven = pl.when(excess < 0).then(pl.lit("record:short")).when(excess > 0).then(pl.lit("record:long"))
    named_twice = len(set(names)) < len(names)
    problem = pl.lit("file:header") if named_twice else uneven.otherwise(pl.lit(None, pl.String))
    lines = lines.filter(text != "").with_columns(_problem=problem)
    sound = lines.filter(pl.col("_problem").is_null())
    if sound.height < len(owners):
        body = "\n".join(sound["_text"]).encode()
    if sound.is_empty():
        return lines, spanning
    values = pl.read_csv(
        body,
        has_header=False,
        schema=dict.fromkeys(names, pl.String()),
        null_values=[""],
        quote_char='"' if b'"' in body else None,
    )
    if values.height != sound.height:
        raise AssertionError(f"{sound.height} records became {values.height} rows: the two readers disagree")
    framed = pl.concat([sound, _known_and_extra(values, known)], how="horizontal")
    return pl.concat([framed, lines.filter(pl.col("_problem").is_not_null())], how="diagonal"), spanning


def _careful(index: int, text: str, known: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """Records of one file by Python's strict csv reader, and its header (empty when that cannot be read)."""
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, strict=True)
    found: list[tuple[int, str, str | None]] = []
    values: list[list[str | None]] = []
    names: list[str] | None = None
    while reader.line_num < len(lines):
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except csv.Error:
            fields = None
        whole = "".join(lines[start - 1 : reader.line_num])
        if names is None:
            names = fields or []
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
    return pl.concat([frame, _known_and_extra(table, known)], how="horizontal"), names


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


def _known_and_extra(values: pl.DataFrame, known: Sequence[str]) -> pl.DataFrame:
    extra = [name for name in values.columns if name not in known]
    packed = pl.struct(extra).struct.json_encode() if extra else pl.lit(None, pl.String)
    kept = [name for name in values.columns if name in known]
    return values.with_columns(packed.alias("_extra")).select(*kept, "_extra")


def _with_provenance(
    frames: Iterable[pl.DataFrame], deliveries: Sequence[Delivery], known: Sequence[str]
) -> pl.DataFrame:
    """The frames as one, each record beside its delivery's provenance, in the order of deliveries and lines."""
    origin = pl.DataFrame(
        [delivery.provenance for delivery in deliveries],
        schema={name: kind for name, kind in PROVENANCE.items() if name != "_line"},
    ).with_columns(
        _index=pl.int_range(pl.len(), dtype=pl.Int64),
        _skipped=pl.Series([delivery.skipped for delivery in deliveries], dtype=pl.Int64),
    )
    whole = schema(known)
    empty = pl.DataFrame(
        schema={**{name: kind for name, kind in whole.items() if name not in origin}, "_index": pl.Int64}
    )
    rows = pl.concat([empty, *frames], how="diagonal").sort("_index", "_line")
    rows = rows.join(origin, on="_index", how="left", maintain_order="left")
    return rows.with_columns(pl.col("_line") + pl.col("_skipped")).select(list(whole))
