"""What an API answered becomes records, page by page, and nothing of it is changed."""

from itertools import product

import msgspec
import pytest

from lakehouse.formats.pages import Envelope, Pages, body_of, elements, envelopes


def delivery(*bodies: bytes) -> bytes:
    return b"".join(
        Envelope("http://x/y", 200, "2026-01-01T00:00:00Z", None, **body_of(body)).line() for body in bodies
    )


def test_records_are_numbered_through_all_pages_as_they_were_written() -> None:
    data = delivery(
        b'{"items": [{"a": 1.10, "b":"x\\n"}, {"c": {"d": [1 ]}}], "total": 9}',
        b'{"items": []}',
        b'\xef\xbb\xbf{"items":[{"a":null}]}',
    )
    table = Pages().table(data)
    assert table.names == ("a", "b", "c")
    assert table.rows.select("_line", "_text", "_problem", "a", "b", "c").rows() == [
        (1, '{"a": 1.10, "b":"x\\n"}', None, "1.10", "x\n", None),
        (2, '{"c": {"d": [1 ]}}', None, None, None, '{"d": [1 ]}'),
        (3, '{"a":null}', None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [("", b'[{"a":1}]'), ("data", b'{"data":[{"a":1}]}'), ("data.items", b'{"data":{"items":[{"a":1}],"n":1}}')],
)
def test_the_list_is_where_the_path_leads(path: str, body: bytes) -> None:
    table = Pages(records=path).table(delivery(body))
    assert table.rows["a"].to_list() == ["1"]
    assert table.rows["_problem"].to_list() == [None]


BROKEN = [
    b"", b"<html>busy</html>", b"{", b'{"items": {}}', b'{"error": "busy"}', b'{"items": [1', b"[1]", b"null",
    b'{"items":[{}],"items":[{}]}',
    b'{"items":[{"a":"\xe9"}]}', b'{"items":[],"x":"\xe9"}', b'{"items":null}', b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN)
def test_a_body_without_the_list_is_one_record_that_is_told(body: bytes) -> None:
    sound = b'{"items":[{"a":1}]}'
    table = Pages().table(delivery(sound, body, sound))
    assert table.names == ("a",)
    assert table.rows["_line"].to_list() == [1, 2, 3]
    assert table.rows["_problem"].to_list() == [None, "record:json", None]
    assert table.rows["_text"][1] == body.decode(errors="replace")
    assert table.rows["a"].to_list() == ["1", None, "1"]


def test_elements_that_are_no_objects_are_told_one_by_one() -> None:
    table = Pages().table(delivery(b'{"items":[{"a":1},2,"x",null,{"a":1,"a":2},{"a":3}]}'))
    assert table.rows["_problem"].to_list() == [None, *["record:json"] * 4, None]
    assert table.rows["_text"].to_list()[1:4] == ["2", '"x"', "null"]


def test_a_line_that_is_no_envelope_is_told() -> None:
    table = Pages().table(delivery(b'{"items":[{"a":1}]}') + b'{"url": "ht')
    assert table.rows["_problem"].to_list() == [None, "record:json"]
    assert table.rows["_text"][1] == '{"url": "ht'


def test_no_pages_have_no_records() -> None:
    for data in (b"", delivery(b'{"items":[]}')):
        table = Pages().table(data)
        assert table.names == ()
        assert table.rows.columns == ["_problem", "_text", "_line"]
        assert table.rows.is_empty()


@pytest.mark.parametrize("body", [b'{"items":[{"a":"\xe9\x00"}]}', "é\u2028\r\n\x85 \x1f".encode(), b"\xff\xfe"])
def test_an_envelope_keeps_a_bodys_bytes(body: bytes) -> None:
    assert [page.data for page in envelopes(delivery(body, body))] == [body, body]
    with pytest.raises(msgspec.DecodeError):
        list(envelopes(b"x"))
    assert elements(body, "items") is None


@pytest.mark.parametrize(("colon", "comma", "edge"), product((":", ": ", " : "), (",", ", ", ",\n  "), ("", "\n ")))
def test_a_member_named_twice_is_seen_however_the_body_is_spaced(colon: str, comma: str, edge: str) -> None:
    def body(*pairs: tuple[str, str]) -> bytes:
        members = comma.join(f"{name}{colon}{value}" for name, value in pairs)
        return f"{edge}{{{edge}{members}{edge}}}{edge}".encode()

    one, total, escaped = ('"a"', "[1]"), ('"total"', "9"), ('"\\u0061"', "0")
    for sound in ((one,), (one, total), (total, one)):
        assert elements(body(*sound), "a") == [b"1"]
        for twice in (one, escaped, ('"a"', "0")):
            for at in range(len(sound) + 1):
                assert elements(body(*sound[:at], twice, *sound[at:]), "a") is None
