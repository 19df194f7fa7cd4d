"""Rows with what a small table says of them."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lakehouse.lookup import look_up

UNITS = pl.LazyFrame({"test": ["a", "a", "b"], "unit": ["x", "y", "x"], "factor": [1.0, None, 3.0]})
VALUES = st.sampled_from(["a", "b", "x", "y", None])


@given(st.lists(st.tuples(VALUES, VALUES, st.integers(0, 9)), max_size=20))
def test_it_is_a_left_join(rows: list[tuple[str | None, str | None, int]]) -> None:
    frame = pl.LazyFrame(rows, schema={"test": pl.String, "unit": pl.String, "value": pl.Int64}, orient="row")
    joined = frame.join(UNITS, on=["test", "unit"], how="left", maintain_order="left")
    assert_frame_equal(look_up(frame, UNITS, ["test", "unit"]), joined)


def test_a_table_that_says_two_things_of_a_row_is_refused() -> None:
    frame = pl.LazyFrame({"test": ["a"], "value": [1]})
    with pytest.raises(pl.exceptions.ComputeError, match="m:1"):
        look_up(frame, UNITS.drop("unit"), ["test"]).collect()
