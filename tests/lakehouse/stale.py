"""A writer that opened a table before somebody else wrote it, on whatever kind of lake."""

import polars as pl
import pytest

from lakehouse.errors import SupersededError
from lakehouse.lake import Change, Lake
from lakehouse.rewriting import rewritten

SCHEMA = {"_file": pl.String(), "_delivered": pl.Date(), "value": pl.Int64()}


def rows(*values: int) -> pl.DataFrame:
    return pl.DataFrame([(f"f{value}", None, value) for value in values], schema=SCHEMA, orient="row")


# Every way to write a table, and the options of its commit.
CHANGES = [
    pytest.param(Change(rows(2)), {}, id="append"),
    pytest.param(Change(rows(2), rows(0), row=("_file",)), {}, id="take out"),
    pytest.param(Change(rows(2)), {"replace": "true"}, id="replace all"),
    pytest.param(Change(rows(2)), {"replace": "value = 2"}, id="replace some"),
]


def stale_is_refused(lake: Lake, change: Change, options: dict[str, str]) -> None:
    lake.commit(lake.create("t", SCHEMA), Change(rows(0)), "app", 1)
    stale, fresh = lake.open("t"), lake.open("t")
    assert stale
    assert fresh
    lake.commit(fresh, Change(rows(1)), "app", 2)
    change = rewritten(lake, "t", stale, change)
    with pytest.raises(SupersededError, match="nothing was written"):
        lake.commit(stale, change, "app", 2, **options)  # type: ignore[arg-type]
    assert lake.scan("t").collect()["value"].sort().to_list() == [0, 1]
    assert lake.open("t").version() == 2  # type: ignore[union-attr]
