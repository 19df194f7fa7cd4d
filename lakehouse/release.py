"""Records that hold back the curated tables, and the people who released them.

A record that breaks a rule of severity `block` is quarantined like any other; ingestion goes on. Curated tables are
made from all sources in one step, so none of them is made anew until a person has looked and released what is there.
What comes after that is held back again.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import polars as pl

from lakehouse import manifest
from lakehouse.errors import HeldError, SupersededError
from lakehouse.lake import DELIVERY, Change, Lake
from lakehouse.source import Source

SCHEMA: dict[str, pl.DataType] = {
    "_file": pl.String(),
    "_checksum": pl.String(),
    "_received_at": pl.Datetime("us", "UTC"),
    "rule": pl.String(),
    "who": pl.String(),
    "why": pl.String(),
    "at": pl.Datetime("us", "UTC"),
}
_APP = "released"


def held(lake: Lake, source: Source, versions: Mapping[str, int]) -> pl.DataFrame:
    """What holds the curated tables back and nobody released: `DELIVERY`, `rule`, `lines`.

    versions: of the tables to look at, as the manifest names them.
    """
    rules, table = source.rules("block"), f"quarantine/{source.name}"
    empty = {**{name: SCHEMA[name] for name in (*DELIVERY, "rule")}, "lines": pl.UInt32()}
    if not rules or table not in versions:
        return pl.DataFrame(schema=empty)
    rows = lake.scan(table, versions[table]).explode("reasons").filter(pl.col("reasons").is_in(rules))
    found = rows.group_by(*DELIVERY, rule="reasons").agg(lines=pl.len())
    released = lake.scan(_table(source), schema=SCHEMA)
    return found.join(released, on=[*DELIVERY, "rule"], how="anti").sort("_file", "rule").collect()


def check(lake: Lake, sources: Sequence[Source], versions: Mapping[str, int]) -> None:
    """Raises HeldError naming sources, rules and counts when something holds the curated tables back."""
    told = []
    for source in sources:
        waiting = held(lake, source, versions)
        if not waiting.is_empty():
            files, lines = waiting.select(DELIVERY).n_unique(), waiting["lines"].sum()
            rules = ", ".join(waiting["rule"].unique().sort())
            told.append(
                f"{lines} records in {files} files of {source.name} break {rules}, which a person must release: look "
                f"at lakehouse quarantine --source {source.name}, then lakehouse release {source.name} --reason …"
            )
    if told:
        raise HeldError(f"the curated tables stay as they are; {'; '.join(told)}")


def release(lake: Lake, source: Source, who: str, why: str) -> pl.DataFrame:
    """Put on record that a person has looked at what a source holds back, as readers see it; returns what that was."""
    while True:
        delta = lake.create(_table(source), SCHEMA)
        waiting = held(lake, source, manifest.versions(lake))
        if waiting.is_empty():
            return waiting
        act = waiting.drop("lines").with_columns(who=pl.lit(who), why=pl.lit(why), at=pl.lit(datetime.now(UTC)))
        rows = act.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
        try:
            lake.commit(delta, Change(rows), _APP, (delta.transaction_version(_APP) or 0) + 1)
            return waiting
        except SupersededError:
            # Somebody else released something at the same moment: what is left is ours.
            continue


def _table(source: Source) -> str:
    return f"released/{source.name}"
