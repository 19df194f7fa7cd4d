"""Damaged files of other forms than CSV: a refusal in words, or records, and never another failure."""

import io
import json
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

import fastavro
import polars as pl
import pytest
from feeds.schemas import framed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_xpt import BY_HAND
from workbooks import cell, number, shared, text, workbook

from lakehouse.errors import RefusalError
from lakehouse.formats import Format
from lakehouse.formats.excel import Excel
from lakehouse.formats.fixed import FixedWidth
from lakehouse.formats.jsonlines import JsonLines
from lakehouse.formats.messages import RECEIVED, Messages
from lakehouse.formats.messages import packed as packed_messages
from lakehouse.formats.pages import Envelope, Pages
from lakehouse.formats.parquet import Parquet
from lakehouse.formats.payloads import Avro, JsonSchema
from lakehouse.formats.xpt import Xpt
from lakehouse.records import PROBLEMS


@cache
def packed() -> bytes:
    rows = [[text("ID"), text("V"), text("W")], [shared(0), number("1.5", 1), cell("b", "1")], [text("é"), number("2")]]
    return workbook({"S": rows}, ["<t>a</t>"])


@cache
def loose() -> bytes:
    """The same without compression, so that damage reaches the XML."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed())) as whole, zipfile.ZipFile(buffer, "w") as made:
        for name in whole.namelist():
            made.writestr(name, whole.read(name))
    return buffer.getvalue()


def mended(data: bytes) -> bytes:
    """A workbook whose parts' checksums are right again, so that damage is not found by them."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
    except Exception:  # noqa: BLE001
        return data
    for info in infos:
        begin = info.header_offset + 30 + len(info.filename)
        right = zlib.crc32(data[begin : begin + info.file_size]).to_bytes(4, "little")
        data = data.replace(info.CRC.to_bytes(4, "little"), right)
    return data


def messages(value: bytes, schema: dict[str, object] | None = None) -> bytes:
    """A file of a message with that value, and one without any. Damage is a producer's: the file is our own."""
    given = {"topic": "t", "partition": 0, "offset": 1, "schema": json.dumps(schema)}
    return packed_messages({name: [given.get(name), given.get(name)] for name in RECEIVED} | {"value": [value, None]})


AVRO: dict[str, object] = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "a", "type": {"type": "map", "values": {"type": "array", "items": ["null", "double"]}}},
        {"name": "b", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "dose", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
    ],
}
FITS: dict[str, object] = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}}


@cache
def avro() -> bytes:
    stream = io.BytesIO()
    record = {"a": {"ii": [0.5, None]}, "b": "é", "at": datetime(2014, 1, 2, tzinfo=UTC), "dose": Decimal("5.40")}
    fastavro.schemaless_writer(stream, AVRO, record)
    return framed(1, stream.getvalue())


@cache
def parquet() -> bytes:
    stream = io.BytesIO()
    values = {"a": [1, None, 3], "b": ["é", "", None], "c": [[1.5], None, []], "d": [datetime(2014, 1, 2)] * 3}
    pl.DataFrame(values).write_parquet(stream)
    return stream.getvalue()


PAGES = (
    Envelope("u", 200, "2014-01-02", "2", mark="7", body='{"items": [{"a": 1, "b": [1.50]}, {"a": "é"}]}'),
    Envelope("u", 200, "2014-01-02", None, base64="eyJpdGVtcyI6IFt7ImEiOiAyfV19"),
)
# What the bytes that were damaged are put into.
INTO: dict[str, Callable[[bytes], bytes]] = {
    "loose": lambda data: mended(data),
    "messages": messages,
    "messages in Avro": lambda value: messages(value, AVRO),
    "messages with a schema": lambda value: messages(value, FITS),
}
FORMS: dict[str, tuple[Format, Callable[[], bytes]]] = {
    "packed": (Excel(), packed),
    "loose": (Excel(), loose),
    "xpt": (Xpt(), lambda: BY_HAND),
    "fixed": (FixedWidth(columns={"A": (1, 2), "B": (4, 5)}), lambda: "a1 b2\nc3 é4\n\nd5".encode()),
    "parquet": (Parquet(), parquet),
    "json lines": (JsonLines(), lambda: '{"a": 1, "b": [1.50]}\n\n{"a": "é", "c": null}\r\n{"a": {"b": 1}}'.encode()),
    "pages": (Pages(), lambda: b"".join(page.line() for page in PAGES)),
    "messages": (Messages(), lambda: '{"a": 1, "b": [1.50, {"c": null}], "d": "é"}'.encode()),
    "messages in Avro": (Messages(payload=Avro()), avro),
    "messages with a schema": (Messages(payload=JsonSchema()), lambda: framed(1, b'{"a": "xx", "b": 1.50}')),
}
BYTES = st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from([b"\0", b"<", b'"', b"9" * 9, b"-1", b"\xff\xff"]))
DAMAGE = st.tuples(st.sampled_from(["flip", "put", "cut", "drop", "over"]), st.floats(0, 1), BYTES)


def damaged(data: bytes, kind: str, place: float, some: bytes) -> bytes:
    at = int(place * len(data))
    match kind:
        case "flip" if data[at:]:
            return data[:at] + bytes([data[at] ^ 1 << some[0] % 8]) + data[at + 1 :]
        case "cut":
            return data[:at]
        case "drop":
            return data[:at] + data[at + 1 + some[0] :]
        case "over":
            return data[:at] + some + data[at + len(some) :]
    return data[:at] + some + data[at:]


@pytest.mark.parametrize("name", FORMS)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=max(300, settings.default.max_examples))
@given(damage=st.lists(DAMAGE, min_size=1, max_size=3))
def test_damage_is_refused_or_leaves_records(name: str, damage: list[tuple[str, float, bytes]]) -> None:
    form, make = FORMS[name]
    data = make()
    for one in damage:
        data = damaged(data, *one)
    if name in INTO:
        data = INTO[name](data)
    try:
        table = form.table(form.lines.decode(data) if form.lines else data)
    except RefusalError:
        return
    ours = ("_line", "_text", "_problem")
    # They may stand anywhere; the others are in the order of the names.
    rows = table.rows.select(*ours, pl.exclude(ours))
    assert set(rows["_problem"].drop_nulls()) <= {*PROBLEMS, "file:header"}
    assert rows["_line"].is_sorted()
    assert rows["_line"].is_unique().all()
    assert rows["_text"].null_count() == 0
    assert len(set(table.names)) < len(table.names) or tuple(rows.columns[3:]) == table.names
    assert all(kind == pl.String for kind in rows.dtypes[1:])
