from collections.abc import Callable
from datetime import date

import polars as pl

from assets.curated.subjects import SUBJECTS, BlindedSubject
from assets.subjects import Subject

PERSON = {"studyid": "S", "usubjid": "01-701-1", "subjid": "1", "siteid": "701", "country": "USA", "sex": "F"}


def test_a_subject_keeps_all_but_the_arms(table: Callable[..., pl.LazyFrame]) -> None:
    known = {"age": 63.0, "ageu": "YEARS", "rfstdtc": "2014-01-02", "rfstdt": date(2014, 1, 2), "dmdtc": "2013-12"}
    processed = table(Subject, {**PERSON, **known, "armcd": "Pbo", "arm": "Placebo", "actarmcd": "Pbo"})

    rows = SUBJECTS.transform(processed).collect()

    assert rows.equals(table(BlindedSubject, {**PERSON, **known, "age": 63}).collect())
    assert not set(rows.columns) & {"arm", "armcd", "actarm", "actarmcd", "rfxstdtc"}
    assert BlindedSubject.is_valid(rows)


def test_a_subject_may_have_no_age(table: Callable[..., pl.LazyFrame]) -> None:
    assert SUBJECTS.transform(table(Subject, PERSON)).collect()["age"].to_list() == [None]
