"""A curated table, declared: what it is made from, by which transform, and what a row of it must be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import dataframely as dy
import polars as pl


@dataclass(frozen=True)
class Through:
    """What rows that are made of many are made of, for whoever follows them back to a line.

    table: as SQL names it: `quality.deliveries`. on: SQL that tells which rows of it, `behind`, make a row, `this`.
    more: further tables whose rows are in the making too; followed from a row that is asked for itself.
    """

    table: str
    on: str
    more: tuple["Through", ...] = ()


@dataclass(frozen=True, kw_only=True)
class Curated:
    """One curated table.

    layer: `curated`, or `quality` for the engine's own tables about deliveries.
    inputs: names of the tables the transform takes, in the order of its arguments: `processed/vitals`,
        `curated/subjects`, `history/vitals` (every version of each row, see `history`), or for every source at once
        `account` (one row per delivery), `quarantine`, `warnings` (rows of processed that are flagged), `rules` (the
        severities that the sources declare) and `expectations` (see `arrivals`); `sent/` and the table's own name for
        what a person sent of it (see `sent`).
    transform: the inputs, lazily, to the table, lazily. Its columns and types must be the contract's.
    key: names one row, nulls equal to each other; unique in the warehouse table.
    by: a text column, never null, of the table and of those inputs that change with deliveries, such as `usubjid`: the
        rows of each of its values come only from the inputs' rows of that value, whatever their order. Then only the
        values whose rows changed are made anew. Without it the whole table is.
    by_in_inputs: the name of that column in the inputs, where it is another.
    of_log: the transform is `current` or `history` of `lakehouse.changes`, its one input a log of changes, and the
        first column of the key a text or a whole number. Changes that come after all others are then told to the rows
        there are: what the log told before is not read again.
    checks: a name to a function of the table's rows and the same inputs that yields the rows in breach; none is what
        should be. It is asked each time: of a table that grows, it had better look at few columns. The function's
        docstring says what must hold.
    through: what a row is made of, for a table whose rows do not each come from one line.
    warehouse: the PostgreSQL schema the table is loaded into. `unblinded` is for what tells a subject's treatment. None
        for a table that stays in the lake: only others are made from it, or whoever reads it reads files.
    """

    name: str
    description: str
    owner: str
    contract: type[dy.Schema]
    key: tuple[str, ...]
    inputs: tuple[str, ...]
    transform: Callable[..., pl.LazyFrame]
    by: str | None = None
    by_in_inputs: str | None = None
    of_log: bool = False
    checks: Mapping[str, Callable[..., pl.LazyFrame]] = field(default_factory=dict)
    through: Through | None = None
    warehouse: Literal["lake", "unblinded"] | None = "lake"
    layer: Literal["curated", "quality"] = "curated"

    @property
    def table(self) -> str:
        """Name of the table in the lake."""
        return f"{self.layer}/{self.name}"
