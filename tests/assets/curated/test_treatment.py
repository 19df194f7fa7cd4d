from collections.abc import Callable

import polars as pl

from assets.catalog import curated
from assets.curated.treatment import TREATMENT, Treatment
from assets.subjects import Subject

PERSON = {"studyid": "S", "usubjid": "01-701-1", "subjid": "1", "siteid": "701", "country": "USA", "sex": "F"}
ARMS = {"armcd": "Xan_Hi", "arm": "Xanomeline High Dose", "actarmcd": "Xan_Lo", "actarm": "Xanomeline Low Dose"}


def test_a_subject_has_a_planned_and_an_actual_arm(table: Callable[..., pl.LazyFrame]) -> None:
    rows = TREATMENT.transform(table(Subject, {**PERSON, **ARMS})).collect()

    named = {name: PERSON[name] for name in ("studyid", "usubjid", "siteid")}
    assert rows.equals(table(Treatment, {**named, **ARMS}).collect())
    assert Treatment.is_valid(rows)


def test_only_the_unblinded_table_has_the_arms() -> None:
    telling = [item for item in curated() if set(item.contract.column_names()) & set(ARMS)]

    assert [(item.name, item.warehouse) for item in telling] == [("treatment", "unblinded")]
    assert [item.name for item in curated() if "curated/treatment" in item.inputs] == []
