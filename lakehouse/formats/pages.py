"""Pages of a JSON API: each line of a delivery is an envelope, which holds one answer's body as it was received.

The envelope also says where the feed goes on, so what has landed is all that a feed needs to know.
"""

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import polars as pl

from lakehouse.formats import Format, Table
from lakehouse.formats.members import DEEPEST, columns, deeper, once

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
# A record that goes too deep is to be refused by itself.
_DEEPEST = 2 * DEEPEST


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer.

    url: without credentials. fetched_at: ISO 8601, by our clock. next: where the page after begins, as the feed's
    paging has it; None after the last. since: the mark that was asked from. mark: the greatest mark of a record so far.
    digest: tells all records so far from others.
    body: the body's text; where it is not UTF-8, base64 holds its bytes instead.
    """

    url: str
    status: int
    fetched_at: str
    next: str | None
    since: str | None = None
    mark: str | None = None
    digest: str | None = None
    body: str = ""
    base64: str | None = None

    @property
    def data(self) -> bytes:
        """The body as it was received."""
        return self.body.encode() if self.base64 is None else b64decode(self.base64)

    def line(self) -> bytes:
        """The envelope as a line of a delivery."""
        return _ENCODE(self) + b"\n"


_ENCODE = msgspec.json.Encoder().encode
_ENVELOPE = msgspec.json.Decoder(Envelope)


def body_of(data: bytes) -> dict[str, str]:
    """How an envelope holds a body."""
    try:
        return {"body": data.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def envelopes(data: bytes) -> Iterator[Envelope]:
    """The answers in a delivery; raises msgspec.DecodeError where a line is none."""
    return (_ENVELOPE.decode(line) for line in data.splitlines() if line)


def at(body: bytes, path: str) -> msgspec.Raw | bytes | None:
    """The JSON text at a dotted path of names; None where there is none, or more than one."""
    found: Any = body.removeprefix(b"\xef\xbb\xbf")
    if deeper(found, _DEEPEST):
        return None
    for name in filter(None, path.split(".")):
        try:
            inside = _OBJECT.decode(found)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if name not in inside or not once(found, inside):
            return None
        found = inside[name]
    return cast("msgspec.Raw | bytes", found)


def elements(body: bytes, path: str) -> list[bytes] | None:
    """The elements of the list at a dotted path, each as it was written; None where there is no list."""
    try:
        # A value is not looked into, so bytes that are no text could hide in one.
        body.decode()
        found = at(body, path)
        return None if found is None else [bytes(element) for element in _LIST.decode(found)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


@dataclass(frozen=True, kw_only=True)
class Pages(Format):
    """Answers of a JSON API, an envelope in each line.

    records: the dotted path of the list of records in a body; empty when the body is the list.
    """

    records: str = "items"

    def table(self, data: bytes, asked: Collection[str] = ()) -> Table:
        """The records of all pages, numbered through; a page without a list is one record, `record:json`."""
        texts: list[bytes] = []
        shown: list[str] = []
        for line in filter(None, data.splitlines()):
            try:
                body = _ENVELOPE.decode(line).data
                found = elements(body, self.records)
            except (msgspec.DecodeError, ValueError):
                body, found = line, None
            texts += [b""] if found is None else found
            shown += [text.decode(errors="replace") for text in ([body] if found is None else found)]
        names, rows = columns(texts, asked)
        numbers = pl.int_range(1, len(texts) + 1, dtype=pl.Int64)
        return Table(names, rows.with_columns(pl.Series("_text", shown, dtype=pl.String), _line=numbers))
