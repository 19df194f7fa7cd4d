"""Columns may be called anything: a file's names are told, or the file is refused, and nothing else comes to harm."""

import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

import polars as pl
import pytest
from test_xpt import library, member, variable
from workbooks import text, workbook

from lakehouse.dialect import PLAIN, Dialect
from lakehouse.formats import Format
from lakehouse.formats.excel import Excel
from lakehouse.formats.jsonlines import JsonLines
from lakehouse.formats.parquet import Parquet
from lakehouse.formats.xpt import Xpt
from lakehouse.records import Delivery, Records, parse


def csv(names: Sequence[str], values: Sequence[str]) -> bytes:
    return f"{','.join(names)}\n{','.join(values)}\n".encode()


def quoted(names: Sequence[str], values: Sequence[str]) -> bytes:
    """For the careful reader of CSV."""
    return csv([f'"{name}"' for name in names], values)


def excel(names: Sequence[str], values: Sequence[str]) -> bytes:
    return workbook({"S": [[text(name) if name else "" for name in names], [text(value) for value in values]]})


def parquet(names: Sequence[str], values: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({name: [value] for name, value in zip(names, values, strict=True)}).write_parquet(buffer)
    return buffer.getvalue()


def lines(names: Sequence[str], values: Sequence[str]) -> bytes:
    return json.dumps(dict(zip(names, values, strict=True))).encode()


def xpt(names: Sequence[str], values: Sequence[str]) -> bytes:
    described = [variable(n + 1, name.encode(), 2, 8, 8 * n) for n, name in enumerate(names)]
    return library(member(b"M", described, b"".join(value.encode().ljust(8) for value in values)))


WAYS: dict[str, tuple[Dialect | Format, Callable[[Sequence[str], Sequence[str]], bytes]]] = {
    "csv": (PLAIN, csv),
    "csv in quotes": (PLAIN, quoted),
    "excel": (Excel(), excel),
    "parquet": (Parquet(), parquet),
    "json lines": (JsonLines(), lines),
    "xpt": (Xpt(), xpt),
}


def read(way: str, names: Sequence[str], aliases: dict[str, str] | None = None) -> Records:
    dialect, write = WAYS[way]
    if aliases:
        dialect = type(dialect)(aliases=aliases)
    told = {"_file": "f", "_checksum": "c", "_delivered": date(2020, 1, 1), "_site": "A", "_received_at": NOW}
    data = write(names, [f"v{n}" for n in range(len(names))])
    return parse([Delivery(told, data)], ["ID"], ["NOTE"], [dialect])


NOW = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("way", WAYS)
def test_the_engine_s_own_names_are_names_like_others(way: str) -> None:
    names = ["ID", "_text", "_line", "_problem", "_extra", "_index", "_file", "__text", "*", "^I.*$"]
    found = read(way, names)
    assert found.refused == {}
    row = found.rows.row(0, named=True)
    assert (row["ID"], row["_problem"], row["_file"]) == ("v0", None, "f")
    assert row["_line"] == (2 if way.startswith(("csv", "excel")) else 1)
    told = json.loads(row["_extra"])
    assert list(told.values()) == [f"v{n}" for n in range(1, len(names))]
    assert {name.lstrip("_") for name in told} == {name.lstrip("_") for name in names[1:]}


@pytest.mark.parametrize("way", ["csv", "csv in quotes", "excel", "parquet"])
@pytest.mark.parametrize("place", range(4))
def test_a_column_without_a_name_is_told(way: str, place: int) -> None:
    names = ["ID", "column_0", "column_1", "column_2"]
    names.insert(place, "")
    found = read(way, names)
    assert found.refused[0][1].startswith(f"the header gives column {place + 1} no name")
    assert found.rows.height == 1


@pytest.mark.parametrize("way", ["csv", "csv in quotes", "excel", "parquet"])
def test_a_column_without_a_name_may_be_given_one(way: str) -> None:
    found = read(way, ["ID", "", "column_1"], {"": "NOTE"})
    assert found.refused == {}
    assert found.rows["NOTE"].to_list() == ["v1"]
    assert json.loads(found.rows["_extra"].item()) == {"column_1": "v2"}
