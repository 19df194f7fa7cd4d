"""Whether a table of features looks into the future, asked of any transform that makes one.

Each row says its own cut-off. It is made again from inputs that end on that day, as if nothing had been delivered or
measured since; where a feature comes out otherwise, it was made of something later.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date

import polars as pl

# Days of measurement, where an input has them; all have the day of delivery.
MEASURED = ("vsdt", "lbdt")


def until(frame: pl.LazyFrame, day: date) -> pl.LazyFrame:
    """What of an input had been measured and delivered by a day."""
    past = pl.col("_delivered") <= day
    for column in set(MEASURED) & set(frame.collect_schema()):
        past &= (pl.col(column) <= day).fill_null(True)
    return frame.filter(past)


def leaks(
    transform: Callable[..., pl.LazyFrame],
    inputs: Sequence[pl.LazyFrame],
    key: Sequence[str],
    labels: Collection[str] = (),
    only: Collection[date] | None = None,
) -> Mapping[str, int]:
    """By feature, how many rows have another value than the inputs of their cut-off give; none when all is well.

    Rows that those inputs do not give at all count under `row`. only: cut-offs to look at; all without.
    """
    rows = transform(*inputs).collect()
    features = [name for name in rows.columns if name not in {*key, *labels}]
    found: dict[str, int] = {}
    for day in sorted(set(rows["cutoff"]) if only is None else only):
        told = rows.filter(cutoff=day)
        then = transform(*(until(frame, day) for frame in inputs)).collect()
        both = told.join(then, on=key, how="left", suffix="_then", validate="1:1")
        counts = {"row": told.join(then, on=key, how="anti").height}
        counts |= {name: both.filter(pl.col(name).ne_missing(pl.col(f"{name}_then"))).height for name in features}
        for name, count in counts.items():
            if count:
                found[name] = found.get(name, 0) + count
    return found
