"""Damaged files of other forms than CSV: a refusal in words, or records, and never another failure."""

import io
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_xpt import BY_HAND
from workbooks import cell, number, shared, text, workbook

from lakehouse.errors import RefusalError
from lakehouse.formats import Format
from lakehouse.formats.excel import Excel
from lakehouse.formats.fixed import FixedWidth
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


FORMS: dict[str, tuple[Format, Callable[[], bytes]]] = {
    "packed": (Excel(), packed),
    "loose": (Excel(), loose),
    "xpt": (Xpt(), lambda: BY_HAND),
    "fixed": (FixedWidth(columns={"A": (1, 2), "B": (4, 5)}), lambda: "a1 b2\nc3 é4\n\nd5".encode()),
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
    if name == "loose":
        data = mended(data)
    try:
        table = form.table(form.lines.decode(data) if form.lines else data)
    except RefusalError:
        return
    rows = table.rows
    assert rows.columns[:3] == ["_line", "_text", "_problem"]
    assert set(rows["_problem"].drop_nulls()) <= {*PROBLEMS, "file:header"}
    assert rows["_line"].is_sorted()
    assert rows["_line"].is_unique().all()
    assert rows["_text"].null_count() == 0
    assert len(set(table.names)) < len(table.names) or tuple(rows.columns[3:]) == table.names
    assert all(kind == pl.String for kind in rows.dtypes[1:])
