from collections.abc import Callable

import polars as pl
import pytest

from assets.curated.lab_results import LAB_RESULTS, LabResult
from assets.curated.subjects import SUBJECTS as KNOWN
from assets.curated.subjects import BlindedSubject
from assets.labs import LABS, Lab
from assets.subjects import SUBJECTS
from lakehouse.source import Source

PERSON = {"studyid": "S", "usubjid": "01-701-1", "subjid": "1", "siteid": "701", "country": "USA", "sex": "F"}
SODIUM = {
    "studyid": "S",
    "usubjid": "01-701-1",
    "lbtestcd": "SODIUM",
    "lbtest": "Sodium",
    "lborres": "140",
    "lbornrlo": "132",
    "lbornrhi": "147",
    "lbstresn": 140.0,
    "visitnum": 1.0,
    "lbdtc": "2014-01-02",
}


def test_a_result_stands_beside_its_subject_with_its_own_provenance(table: Callable[..., pl.LazyFrame]) -> None:
    labs = table(Lab, {**SODIUM, "_file": "701/labs.csv", "_line": 7})
    subjects = table(BlindedSubject, {**PERSON, "age": 63, "_file": "701/subjects.csv", "_line": 2})

    rows = LAB_RESULTS.transform(labs, subjects).collect()

    beside = {"subjid": "1", "siteid": "701", "age": 63, "sex": "F", "_file": "701/labs.csv", "_line": 7}
    result = {name: value for name, value in SODIUM.items() if name not in ("lbornrlo", "lbornrhi")}
    judged = {"lbnrind": "NORMAL", "out_of_range": False}
    assert rows.equals(table(LabResult, {**result, **beside, **judged}).collect())
    assert LabResult.is_valid(rows)


def test_a_result_of_an_unknown_subject_stays_out_and_is_told(table: Callable[..., pl.LazyFrame]) -> None:
    labs = table(Lab, SODIUM, {**SODIUM, "usubjid": "01-701-2", "_line": 3})
    subjects = table(BlindedSubject, PERSON)

    assert LAB_RESULTS.transform(labs, subjects).collect()["usubjid"].to_list() == ["01-701-1"]
    assert LAB_RESULTS.checks["enrolled"](labs, subjects).collect()["_line"].to_list() == [3]
    assert LAB_RESULTS.checks["enrolled"](labs.head(1), subjects).collect().is_empty()


@pytest.mark.parametrize(
    ("result", "low", "high", "expected"),
    [
        ("140", "132", "147", "NORMAL"),
        ("132", "132", "147", "NORMAL"),
        ("147.0", "132", "147", "NORMAL"),
        ("131.9", "132", "147", "LOW"),
        ("147.1", "132", "147", "HIGH"),
        # As text, 9 comes after 10.
        ("9", "10", "100", "LOW"),
        ("140", None, "147", "NORMAL"),
        ("148", None, "147", "HIGH"),
        ("131", "132", None, "LOW"),
        ("140", "132", None, "NORMAL"),
        ("140", None, None, None),
        # An end in words judges nothing, the other one still does.
        ("140", "none", "147", None),
        ("140", "132", "none", None),
        ("148", "none", "147", "HIGH"),
        ("131", "132", "none", "LOW"),
        ("<40", "50", "250", "LOW"),
        ("<=40", "50", "250", "LOW"),
        ("<0.2", "0.2", "1.2", None),
        ("<60", "50", "250", None),
        ("<260", "50", "250", None),
        ("> 300", "50", "250", "HIGH"),
        (">250", "50", "250", None),
        (">40", "50", "250", None),
        ("N", "0", "1", None),
    ],
)
def test_where_a_result_lies(
    table: Callable[..., pl.LazyFrame], result: str, low: str | None, high: str | None, expected: str | None
) -> None:
    labs = table(Lab, {**SODIUM, "lborres": result, "lbornrlo": low, "lbornrhi": high})

    rows = LAB_RESULTS.transform(labs, table(BlindedSubject, PERSON)).collect()

    out = None if expected is None else expected != "NORMAL"
    assert rows.select("lbnrind", "out_of_range").row(0) == (expected, out)


def test_every_published_indicator(
    published: Callable[[str], pl.DataFrame], delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]
) -> None:
    truth = published("pharmaversesdtm/lb")
    labs = LABS.tidy(delivered(truth, LABS, "LBDTC").lazy())
    subjects = SUBJECTS.tidy(delivered(published("cdiscpilotsdtm/dm"), SUBJECTS, "DMDTC").lazy())

    rows = LAB_RESULTS.transform(labs, KNOWN.transform(subjects)).collect().sort("_line")

    assert rows.height == truth.height
    both = rows.with_columns(truth["LBNRIND"], truth["LBORNRLO"])
    same = both.filter(pl.col("lbnrind").eq_missing(pl.col("LBNRIND")))
    assert sorted(same.group_by("lbnrind").len().rows(), key=str) == [
        ("HIGH", 1538),
        ("LOW", 864),
        ("NORMAL", 54_258),
        (None, 5),
    ]
    # The rest came without a range: the laboratory judged findings by their code, which is not ours to repeat.
    rest = both.filter(pl.col("lbnrind").ne_missing(pl.col("LBNRIND")))
    assert rest["LBORNRLO"].null_count() == rest["lbnrind"].null_count() == rest.height
    assert sorted(rest.group_by("lbtestcd", "lborres", "LBNRIND").len().rows()) == [
        ("ANISO", "1", "ABNORMAL", 158),
        ("COLOR", "N", "NORMAL", 874),
        ("KETONES", "0", "NORMAL", 850),
        ("KETONES", "1", "ABNORMAL", 24),
        ("MACROCY", "1", "ABNORMAL", 102),
        ("MICROCY", "1", "ABNORMAL", 2),
        ("POIKILO", "1", "ABNORMAL", 2),
        ("POLYCHR", "1", "ABNORMAL", 29),
        ("UROBIL", "0", "NORMAL", 873),
        ("UROBIL", "1", "ABNORMAL", 1),
    ]
    # Five results below the limit are unjudged here and there.
    assert same.filter(pl.col("lbnrind").is_null())["lborres"].to_list() == ["<0.2"] * 5
