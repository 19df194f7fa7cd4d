"""Which of several records of one key is the row: the newest delivery day, then the greater path, then the later line.

A key that two sites deliver has no winner: each site's records are contested until one of them is withdrawn. Of a
source whose files are snapshots, a winner that is older than its site's newest sound file has vanished.
"""

import polars as pl

from lakehouse.contract import PROVENANCE

WINNER = {"_winner_file": pl.String(), "_winner_checksum": pl.String(), "_winner_line": pl.Int64()}
ENDED = {"_ended_at": PROVENANCE["_received_at"]}

NO_SNAPSHOTS = pl.DataFrame(schema={"_site": pl.String, "_day": pl.Date, "_path": pl.String, "_bytes": pl.String})


def superseded_schema(processed: dict[str, pl.DataType], key: tuple[str, ...]) -> dict[str, pl.DataType]:
    """Schema of `superseded/name`: every judged record that is not the row of its key, and what beat it.

    _kind: `key` (another record of the key won), `contested` (two sites deliver the key; in quarantine too), `replaced`
    (the path was delivered again), `vanished` (a later snapshot lacks the key) or `withdrawn`. The winner of the last
    three has no line; what was withdrawn has none.
    The key is null in records that were replaced or withdrawn out of quarantine: they never were a row of any key.
    _ended_at: when what took a replaced record's place was received, or a record was withdrawn; null for the others.
    """
    return {**{name: processed[name] for name in key}, **PROVENANCE, "_kind": pl.String(), **WINNER, **ENDED}


def rivalled(keys: pl.DataFrame) -> pl.Series:
    """Whether another row has the same key; true as well, rarely, of rows whose keys only look alike."""
    # Equal values have equal hashes, and numbers are quickly compared.
    return keys.hash_rows().is_duplicated()


def settle(candidates: pl.DataFrame, key: tuple[str, ...], snapshots: pl.DataFrame = NO_SNAPSHOTS) -> pl.DataFrame:
    """The standing of every record among all records of its key.

    candidates: the key columns (nulls equal each other) and provenance, all records of each key that is present.
    snapshots: `_site` and `_day`, `_path`, `_bytes` (checksum) of the snapshot that says what its site has; no rows for
    sources that have none.
    Adds `_standing` (`wins`, `key`, `contested`, `vanished`) and what beat it, `_winner_file/_checksum/_line`.
    """
    site = [*key, "_site"]
    ordered = candidates.sort("_delivered", "_file", "_line")
    ordered = ordered.join(snapshots, on="_site", how="left", maintain_order="left")
    last = {f"_winner{name}": pl.col(name).last().over(site) for name in ("_file", "_checksum", "_line")}
    newest = pl.int_range(pl.len()).over(site) == pl.len().over(site) - 1
    before = pl.col("_delivered") < pl.col("_day")
    before |= (pl.col("_delivered") == pl.col("_day")) & (pl.col("_file") < pl.col("_path"))
    # A site whose newest snapshot lacks the key has given it up, so another may have it.
    gone = before.fill_null(False).last().over(site)
    holders = pl.col("_site").filter(~pl.col("_gone")).n_unique().over(key)
    standing = (
        pl.when(~pl.col("_gone") & (holders > 1))
        .then(pl.lit("contested"))
        .when(~newest)
        .then(pl.lit("key"))
        .when("_gone")
        .then(pl.lit("vanished"))
        .otherwise(pl.lit("wins"))
    )
    settled = ordered.with_columns(_gone=gone, **last).with_columns(_standing=standing)
    beaten, vanished = pl.col("_standing") == "key", pl.col("_standing") == "vanished"
    return settled.with_columns(
        _winner_file=pl.when(beaten).then("_winner_file").when(vanished).then("_path"),
        _winner_checksum=pl.when(beaten).then("_winner_checksum").when(vanished).then("_bytes"),
        _winner_line=pl.when(beaten).then("_winner_line"),
    ).drop("_day", "_path", "_bytes", "_gone")
