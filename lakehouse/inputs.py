"""What curated tables are made from: tables of the lake, and what is given of every source at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from lakehouse import account, arrivals, history
from lakehouse.clock import Clock
from lakehouse.contract import PROVENANCE
from lakehouse.errors import DefinitionError, UnavailableError
from lakehouse.evaluate import QUARANTINE
from lakehouse.ingest import schemas
from lakehouse.lake import RECORD, Lake
from lakehouse.lake import rows as stored
from lakehouse.near import near
from lakehouse.source import Source

# Rows of every source at once, and what the sources declare.
GIVEN: dict[str, dict[str, pl.DataType]] = {
    "account": account.SCHEMA,
    "quarantine": {**QUARANTINE, "source": pl.String()},
    "warnings": {**PROVENANCE, "_warnings": pl.String(), "source": pl.String()},
    "rules": {"source": pl.String(), "rule": pl.String(), "severity": pl.String()},
    "expectations": arrivals.EXPECTATIONS,
}
# What of the above is said by the sources' code, which has its own version, and not by what they delivered.
DECLARED = ("rules", "expectations")
# Of a column, by its name, whether its value is among those that are asked for.
Within = Callable[[str], pl.Expr]
_LAYERS = {"account": "account", "quarantine": "quarantine", "warnings": "processed"}


class Rows:
    """Rows that a table is made from.

    all: every one of them. difference: tells which of them came or went, see `differ`. growth: see `grown`.
    """

    def __init__(
        self,
        all_: pl.LazyFrame,
        difference: Callable[[], pl.DataFrame | None],
        growth: "Callable[[], Grown | None]" = lambda: None,
    ) -> None:
        self.all, self._difference, self._growth = all_, difference, growth

    @cached_property
    def differ(self) -> pl.DataFrame | None:
        """Rows that came or went since tables were last made from these, whole rows; None when nobody knows, or when
        they are most of them.
        """
        return self._difference()

    @cached_property
    def grown(self) -> "Grown | None":
        """What came since tables were last made from these; None when nobody knows, or when any rows went."""
        return self._growth()

    def within(self, by: str, condition: Within) -> pl.LazyFrame:
        """Those rows whose `by` meets a condition; every row when they have no such column."""
        return self.all.filter(condition(by)) if by in self.all.collect_schema() else self.all


@dataclass(frozen=True)
class Grown:
    """Rows that were there before, rows that came, and how many those are."""

    before: pl.LazyFrame
    came: pl.LazyFrame
    rows: int


class _Versions(Rows):
    """Every version of a source's rows, see `history`. Of some values it reads little more than they have."""

    def __init__(self, source: Source, processed: Rows, superseded: Rows, raw: Rows, account: Rows) -> None:
        self._source, self._read = source, (processed, superseded, raw)
        self._again = history.again(account.all)
        older = history.older(source, superseded.all)
        super().__init__(history.history(source, processed.all, older, raw.all, self._again), self._keys)

    def _keys(self) -> pl.DataFrame | None:
        """They differ where a row came or went, took the place of another, or was taken back: told by its key."""
        processed, superseded, _ = self._read
        if processed.differ is None or superseded.differ is None:
            return None
        key = list(self._source.key)
        return pl.concat([processed.differ.select(key), superseded.differ.select(key)])

    def within(self, by: str, condition: Within) -> pl.LazyFrame:
        if by not in self._source.key:
            return super().within(by, condition)
        processed, superseded, raw = self._read
        older = history.older(self._source, superseded.within(by, condition)).collect()
        records = raw.all.filter(near(older.select(RECORD)))
        return history.history(self._source, processed.within(by, condition), older.lazy(), records, self._again)


class Inputs:
    """The inputs of curated tables in one state of the lake.

    versions: of the lake's tables in this state. before: those that the curated tables were last made from.
    """

    def __init__(
        self, lake: Lake, sources: Sequence[Source], clock: Clock, versions: dict[str, int], before: dict[str, int]
    ) -> None:
        self._lake, self._sources, self._clock = lake, sources, clock
        self._versions, self._before = versions, before
        self._found: dict[str, Rows] = {}
        # Versions of the lake's tables that were asked for.
        self.used: dict[str, int] = {}

    def rows(self, name: str) -> Rows:
        """The rows of an input. Raises DefinitionError when nothing has this name."""
        if name not in self._found:
            self._found[name] = self._table(name) if name in self._versions else self._other(name)
        return self._found[name]

    def _table(self, name: str) -> Rows:
        old, new = self._before.get(name), self._versions[name]
        self.used[name] = new
        layer, _, source = name.partition("/")
        # However few records were superseded, one more is little beside all that its source has delivered.
        beside = [f"processed/{source}"] if layer == "superseded" else []
        of = {item: version for item in (name, *beside) if (version := self._versions.get(item)) is not None}
        return Rows(
            self._lake.scan(name, new),
            lambda: differences(self._lake, name, old, new, of),
            lambda: grown(self._lake, name, old, new),
        )

    def _other(self, name: str) -> Rows:
        if name in DECLARED:
            declared = declarations(self._sources, self._clock)[name]
            return Rows(declared.lazy(), declared.clear)
        if name in GIVEN:
            return self._of_every_source(name)
        layer, _, source_name = name.partition("/")
        for source in self._sources:
            if source.name == source_name:
                if layer == history.LAYER and f"processed/{source_name}" in self._versions:
                    return _Versions(source, *map(self.rows, history.read_from(name)))
                nothing = pl.DataFrame(schema={**schemas(source), history.LAYER: history.schema(source)}[layer])
                return Rows(nothing.lazy(), nothing.clear)
        raise DefinitionError(f"no source or curated table makes {name}; there are {sorted(self._versions)}")

    def _of_every_source(self, name: str) -> Rows:
        columns = list(GIVEN[name])
        parts = [
            (source.name, self.rows(table))
            for source in self._sources
            if (table := f"{_LAYERS[name]}/{source.name}") in self._versions
            and (name != "warnings" or source.rules("warn"))
        ]

        def named(source: str, rows: pl.LazyFrame) -> pl.LazyFrame:
            rows = rows.drop_nulls("_warnings") if name == "warnings" else rows
            return rows.with_columns(source=pl.lit(source)).select(columns)

        def differ() -> pl.DataFrame | None:
            found = [pl.DataFrame(schema=GIVEN[name])]
            for source, rows in parts:
                if rows.differ is None:
                    return None
                found.append(named(source, rows.differ.lazy()).collect())
            return pl.concat(found)

        every = [named(source, rows.all) for source, rows in parts]
        return Rows(pl.concat(every) if every else pl.LazyFrame(schema=GIVEN[name]), differ)


def declarations(sources: Sequence[Source], clock: Clock) -> dict[str, pl.DataFrame]:
    """What the sources declare, by the name of the input that tells it."""
    severities = [(source.name, *item) for source in sources for item in source.severities.items()]
    return {
        "rules": pl.DataFrame(severities, schema=GIVEN["rules"], orient="row"),
        "expectations": arrivals.expectations(sources, clock),
    }


def differences(lake: Lake, table: str, old: int | None, new: int, of: Mapping[str, int]) -> pl.DataFrame | None:
    """The rows by which two versions of a table differ; None when `old` is None, or when they are most of what tables
    hold at the versions `of`.
    """
    if old is None:
        return None
    if old == new:
        return pl.DataFrame(schema=lake.scan(table, new).collect_schema())
    gone, added = lake.changed(table, old, new)
    opened = [lake.open(name, version) for name, version in of.items()]
    return unless_most(gone, added, sum(delta.count() for delta in opened if delta))


def grown(lake: Lake, table: str, old: int | None, new: int) -> Grown | None:
    """What came between two versions of a table that nothing was taken from; None otherwise, or when `old` is None or
    can be read no longer. Reads no rows.
    """
    if old is None:
        return None
    try:
        before, after = lake.open(table, lake.same_rows(table, old, new)), lake.open(table, new)
    except UnavailableError:
        return None
    assert before is not None, f"{table} has no version {old}"
    assert after is not None, f"{table} has no version {new}"
    kept, files = set(before.file_uris()), set(after.file_uris())
    if kept - files:
        return None
    return Grown(stored(before), lake.scan_files(files - kept, after), after.count() - before.count())


def unless_most(gone: pl.DataFrame, added: pl.DataFrame, rows: int) -> pl.DataFrame | None:
    """Rows that went and rows that came, of a table that now has so many; None when they are more than half of it."""
    return pl.concat([gone, added]) if 2 * (gone.height + added.height) <= rows else None
