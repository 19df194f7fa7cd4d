from collections.abc import Callable

import polars as pl
from agreement import made

from assets.curated.adverse_events import SubjectEvent
from assets.curated.lab_results import LAB_RESULTS, LabResult
from assets.curated.subjects import BlindedSubject
from assets.curated.unmatched import UNMATCHED, Unmatched
from assets.labs import Lab

PERSON = {"studyid": "S", "usubjid": "01-701-1", "subjid": "1", "siteid": "701", "region": "Northern America"}


def test_codes_are_joined_by_test_and_unit(table: Callable[..., pl.LazyFrame]) -> None:
    given = (
        {"lbtestcd": "GLUC", "lborresu": "mg/dL", "lbstresu": "mmol/L"},
        {"lbtestcd": "GLUC", "lborresu": "mmol/L", "lbstresu": "mmol/L"},
        {"lbtestcd": "PLAT", "lborresu": "THOU/uL", "lbstresu": "GI/L"},
        {"lbtestcd": "COLOR"},
        {"lbtestcd": "UROBIL"},
    )
    labs = table(Lab, *({**row, "usubjid": "01-701-1", "visitnum": 1.0, "_line": n} for n, row in enumerate(given)))
    rows = LAB_RESULTS.transform(labs, table(BlindedSubject, PERSON)).collect().sort("_line")
    assert rows.select("loinc", "ucum").rows() == [
        ("2345-7", "mmol/L"),
        ("14749-6", "mmol/L"),
        ("26515-7", "10*9/L"),
        ("5778-6", None),
        (None, None),
    ]


def test_what_no_file_has_is_counted_per_site(table: Callable[..., pl.LazyFrame]) -> None:
    known = {"usubjid": "01-701-1", "siteid": "701", "lbtestcd": "ALT", "loinc": "1742-6", "ucum": "U/L"}
    lost = {**known, "loinc": None, "lborresu": "kat", "ucum": None, "lbstresu": "kat"}
    labs = table(LabResult, known, lost, lost, {**lost, "siteid": "702", "lborresu": None, "lbstresu": None})
    subjects = table(BlindedSubject, PERSON, {"usubjid": "01-999-1", "siteid": "999"})
    listed = {"usubjid": "01-701-1", "siteid": "701", "aellt": "ITCHING", "aedecod": "PRURITUS"}
    coded = {**listed, "aellt": None}
    events = table(
        SubjectEvent,
        listed,
        coded,
        {**listed, "aellt": None, "aedecod": None},
        {**listed, "aellt": "BAD ITCHING"},
        {**listed, "aellt": "HICCOUGHS", "aedecod": "HICCUPS"},
        {**listed, "aellt": "HICCOUGHS", "aedecod": None},
        {**coded, "aedecod": "SNEEZING"},
        {**coded, "aedecod": "SNEEZING"},
    )

    found = UNMATCHED.transform(labs, subjects, events).collect()

    assert Unmatched.is_valid(found)
    assert sorted(found.select("siteid", "reference", "code", "rows").rows()) == [
        ("701", "event_terms", "HICCOUGHS", 1),
        ("701", "event_terms", "HICCUPS", 1),
        ("701", "event_terms", "SNEEZING", 2),
        ("701", "lab_tests", "ALT in kat", 2),
        ("701", "units", "kat", 2),
        ("702", "lab_tests", "ALT in NO UNITS", 1),
        ("999", "sites", "999", 1),
    ]
    assert UNMATCHED.checks["matched"](found.lazy(), labs, subjects, events).collect().height == 7


def test_what_is_unmatched_in_the_study() -> None:
    found = made("quality/unmatched").group_by("reference", "code").agg(pl.col("rows").sum()).sort("code")
    assert found.rows() == [("lab_tests", "KETONES in NO UNITS", 874), ("lab_tests", "UROBIL in NO UNITS", 874)]
    assert made("curated/subjects")["region"].unique().to_list() == ["Northern America"]
