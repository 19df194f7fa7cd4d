"""Workbooks to text: exactly what the cells hold, or a refusal in words."""

import math
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO

import fastexcel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workbooks import cell, number, shared, text, workbook

from lakehouse.errors import RefusalError, SourceError
from lakehouse.formats.excel import Excel
from lakehouse.formats.serial import kind_of


def column(*cells: str, since_1904: bool = False) -> list[str | None]:
    """What cells below one another are read as."""
    data = workbook({"S": [[text("ID"), text("V")], *([text("x"), one] for one in cells)]}, since_1904=since_1904)
    return Excel().table(data).rows["V"].to_list()


def refusal(data: bytes, form: Excel | None = None) -> str:
    with pytest.raises(RefusalError) as refused:
        (form or Excel()).table(data)
    return str(refused.value)


def test_a_cell_is_the_text_that_it_holds() -> None:
    cells = [text("007"), text("  x "), text("1.50"), number("5"), number("0.30000000000000004"), number("1E+21"),
             cell("b", "1"), cell("e", "#N/A"), cell("str", "from a formula"), "", text("_x0009_")]  # fmt: skip
    expected = [
        "007",
        "  x ",
        "1.50",
        "5",
        "0.30000000000000004",
        "1e+21",
        "TRUE",
        "#N/A",
        "from a formula",
        None,
        "\t",
    ]
    assert column(*cells) == expected


def test_shared_texts_are_put_together_and_how_they_are_pronounced_is_not_read() -> None:
    rich = "<r><t>Ta</t></r><r><rPr><b/></rPr><t>da</t></r><rPh><t>no</t></rPh><phoneticPr/>"
    data = workbook({"S": [[text("V")], [shared(1)], [shared(0)]]}, [rich, "<t>plain</t>"])
    assert Excel().table(data).rows["V"].to_list() == ["plain", "Tada"]


@pytest.mark.parametrize(
    ("value", "style", "expected"),
    [
        ("41000", 1, "2012-04-01"),
        ("41000.5", 1, "2012-04-01T12:00:00"),
        ("41000.5", 2, "2012-04-01T12:00:00"),
        ("41000", 2, "2012-04-01T00:00:00"),
        ("0.25", 3, "06:00:00"),
        ("1.5", 3, "1900-01-01T12:00:00"),
        ("1.5", 4, "36:00:00"),
        ("1.5", 5, "1.5"),
        ("41000", 6, "2012-04-01"),
        ("41000", 7, "2012-04-01"),
        ("1", 1, "1900-01-01"),
        ("59", 1, "1900-02-28"),
        ("60", 1, "1900-02-29"),
        ("61", 1, "1900-03-01"),
        ("2958465", 1, "9999-12-31"),
        ("2958466", 1, "2958466"),
        ("-1", 1, "-1"),
        ("0", 1, "0"),
    ],
)
def test_days_and_times_are_told_by_the_cell_s_format(value: str, style: int, expected: str) -> None:
    assert column(number(value, style)) == [expected]


def test_days_may_be_counted_from_1904() -> None:
    assert column(number("0", 1), number("39538", 1), since_1904=True) == ["1904-01-01", "2012-04-01"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("General", None), ("0.00", None), ('0 "days"', None), ("#,##0 [$€-407]", None), ("0.0E+00", None), ("@", None),
     ("m/d/yy", "date"), ("[$-409]mmmm d, yyyy", "date"), ("h:mm AM/PM", "time"), ("mm:ss.0", "time"),
     ("[mm]:ss", "elapsed"), ("d.m.yyyy h:mm;@", "datetime"), ("\\d0", None)],
)  # fmt: skip
def test_formats_say_what_a_number_is(code: str, kind: str | None) -> None:
    assert kind_of(164, code) == kind


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_number_reads_back_as_the_same_number(values: list[float]) -> None:
    found = [float(one or "nan") for one in column(*(number(repr(value)) for value in values))]
    assert [math.copysign(1, one) for one in found] == [math.copysign(1, value) for value in values]
    assert found == values


def test_another_reader_finds_the_same_in_columns_of_one_kind() -> None:
    days = [40000 + n * 37.125 for n in range(200)]
    rows = [[text(f"t{n}"), number(repr(n / 7)), number(repr(day), 2)] for n, day in enumerate(days)]
    data = workbook({"S": [[text("T"), text("N"), text("D")], *rows]})
    other = fastexcel.read_excel(data).load_sheet(0).to_polars()
    mine = Excel().table(data).rows
    assert mine["T"].to_list() == other["T"].to_list()
    assert [float(one) for one in mine["N"]] == other["N"].to_list()
    assert [datetime.fromisoformat(one) for one in mine["D"]] == other["D"].to_list()
    epoch = datetime(1899, 12, 30, tzinfo=UTC).replace(tzinfo=None)
    assert other["D"][0] == epoch + timedelta(days=days[0])


def test_records_are_numbered_as_the_sheet_s_rows_and_empty_ones_are_passed_over() -> None:
    rows = [[text("Title")], [], [text("ID"), "", text("V")], [text("a")], [], [number("1"), "", number("2")]]
    table = Excel(header_row=3).table(workbook({"S": rows}))
    assert table.names == ("ID", "V")
    assert table.rows.drop("_text").rows() == [(4, None, "a", None), (6, None, "1", "2")]
    assert table.rows["_text"].to_list() == ['{"A": "a"}', '{"A": "1", "C": "2"}']


def test_a_value_beyond_the_header_makes_its_record_long() -> None:
    table = Excel().table(workbook({"S": [[text("ID")], [text("a"), "", text("lost")], [text("b")]]}))
    assert table.rows.drop("_text").rows() == [(2, "record:long", None), (3, None, "b")]


def test_a_merged_header_leaves_a_column_without_a_name() -> None:
    merged = '<mergeCells count="1"><mergeCell ref="A1:B1"/></mergeCells>'
    table = Excel().table(workbook({"S": [[text("Pressure"), "", text("V")], [number("1"), number("2")]]}, more=merged))
    assert table.names == ("Pressure", "", "V")


def test_columns_of_one_name_are_not_told_apart() -> None:
    table = Excel().table(workbook({"S": [[text("ID"), text("ID")], [number("1"), number("2")]]}))
    assert table.names == ("ID", "ID")
    assert table.rows.columns == ["_line", "_text", "_problem"]
    assert table.rows["_problem"].to_list() == ["file:header"]


def test_one_of_several_sheets_is_chosen_by_name() -> None:
    data = workbook({"One": [[text("A")], [number("1")]], "Two": [[text("B")], [number("2")]]})
    assert Excel(sheet="Two").table(data).rows["B"].to_list() == ["2"]
    assert "2 sheets (One, Two)" in refusal(data)
    assert "no sheet Three; it has One, Two" in refusal(data, Excel(sheet="Three"))


def test_what_is_no_workbook_is_refused_in_words() -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    assert "password" in refusal(ole + "EncryptedPackage".encode("utf-16-le"))
    assert "old form" in refusal(ole)
    whole = workbook({"S": [[text("A")], [number("1")]]})
    for data in (b"", b"A,B\n1,2\n", whole[:-30], whole.replace(b"PK\1\2", b"PK\1\3")):
        assert "no Excel workbook" in refusal(data)
    for bad in (number("abc"), number("inf"), shared(5), cell("x", "1"), '<c r="A2"><v>1</v></c>'):
        assert "damaged" in refusal(workbook({"S": [[text("A")], [text("b") if "r=" in bad else "", bad]]}))


def test_a_workbook_cannot_name_entities_or_encodings_of_its_own_or_unpack_to_very_much() -> None:
    whole = workbook({"S": [[text("A")], [number("1")]]})
    for old, new, words in (
        (b"<sst", b'<!DOCTYPE x [<!ENTITY a "b">]><sst', "damaged"),
        (b'encoding="UTF-8"', b'encoding="UUF-8"', "no Excel workbook"),
        (b"</sst>", b"<!--" + b" " * (70 << 20) + b"--></sst>", "too much"),
    ):
        buffer = BytesIO()
        with zipfile.ZipFile(BytesIO(whole)) as given_, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
            for name in given_.namelist():
                made.writestr(name, given_.read(name).replace(old, new))
        assert words in refusal(buffer.getvalue())


def test_a_header_row_is_counted_from_one() -> None:
    with pytest.raises(SourceError, match="header_row 0"):
        Excel(header_row=0)
