from collections.abc import Callable

import polars as pl

from assets import catalog
from assets.cdisc import SubjectRecord
from assets.curated.parked import PARKED, SOURCES, Parked
from assets.curated.subjects import BlindedSubject

KNOWN, UNKNOWN = "01-701-1", "01-701-2"


def test_a_record_waits_until_its_subject_arrives(table: Callable[..., pl.LazyFrame]) -> None:
    given = [
        table(
            catalog.source(name).contract,
            {"usubjid": KNOWN, "_file": f"701/{name}.csv", "_line": 2},
            {"usubjid": UNKNOWN, "_file": f"701/{name}.csv", "_line": 3},
        )
        for name in SOURCES
    ]

    before = PARKED.transform(table(BlindedSubject, {"usubjid": KNOWN}), *given).collect()
    after = PARKED.transform(table(BlindedSubject, {"usubjid": KNOWN}, {"usubjid": UNKNOWN}), *given).collect()
    withdrawn = PARKED.transform(table(BlindedSubject, {"usubjid": UNKNOWN}), *given).collect()

    assert before.select("source", "usubjid", "_file", "_line").rows() == [
        (name, UNKNOWN, f"701/{name}.csv", 3) for name in SOURCES
    ]
    assert before["reason"].str.contains("demographics").all()
    assert Parked.is_valid(before)
    assert after.is_empty()
    assert PARKED.checks["empty"](before.lazy(), *given).collect().height == len(SOURCES)
    assert withdrawn["_line"].to_list() == [2] * len(SOURCES)


def test_every_source_that_names_a_subject_can_wait() -> None:
    named = [source.name for source in catalog.sources() if issubclass(source.contract, SubjectRecord)]

    assert sorted(SOURCES) == sorted(set(named) - {"subjects"})
