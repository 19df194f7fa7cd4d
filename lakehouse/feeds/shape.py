"""What a table looks like in its database's catalog, which tells that rows changed though no change of them was logged.

A column that is added with a default, a type that is altered, a partition that is detached or emptied: PostgreSQL logs
none of that as changes. So the shape that a delivery's rows had is kept in its footer, and the next look compares. What
came and went between two looks is in no catalog any more; the log itself may give it away, see `Watch`.
"""

import io
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
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
    # The transaction that last altered the publication, and the server's timeline; not known of older deliveries.
    publication: str = ""
    timeline: str = ""
    # Why what the log told of rows by then is not all; see `Watch`.
    doubt: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Shape":
        """The shape that was told as JSON."""
        columns = {number: Column(**column) for number, column in (told["columns"] or {}).items()}
        more = {name: told.get(name) or "" for name in ("publication", "timeline", "doubt")}
        return cls(columns, told["files"] or {}, tuple(told["filled"] or ()), bool(told["split"]), **more)

    def text(self) -> str:
        """The shape as JSON, as `of` reads it."""
        return json.dumps(asdict(self))

    def about(self) -> dict[str, str]:
        """The shape for a file's footer."""
        return {_KEY: self.text()}

    def since(self, before: "Shape") -> "Shape":
        """The shape, and the columns that are gone since, whose values their rows still have with us."""
        return replace(self, columns={**before.columns, **self.columns})

    def unlogged(self, before: "Shape") -> str | None:
        """What happened to rows since, beside the log; None when nothing did. In doubt, it did."""
        if before.doubt:
            return before.doubt
        if before.publication and before.publication != self.publication:
            return "the publication was altered"
        if before.timeline and before.timeline != self.timeline:
            return "the server was restored, or another took its place"
        known = self.files.keys() & before.files.keys()
        anew = any(self.files[number] != before.files[number] for number in known)
        names = {column.name for column in before.columns.values()}
        numbers, last = {*map(int, self.columns)}, max(map(int, before.columns), default=0)
        if last and {*range(last + 1, max(numbers, default=0))} - numbers:
            # The log may have told its values by the name that a later one has now.
            return "a column came and went before another came"
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


@dataclass
class Watch:
    """What the log says against what is known of a table, while its changes are read.

    table: its number. key: the columns that name a row. before: the shape on record, None if nothing tells. now: that
    in the catalog. why: what is known to have happened beside the log. whole: whether all changes up to `now` were
    read. doubt: why what was read is not all.
    """

    table: int
    key: tuple[str, ...]
    before: Shape | None
    now: Shape
    why: str | None
    whole: bool = False
    doubt: str = ""

    def about(self) -> dict[str, str]:
        """What to put on record with the changes: the shape before until they are all there, and told right."""
        if self.before is None:
            return replace(self.now, doubt=self.doubt).about()
        if self.why or self.doubt or not self.whole:
            return replace(self.before, doubt=self.doubt or self.before.doubt).about()
        return self.now.since(self.before).about()

    def relation(self, number: int, keys: Collection[str]) -> None:
        """The table, or a partition of it, as changes that follow name it. keys: its columns that tell an old row."""
        if self.before and number != self.table and str(number) not in self.before.files:
            # It may be gone by now, or emptied, and its rows with it.
            self.doubt = "a partition came"
        if not {*self.key} <= {*keys}:
            self.nameless()

    def told(self, names: Collection[str]) -> bool:
        """Whether rows with these columns are of use."""
        steady = {
            column.name
            for number, column in self.now.columns.items()
            if self.before and number in self.before.columns and self.before.columns[number].name == column.name
        }
        if missing := sorted(steady - {*names}):
            # It was there before and is there now: it went by another name.
            self.doubt = f"columns {missing} were renamed, and back"
        return {*self.key} <= {*names}

    def nameless(self) -> None:
        """Changes did not tell of which row they are."""
        self.doubt = f"changes did not tell {list(self.key)} of old rows"

    def foreign(self) -> None:
        """There were changes of another table."""
        self.doubt = "the publication told of other tables"


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


# Of the tables `named` (the table), `tree` (it and its partitions on any level), its published columns `told` and its
# `publication`.
SHAPE = """
    select json_build_object(
        'split', (select relkind = 'p' from named),
        'publication', publication.altered,
        'timeline', left(pg_walfile_name(pg_current_wal_flush_lsn()), 8),
        'files', (
            select json_object_agg(oid, pg_relation_filenode(oid)) from tree where pg_relation_filenode(oid) is not null
        ),
        'filled', (select json_agg(oid::text) from tree where part and pg_relation_size(oid) > 0),
        'columns', (
            select json_object_agg(attnum, json_build_object(
                'name', attname, 'written', pg_attribute.xmin::text,
                'kind', format_type(atttypid, atttypmod) || coalesce((
                    select format(' (%s)', string_agg(format_type(part.atttypid, part.atttypmod), ', ' order by attnum))
                    from pg_type as made join pg_attribute as part on attrelid = made.typrelid
                    where attnum > 0 and not attisdropped
                    and made.oid = coalesce(nullif(pg_type.typelem, 0), nullif(pg_type.typbasetype, 0), pg_type.oid)
                    having count(*) > 0
                ), ''),
                -- A table with partitions has no rows of its own.
                'missing', exists (
                    select from tree join pg_attribute as theirs on attrelid = tree.oid
                    where theirs.attname = pg_attribute.attname and theirs.atthasmissing
                ),
                'labels', coalesce((
                    select json_object_agg(pg_enum.oid, enumlabel) from pg_enum
                    where enumtypid = coalesce(nullif(typelem, 0), nullif(typbasetype, 0), pg_type.oid)
                ), '{}')
            ))
            from named join pg_attribute on attrelid = named.oid join pg_type on pg_type.oid = atttypid
            where attname = any(told.columns)
        )
    )::text
"""
