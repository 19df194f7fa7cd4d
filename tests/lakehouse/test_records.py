"""Bytes to records: what each reader makes of what sites send, and that the two readers agree."""

import csv
import io
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakehouse import records
from lakehouse.records import Delivery, parse

COLUMNS = ("A", "B")


def delivery(data: bytes, path: str = "one/x_2020-01-01.csv", refusal: str | None = None) -> Delivery:
    origin = {
        "_file": path,
        "_checksum": f"sum of {path}",
        "_delivered": date(2020, 1, 1),
        "_site": path.split("/")[0],
        "_received_at": datetime(2020, 1, 2, tzinfo=UTC),
    }
    return Delivery(origin, data, refusal)


def rows(data: bytes, required: tuple[str, ...] = COLUMNS, optional: tuple[str, ...] = ()) -> list[tuple[object, ...]]:
    """(line, *columns) of every record without a problem."""
    found = parse([delivery(data)], required, optional)
    assert not found.refused
    assert found.rows["_problem"].null_count() == found.rows.height
    return found.rows.select("_line", *required, *optional).rows()


def problems(data: bytes) -> list[tuple[object, ...]]:
    """(line, problem, text) of every record."""
    return parse([delivery(data)], COLUMNS, ()).rows.select("_line", "_problem", "_text").rows()


def refusal(data: bytes) -> tuple[str, str]:
    return parse([delivery(data)], COLUMNS, ()).refused[0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"A,B\n1,x\n2,y\n", [(2, "1", "x"), (3, "2", "y")]),
        (b"A,B\n1,x\n2,y", [(2, "1", "x"), (3, "2", "y")]),
        (b"A,B\r\n1,x\r\n2,y\r\n", [(2, "1", "x"), (3, "2", "y")]),
        (b"A,B\r\n1,x\r\n2,y", [(2, "1", "x"), (3, "2", "y")]),
        (b"\xef\xbb\xbfA,B\n1,x\n", [(2, "1", "x")]),
        (b'\xef\xbb\xbf"A",B\r\n1,x\r\n', [(2, "1", "x")]),
        (b"A,B\r1,x\r2,y\r", [(2, "1", "x"), (3, "2", "y")]),
        (b"A,B\r1,x\r2,y", [(2, "1", "x"), (3, "2", "y")]),
        (b"A,B\n1,x\r2,y\r\n3,z\n", [(2, "1", "x"), (3, "2", "y"), (4, "3", "z")]),
        (b'A,B\n1,"x, y"\n"2",y\n', [(2, "1", "x, y"), (3, "2", "y")]),
        (b'A,B\n1,"say ""x"", y"\n', [(2, "1", 'say "x", y')]),
        (b'A,B\n1,"x\ny"\n2,z\n', [(2, "1", "x\ny"), (4, "2", "z")]),
        (b'A,B\r\n1,"x\r\n\r\ny"\r\n2,z\r\n', [(2, "1", "x\r\n\r\ny"), (5, "2", "z")]),
        (b'A,B\n1,x"y\n', [(2, "1", 'x"y')]),
        (b'"A\nA",A,B\n0,1,x\n', [(3, "1", "x")]),
        (b"A,B\n\n1,x\n\n\n2,y\n\n", [(3, "1", "x"), (6, "2", "y")]),
        (b'A,B\n\n1,"x\n\ny"\n\n2,z\n', [(3, "1", "x\n\ny"), (7, "2", "z")]),
        (b"A,B\n,\n1,\n,x\n", [(2, None, None), (3, "1", None), (4, None, "x")]),
        (b'A,B\n"",""\n1,""\n', [(2, None, None), (3, "1", None)]),
        (b"A,B\n 1 ,\tx\n", [(2, " 1 ", "\tx")]),
        (b"A,B\nNA,null\n", [(2, "NA", "null")]),
        (b"A,B\n007,1e5\n", [(2, "007", "1e5")]),
        (b"A,B\n#1,x\n", [(2, "#1", "x")]),
        ("A,B\n°,Ωß\u2028\x85é\n".encode(), [(2, "°", "Ωß\u2028\x85é")]),
        (b"B,A\nx,1\n", [(2, "1", "x")]),
        (b"A,B\n", []),
        (b"A,B", []),
        (b"A,B\r\n\r\n\n", []),
    ],
)
def test_every_record_is_text_beside_the_line_it_starts_on(data: bytes, expected: list[tuple[object, ...]]) -> None:
    assert rows(data) == expected


@pytest.mark.parametrize("value", ["", " ", "x", '"', '"x"', "x,y", "0"])
def test_a_single_column_keeps_every_record_but_a_blank_line(value: str) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["A"], [value], ["end"]])
    plain = text.getvalue().replace('"A"', "A", 1).encode()
    assert rows(plain, ("A",)) == [(2, value or None), (3, "end")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"A,B\n1\n2,y\n", [(2, "record:short", "1"), (3, None, "2,y")]),
        (b"A,B\r\n1,x,z\r\n2,y\r\n", [(2, "record:long", "1,x,z"), (3, None, "2,y")]),
        (b"A,B\n1,x,\n", [(2, "record:long", "1,x,")]),
        (b'A,B\n"1,x"\n', [(2, "record:short", '"1,x"')]),
        (b'A,B\n1,"x\ny",z\n', [(2, "record:long", '1,"x\ny",z')]),
        (b'A,B\n1,"x"y\n2,z\n', [(2, "record:quotes", '1,"x"y'), (3, None, "2,z")]),
        (b'A,B\n1,x\n2,"y\n3,z\n', [(2, None, "1,x"), (3, "record:quotes", '2,"y\n3,z')]),
        (b"A,B\n1,x\0y\n2,z\n", [(2, "record:nul", "1,x\0y"), (3, None, "2,z")]),
        (b"A,B\n   \n", [(2, "record:short", "   ")]),
    ],
)
def test_a_record_that_does_not_fit_keeps_its_text_and_says_why(
    data: bytes, expected: list[tuple[object, ...]]
) -> None:
    assert problems(data) == expected


def test_the_columns_of_a_record_with_a_problem_are_null() -> None:
    found = parse([delivery(b'A,B\n1\n1,2,3\n4,"x\n')], COLUMNS, ()).rows
    assert found.select("A", "B").rows() == [(None, None)] * 3


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "file:empty", "export it again"),
        (b"\n \r\n", "file:empty", "export it again"),
        (b"\xef\xbb\xbf", "file:empty", "export it again"),
        (b"A,B\n1,x\n2,\xe9\n", "file:encoding", "line 3 holds the byte 0xE9"),
        ("A,B\n1,x\n".encode("utf-16"), "file:encoding", "marked as UTF-16-LE; save it as UTF-8"),
        ("A,B\n1,x\n".encode("utf-16-le"), "file:header", "lacks A, B"),
        (b"A\n1\n", "file:header", "lacks B"),
        (b"a,b\n1,2\n", "file:header", "lacks A, B"),
        (b"A ,B\n1,2\n", "file:header", "lacks A"),
        (b"A;B\n1;2\n", "file:header", "lacks A, B"),
        (b"A,B,B\n1,2,3\n", "file:header", "names B more than once"),
        (b"A,B,Z,Z\n1,2,3,4\n", "file:header", "names Z more than once"),
        (b'"A"x,B\n1,2\n', "file:header", "quotes do not match"),
        (b'"A,B\n1,2\n', "file:header", "quotes do not match"),
        (b"\nA,B\n1,2\n", "file:header", "the first line is no header"),
    ],
)
def test_a_file_is_refused_whole_in_words_a_site_can_act_on(data: bytes, name: str, words: str) -> None:
    refused = refusal(data)
    assert refused[0] == name
    assert words in refused[1]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"A\n1\n2\n", [2, 3]),
        (b"A,B,B\n1,2,3\n4,5,6\n", [2, 3]),
        (b'A,B,B\n1,2,"3\n3"\n4,5,6\n', [2, 4]),
        (b'A,"B",B\n1,2,3\n', [2]),
        (b'"A"x,B\n1,2\n3,4\n', [2, 3]),
    ],
)
def test_the_records_of_a_refused_file_are_kept_all_the_same(data: bytes, lines: list[int]) -> None:
    found = parse([delivery(data)], COLUMNS, ())
    assert found.rows["_line"].to_list() == lines
    assert found.rows["_text"].null_count() == 0


def test_a_file_kept_out_by_its_day_is_refused_with_its_records() -> None:
    found = parse([delivery(b"A,B\n1,x\n", refusal="no such day")], COLUMNS, ())
    assert found.refused == {0: ("file:day", "no such day")}
    assert found.rows.select("_line", "A").rows() == [(2, "1")]


def test_optional_columns_may_be_absent_and_unknown_ones_become_json() -> None:
    assert rows(b"A,B\n1,x\n", COLUMNS, ("C",)) == [(2, "1", "x", None)]
    assert rows(b"C,A,B\nz,1,x\n", COLUMNS, ("C",)) == [(2, "1", "x", "z")]
    for data in (b'Z,A,Y,B\nz,1,,x\n"""",1,2,x\n', b'"Z",A,Y,B\nz,1,,x\n"""",1,2,x\n'):
        found = parse([delivery(data)], COLUMNS, ("C",)).rows
        assert found["_extra"].to_list() == ['{"Z":"z","Y":null}', '{"Z":"\\"","Y":"2"}']


def test_unknown_columns_may_be_called_like_the_engines_own() -> None:
    found = parse([delivery(b"A,B,_line,_file,_index,_text\n1,x,99,f,7,t\n")], COLUMNS, ()).rows
    assert found.select("_line", "_file").rows() == [(2, "one/x_2020-01-01.csv")]
    assert found["_extra"].item() == '{"_line":"99","_file":"f","_index":"7","_text":"t"}'


def test_many_files_at_once_keep_their_own_files_and_lines() -> None:
    files = [
        (b"A,B\n1,x\n2,y\n", [(2, "1", "x"), (3, "2", "y")]),
        (b"", []),
        (b"B,A\nx,1\n", [(2, "1", "x")]),
        (b'A,B\n1,"x\ny"\n2,z\n', [(2, "1", "x\ny"), (4, "2", "z")]),
        (b"A,B\n", []),
        (b"A,B\r\n\r\n5,v", [(3, "5", "v")]),
        (b"A,B\r6,w\r", [(2, "6", "w")]),
        (b"A,B\n7\n8,u\n", [(2, None, None), (3, "8", "u")]),
        (b"A,B\n9,t", [(2, "9", "t")]),
        (b"Z\n1\n", [(2, None, None)]),
        (b"A,B\n\n\n\n0,s\n", [(5, "0", "s")]),
    ]
    given_ = [delivery(data, f"s{index}/x_2020-01-01.csv") for index, (data, _) in enumerate(files)]
    found = parse(given_, COLUMNS, ())
    assert sorted(found.refused) == [1, 9]
    expected = [
        (f"s{index}/x_2020-01-01.csv", f"s{index}", *row) for index, (_, part) in enumerate(files) for row in part
    ]
    assert found.rows.select("_file", "_site", "_line", "A", "B").rows() == expected


def test_the_schema_is_the_same_whatever_was_read() -> None:
    expected = dict(records.schema(COLUMNS))
    for data in (b"", b"A,B\n", b"A,B\n1,x\n", b'A,B\n1,"x\ny"\n', b"A\n1\n", b"A,B,B\n1,2,3\n"):
        assert dict(parse([delivery(data)], COLUMNS, ()).rows.schema) == expected
    assert dict(parse([], COLUMNS, ()).rows.schema) == expected


CELL = st.text(
    st.sampled_from("ab01 ,\"\n\r\t;#'\\é\u2028\x0b") | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=6,
)
TABLE = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=8))
QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])


def written(table: list[list[str]], quoting: int, ending: str) -> tuple[tuple[str, ...], bytes]:
    names = tuple(f"C{number}" for number in range(len(table[0]) if table else 1))
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=ending).writerows(table)
    return names, (",".join(names) + ending + text.getvalue()).encode()


@settings(deadline=None)
@given(TABLE, QUOTING, st.sampled_from(["\n", "\r\n", "\r"]))
@example([["\n"]], csv.QUOTE_MINIMAL, "\n")
@example([[""], ["a"]], csv.QUOTE_ALL, "\n")
@example([['"'], [",\r\n"]], csv.QUOTE_MINIMAL, "\r\n")
def test_both_readers_give_what_the_csv_module_wrote(table: list[list[str]], quoting: int, ending: str) -> None:
    names, data = written(table, quoting, ending)
    found = parse([delivery(data)], names, ())
    assert not found.refused
    careful, header = records._careful(0, data.decode(), names)
    assert tuple(header) == names
    columns = ["_line", "_problem", "_text", *names]
    alone = pl.concat([pl.DataFrame(schema=found.rows.schema), careful], how="diagonal").select(columns)
    assert found.rows.select(columns).rows() == alone.rows()
    # Read back by the csv module, not compared to `table`: its writer leaves a lone CR bare when lines end in LF.
    read = [row for row in csv.reader(io.StringIO(data.decode(), newline=""), strict=True) if row][1:]
    nothing = (None,) * len(names)
    expected = [tuple(cell or None for cell in row) if len(row) == len(names) else nothing for row in read]
    assert found.rows.select(names).rows() == expected
    assert found.rows["_problem"].is_null().to_list() == [len(row) == len(names) for row in read]
    if quoting == csv.QUOTE_ALL:
        assert found.rows.select(names).rows() == [tuple(cell or None for cell in row) for row in table]


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from('ab,"\n\r'), max_size=8), max_size=6).map("\n".join))
def test_both_readers_agree_on_text_that_no_csv_writer_wrote(body: str) -> None:
    data = f"A,B\n{body}".encode()
    found = parse([delivery(data)], COLUMNS, ())
    careful, _ = records._careful(0, data.decode(), COLUMNS)
    columns = ["_line", "_problem", "_text", *COLUMNS]
    alone = pl.concat([pl.DataFrame(schema=found.rows.schema), careful], how="diagonal").select(columns)
    assert found.rows.select(columns).rows() == alone.rows()


@pytest.mark.parametrize("apart", [1, 60_000])
def test_a_field_too_many_does_not_make_up_for_one_too_few(apart: int) -> None:
    # As many commas as there should be, in a text that Polars reads with several threads.
    lines = ["1,2"] * 120_000
    lines[30_000], lines[30_000 + apart] = "1,2,3", "1"
    text = "\n".join(["A,B", *lines, ""])
    found = parse([delivery(text.encode())], COLUMNS, ()).rows.drop_nulls("_problem")
    assert found.select("_line", "_problem", "_text").rows() == [
        (30_002, "record:long", "1,2,3"),
        (30_002 + apart, "record:short", "1"),
    ]
