"""A curated table of some subjects is that part of the table of all, so it can be made anew for the changed alone.

Likewise for tables that are made anew by another column than the subject.
"""

import polars as pl
import pytest
from agreement import made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.catalog import curated

TABLES = [item for item in curated() if item.by == "usubjid"]
# Tables that are made anew by another column; what follows the account of deliveries is tested with the engine.
TABLES += [item for item in curated() if item.name in ("duplicates", "missing_by_site", "unmatched")]
SUBJECTS = sorted(made("processed/subjects")["usubjid"])


def test_which_tables_are_by_what() -> None:
    assert [(item.name, item.by) for item in TABLES] == [
        ("activity_sessions", "usubjid"),
        ("adverse_events", "usubjid"),
        ("data_queries", "usubjid"),
        ("lab_reconciliation", "usubjid"),
        ("lab_results", "usubjid"),
        ("panels", "usubjid"),
        ("parked", "usubjid"),
        ("planned_visits", "usubjid"),
        ("reference_results", "usubjid"),
        ("result_flags", "usubjid"),
        ("scheduled_results", "usubjid"),
        ("subjects", "usubjid"),
        ("treatment", "usubjid"),
        ("visit_features", "usubjid"),
        ("vital_signs", "usubjid"),
        ("duplicates", "panel"),
        ("missing_by_site", "siteid"),
        ("unmatched", "siteid"),
    ]


@pytest.mark.parametrize("item", TABLES, ids=[item.name for item in TABLES])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), missing=st.sets(st.sampled_from(SUBJECTS), max_size=5))
def test_a_table_of_some_subjects_is_part_of_the_table_of_all(item, data: st.DataObject, missing: set[str]) -> None:
    """`missing` are those whose demographics have not come, so that there is something parked."""

    def of(frame: pl.LazyFrame, by: str, values: set[str]) -> pl.LazyFrame:
        named = by in frame.collect_schema()
        return frame.filter(pl.col(by).is_in(list(values))) if named else frame

    def without(name: str) -> pl.LazyFrame:
        frame = made(name).lazy()
        return of(frame, "usubjid", set(SUBJECTS) - missing) if name.endswith("/subjects") else frame

    inputs = [without(name) for name in item.inputs]
    found = [frame.select(item.by).collect()[item.by] for frame in inputs if item.by in frame.collect_schema()]
    values = sorted(pl.concat(found).unique())
    chosen = data.draw(st.sets(st.sampled_from(values), max_size=40))

    whole = of(item.transform(*inputs), item.by, chosen).collect().sort(item.key)
    part = item.transform(*(of(frame, item.by, chosen) for frame in inputs)).collect().sort(item.key)
    assert part.equals(whole)
