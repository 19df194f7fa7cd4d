"""The account: for every delivery, what became of each of its records.

records = accepted + quarantined + superseded holds for every row, as current state: a later delivery that wins a key
from an older one re-balances both.
"""

from collections.abc import Sequence

import polars as pl

from lakehouse.lake import DELIVERY, Lake

SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(),
    "_file": pl.String(),
    "_checksum": pl.String(),
    "_observation": pl.Int64(),
    "_delivered": pl.Date(),
    "_site": pl.String(),
    "_received_at": pl.Datetime("us", "UTC"),
    "bytes": pl.Int64(),
    "records": pl.Int64(),
    "accepted": pl.Int64(),
    "quarantined": pl.Int64(),
    "superseded": pl.Int64(),
    # Whether it has records and all of them keep the contract: only such a snapshot may let rows vanish.
    "sound": pl.Boolean(),
    # `in effect`, `replaced` (the path was delivered again), `withdrawn` or `rejected` (nothing of it could be used).
    "state": pl.String(),
    "reason": pl.String(),
}
COUNTS = ("accepted", "quarantined", "superseded")


def opened(source: str, deliveries: pl.DataFrame) -> pl.DataFrame:
    """Account rows of deliveries that nothing is said of yet.

    deliveries: their ledger rows, with `records`, `sound` and `reason`, and counts where they are known.
    """
    known = [name for name in SCHEMA if name in deliveries.columns]
    counts = [pl.lit(0, pl.Int64).alias(name) for name in COUNTS if name not in known]
    rows = deliveries.select(*known, *counts, source=pl.lit(source), state=pl.lit("in effect"))
    return rows.select(list(SCHEMA))


def recount(
    lake: Lake, name: str, versions: dict[str, int], deliveries: pl.DataFrame, contested: str = "contested"
) -> pl.DataFrame:
    """Deliveries whose account does not balance, counted anew from the tables themselves.

    deliveries: account rows to verify. Only data files of their delivery days are read. Returns `DELIVERY`, `records`
    (rows in raw), the three counts, and `told`, what the account says was received; no rows when all balance.
    """
    days = deliveries["_delivered"].unique().to_list()
    undated = None in days
    dated = pl.col("_delivered").is_in([day for day in days if day is not None])
    wanted = dated | pl.col("_delivered").is_null() if undated else dated

    def count(layer: str, column: str, which: pl.Expr | None = None) -> pl.LazyFrame:
        table = f"{layer}/{name}"
        rows = lake.scan(table, versions[table]).filter(wanted)
        rows = rows if which is None else rows.filter(which)
        counted = pl.len().cast(pl.Int64).alias(column)
        if deliveries.height != 1:
            return rows.group_by(DELIVERY).agg(counted)
        # To compare is several times as quick as to group.
        one = {part: pl.lit(deliveries[part].item(), deliveries.schema[part]) for part in DELIVERY}
        same = [pl.col(part) == value for part, value in one.items()]
        return rows.filter(*same).select(counted).with_columns(**one)

    counted = deliveries.lazy().select(*DELIVERY, told="records")
    for frame in (
        count("raw", "records"),
        count("processed", "accepted"),
        count("quarantine", "quarantined", pl.col("_line") > 0),
        count("superseded", "superseded", pl.col("_kind") != contested),
    ):
        counted = counted.join(frame, on=DELIVERY, how="left")
    counts = ["records", *COUNTS]
    balance = pl.col("records") == pl.sum_horizontal(COUNTS)
    return (
        counted.with_columns(pl.col(counts).fill_null(0))
        .filter(~balance | (pl.col("records") != pl.col("told")))
        # A delivery may have more records than memory holds.
        .collect(engine="streaming")
    )


def deliveries(lake: Lake, sources: Sequence[str], versions: dict[str, int]) -> pl.LazyFrame:
    """The account of every source, one row per delivery."""
    tables = [f"account/{name}" for name in sources]
    frames = [lake.scan(table, versions[table]) for table in tables if table in versions]
    return pl.concat(frames) if frames else pl.LazyFrame(schema=SCHEMA)
