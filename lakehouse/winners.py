"""Which of several records of one key is the row: the newest delivery day, then the greater path, then the later line.

A key that two sites deliver has no winner: each site's records are contested until one of them is withdrawn.
"""

import polars as pl

from lakehouse.contract import PROVENANCE

WINNER = {"_winner_file": pl.String(), "_winner_checksum": pl.String(), "_winner_line": pl.Int64()}


def superseded_schema(processed: dict[str, pl.DataType], key: tuple[str, ...]) -> dict[str, pl.DataType]:
    """Schema of `superseded/name`: every judged record that is not the row of its key, and what beat it.

    _kind: `key` (another record of the key won), `contested` (two sites deliver the key; in quarantine too) or
    `replaced` (the path was delivered again; the winner has no line).
    """
    return {**{name: processed[name] for name in key}, **PROVENANCE, "_kind": pl.String(), **WINNER}


def settle(candidates: pl.DataFrame, key: tuple[str, ...]) -> pl.DataFrame:
    """The standing of every record among all records of its key.

    candidates: the key columns (nulls equal each other) and provenance, all records of each key that is present.
    Adds `_standing` (`wins`, `key`, `contested`) and, for `key`, the winner's `_winner_file/_checksum/_line`.
    """
    ordered = candidates.sort("_delivered", "_file", "_line")
    last = {f"_winner{name}": pl.col(name).last().over(key) for name in ("_file", "_checksum", "_line")}
    newest = pl.int_range(pl.len()).over(key) == pl.len().over(key) - 1
    contested = pl.col("_site").n_unique().over(key) > 1
    standing = pl.when(contested).then(pl.lit("contested")).when(newest).then(pl.lit("wins")).otherwise(pl.lit("key"))
    settled = ordered.with_columns(_standing=standing, **last)
    beaten = pl.col("_standing") == "key"
    return settled.with_columns(pl.when(beaten).then(pl.col(name)).alias(name) for name in WINNER)
