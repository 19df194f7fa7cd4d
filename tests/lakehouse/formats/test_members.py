"""JSON objects become columns of text, whichever of the two ways reads them."""

import json

import hypothesis.strategies as st
import msgspec
import polars as pl
import pytest
from hypothesis import given, settings

from lakehouse.formats.members import MOST_NAMES, columns, members


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            r'{"a": 1.10, "b": 1E+3, "c": 12345678901234567890.10}',
            {"a": "1.10", "b": "1E+3", "c": "12345678901234567890.10"},
        ),
        ('{"a": "1.10", "b": "", "c": "null"}', {"a": "1.10", "b": "", "c": "null"}),
        (r'{"a": "\u00e9\n\"\\", "\u0062": "é"}', {"a": 'é\n"\\', "b": "é"}),
        ('{"a": true, "b": false, "c": null}', {"a": "true", "b": "false", "c": None}),
        ('{"a": {"b": 1.0,\n "b": [ ]}, "c": ["x" ,1]}', {"a": '{"b": 1.0,\n "b": [ ]}', "c": '["x" ,1]'}),
        (" {} ", {}),
    ],
)
def test_a_member_is_text_as_it_was_written(text: str, expected: dict[str, str | None]) -> None:
    assert members(text) == members(text.encode()) == expected
    names, rows = columns([text.encode()] * 60)
    assert names == tuple(expected)
    assert rows.rows() == [(*expected.values(), None)] * 60


BROKEN = [
    b"", b" ", b"null", b"[1]", b'"a"', b"1", b'{"a": 1', b'{"a": 1}}', b'{"a": 1} {"b": 2}', b'{"a": 01}',
    b"{'a': 1}", b'{"a": "\n"}', b'{"a": "\x1f"}', b'{"a": "\\q"}', b'{"a": "\xff"}', b'{"\xff": 1}',
    b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": "\\ud800x"}', b"\xef\xbb\xbf{}",
    b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    # Twice the same name, written with blanks, without, and in another way.
    b'{"a":1,"a":1}', b'{"a": 1, "a": 2}', b'{"a": 1, "b": 2, "\\u0061": 3}', b'{"a": {"a": 1}, "a": 2}', b'{"": 1}',
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_object_is_told_and_harms_no_other(text: bytes) -> None:
    assert members(text) is None
    sound = b'{"a":"x","b":2}'
    for many in (1, 60):
        names, rows = columns([sound] * many + [text] + [sound] * many)
        assert names == ("a", "b")
        assert rows["_problem"].to_list() == [None] * many + ["record:json"] + [None] * many
        assert rows["a"].to_list() == ["x"] * many + [None] + ["x"] * many


def test_nul_is_told() -> None:
    texts = [rb'{"a":"x\u0000"}', rb'{"\u0000":1}', rb'{"a":"\\u0000"}', rb'{"a":{"b":"\u0000"}}']
    names, rows = columns(texts)
    assert names == ("a",)
    assert rows["_problem"].to_list() == ["record:nul", "record:nul", None, None]
    assert rows["a"].to_list() == [None, None, "\\u0000", '{"b":"\\u0000"}']


def test_names_are_in_order_of_appearance_and_absent_is_null() -> None:
    names, rows = columns([b'{"b":1}'] * 60 + [b'{"a":2,"b":3}'] + [b'{"c":4,"b":5}'] * 60)
    assert names == ("b", "a", "c")
    assert rows.columns == ["b", "a", "c", "_problem"]
    assert rows["b"].to_list() == ["1"] * 60 + ["3"] + ["5"] * 60
    assert rows["a"].to_list() == [None] * 60 + ["2"] + [None] * 60


def test_names_that_mean_something_elsewhere_are_only_names() -> None:
    text = b'{"_problem":"x","_text":1,"__text":2,"*":3,"^a$":4,"a":5,"_id":6}'
    for many in (1, 60):
        names, rows = columns([text] * many)
        assert names == ("__problem", "__text", "___text", "*", "^a$", "a", "_id")
        assert rows.rows() == [("x", "1", "2", "3", "4", "5", "6", None)] * many


def test_more_names_than_a_table_can_have_are_told() -> None:
    texts = [b'{"k%d":1}' % number for number in range(MOST_NAMES + 5)] + [b'{"k0":2}']
    names, rows = columns(texts)
    assert len(names) == MOST_NAMES
    assert rows["_problem"].to_list() == [None] * MOST_NAMES + ["record:json"] * 5 + [None]
    assert rows["k0"][-1] == "2"


def test_nothing_gives_nothing() -> None:
    assert columns([])[0] == ()
    assert columns([])[1].equals(pl.DataFrame(schema={"_problem": pl.String}))
    assert columns([b"{}", b"x"])[1]["_problem"].to_list() == [None, "record:json"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(st.sampled_from(["a", "b", 'c"', "é", "_line", "\\"]), VALUES, max_size=5)


@settings(max_examples=60)
@given(st.lists(RECORDS, min_size=1, max_size=5), st.booleans(), st.sampled_from([None, 1]), st.integers(1, 2))
def test_both_ways_agree_with_another_reader(
    records: list[dict[str, object]], ascii_only: bool, indent: int | None, way: int
) -> None:
    def written(value: object) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    texts = []
    for record in records:
        try:
            texts.append(written(record).encode())
        except UnicodeEncodeError:
            return
    repeated = texts * (1 if way == 1 else 60)
    _, rows = columns(repeated)
    for text, row in zip(repeated, rows.iter_rows(named=True), strict=True):
        expected = json.loads(text)
        if row["_problem"]:
            nul = any("\0" in str(part) for part in [*expected, *(v for v in expected.values() if isinstance(v, str))])
            halves = members(text) is None
            assert nul or halves
            continue
        for name, value in expected.items():
            shown = row["__line" if name == "_line" else name]
            if isinstance(value, str):
                assert shown == value
            elif value is None:
                assert shown is None
            else:
                assert msgspec.json.decode(shown) == value
