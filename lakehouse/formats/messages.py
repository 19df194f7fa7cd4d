"""Messages of a stream, as they were received: a Parquet file of them, read as records with what they hold as columns.

What a message's bytes mean is its payload's matter (`payloads.py`). A message that cannot be decoded is a record like
any other, with a problem; so it is quarantined, and everything around it goes through.
"""

import base64
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from lakehouse.formats import Format, Table
from lakehouse.formats.members import columns
from lakehouse.formats.parquet import undamaged
from lakehouse.formats.payloads import Json, Payload

# What a file of messages holds. timestamp: ms since 1970 UTC. headers: JSON, a list of [name, value]. schema: what the
# payload was written with, by the registry; null where there is none or nobody knows it.
RECEIVED: dict[str, pl.DataType] = {
    "topic": pl.String(),
    "partition": pl.Int64(),
    "offset": pl.Int64(),
    "timestamp": pl.Int64(),
    "key": pl.Binary(),
    "value": pl.Binary(),
    "headers": pl.String(),
    "schema": pl.String(),
}
COLUMNS = ("kafka_topic", "kafka_partition", "kafka_offset", "kafka_timestamp", "kafka_key", "kafka_generation")
PROBLEM = "record:payload"
_OURS = re.compile(r"_*kafka_.*", re.DOTALL)
# 0001-01-01 to 9999-12-31, which ISO 8601 writes with four digits.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
_DAMAGED = ("file:messages", "the file is no Parquet file of messages, or is damaged; pull its messages again")


def packed(messages: Mapping[str, Sequence[object]], about: Mapping[str, str] | None = None) -> bytes:
    """A file of messages, given as columns like `RECEIVED`. about: short words of the writer, kept in its footer."""
    stream = io.BytesIO()
    columned(messages).write_parquet(stream, compression="zstd", compression_level=1, metadata=dict(about or {}))
    return stream.getvalue()


def columned(messages: Mapping[str, Sequence[object]]) -> pl.DataFrame:
    """Messages, given as columns like `RECEIVED`."""
    # Column by column: guessing from rows would take ten times as long.
    return pl.DataFrame([pl.Series(name, messages[name], dtype=kind) for name, kind in RECEIVED.items()])


def about(data: bytes) -> dict[str, str]:
    """What the writer of a file of messages put in its footer."""
    return pl.read_parquet_metadata(io.BytesIO(data))


@dataclass(frozen=True, kw_only=True)
class Messages(Format):
    """Files of messages, as a feed lands them (`RECEIVED`). A record is a message, numbered from 1.

    Columns: `kafka_topic`, `kafka_partition`, `kafka_offset`, `kafka_timestamp` (ISO 8601, UTC), `kafka_key` (its
    text; `base64:` and so on where it is none, or has NUL in it), `kafka_generation` (the feed's when it was pulled:
    offsets begin anew with each), and the payload's members, each as text, as `members.py` says. A member called like
    one of these gets a `_` in front. `_text` is a JSON object of topic, partition, offset and value:
    the decoded object; of a message that cannot be decoded its text, or `value_base64` where it is no text.

    payload: how values are written. A value that it cannot decode has the problem `record:payload`, and so has a
    message without a value (a tombstone): it asks to forget a key, which is for a person to decide.
    """

    payload: Payload = field(default_factory=Json)
    packed: ClassVar[bool] = True

    def table(self, data: bytes, asked: Collection[str] = ()) -> Table:
        """The messages of one file; raises RefusalError when it is no such file."""
        rows = received(data)
        with undamaged(*_DAMAGED):
            told = about(data)
        return self.of(rows, told, asked)

    def of(self, these: pl.DataFrame, told: Mapping[str, str], asked: Collection[str] = ()) -> Table:
        """Messages with columns like `RECEIVED` as records. told: what the writer of their file says of it."""
        asked = {*asked, *(name.removeprefix("_") for name in asked if _OURS.fullmatch(name))}
        values, schemas = these["value"].to_list(), these["schema"].to_list()
        names, members = columns(texts := self.payload.objects(values, schemas), asked)
        sound = members["_problem"].is_null()
        written = {name: f"_{name}" if _OURS.fullmatch(name) else name for name in names}
        rows = pl.DataFrame(
            [
                *(column.alias(name) for name, column in zip(COLUMNS, _own(these, told), strict=True)),
                *(members[name].alias(ours) for name, ours in written.items() if name in members.columns),
                pl.select(pl.when(~sound).then(pl.lit(PROBLEM))).to_series().alias("_problem"),
                _told(these, pl.Series(texts, dtype=pl.Binary), sound),
                pl.int_range(1, these.height + 1, dtype=pl.Int64, eager=True).alias("_line"),
            ]
        )
        return Table((*COLUMNS, *written.values()), rows)


def received(data: bytes) -> pl.DataFrame:
    """The messages of a file, with columns like `RECEIVED`; raises RefusalError when it is no such file."""
    with undamaged(*_DAMAGED):
        return _read(data).select(pl.col(name).cast(kind) for name, kind in RECEIVED.items())


def _read(data: bytes) -> pl.DataFrame:
    from pyarrow.parquet import ParquetFile

    # By Arrow alone, which does not believe what a damaged page says of its size (see `parquet.read`). That texts are
    # texts it has to be asked, and Polars believes it.
    found = ParquetFile(io.BytesIO(data)).read(use_threads=False)
    found.validate(full=True)
    return pl.DataFrame(found)


def _own(received: pl.DataFrame, told: Mapping[str, str]) -> list[pl.Series]:
    """The columns `COLUMNS` of messages. told: what their file's writer says of it."""
    moment = pl.col("timestamp")
    written = pl.when(moment.is_between(_FIRST_MS, _LAST_MS)).then(moment).cast(pl.Datetime("ms", "UTC"))
    return received.select(
        pl.col("topic"),
        pl.col("partition").cast(pl.String),
        pl.col("offset").cast(pl.String),
        pl.coalesce(written.dt.to_string("%Y-%m-%dT%H:%M:%S%.3f+00:00"), moment.cast(pl.String)).alias("timestamp"),
        _text(received["key"]),
        # Files that were written before generations were told have none.
        pl.lit(told.get("generation", "0")).alias("generation"),
    ).get_columns()


def _text(keys: pl.Series) -> pl.Series:
    """Keys as text; in base64 those that are none."""
    with suppress(pl.exceptions.ComputeError):
        texts = keys.cast(pl.String)
        if not texts.str.contains("\0", literal=True).any():
            return texts
    # One that is no text, and the cast is of all or nothing.
    return pl.Series(keys.name, [None if key is None else _key(key) for key in keys], dtype=pl.String)


def _key(key: bytes) -> str:
    # A number of four bytes is UTF-8, but no text that a database can hold.
    with suppress(UnicodeDecodeError):
        if b"\0" not in key:
            return key.decode()
    return f"base64:{base64.b64encode(key).decode()}"


def _told(received: pl.DataFrame, texts: pl.Series, sound: pl.Series) -> pl.Series:
    """Each message as a JSON object: where it was, and what it held."""
    topics = received["topic"].unique().to_list()
    quoted = pl.col("topic").replace_strict(topics, [json.dumps(topic) for topic in topics], return_dtype=pl.String)
    partition, offset = pl.format(',"partition":{}', "partition"), pl.format(',"offset":{}', "offset")
    begun = received.select(begun=pl.concat_str(pl.lit('{"topic":'), quoted, partition, offset))["begun"]
    if not sound.all():
        # The others need be no text at all, and a null keeps the bytes that the cast refuses.
        texts = pl.Series([text if well else b"" for text, well in zip(texts, sound, strict=True)], dtype=pl.Binary)
    whole = pl.select(
        pl.when(sound).then(pl.concat_str(begun, pl.lit(',"value":'), texts.cast(pl.String), pl.lit("}")))
    ).to_series()
    at = (~sound).arg_true()
    poison = pl.Series(
        [f"{head}{_undecoded(value)}}}" for head, value in zip(begun[at], received["value"][at], strict=True)],
        dtype=pl.String,
    )
    return whole.scatter(at, poison).alias("_text")


def _undecoded(value: bytes | None) -> str:
    try:
        return f',"value":{json.dumps(None if value is None else value.decode(), ensure_ascii=False)}'
    except UnicodeDecodeError:
        return f',"value_base64":"{base64.b64encode(value or b"").decode()}"'
