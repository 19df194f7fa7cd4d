"""What a table looks like in its database's catalog, which tells that rows changed though no change of them was logged.

A column that is added with a default, a type that is altered, a partition that is detached or emptied: PostgreSQL logs
none of that as changes. So the shape that a delivery's rows had is kept in its footer, and the next look compares.
"""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from lakehouse.errors import UnavailableError

_KEY = "shape"


@dataclass(frozen=True)
class Column:
    """A column. kind: its type in SQL's words. written: the transaction that defined it as it is. missing: whether rows
    older than it have a value that no row holds. labels: of an enum, by their numbers.
    """

    name: str
    kind: str
    written: str
    missing: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """A table, or what was known of it.

    columns: by number, those that are told, and those that were and are gone. files: by number of the table, or of each
        of its partitions, the file its rows are in, which is another after all are written anew. filled: partitions
        that have rows. split: whether it has partitions.
    """

    columns: Mapping[str, Column]
    files: Mapping[str, int]
    filled: tuple[str, ...] = ()
    split: bool = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Shape":
        """The shape that was told as JSON."""
        columns = {number: Column(**column) for number, column in (told["columns"] or {}).items()}
        return cls(columns, told["files"] or {}, tuple(told["filled"] or ()), bool(told["split"]))

    def text(self) -> str:
        """The shape as JSON, as `of` reads it."""
        return json.dumps(asdict(self))

    def about(self) -> dict[str, str]:
        """The shape for a file's footer."""
        return {_KEY: self.text()}

    def since(self, before: "Shape") -> "Shape":
        """The shape, and the columns that are gone since, whose values their rows still have with us."""
        return Shape({**before.columns, **self.columns}, self.files, self.filled, self.split)

    def unlogged(self, before: "Shape") -> str | None:
        """What happened to rows since, beside the log; None when nothing did. In doubt, it did."""
        known = self.files.keys() & before.files.keys()
        anew = any(self.files[number] != before.files[number] for number in known)
        names = {column.name for column in before.columns.values()}
        for number, column in self.columns.items():
            was = before.columns.get(number)
            if was is None and (column.missing or anew or column.name in names):
                return f"column {column.name} was added with values"
            if was is None:
                continue
            if was.name != column.name:
                return f"column {was.name} was renamed to {column.name}"
            if was.kind != column.kind or (anew and was.written != column.written):
                return f"column {column.name} was altered, from {was.kind} to {column.kind}"
            if any(was.labels.get(label, word) != word for label, word in column.labels.items()):
                return f"values of column {column.name} were renamed"
        if self.split and (anew or before.files.keys() - self.files.keys()):
            return "a partition was detached, emptied or written anew"
        if self.split and {*self.filled} - before.files.keys():
            return "a partition came with rows"
        return None


# By the database, the source and the stream, the position it had reached and the shape that was told with it.
_READ: dict[tuple[str, str, str], tuple[str, Shape | None]] = {}


def recorded(url: str, source: str, stream: str, end: str, last: Callable[[str], bytes | None]) -> Shape | None:
    """The shape that the newest delivery of a stream, which ends at `end`, was told with; None if it does not say."""
    own = (url, source, stream)
    if own not in _READ or _READ[own][0] != end:
        _READ[own] = (end, _told(last, stream))
    return _READ[own][1]


def _told(last: Callable[[str], bytes | None], stream: str) -> Shape | None:
    try:
        data = last(stream)
        footer = pl.read_parquet_metadata(io.BytesIO(data)) if data else {}
    except (UnavailableError, pl.exceptions.PolarsError):
        # Its bytes are gone or damaged. Nothing would ever be pulled again if nothing could be pulled without them.
        return None
    return Shape.of(json.loads(footer[_KEY])) if _KEY in footer else None


# Of the tables `named` (the table), `tree` (it and its partitions on any level) and its published columns `told`.
SHAPE = """
    select json_build_object(
        'split', (select relkind = 'p' from named),
        'files', (
            select json_object_agg(oid, pg_relation_filenode(oid)) from tree where pg_relation_filenode(oid) is not null
        ),
        'filled', (select json_agg(oid::text) from tree where part and pg_relation_size(oid) > 0),
        'columns', (
            select json_object_agg(attnum, json_build_object(
                'name', attname, 'kind', format_type(atttypid, atttypmod), 'written', pg_attribute.xmin::text,
                'missing', atthasmissing, 'labels', coalesce((
                    select json_object_agg(pg_enum.oid, enumlabel) from pg_enum
                    where enumtypid = coalesce(nullif(typelem, 0), nullif(typbasetype, 0), pg_type.oid)
                ), '{}')
            ))
            from named join pg_attribute on attrelid = named.oid join pg_type on pg_type.oid = atttypid
            where attname = any(told.columns)
        )
    )::text
"""
