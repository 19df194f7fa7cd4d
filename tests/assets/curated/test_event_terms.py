from collections.abc import Callable

import polars as pl
from agreement import made

from assets.curated.adverse_events import SubjectEvent
from assets.curated.event_terms import EVENT_TERMS, EventTerm

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
        SubjectEvent, HEADACHE, {**HEADACHE, "aellt": "HEADACHE"}, {**HEADACHE, "usubjid": "01-701-2", "aehlt": None}
    )
    found = EVENT_TERMS.transform(events).collect().sort("events")
    assert EventTerm.is_valid(found)
    assert found.select("aehlt", "lower_terms", "events", "subjects").rows() == [(None, 1, 1, 1), ("H", 2, 2, 1)]
    # The second path to one term is told.
    assert EVENT_TERMS.checks["one_class_per_term"](found.lazy(), events).collect()["aedecod"].to_list() == ["HEADACHE"]


def test_a_coded_event_without_its_class_is_told(table: Callable[..., pl.LazyFrame]) -> None:
    for changes, told in (({}, 0), ({"aesoc": None}, 1), ({"aesoc": None, "aedecod": None}, 0)):
        terms = EVENT_TERMS.transform(table(SubjectEvent, {**HEADACHE, **changes}))
        assert EVENT_TERMS.checks["coded_to_a_class"](terms, terms).collect().height == told


def test_in_the_study_each_term_has_one_class() -> None:
    terms = made("curated/event_terms")
    assert (terms.height, terms["events"].sum(), terms["aesoc"].n_unique()) == (242, 1191, 23)
    assert terms["aedecod"].is_unique().all()
    for check in EVENT_TERMS.checks.values():
        assert check(terms.lazy(), terms.lazy()).collect().is_empty()
