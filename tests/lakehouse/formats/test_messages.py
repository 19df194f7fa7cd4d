"""Messages become records with what they hold as columns, and those that hold nothing readable say so."""

import io
import json
import random
from datetime import UTC, datetime
from decimal import Decimal

import fastavro
import polars as pl
import pytest
from feeds.schemas import framed

from lakehouse.errors import RefusalError
from lakehouse.formats.messages import COLUMNS, RECEIVED, Messages, about, packed, received
from lakehouse.formats.payloads import Avro, Json, JsonSchema, Payload

AVRO = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "rate", "type": "double"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "dose", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
        {"name": "more", "type": {"type": "array", "items": "int"}},
        {"name": "note", "type": ["null", "string"]},
        {"name": "raw", "type": "bytes"},
    ],
}
FITS = {"type": "object", "required": ["rate"], "properties": {"rate": {"type": "number", "maximum": 250}}}


def avro(**values: object) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, AVRO, values)
    return framed(1, stream.getvalue())


def file(values: list[bytes | None], schema: object = None, key: bytes | None = b"k") -> bytes:
    count = len(values)
    written = None if schema is None else json.dumps(schema)
    return packed(
        {
            "topic": ["t"] * count,
            "partition": [3] * count,
            "offset": list(range(40, 40 + count)),
            "timestamp": [1388631845678] * count,
            "key": [key] * count,
            "value": values,
            "headers": [None] * count,
            "schema": [written] * count,
        }
    )


def read(values: list[bytes | None], payload: Payload, schema: object = None) -> pl.DataFrame:
    return Messages(payload=payload).table(file(values, schema)).rows


def test_members_are_columns_beside_the_place() -> None:
    table = Messages().table(file([b'{"rate": 70.50, "more": {"a": [1.0]}, "kafka_offset": 7}']))
    assert table.names == (*COLUMNS, "rate", "more", "_kafka_offset")
    row = table.rows.row(0, named=True)
    assert {name: row[name] for name in table.names} == {
        "kafka_topic": "t",
        "kafka_partition": "3",
        "kafka_offset": "40",
        "kafka_timestamp": "2014-01-02T03:04:05.678+00:00",
        "kafka_key": "k",
        "kafka_generation": "0",
        "rate": "70.50",
        "more": '{"a": [1.0]}',
        "_kafka_offset": "7",
    }
    assert (row["_line"], row["_problem"]) == (1, None)
    place = '{"topic":"t","partition":3,"offset":40,"value":'
    assert row["_text"] == place + '{"rate": 70.50, "more": {"a": [1.0]}, "kafka_offset": 7}}'


def test_what_is_no_json_object_says_where_it_was() -> None:
    rows = read(
        [b'{"a": 1}', b"[1]", b'{"a": "\x01', b"\xff", None, b"", b'{"a": 2, "a": 3}', b'{"a": "\\u0000"}'], Json()
    )
    assert rows["_problem"].to_list() == [None, *["record:payload"] * 7]
    told = [json.loads(text) for text in rows["_text"]]
    assert [one["offset"] for one in told] == list(range(40, 48))
    assert [one.get("value", one.get("value_base64")) for one in told] == [
        {"a": 1},
        "[1]",
        '{"a": "\x01',
        "/w==",
        None,
        "",
        '{"a": 2, "a": 3}',
        '{"a": "\\u0000"}',
    ]


def test_a_key_that_is_no_text_is_told_in_base64() -> None:
    rows = Messages().table(file([b"{}"], key=b"\xff")).rows
    assert rows["kafka_key"].to_list() == ["base64:/w=="]
    assert Messages().table(file([b"{}"], key=None)).rows["kafka_key"].to_list() == [None]


@pytest.mark.parametrize("keys", [[b"\0\0\0\1"], [b"\0\0\0\1", b"one"], [b"\0", b"\xff", b"one", None]])
def test_a_key_with_nul_is_no_text_either(keys: list[bytes | None]) -> None:
    told = {b"\0\0\0\1": "base64:AAAAAQ==", b"\0": "base64:AA==", b"\xff": "base64:/w==", b"one": "one", None: None}
    found = pl.concat([received(file([b"{}"], key=key)) for key in keys])
    assert Messages().of(found, {}).rows["kafka_key"].to_list() == [told[key] for key in keys]


def test_a_member_may_be_called_like_what_is_called_like_one_of_ours() -> None:
    table = Messages().table(file([b'{"kafka_offset": 1, "_kafka_offset": 2, "__kafka_x": 3, "_kafkaesque": 4}']))
    assert table.names[len(COLUMNS) :] == ("_kafka_offset", "__kafka_offset", "___kafka_x", "_kafkaesque")
    assert table.rows.select(table.names[len(COLUMNS) :]).row(0) == ("1", "2", "3", "4")


def test_avro_is_told_by_the_writers_schema() -> None:
    moment = datetime(2014, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    sound = avro(rate=0.1, at=moment, dose=Decimal("5.40"), more=[1, 2], note=None, raw=b"\xff")
    endless = avro(rate=float("inf"), at=moment, dose=Decimal("0.00"), more=[], note="n", raw=b"")
    rows = read([sound, endless, sound[:-1], sound + b"x", b"\1" + sound[1:], sound[:4], None], Avro(), AVRO)
    assert rows["_problem"].to_list() == [None, None, *["record:payload"] * 5]
    columns = ("rate", "at", "dose", "more", "note", "raw")
    assert rows.select(columns).row(0) == ("0.1", moment.isoformat(), "5.40", "[1, 2]", None, "ff")
    assert rows.select(columns).row(1)[0] == "Infinity"
    assert set(read([sound], Avro())["_problem"]) == {"record:payload"}


def test_numbers_that_are_none_go_by_their_names_however_deep() -> None:
    deep = {"type": "map", "values": {"type": "array", "items": ["null", "double"]}}
    schema = {"type": "record", "name": "Trace", "fields": [{"name": "waves", "type": deep}]}
    stream = io.BytesIO()
    waves = {"ii": [0.5, float("nan")], "v1": [float("inf"), None, float("-inf")]}
    fastavro.schemaless_writer(stream, schema, {"waves": waves})
    rows = read([framed(1, stream.getvalue())], Avro(), schema)
    assert rows["_problem"].to_list() == [None]
    assert json.loads(rows["waves"][0]) == {"ii": [0.5, "NaN"], "v1": ["Infinity", None, "-Infinity"]}


def test_json_is_held_against_its_schema() -> None:
    bodies = [b'{"rate": 70.50}', b'{"rate": 251}', b"{}", b"{"]
    rows = read([*(framed(2, body) for body in bodies), bodies[0]], JsonSchema(), FITS)
    assert rows["_problem"].to_list() == [None, *["record:payload"] * 4]
    assert rows["rate"].to_list() == ["70.50", None, None, None, None]


def test_a_schema_that_refers_elsewhere_is_not_followed() -> None:
    elsewhere = {"$ref": "http://127.0.0.1:9/schema"}
    assert read([framed(1, b"{}")], JsonSchema(), elsewhere)["_problem"].to_list() == ["record:payload"]


def test_a_file_of_nothing_and_one_that_is_no_file_of_messages() -> None:
    table = Messages().table(file([]))
    assert (table.names, table.rows.height) == (COLUMNS, 0)
    other = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(other)
    for data in (b"", b"PAR1", file([b"{}"])[:-9], other.getvalue()):
        with pytest.raises(RefusalError):
            Messages().table(data)


def test_a_file_of_messages_with_any_one_byte_damaged_is_read_or_refused() -> None:
    count = 300
    data = packed(
        {
            "topic": [f"tøpic😀{number % 3}" for number in range(count)],
            "partition": [0] * count,
            "offset": range(count),
            "timestamp": [1_700_000_000_000 + number for number in range(count)],
            "key": [b"k%d" % number for number in range(count)],
            "value": [b'{"a":"\xc3\xa9%d"}' % number for number in range(count)],
            "headers": ['[["h","v"]]'] * count,
            "schema": [None] * count,
        },
        {"generation": "1"},
    )
    chance, refused = random.Random(5), 0
    for _ in range(1500):
        damaged = bytearray(data)
        damaged[chance.randrange(len(data))] = chance.randrange(256)
        try:
            Messages().table(bytes(damaged))
        except RefusalError:
            refused += 1
    assert 300 < refused < 1500


def test_a_moment_that_no_calendar_has_stays_a_number() -> None:
    values: dict[str, list[object]] = {name: [None] for name in RECEIVED}
    given = {"topic": ["t"], "partition": [0], "offset": [0], "value": [b"{}"], "timestamp": [2**62]}
    data = packed({**values, **given}, {"of": "x"})
    assert Messages().table(data).rows["kafka_timestamp"].to_list() == [str(2**62)]
    assert about(data)["of"] == "x"
