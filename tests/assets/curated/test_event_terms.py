from collections.abc import Callable

import polars as pl
from agreement import made

from assets.curated.adverse_events import SubjectEvent
from assets.curated.event_terms import EVENT_TERMS, EventTerm
from assets.reference import TERMS

HEADACHE = {
    "usubjid": "01-701-1",
    "aellt": "HEADACHES",
    "aedecod": "HEADACHE",
    "aehlt": "H",
    "aehlgt": "G",
    "aesoc": "NERVOUS SYSTEM DISORDERS",
}


def test_terms_are_counted_with_their_classes(table: Callable[..., pl.LazyFrame]) -> None:
    events = table(
        SubjectEvent,
        {**HEADACHE, "aespid": "E01"},
        {**HEADACHE, "aespid": "E01", "aellt": "HEADACHE", "aeseq": 2.0},
        {**HEADACHE, "aespid": None, "aeseq": 3.0},
        {**HEADACHE, "aespid": None, "aeseq": 4.0},
        {**HEADACHE, "usubjid": "01-701-2", "aespid": "E01", "aehlt": None},
    )
    found = EVENT_TERMS.transform(events).collect().sort("events")
    assert EventTerm.is_valid(found)
    assert found.select("aehlt", "lower_terms", "records", "events", "subjects").rows() == [
        (None, 1, 1, 1, 1),
        ("H", 2, 4, 3, 1),
    ]
    # The second path to one term is told.
    assert EVENT_TERMS.checks["one_class_per_term"](found.lazy(), events).collect()["aedecod"].to_list() == ["HEADACHE"]


def test_a_coded_event_without_its_class_is_told(table: Callable[..., pl.LazyFrame]) -> None:
    for changes, told in (({}, 0), ({"aesoc": None}, 1), ({"aesoc": None, "aedecod": None}, 0)):
        terms = EVENT_TERMS.transform(table(SubjectEvent, {**HEADACHE, **changes}))
        assert EVENT_TERMS.checks["coded_to_a_class"](terms, terms).collect().height == told


def test_a_place_that_is_not_the_listed_one_is_told(table: Callable[..., pl.LazyFrame]) -> None:
    listed = TERMS.rows().filter(pl.col("aedecod") == "HEADACHE").collect().row(0, named=True)
    for changes, told in (({}, 0), ({"aehlt": "H"}, 1), ({"aehlt": "H", "aedecod": "NEW"}, 0), ({"aesoc": None}, 1)):
        terms = EVENT_TERMS.transform(table(SubjectEvent, {**HEADACHE, **listed, **changes}))
        assert EVENT_TERMS.checks["as_listed"](terms, terms).collect().height == told


def test_in_the_study_each_term_has_one_class() -> None:
    terms = made("curated/event_terms")
    assert (terms.height, terms["records"].sum(), terms["events"].sum(), terms["aesoc"].n_unique()) == (
        *(242, 1191, 883),
        23,
    )
    assert terms["aedecod"].is_unique().all()
    for check in EVENT_TERMS.checks.values():
        assert check(terms.lazy(), terms.lazy()).collect().is_empty()
