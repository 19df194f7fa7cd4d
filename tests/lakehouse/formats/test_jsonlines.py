"""JSON lines: values as written, broken lines quarantined, large files a piece at a time."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER

from lakehouse.errors import LakehouseError
from lakehouse.formats.jsonlines import JsonLines
from lakehouse.trace import trace

PATH = "a/thermometer_2020-01-02.jsonl"


@pytest.fixture
def lines(house: House) -> House:
    house.source = replace(THERMOMETER, dialect=JsonLines(aliases={"C": "CELSIUS"}), path="{site}/{name}_{day}.jsonl")
    return house


def line(sensor: str, celsius: str = "20.50", more: str = "") -> str:
    return f'{{"SENSOR": "{sensor}", "HOUR": 1, "C": {celsius}{more}}}\n'


def test_values_stay_as_they_are_written(lines: House) -> None:
    lines.land(PATH, line("one", "1.10") + line("two", '"7"') + line("three", "null"), header="")
    lines.run()
    raw = lines.table("raw")
    assert raw.select("SENSOR", "HOUR", "CELSIUS", "_line").rows() == [
        ("one", "1", "1.10", 1),
        ("two", "1", "7", 2),
        ("three", "1", None, 3),
    ]
    assert lines.table("processed")["celsius"].sort().to_list() == [None, 1.1, 7.0]


def test_what_is_no_object_is_quarantined_with_its_text_and_line(lines: House) -> None:
    broken = ['{"SENSOR": "cut', "[1, 2]", '{"SENSOR": "a", "SENSOR": "b"}']
    lines.land(PATH, line("one") + "\r\n".join(["", *broken, ""]) + line("two"), header="")
    lines.run()
    found = lines.table("quarantine").sort("_line")
    assert found.select("_line", "_text").rows() == list(zip([3, 4, 5], broken, strict=True))
    assert {reason for reasons in found["reasons"] for reason in reasons} == {"record:json"}
    assert sorted(lines.table("processed")["sensor"]) == ["one", "two"]
    assert lines.table("processed").filter(sensor="two")["_line"].item() == 6
    assert lines.unbalanced().is_empty()


def test_a_member_nobody_knows_is_kept_and_one_that_is_asked_for_must_be_there(lines: House) -> None:
    lines.land(PATH, line("one", more=', "MOOD": {"a": [1]}'), header="")
    lines.land("b/thermometer_2020-01-02.jsonl", '{"SENSOR": "one"}\n', header="")
    lines.run()
    assert json.loads(lines.table("raw").filter(_site="a")["_extra"].item()) == {"MOOD": '{"a": [1]}'}
    (refused,) = lines.table("quarantine").filter(_line=0)["explanation"]
    assert refused.startswith("the header lacks HOUR, CELSIUS")


def test_a_file_of_which_no_line_is_an_object_is_quarantined_line_by_line(lines: House) -> None:
    lines.land(PATH, "oops\n\n[1]\n", header="")
    lines.run()
    found = lines.table("quarantine").filter(pl.col("_line") > 0).sort("_line")
    assert found.select("_line", "_text").rows() == [(1, "oops"), (3, "[1]")]
    assert lines.unbalanced().is_empty()


def test_a_file_of_blank_lines_is_empty(lines: House) -> None:
    lines.land(PATH, "\n \n", header="")
    lines.run()
    assert lines.table("quarantine")["reasons"].to_list() == [["file:empty"]]


@pytest.mark.parametrize("size", [200, 1000])
def test_a_large_file_a_piece_at_a_time_is_what_it_is_at_once(lines: House, tmp_path: Path, size: int) -> None:
    body = "".join(line(f"s{n % 40}", f"{n}.0" if n % 7 else "oops") if n % 9 else "\n" for n in range(120))
    lines.land(PATH, body, header="")
    lines.run()
    other = House(tmp_path / "landing", type(lines.lake)(str(tmp_path / "other")), lines.source, batch_bytes=size)
    other.run()
    assert other.tables() == lines.tables()
    assert not lines.table("superseded").is_empty()
    assert not lines.table("quarantine").is_empty()


@pytest.mark.parametrize("size", [2_000, 100_000_000])
def test_lines_with_any_number_of_names_are_rows_whatever_is_read_at_once(lines: House, size: int) -> None:
    lines.batch_bytes = size
    others = [", ".join(f'"p{n}_{k}": 1' for k in range(60)) for n in range(40)]
    body = "".join(f'{{"SENSOR": "s{n}", {others[n]}, "HOUR": 7, "C": 20.5}}\n' for n in range(40))
    lines.land(PATH, body, header="")
    lines.run()
    assert lines.table("processed").height == 40
    assert lines.table("quarantine").is_empty()


@pytest.mark.parametrize("size", [200, 1000])
@pytest.mark.parametrize(
    ("member", "few", "refused"),
    [
        ("HOUR", "", False),
        # A file that misspells what it may leave out is refused whole, and so is one that writes a column in two ways.
        ("HOUR", ', "note": "x"', True),
        ("HOUR", ', "CELSIUS": 1', True),
        ("hour", "", True),
    ],
)
def test_members_that_only_some_lines_have_are_those_of_a_large_file(
    lines: House, tmp_path: Path, size: int, member: str, few: str, refused: bool
) -> None:
    plain = [f'{{"SENSOR": "s{n}", "C": 20.5}}\n' for n in range(60)]
    plain[40] = f'{{"SENSOR": "s40", "{member}": 7, "C": 20.5{few}}}\n'
    lines.land(PATH, "".join(plain), header="")
    lines.run()
    assert lines.table("processed").is_empty() == refused
    other = House(tmp_path / "landing", type(lines.lake)(str(tmp_path / "other")), lines.source, batch_bytes=size)
    other.run()
    one, two = lines.tables(), other.tables()
    assert {layer: two[layer] for layer in two if layer != "raw"} == {
        layer: one[layer] for layer in one if layer != "raw"
    }
    assert other.unbalanced().is_empty()


def test_a_row_leads_back_to_its_line(lines: House) -> None:
    lines.land(PATH, line("one") + line("two"), header="")
    lines.run()

    def nowhere() -> None:
        raise LakehouseError("no PostgreSQL here")

    found = trace(lines.lake, nowhere, "processed/thermometer", "sensor = 'two'", 5, {}, [lines.source])
    assert found.rows.select("_line", "_text").rows() == [(2, line("two").strip())]


def test_a_mark_and_another_encoding_are_told_apart(lines: House) -> None:
    lines.land(PATH, b"\xef\xbb\xbf" + line("one").encode())
    lines.land("b/thermometer_2020-01-02.jsonl", line("zwölf").encode("latin-1"))
    lines.run()
    assert lines.table("processed")["sensor"].to_list() == ["one"]
    assert lines.table("quarantine")["reasons"].to_list() == [["file:encoding"]]
    assert pl.Series(["b"]).equals(lines.table("quarantine")["_site"])
