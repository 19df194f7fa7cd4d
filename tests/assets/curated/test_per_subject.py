"""A curated table of some subjects is that part of the table of all, so it can be made anew for the changed alone."""

import polars as pl
import pytest
from agreement import made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.catalog import curated

TABLES = [item for item in curated() if item.by == "usubjid"]
SUBJECTS = sorted(made("processed/subjects")["usubjid"])


def test_which_tables_are_by_subject() -> None:
    assert [item.name for item in TABLES] == [
        "adverse_events",
        "lab_results",
        "parked",
        "planned_visits",
        "subjects",
        "treatment",
        "visit_features",
        "vital_signs",
    ]


@pytest.mark.parametrize("item", TABLES, ids=[item.name for item in TABLES])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chosen=st.sets(st.sampled_from(SUBJECTS), max_size=40), missing=st.sets(st.sampled_from(SUBJECTS), max_size=5))
def test_a_table_of_some_subjects_is_part_of_the_table_of_all(item, chosen: set[str], missing: set[str]) -> None:
    """`missing` are those whose demographics have not come, so that there is something parked."""

    def of(frame: pl.LazyFrame, subjects: set[str]) -> pl.LazyFrame:
        return frame.filter(pl.col("usubjid").is_in(list(subjects)))

    def without(name: str) -> pl.LazyFrame:
        known = set(SUBJECTS) - missing
        return of(made(name).lazy(), known) if name.endswith("/subjects") else made(name).lazy()

    inputs = [without(name) for name in item.inputs]
    whole = of(item.transform(*inputs), chosen).collect().sort(item.key)
    part = item.transform(*(of(frame, chosen) for frame in inputs)).collect().sort(item.key)
    assert part.equals(whole)
