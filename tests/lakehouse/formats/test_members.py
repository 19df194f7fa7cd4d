"""JSON objects become columns of text, whichever of the two ways reads them."""

import json

import hypothesis.strategies as st
import msgspec
import polars as pl
import pytest
from hypothesis import given, settings

from lakehouse.formats.members import DEEPEST, MOST_NAMES, _Found, columns, deeper, members


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


ODD = [
    b'{"bb":2,"a":1}', b'{"a":1}', b'{"a":1,"bb":2,"c":3}', b'{"a":1,"bb":2,"a":3}', b'{"a":1,"bb":2,"bb":2}',
    b'{ "a" : 1 , "bb" : 2 }', b'{ "a" : 1 , "bb" : 2 , "a":3 }', b'{"a":    1,"bb":    2,"bb":3}', b'{"a":1,"bb":2',
    b'{"a":1,"bb":2} {}', b'{"a":"\xff","bb":2}', b'{"a":"\r","bb":2}', b'{"a":[{"a":1}],"bb":{"a":"\\""}}',
    b'{"a":"\\u0061","bb":2}', b'{"\\u0061":1,"bb":2}', b'{"a":"{","bb":"["}', b'{"a":01,"bb":2}', b" ", b"{}",
    b'{"a":"\n","bb":2}', b'{"a":\n1,"bb":2}', b'{"a":"bb","bb":"a"}', b'{"a":[\r1,\r\r2],"bb":\r2\r}',
    b'{"a":"\\"bb\\":1","bb":2}', b"[1,2]",
    b'{"a":' + b"[" * 100 + b"]" * 100 + b',"bb":2}', b'{"a":"\x1f","bb":2}', b'{"a":"\\ud800","bb":2}',
    b'{"a":"\\q","bb":2}', b'{"a":[1,\n2],"bb":3}',
]  # fmt: skip


@pytest.mark.parametrize(
    "sound", [b'{"a":1,"bb":2}', b'{"a": 1, "bb": 2}', b'{"\\"a":1,"\\/":2}', b'{"a":[1],"bb":{}}']
)
@pytest.mark.parametrize("text", ODD)
def test_among_records_that_are_alike_one_says_what_it_says_alone(sound: bytes, text: bytes) -> None:
    _, alone = columns([text])
    for before in (1, 3, 70):
        texts = [*[sound] * before, text, *[sound] * 70]
        _, rows = columns(texts)
        assert rows.height == len(texts)
        assert rows["_problem"][before] == alone["_problem"][0]
        said = {name: value for name, value in rows.row(before, named=True).items() if value is not None}
        assert said == {name: value for name, value in alone.row(0, named=True).items() if value is not None}
        _, rest = columns([sound] * (before + 70))
        assert rows.select(rest.columns)[:before].equals(rest[:before])
        assert rows.select(rest.columns)[before + 1 :].equals(rest[before:])


def structs(texts: list[bytes]) -> int:
    """How many kinds of records have a struct made for them."""
    found = _Found()
    found.take(texts)
    assert sum(len(kind.rows) for kind in found.alike.values()) == len(texts)
    return sum("row" in vars(kind) for kind in found.alike.values())


def test_a_struct_is_made_where_it_saves_time() -> None:
    assert structs([b'{"a":1}'] * 100) == 1
    # A class takes as long as many records, and members in another order than its own as long as all of them squared.
    pairs = [b'{"k%d":1}' % (number // 2) for number in range(2000)]
    assert structs(pairs) == 0
    wide = json.dumps({f"k{number}": 1 for number in range(201)}).encode()
    assert structs([wide] * 100) == 0


def test_large_records_are_not_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse.formats.members._LARGE", 100)
    texts = [json.dumps({"a": "é" * number, "b": number}, ensure_ascii=False).encode() for number in range(70)]
    joined = []
    monkeypatch.setattr("lakehouse.formats.members._is_text", joined.append)
    assert columns(texts)[1]["a"].str.len_chars().to_list() == list(range(70))
    assert joined == []


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


def test_of_more_names_than_there_is_room_for_those_asked_for_have_a_column() -> None:
    texts = [b'{"k%d":1}' % number for number in range(MOST_NAMES + 5)] + [b'{"k0":2,"last":3}']
    names, rows = columns(texts, {"last", f"k{MOST_NAMES + 2}", "never"})
    assert names == (*(f"k{number}" for number in range(MOST_NAMES + 5)), "last")
    there = [*(f"k{number}" for number in range(MOST_NAMES)), f"k{MOST_NAMES + 2}", "last", "_problem"]
    assert rows.columns == there
    assert rows["_problem"].null_count() == len(texts)
    assert rows["k0"][-1] == "2"
    assert rows["last"][-1] == "3"
    assert rows[f"k{MOST_NAMES + 2}"].drop_nulls().to_list() == ["1"]


def test_a_long_table_has_room_for_fewer_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse.formats.members._MOST_CELLS", 1000)
    for many in (60, 200):
        texts = [b'{"a":1,"b":2,"c":%d,"d":4}' % number for number in range(many)]
        texts += [json.dumps({f"k{number}": number, "d": number}).encode() for number in range(many)]
        names, rows = columns(texts, {"d"})
        assert len(names) == 4 + many
        first = [name for name in names if name != "d"][: 1000 // len(texts)]
        assert rows.columns == [*(name for name in names if name in {"d", *first}), "_problem"]
        assert rows["d"].to_list() == ["4"] * many + [str(number) for number in range(many)]


def nested(levels: int, opened: str = "{", inside: str = "1") -> bytes:
    """A record whose value goes so many levels deep, counting the record."""
    ends = {"{": ('{"a":', "}"), "[": ("[", "]")}[opened]
    return ('{"n":1, "a": ' + ends[0] * (levels - 1) + inside + ends[1] * (levels - 1) + "}").encode()


@pytest.mark.parametrize("opened", ["{", "["])
@pytest.mark.parametrize("inside", ["1", '"]]}}\\\\\\"[[["', '{"a":"}"}', "[]"])
def test_how_deep_a_record_may_go_is_the_same_everywhere(opened: str, inside: str) -> None:
    within = 0 if inside[0] in '1"' else 1
    sound, deep = nested(DEEPEST - within, opened, inside), nested(DEEPEST - within + 1, opened, inside)

    def asked(frames: int) -> list[str | None]:
        return asked(frames - 1) if frames else columns([sound, deep])[1]["_problem"].to_list()

    for frames in (0, 400):
        assert asked(frames) == [None, "record:json"]
    assert members(sound) is not None
    assert members(deep) is None


def test_how_deep_a_record_goes_is_not_made_up_for_by_others() -> None:
    shallow, deep = b'{"n":1,"a":2}', nested(DEEPEST + 1)
    texts = [*[shallow] * 60, deep, *[b"1"] * DEEPEST]
    assert b"".join(texts).count(b"{") == len(texts)
    assert columns(texts)[1]["_problem"].to_list() == [*[None] * 60, *["record:json"] * (DEEPEST + 1)]


def depth(value: object) -> int:
    if isinstance(value, dict | list):
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


MARKS = st.text(alphabet='[]{}"\\\\,a', max_size=5)


@given(
    st.recursive(
        MARKS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MARKS, inner, max_size=3), max_leaves=12
    )
)
def test_marks_within_texts_are_no_levels(value: object) -> None:
    text = json.dumps(value).encode()
    assert [deeper(text, most) for most in range(1, 6)] == [depth(value) > most for most in range(1, 6)]


@pytest.mark.parametrize("levels", [985, 990, 995, 1000, 100_000])
@pytest.mark.parametrize("end", ["", "}" * 5, '"', "]"])
def test_nothing_is_raised_for_a_record_that_never_ends(levels: int, end: str) -> None:
    for opened in ("{", "["):
        text = nested(levels, opened)
        for broken in (text, text[: len(text) // 2] + end.encode()):
            assert columns([broken])[1]["_problem"].to_list() == ["record:json"]
            assert members(broken) is None


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
@given(st.lists(RECORDS, min_size=1, max_size=5), st.booleans(), st.sampled_from([None, 1]), st.integers(1, 3))
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
    # Once, in turns, and in a row.
    repeated = {1: texts, 2: texts * 60, 3: [text for text in texts for _ in range(60)]}[way]
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
