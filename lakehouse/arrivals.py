"""What should have come: from the rhythm of each site's past deliveries, the day by which the next one is due.

Everything here follows from the account and from what the sources declare; only `judged` looks at a clock.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from lakehouse.clock import Clock
from lakehouse.source import Source

# A site is late after two of its usual gaps and silent after four: one skipped delivery is no news.
_LATE, _SILENT = 2, 4
# With fewer gaps than this there is no rhythm to learn.
_LEARNED_FROM = 3
EXPECTATIONS: dict[str, pl.DataType] = {
    "source": pl.String(),
    "cadence_days": pl.Int64(),
    "late_after_days": pl.Int64(),
    "as_of": pl.Date(),
}


def expectations(sources: Sequence[Source], clock: Clock) -> pl.DataFrame:
    """What the sources declare, one row each: cadence in days (null: learned), the least time before a site is late,
    and the day the clock was set to (null: it runs).
    """
    rows = [
        (source.name, source.cadence.days if source.cadence else None, source.late_after.days, clock.as_of)
        for source in sources
    ]
    return pl.DataFrame(rows, schema=EXPECTATIONS, orient="row")


def arrivals(account: pl.LazyFrame, declared: pl.LazyFrame) -> pl.LazyFrame:
    """When each site last delivered each source, and by when more is due.

    account: one row per delivery. declared: see `expectations`. The cadence is the declared one, or the median of the
    site's gaps between delivery days, or with fewer than three gaps the source's `late_after`. A site is late when two
    cadences have passed, silent when four have, and never before `late_after` or twice that.
    """
    days = account.filter(pl.col("_delivered").is_not_null()).select("source", "_site", "_delivered").unique()
    gap = pl.col("_delivered").sort().diff().dt.total_days().drop_nulls()
    rhythm = days.group_by("source", "_site").agg(
        first_day=pl.col("_delivered").min(),
        last_day=pl.col("_delivered").max(),
        delivery_days=pl.len().cast(pl.Int64),
        learned=pl.when(gap.len() >= _LEARNED_FROM).then(gap.median().ceil()).cast(pl.Int64),
    )
    cadence = pl.coalesce("cadence_days", "learned", "late_after_days")

    def after(cadences: int) -> pl.Expr:
        least = pl.col("late_after_days") * (cadences // _LATE)
        return pl.col("last_day") + pl.duration(days=pl.max_horizontal(cadence * cadences, least))

    return rhythm.join(declared, on="source").select(
        "source",
        "_site",
        "first_day",
        "last_day",
        "delivery_days",
        cadence_days=cadence,
        expected_by=after(_LATE),
        silent_after=after(_SILENT),
        as_of="as_of",
    )


def judged(rows: pl.LazyFrame, today: date) -> pl.LazyFrame:
    """Arrivals with `days_since_last` and `status` on a day: `on time`, `late` or `silent`."""
    day = pl.lit(today)
    status = pl.when(day > pl.col("silent_after")).then(pl.lit("silent")).when(day > pl.col("expected_by"))
    return rows.with_columns(
        days_since_last=(day - pl.col("last_day")).dt.total_days(),
        status=status.then(pl.lit("late")).otherwise(pl.lit("on time")),
    )
