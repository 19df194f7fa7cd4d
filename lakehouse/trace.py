"""From a row to the line it came from: file, checksum, line number and the line's text, out of the bytes as received.

A row that carries `_file`, `_checksum` and `_line` is followed directly. A row made of many (counts of a site, say)
has no line of its own; where its maker has declared what it is made of, those rows are followed instead. Anything else
is told plainly. Nothing is written: neither to the lake nor to PostgreSQL.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import yaml

from lakehouse import manifest, postgres, query
from lakehouse.contract import PROVENANCE
from lakehouse.curated import Through
from lakehouse.dialect import PLAIN, Dialect
from lakehouse.errors import LakehouseError, RefusalError
from lakehouse.formats import Format, cut
from lakehouse.lake import Lake
from lakehouse.pieces import Pieces
from lakehouse.records import Delivery, parse
from lakehouse.source import Source

_PIECE = 1 << 23
ORIGIN = ("_file", "_line", "_checksum", "_received_at")
_IN_POSTGRES = """
select table_schema || '.' || table_name as name, column_name from information_schema.columns
where table_schema !~ '^(pg_|information_schema|dagster)' order by 1, ordinal_position"""


@dataclass(frozen=True)
class Trace:
    """Where some rows came from.

    rows: for each, the columns its condition names, then `ORIGIN` and `_text`, the line as delivered; of a whole file
        `_line` and `_text` are null. through: the table whose rows are followed, for rows that are made of many.
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
        for model in (yaml.safe_load(file.read_text()) or {}).get("models", []):
            if told := model.get("config", {}).get("meta", {}).get("trace"):
                found[f"{file.parent.name}.{model['name']}"] = Through(told["table"], told["on"])
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
    versions = {item.replace("/", "."): version for item, version in manifest.versions(lake).items()}
    layer = name.partition(".")[0]
    if name in versions:
        columns = query.sql(lake, f"select * from {_quoted(name)} limit 0").columns
        found = _rows(lambda sql: query.sql(lake, sql), name, columns, where, limit, through)
        code = manifest.made_by(lake)[name.replace(".", "/", 1)]
        return Trace(
            name, _followed(lake, found, where, sources), _through(name, columns, through), versions[name], code
        )
    if layer in {item.partition(".")[0] for item in versions}:
        raise LakehouseError(f"there is no table {name}; in the lake there are {', '.join(sorted(versions))}")
    with warehouse() as url:
        there: dict[str, list[str]] = {}
        for relation, column in postgres.select(url, _IN_POSTGRES).iter_rows():
            there.setdefault(relation, []).append(column)
        if name not in there:
            known = [*sorted(versions), *sorted(there)]
            raise LakehouseError(f"there is no table {name}; there are {', '.join(known) or 'none yet: lakehouse run'}")
        found = _rows(lambda sql: postgres.select(url, sql), name, there[name], where, limit, through)
    return Trace(name, _followed(lake, found, where, sources), _through(name, there[name], through))


def _through(name: str, columns: list[str], through: Mapping[str, Through]) -> str | None:
    return None if "_file" in columns else through[name].table


def _rows(
    run: Callable[[str], pl.DataFrame],
    name: str,
    columns: list[str],
    where: str,
    limit: int,
    through: Mapping[str, Through],
) -> pl.DataFrame:
    """The rows to follow: the ones asked for, or those they are made of."""
    # On lines of its own, so that a comment in the condition ends where it should.
    chosen = f"select * from {_quoted(name)} where (\n{where}\n)"
    if "_file" in columns:
        return run(f"{chosen} limit {limit}")
    if name not in through:
        raise LakehouseError(
            f"a row of {name} is made of many and keeps no file and line, and nothing says of which; trace a table it "
            f"is made from instead ({', '.join(sorted(through))} say of which rows theirs are made)"
        )
    made_of = through[name]
    behind = f"select * from {_quoted(made_of.table)} as behind"
    return run(f"with this as ({chosen}) {behind} where exists (select 1 from this where {made_of.on}) limit {limit}")


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
