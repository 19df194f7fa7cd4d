"""Column lineage as Polars tells it."""

from collections.abc import Callable

import polars as pl
import pytest
from thermometer import THERMOMETER

from lakehouse.lineage import columns
from lakehouse.records import schema

LEFT = {"id": pl.String(), "a": pl.Int64(), "b": pl.Int64(), "unused": pl.String()}
RIGHT = {"id": pl.String(), "c": pl.Int64(), "unused": pl.String()}


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (lambda left: left.select("a"), {"a": ["a"]}),
        (lambda left: left.select(x="a", y="b"), {"x": ["a"], "y": ["b"]}),
        (lambda left: left.select(x=pl.col("a") + pl.col("b")), {"x": ["a", "b"]}),
        (lambda left: left.filter(pl.col("b") > 0).select("a"), {"a": ["a", "b"]}),
        (lambda left: left.select("a", x=pl.col("b").sum().over("id")), {"a": ["a"], "x": ["b", "id"]}),
        (lambda left: left.group_by("id").agg(pl.col("a").sum()), {"id": ["id"], "a": ["a", "id"]}),
        (lambda left: left.with_columns(x=pl.col("a") * 2).drop("a", "b", "unused"), {"id": ["id"], "x": ["a"]}),
    ],
)
def test_a_column_is_made_from_the_columns_it_needs(
    transform: Callable[[pl.LazyFrame], pl.LazyFrame], expected: dict[str, list[str]]
) -> None:
    told = columns(transform, {"left": LEFT})
    assert told == {name: [("left", column) for column in origin] for name, origin in expected.items()}


def test_columns_of_several_inputs_are_told_apart() -> None:
    def transform(left: pl.LazyFrame, right: pl.LazyFrame) -> pl.LazyFrame:
        return left.join(right, on="id", how="left").select("id", "a", x=pl.col("b") + pl.col("c"))

    told = columns(transform, {"left": LEFT, "right": RIGHT})
    assert ("left", "a") in told["a"]
    assert ("right", "c") not in told["a"]
    assert {("left", "b"), ("right", "c"), ("left", "id"), ("right", "id")} <= set(told["x"])
    assert "unused" not in {column for origin in told.values() for _, column in origin}


def test_a_tidy_tells_which_delivered_columns_its_columns_are_made_from() -> None:
    told = columns(THERMOMETER.tidy, {"raw/thermometer": schema(THERMOMETER.header)})
    assert told["sensor"] == [("raw/thermometer", "SENSOR")]
    assert told["celsius"] == told["celsius_text"] == [("raw/thermometer", "CELSIUS")]
    assert told["_file"] == [("raw/thermometer", "_file")]


def test_nothing_is_read() -> None:
    def transform(left: pl.LazyFrame) -> pl.LazyFrame:
        return left.select(
            pl.col("a").map_batches(
                lambda values: pytest.fail("rows") if len(values) else values, return_dtype=pl.Int64
            )
        )

    assert columns(transform, {"left": LEFT}) == {"a": [("left", "a")]}
