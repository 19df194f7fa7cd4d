"""Whether a table of features looks into the future, asked of any transform that makes one.

Each row says its own cut-off. It is made again from inputs that end on that day, as if nothing had been delivered,
corrected, taken back or measured since; where a feature comes out otherwise, it was made of something later.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date

import polars as pl

from lakehouse.history import DAYS, as_of, current

# Days of measurement, where an input has them.
MEASURED = ("vsdt", "lbdt")


def until(frame: pl.LazyFrame, day: date) -> pl.LazyFrame:
    """What of an input had been measured and was known by a day, as it was known then.

    An input that is no history has what counts now: of it no more may be used than who takes part.
    """
    columns = frame.collect_schema()
    if not set(DAYS) <= set(columns):
        return frame.select("usubjid")
    measured = [(pl.col(column) <= day).fill_null(True) for column in MEASURED if column in columns]
    return as_of(frame, day).filter(*measured)


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


def as_it_counts_now(at: pl.LazyFrame, versions: pl.LazyFrame, *key: str) -> pl.LazyFrame:
    """A leak to plant in the place of `visit_features.known`: the record that counts now, if it was delivered in time.

    It leaves out what was corrected in a later file, and takes what was sent again or withdrawn later as it is since.
    """
    now = current(versions, ["usubjid", *key])
    return at.join(now, on="usubjid").filter(pl.col("_delivered") <= pl.col("cutoff"))
