"""Lines of fixed width to text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import RefusalError, SourceError
from lakehouse.formats.fixed import FixedWidth
from lakehouse.pieces import Pieces

FORM = FixedWidth(columns={"ID": (1, 3), "NAME": (5, 10), "V": (11, 14)})


def test_values_are_told_by_their_place() -> None:
    table = FORM.table("001 Zoë   1.5 \r\n\r\n002xAda   -1.5".encode())
    assert table.names == ("ID", "NAME", "V")
    assert table.rows.drop("_text").rows() == [(1, None, "001", "Zoë", "1.5"), (3, None, "002", "Ada", "-1.5")]


def test_short_and_long_lines_keep_their_text_and_blanks_are_null() -> None:
    lines = [
        "001 Ada   12  ",
        "002 Bob   ",
        "003 Cy    1234X",
        "004 Di    12     ",
        "005           ",
        "   ",
        "006 A\0a  1234",
    ]
    table = FORM.table("\n".join(lines).encode())
    assert table.rows["_text"].to_list() == [line for line in lines if line.strip()]
    assert table.rows.drop("_text").rows() == [
        (1, None, "001", "Ada", "12"),
        (2, "record:short", None, None, None),
        (3, "record:long", None, None, None),
        (4, None, "004", "Di", "12"),
        (5, None, "005", None, None),
        (7, "record:nul", None, None, None),
    ]


def test_a_place_is_a_character_in_the_file_s_encoding() -> None:
    form = FixedWidth(columns={"A": (1, 2), "B": (3, 4)}, encoding="cp1252")
    assert form.table(form.lines.decode("éüab".encode("cp1252"))).rows.row(0)[3:] == ("éü", "ab")
    with pytest.raises(RefusalError, match=r"line 2 holds the byte 0xE9"):
        FORM.lines.decode(b"001 Ada   12  \n\xe9")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "missing"),
        ({"A": (0, 2)}, "begin at 1"),
        ({"A": (3, 2)}, "begin at 1"),
        ({"A": (1, 3), "B": (3, 4)}, "overlap"),
    ],
)
def test_columns_that_cannot_be_are_refused(columns: dict[str, tuple[int, int]], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        FixedWidth(columns=columns)


LINES = st.lists(st.text(st.sampled_from("ab1 é\0"), max_size=18), max_size=12)


@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.integers(1, 40))
def test_every_line_is_a_record_or_blank_also_when_read_in_pieces(lines: list[str], end: str, size: int) -> None:
    data = end.join(lines).encode()
    whole = FORM.table(data).rows
    texts = {number: line for number, line in enumerate(lines, 1) if line.strip(" ")}
    assert dict(whole.select("_line", "_text").rows()) == texts
    for number, problem, name in whole.select("_line", "_problem", "NAME").rows():
        line = texts[number]
        if problem is None:
            assert len(line) >= 14
            assert name == (line[4:10].rstrip(" ") or None)
    pieces, found = Pieces(FORM.lines.decode_chunks([data]), FORM.lines), []
    while data and not pieces.done:
        part, skipped = pieces.next(size)
        found += [(row[0] + skipped, *row[1:]) for row in FORM.table(part).rows.rows()]
    assert found == (whole.rows() if data else [])
