"""From a row to the line it came from: file, checksum, line number and the line's text, out of the bytes as received.

A row that carries `_file`, `_checksum` and `_line` is followed directly. A row made of many (counts of a site, say)
has no line of its own; where its maker has declared what it is made of, those rows are followed instead, out of
PostgreSQL into the lake if they are there. Anything else is told plainly. Nothing is written, to neither of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import yaml

from lakehouse import manifest, postgres, query
from lakehouse.contract import PROVENANCE
from lakehouse.curated import Through
from lakehouse.dialect import PLAIN, Dialect
from lakehouse.errors import DefinitionError, LakehouseError, RefusalError
from lakehouse.formats import Format, cut
from lakehouse.lake import Lake
from lakehouse.pieces import Pieces
from lakehouse.records import Delivery, parse
from lakehouse.source import Source

_PIECE = 1 << 23
ORIGIN = ("_file", "_line", "_checksum", "_received_at")
_NOTHING = {name: PROVENANCE[name] for name in ORIGIN}
_IN_POSTGRES = """
select table_schema || '.' || table_name as name, column_name from information_schema.columns
where table_schema !~ '^(pg_|information_schema|dagster)' order by 1, ordinal_position"""


@dataclass(frozen=True)
class Trace:
    """Where some rows came from.

    rows: for each, the columns its condition names, then `ORIGIN` and `_text`, the line as delivered; of a whole file
        `_line` and `_text` are null. through: the tables whose rows are followed, for rows that are made of many.
    version, code: the version of the lake's table, and of the contract or transforms that made it, where known.
    """

    table: str
    rows: pl.DataFrame
    through: str | None = None
    version: int | None = None
    code: str | None = None


def declared(dbt_project: Path) -> dict[str, Through]:
    """What dbt models say of themselves in `config.meta.trace`: the table their rows are made of, and which rows."""
    found = {}
    for file in sorted(dbt_project.glob("models/*/*.yml")):
        for model in (yaml.load(file.read_text(), Loader=yaml.CSafeLoader) or {}).get("models", []):
            if told := model.get("config", {}).get("meta", {}).get("trace"):
                more = tuple(Through(**other) for other in told.get("more", []))
                found[f"{file.parent.name}.{model['name']}"] = Through(told["table"], told["on"], more)
    return found


def trace(
    lake: Lake,
    warehouse: Callable[[], AbstractContextManager[str]],
    table: str,
    where: str,
    limit: int,
    through: Mapping[str, Through],
    sources: Sequence[Source],
) -> Trace:
    """Where the rows of `table` that meet `where` came from, at most `limit` of them.

    table: of the lake (`processed.vitals`, also written `processed/vitals`) or of PostgreSQL (`marts.dim_subject`).
    where: SQL, DuckDB's for the lake. warehouse: opens PostgreSQL, called only for its tables. through: by table, what
        rows are made of. sources: know how their files are written. Raises LakehouseError when there is no such table,
        when the condition cannot be run (with the database's own words), and for a table nothing leads back from;
        UnavailableError when kept bytes are damaged.
    """
    name = table.replace("/", ".")
    made_of = through.get(name)
    if made_of and made_of.more:
        parts = [
            trace(lake, warehouse, table, where, limit, {**through, name: part}, sources)
            for part in (replace(made_of, more=()), *made_of.more)
        ]
        rows = pl.concat([part.rows for part in parts], how="diagonal_relaxed").head(limit)
        return replace(parts[0], rows=rows, through=", ".join(part.through or name for part in parts))
    versions = {item.replace("/", "."): version for item, version in manifest.versions(lake).items()}
    layer = name.partition(".")[0]
    if name in versions:
        hops = _hops(name, lambda table: _columns(lake, table, versions), through)
        found = _in_lake(lake, [_chosen(name, where)], hops, limit)
        code = manifest.made_by(lake)[name.replace(".", "/", 1)]
        return Trace(name, _followed(lake, found, where, sources), _last(hops), versions[name], code)
    if layer in {item.partition(".")[0] for item in versions}:
        raise LakehouseError(f"there is no table {name}; in the lake there are {', '.join(sorted(versions))}")
    with warehouse() as url:
        there: dict[str, list[str]] = {}
        for relation, column in postgres.select(url, _IN_POSTGRES).iter_rows():
            there.setdefault(relation, []).append(column)
        if name not in there:
            known = [*sorted(versions), *sorted(there)]
            raise LakehouseError(f"there is no table {name}; there are {', '.join(known) or 'none yet: lakehouse run'}")
        hops = _hops(name, there.get, through)
        here = [hop for hop in hops if hop.table in there]
        found = postgres.select(url, _statement([_chosen(name, where)], here, limit))
    if beyond := hops[len(here) :]:
        # What these rows are made of is in the lake, and perhaps made of other rows there.
        hops = [*beyond, *_hops(beyond[-1].table, lambda table: _columns(lake, table, versions), through)]
        found = _in_lake(lake, ["select * from given"], hops, limit, found)
    return Trace(name, _followed(lake, found, where, sources), _last(hops))


def _columns(lake: Lake, table: str, versions: Mapping[str, int]) -> list[str] | None:
    """The columns of a table of the lake, None when it is not there."""
    if table not in versions:
        return None
    delta = lake.open(table.replace(".", "/", 1), versions[table])
    assert delta is not None
    return [field.name for field in delta.schema().fields]


def _hops(name: str, columns: Callable[[str], list[str] | None], through: Mapping[str, Through]) -> list[Through]:
    """What leads from rows of a table to rows that each come from one line, or out of here.

    columns: of a table, None of one that is not here.
    """
    hops: list[Through] = []
    while (known := columns(name)) is not None and "_file" not in known:
        if name not in through:
            raise LakehouseError(
                f"a row of {name} is made of many and keeps no file and line, and nothing says of which; trace a table "
                f"it is made from instead ({', '.join(sorted(through))} say of which rows theirs are made)"
            )
        if through[name] in hops:
            raise DefinitionError(f"rows of {name} are declared to be made of each other in a circle")
        hops.append(through[name])
        name = through[name].table
    return hops


def _last(hops: Sequence[Through]) -> str | None:
    return hops[-1].table if hops else None


def _chosen(name: str, where: str) -> str:
    # On lines of its own, so that a comment in the condition ends where it should.
    return f"select * from {_quoted(name)} where (\n{where}\n)"


def _statement(begun: list[str], hops: Sequence[Through], limit: int) -> str:
    """The rows to follow: the ones asked for, or those they are made of, or those that these are made of."""
    steps = [*begun]
    for number, hop in enumerate(hops):
        made = f"exists (select 1 from t{number} as this where {hop.on})"
        steps.append(f"select * from {_quoted(hop.table)} as behind where {made}")
    *earlier, last = steps
    with_ = ", ".join(f"t{number} as ({step})" for number, step in enumerate(earlier))
    return f"{f'with {with_} ' if with_ else ''}{last} limit {limit}"


def _in_lake(
    lake: Lake, begun: list[str], hops: Sequence[Through], limit: int, given: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Rows of the lake's tables; none where one of them is not there yet: nothing that it would hold has come."""
    there = {item.replace("/", ".") for item in manifest.versions(lake)}
    if any(hop.table not in there for hop in hops):
        return pl.DataFrame(schema=_NOTHING)
    return query.sql(lake, _statement(begun, hops, limit), given={} if given is None else {"given": given})


def _quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.replace('"', '""').split(".", 1))


def _followed(lake: Lake, found: pl.DataFrame, where: str, sources: Sequence[Source]) -> pl.DataFrame:
    """The rows' own columns that the condition names, their origin, and the lines' texts."""
    if "_line" not in found.columns:
        found = found.with_columns(_line=pl.lit(None, pl.Int64))
    wanted = found.group_by("_file", "_checksum").agg(pl.col("_line").drop_nulls())
    texts = {
        (file, kept): _texts(lake, kept, _dialect(file, sources), set(lines)) for file, kept, lines in wanted.rows()
    }
    text = [texts[file, kept].get(line) for file, kept, line in found.select("_file", "_checksum", "_line").rows()]
    named = [
        name
        for name in found.columns
        if name not in ORIGIN and re.search(rf"\b{re.escape(name)}\b", where, re.IGNORECASE)
    ]
    return found.select(*(name for name in named if name != "_text"), *ORIGIN).with_columns(
        _text=pl.Series(text, dtype=pl.String)
    )


def _dialect(file: str, sources: Sequence[Source]) -> Dialect | Format:
    """How a file is written; plainly, when no source claims it any more."""
    claims = ((source, source.pattern.fullmatch(file)) for source in sources)
    return next((source.dialect_of(match["site"]) for source, match in claims if match), PLAIN)


def _texts(lake: Lake, checksum: str, dialect: Dialect | Format, lines: set[int]) -> dict[int, str]:
    """Texts of the records of some kept bytes that start on these lines, told apart as when they were first read.

    A large file passes through memory. What cannot be unpacked or decoded has no lines.
    """
    found: dict[int, str] = {}
    text: Iterable[bytes]
    cuts = cut(dialect)
    with suppress(RefusalError):
        if isinstance(dialect, Dialect) and dialect.compression:
            cuts, text = dialect, [dialect.decode(lake.kept(checksum))]
        elif cuts:
            text = cuts.decode_chunks(lake.kept_chunks(checksum))
        else:
            records = parse([Delivery(dict.fromkeys(PROVENANCE), lake.kept(checksum))], (), (), [dialect]).rows
            return dict(records.filter(pl.col("_line").is_in(lines)).select("_line", "_text").iter_rows())
        pieces = Pieces(text, cuts)
        # To the end, even if no more is wanted: only then it is known that the bytes are sound.
        while not pieces.done:
            data, skipped = pieces.next(_PIECE)
            if not any(skipped < line <= pieces.lines + 1 for line in lines):
                continue
            piece = Delivery(dict.fromkeys(PROVENANCE), data, decoded=True, skipped=skipped, piece=True)
            records = parse([piece], (), (), [dialect]).rows
            found |= records.filter(pl.col("_line").is_in(lines)).select("_line", "_text").rows()
    return found
