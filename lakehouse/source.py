"""A source: everything the lakehouse needs to know to bring one kind of delivery in.

A `Source` is a frozen value that checks itself when made. Raw, processed and quarantine tables, checks, freshness,
sensor coverage, docs and the PostgreSQL table all follow from it; nothing about a source is written anywhere else.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Literal, get_args

import dataframely as dy
import polars as pl

from lakehouse.archive import KINDS
from lakehouse.code import JUDGEMENT, fingerprint
from lakehouse.contract import PROVENANCE, Contract, rule_names
from lakehouse.dialect import PLAIN, Dialect
from lakehouse.errors import SourceError
from lakehouse.feeds import Feed
from lakehouse.formats import Format

Severity = Literal["warn", "reject", "file", "block"]
_FIELDS = {"site": r"(?P<site>[^/]+)", "day": r"(?P<day>[^/]+?)", "part": r"(?P<part>[^/]+)"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind of delivery, declared once.

    name: names the tables `raw/name`, `processed/name`, `quarantine/name`; lower snake case.
    contract: the columns and rules of a processed row.
    tidy: raw rows (every delivered column as text, plus provenance) to contract rows. One row out for each row in:
        judging rows is the contract's work, so an unreadable value becomes null beside its kept text.
    key: contract columns that name one processed row. Nulls are equal to each other. A date that a site may correct
        does not belong here.
    mode: `rows`, each file adds records and corrects earlier ones; or `snapshot`, each file is all its site has, and
        rows that its newest sound file lacks leave processed (raw keeps them).
    columns: header names that must be there. optional: names that may be; absent, they are null.
    numbers: header names whose values are numbers, so that a dialect's decimal comma is read in them.
    path: where files land, below the landing folder; `{site}` and `{day}` (ISO 8601) are read from it. Where a dialect
        compresses, `.gz` or `.zip` may follow. With a feed it holds `{part}` too: what of the system a file holds.
    dialect: how sites write their files: a dialect of CSV, or another format. site_dialects: by site, of those that
        write them otherwise.
    feed: pulls what is new from a system, to land as files of their own; None when files are brought.
    first_day: deliveries dated before are refused: a mistyped year, not data.
    late_after: a site silent for longer, by the lakehouse's clock, may be late; no site is before.
    cadence: how often a site is expected to deliver; None learns it from each site's past delivery days.
    quarantine_limit: a rejected line that is open for longer after its delivery day fails a check.
    severities: rule names (`column|constraint`, or a rule method's) to what a record that breaks it comes to: `reject`
        quarantines the record, as does every rule that is not named; `warn` keeps and flags it; `file` quarantines its
        whole file; `block` quarantines the record and holds back curated tables until a person releases them.
    file_limit: the share of rejected records past which a file is quarantined whole; None sets no limit.
    after_landing: what becomes of a landed file that is safely on record, `clear_after` later: `keep` it, `move` it to
        `.cleared/` in the landing folder, or `delete` it.
    publish: load `processed/name` into PostgreSQL as `lake.name`; off when a curated table tells it better.
    """

    name: str
    description: str
    owner: str
    contract: type[Contract]
    tidy: Callable[[pl.LazyFrame], pl.LazyFrame]
    key: tuple[str, ...]
    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()
    mode: Literal["rows", "snapshot"] = "rows"
    numbers: tuple[str, ...] = ()
    path: str = "{site}/{name}_{day}.csv"
    dialect: Dialect | Format = PLAIN
    site_dialects: Mapping[str, Dialect | Format] = field(default_factory=dict)
    feed: Feed | None = None
    first_day: date = date(1970, 1, 1)
    late_after: timedelta = timedelta(days=7)
    cadence: timedelta | None = None
    quarantine_limit: timedelta = timedelta(days=14)
    severities: Mapping[str, Severity] = field(default_factory=dict, hash=False)
    file_limit: float | None = None
    after_landing: Literal["keep", "move", "delete"] = "keep"
    clear_after: timedelta = timedelta(days=30)
    publish: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise SourceError(f"source {self.name!r}: a name is lower snake case, because it names tables and assets")
        known = self.contract.column_names()
        if missing := [column for column in self.key if column not in known]:
            raise SourceError(f"source {self.name}: key columns {missing} are not in its contract, which has {known}")
        if own := [column for column in known if column.startswith("_") and column not in PROVENANCE]:
            raise SourceError(
                f"source {self.name}: contract columns {own} begin with '_', which is kept for the engine's"
            )
        if own := [column for column in self.key if column in PROVENANCE]:
            raise SourceError(
                f"source {self.name}: key columns {own} are the engine's; a key is made of what is delivered"
            )
        if not self.key:
            raise SourceError(f"source {self.name}: without a key nothing tells a correction from a new row")
        names = self.columns + self.optional
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SourceError(f"source {self.name}: header columns {twice} are declared twice")
        if unknown := [name for name in self.numbers if name not in names]:
            raise SourceError(f"source {self.name}: numbers {unknown} are not header columns: {names}")
        if engine := [name for name in names if name.startswith("_")]:
            raise SourceError(
                f"source {self.name}: {engine} begin with '_', which is kept for the engine's own columns"
            )
        for name in ("late_after", "cadence", "quarantine_limit"):
            if (limit := getattr(self, name)) is not None and limit < timedelta(days=1):
                raise SourceError(
                    f"source {self.name}: {name} is {limit}; deliveries are dated by the day, so at least one"
                )
        self._check_severities()
        for site, dialect in self.dialects():
            self._check(dialect, f"source {self.name}" if site is None else f"source {self.name}, site {site}")
        fields = [found for found in re.findall(r"\{\w*\}", self.path) if found != "{name}"]
        wanted = ["{site}", "{day}", *(["{part}"] if self.feed else [])]
        if sorted(fields) != sorted(wanted):
            raise SourceError(
                f"source {self.name}: path {self.path!r} must hold {' and '.join(wanted)} once each, perhaps {{name}}; "
                f"it holds {', '.join(fields) or 'none of them'}"
            )
        if self.feed:
            self.feed.check(self.name)
            lands, written = self.feed.lands, self.dialect_of(self.feed.system)
            if lands and not isinstance(written, lands):
                raise SourceError(
                    f"source {self.name}: what its feed lands is read by the dialect {lands.__name__}, and not by "
                    f"{type(written).__name__}"
                )
        if self.feed and self.mode == "snapshot" and not self.feed.snapshots:
            raise SourceError(f"source {self.name}: what its feed lands is never all there is; its mode is 'rows'")

    def _check(self, dialect: Dialect | Format, where: str) -> None:
        """Raise SourceError when a dialect does not fit this source."""
        if strange := sorted({name for name in dialect.aliases.values() if name not in self.header}):
            raise SourceError(f"{where}: aliases stand for {strange}, which are not header columns: {self.header}")
        if isinstance(dialect, Format):
            return
        named = dialect.names(dialect.header or self.header)
        if missing := [name for name in self.columns if dialect.header and name not in named]:
            raise SourceError(f"{where}: the dialect's header lacks {missing}")
        if dialect.decimal == "," and not self.numbers:
            raise SourceError(f"{where}: a decimal comma changes nothing unless `numbers` names columns of numbers")

    def dialects(self) -> Iterator[tuple[str | None, Dialect | Format]]:
        """Every dialect with its site; None stands for all sites without one of their own."""
        yield None, self.dialect
        yield from sorted(self.site_dialects.items())

    @property
    def expands(self) -> int:
        """How many times its size a delivery may be as text."""
        return max(dialect.expands for _, dialect in self.dialects())

    def dialect_of(self, site: object) -> Dialect | Format:
        """How a site writes its files."""
        return self.site_dialects.get(str(site), self.dialect)

    def _check_severities(self) -> None:
        if self.file_limit is not None and not 0 <= self.file_limit < 1:
            raise SourceError(
                f"source {self.name}: file_limit is a share of a file's records, 0 or more and less than 1"
            )
        if wrong := sorted({*self.severities.values()} - {*get_args(Severity)}):
            choices = ", ".join(get_args(Severity))
            raise SourceError(f"source {self.name}: there is no severity {', '.join(wrong)}; there are {choices}")
        rules = rule_names(self.contract) if self.severities else []
        if unknown := [rule for rule in self.severities if rule not in rules]:
            raise SourceError(f"source {self.name}: its contract has no rules {unknown}; it has {', '.join(rules)}")
        if nulls := [rule for rule in self.rules("warn") if rule.endswith("|nullability")]:
            raise SourceError(
                f"source {self.name}: {nulls} cannot warn, because readers rely on what the contract says of nulls; "
                "make the column nullable and write a rule that asks for a value"
            )

    def rules(self, severity: Severity) -> list[str]:
        """Names of the rules that were given this severity."""
        return [rule for rule, given in self.severities.items() if given == severity]

    @property
    def judges_files(self) -> bool:
        """Whether the records of a file can have all of it refused."""
        return self.file_limit is not None or bool(self.rules("file"))

    @property
    def judges_alone(self) -> bool:
        """Whether what becomes of a record does not hang on what others its file has."""
        return self.mode == "rows" and not self.judges_files

    @cached_property
    def row(self) -> type[Contract]:
        """What a row of processed is: the contract's columns, and `_warnings` where a rule only warns."""
        if not self.rules("warn"):
            return self.contract
        words = "Names of the rules it breaks that only warn, with spaces between them; null when there are none."
        flags = dy.String(alias="_warnings", nullable=True, description=words)
        return type(self.contract.__name__, (self.contract,), {"warnings": flags, "__doc__": self.contract.__doc__})

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths this source claims, with groups `site` and `day` (as written, valid or not)."""
        parts = re.split(r"(\{\w+\})", self.path.replace("{name}", self.name))
        fields = [
            _FIELDS[part[1:-1]] if part[:1] == "{" and part[1:-1] in _FIELDS else re.escape(part) for part in parts
        ]
        kinds = {KINDS[dialect.compression] for _, dialect in self.dialects() if dialect.compression}
        ending = "|".join(re.escape(kind) for kind in sorted(kinds) if not self.path.endswith(kind))
        return re.compile("".join(fields) + (f"(?:{ending})?" if ending else ""))

    @cached_property
    def header(self) -> tuple[str, ...]:
        """Every column the contract knows of, in the order raw stores them."""
        return self.columns + self.optional

    @cached_property
    def contract_version(self) -> str:
        """Names all that decides what becomes of a record: the code of contract and tidy (not its comments), the
        header, dialects, key and severities. When it changes, the next run judges every delivery on record anew.
        """
        code = fingerprint({self.contract.__module__, self.tidy.__module__})
        written = (self.numbers, list(self.dialects()))
        severities = (sorted(self.severities.items()), self.file_limit)
        declared = repr((JUDGEMENT, code, self.key, self.columns, self.optional, self.mode, written, severities))
        return hashlib.sha256(declared.encode()).hexdigest()[:12]
