"""Every format goes the way of a CSV file: kept, judged record by record, accounted for, traced, mended."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyreadstat
import pytest
from house import House
from thermometer import THERMOMETER
from workbooks import number, text, workbook

from lakehouse import trace
from lakehouse.formats import Format
from lakehouse.formats.excel import Excel
from lakehouse.formats.fixed import FixedWidth
from lakehouse.formats.jsonlines import JsonLines
from lakehouse.formats.parquet import Parquet
from lakehouse.formats.xpt import Xpt

NAMES = ("SENSOR", "HOUR", "CELSIUS")
Rows = list[tuple[str, str, str]]


def excel(rows: Rows, _folder: Path) -> bytes:
    cells = [[text(sensor), number(hour), text(celsius)] for sensor, hour, celsius in rows]
    return workbook({"S": [[text(name) for name in NAMES], *cells]})


def fixed(rows: Rows, _folder: Path) -> bytes:
    return "".join(f"{sensor:4}{hour:2}{celsius:6}\n" for sensor, hour, celsius in rows).encode()


def xpt(rows: Rows, folder: Path) -> bytes:
    file = folder / "written.xpt"
    pyreadstat.write_xport(pl.DataFrame(rows, schema=NAMES, orient="row"), file, table_name="T")
    return file.read_bytes()


def parquet(rows: Rows, _folder: Path) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(rows, schema=NAMES, orient="row").write_parquet(stream)
    return stream.getvalue()


def lines(rows: Rows, _folder: Path) -> bytes:
    return pl.DataFrame(rows, schema=NAMES, orient="row").write_ndjson().encode()


@pytest.mark.parametrize(
    ("form", "ending", "written", "first"),
    [
        (Excel(), "xlsx", excel, 2),
        (FixedWidth(columns={"SENSOR": (1, 4), "HOUR": (5, 6), "CELSIUS": (7, 12)}), "txt", fixed, 1),
        (Xpt(), "xpt", xpt, 1),
        (Parquet(), "parquet", parquet, 1),
        (JsonLines(), "jsonl", lines, 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Format) else "",
)
def test_a_file_of_any_format_goes_the_whole_way(
    house: House, tmp_path: Path, form: Format, ending: str, written: Callable[[Rows, Path], bytes], first: int
) -> None:
    house.source = source = replace(THERMOMETER, dialect=form, path=f"{{site}}/{{name}}_{{day}}.{ending}")
    rows = [("s1", "1", "1.5"), ("s1", "2", "warm"), ("s2", "3", "20.25")]
    path = f"A/thermometer_2020-01-02.{ending}"
    body = written(rows, tmp_path)
    house.land(path, body)
    house.run()
    values = house.table("processed").sort("_line").select("sensor", "hour", "celsius", "_line").rows()
    assert values == [("s1", 1, 1.5, first), ("s2", 3, 20.25, first + 2)]
    [rejected] = house.table("quarantine").to_dicts()
    assert (rejected["_file"], rejected["_line"]) == (path, first + 1)
    assert rejected["reasons"] == ["temperature_is_a_number"]
    assert "warm" in rejected["_text"]
    assert house.table("raw")["CELSIUS"].to_list() == [celsius for *_, celsius in rows]
    assert house.unbalanced().is_empty()
    assert house.lake.kept(rejected["_checksum"]) == body
    assert house.pending().unseen == []

    def nowhere() -> None:
        raise AssertionError("PostgreSQL was asked")

    traced = trace.trace(house.lake, nowhere, "processed.thermometer", "hour = 3", 9, {}, [source])  # type: ignore[arg-type]
    [row] = traced.rows.to_dicts()
    assert (row["_file"], row["_line"], row["_checksum"]) == (path, first + 2, rejected["_checksum"])
    assert "20.25" in str(row)

    # Mended, and sent again under its name.
    rows[1] = ("s1", "2", "2.5")
    house.land(path, written(rows, tmp_path))
    house.run()
    assert house.table("quarantine").is_empty()
    assert house.table("processed").sort("_line")["celsius"].to_list() == [1.5, 2.5, 20.25]
    assert house.unbalanced().is_empty()
