"""What a message's bytes mean: each payload turns them into the text of a JSON object.

`Avro` and `JsonSchema` are written as schema registries have it: a zero byte, the schema's number in four bytes, big
end first, and then the datum. The schema's own text comes with the message, as the feed had it from the registry.
"""

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_MAGIC, _FRAME = b"\0", 5
# Schemas of one topic are few; their parsing is what costs.
_SCHEMAS = 64


@dataclass(frozen=True, kw_only=True)
class Payload(ABC):
    """How the values of messages are written."""

    @abstractmethod
    def objects(self, values: Sequence[bytes | None], schemas: Sequence[str | None]) -> list[bytes]:
        """Each value as the text of a JSON object; what is no such text (empty, say) where it cannot be decoded.

        schemas: the text of each value's schema, where it has one that is known.
        """


@dataclass(frozen=True, kw_only=True)
class Json(Payload):
    """Each value is a JSON object in UTF-8."""

    def objects(self, values: Sequence[bytes | None], _schemas: Sequence[str | None]) -> list[bytes]:
        """The values as they are."""
        return [value or b"" for value in values]


@dataclass(frozen=True, kw_only=True)
class Avro(Payload):
    """Avro records, each by the schema it was written with.

    Moments, dates and UUIDs are told in ISO 8601 and decimals with all their digits; bytes in hexadecimal; numbers that
    are none (NaN, Infinity) by their names. A number of single precision is told as the double that equals it.
    """

    def objects(self, values: Sequence[bytes | None], schemas: Sequence[str | None]) -> list[bytes]:
        """The records as JSON; empty where there is no known schema, or bytes are left over."""
        return [_each(value, schema, _avro) for value, schema in zip(values, schemas, strict=True)]


@dataclass(frozen=True, kw_only=True)
class JsonSchema(Payload):
    """JSON objects, each beside the JSON Schema it has to fit. References out of a schema are not followed."""

    def objects(self, values: Sequence[bytes | None], schemas: Sequence[str | None]) -> list[bytes]:
        """The objects as written; empty where there is no known schema, or the object does not fit it."""
        return [_each(value, schema, _fitting) for value, schema in zip(values, schemas, strict=True)]


def schema_number(value: bytes | None) -> int | None:
    """The number of the schema that a value says it was written with; None when it is not framed so."""
    if value is None or len(value) < _FRAME or not value.startswith(_MAGIC):
        return None
    return int.from_bytes(value[1:_FRAME], "big")


def _each(value: bytes | None, schema: str | None, decoded: Callable[[bytes, str], bytes]) -> bytes:
    if schema is None or value is None or schema_number(value) is None:
        return b""
    try:
        return decoded(value[_FRAME:], schema)
    except Exception:  # noqa: BLE001, libraries answer damage with any error of theirs, and of Python's
        return b""


def _avro(datum: bytes, schema: str) -> bytes:
    from fastavro import schemaless_reader

    stream = io.BytesIO(datum)
    found = schemaless_reader(stream, _avro_schema(schema), None)
    if not isinstance(found, dict) or stream.tell() != len(datum):
        return b""
    return json.dumps(_writable(found), default=_leaf, allow_nan=False).encode()


def _writable(value: Any) -> Any:
    """The value with the numbers that JSON has no way to write as their names, however deep in it."""
    if isinstance(value, dict):
        return {name: _writable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_writable(one) for one in value]
    return _named(value) if isinstance(value, float) and value - value != 0 else value


def _named(value: float) -> str:
    return {"nan": "NaN", "inf": "Infinity"}.get(repr(value), "-Infinity")


def _leaf(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _fitting(text: bytes, schema: str) -> bytes:
    return text if _validator(schema).is_valid(json.loads(text)) else b""


@lru_cache(_SCHEMAS)
def _avro_schema(text: str) -> Any:
    from fastavro import parse_schema

    # Names are the schema's own: two schemas may define the same name otherwise.
    return parse_schema(json.loads(text), named_schemas={})


@lru_cache(_SCHEMAS)
def _validator(text: str) -> Any:
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = json.loads(text)
    # A registry of its own, and empty: the usual one fetches what a schema refers to from anywhere.
    return validator_for(schema)(schema, registry=Registry())
