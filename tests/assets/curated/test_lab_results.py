from collections.abc import Callable

import polars as pl
import pytest

from assets.curated.lab_results import LAB_RESULTS, LabResult
from assets.curated.subjects import SUBJECTS as KNOWN
from assets.curated.subjects import BlindedSubject
from assets.disposition import Disposition
from assets.exposure import Exposure
from assets.labs import LABS, Lab
from assets.subjects import SUBJECTS
from assets.visits import Visit
from assets.vitals import Vital
from lakehouse.source import Source

PERSON = {"studyid": "S", "usubjid": "01-701-1", "subjid": "1", "siteid": "701", "sex": "F", "saffl": "N"}
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

    beside = {"subjid": "1", "siteid": "701", "age": 63, "sex": "F", "saffl": "N", "_file": "701/labs.csv", "_line": 7}
    result = {name: value for name, value in SODIUM.items() if name not in ("lbornrlo", "lbornrhi")}
    judged = {"lbnrind": "NORMAL", "out_of_range": False}
    kept = [name for name in LabResult.column_names() if name in {*Lab.column_names(), *beside, *judged}]
    assert rows.select(kept).equals(table(LabResult, {**result, **beside, **judged}).select(kept).collect())
    assert LabResult.is_valid(rows)


def test_a_result_of_an_unknown_subject_stays_out(table: Callable[..., pl.LazyFrame]) -> None:
    labs = table(Lab, SODIUM, {**SODIUM, "usubjid": "01-701-2", "_line": 3})
    subjects = table(BlindedSubject, PERSON)

    assert LAB_RESULTS.transform(labs, subjects).collect()["usubjid"].to_list() == ["01-701-1"]


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


def series(table: Callable[..., pl.LazyFrame], *results: tuple[float, float | None], **columns: object) -> pl.DataFrame:
    """Sodium of one subject, by visit and result, in a range of 132 to 147; `columns` are those that are not."""
    given = {"lbcat": "CHEMISTRY", "lbstresu": "mmol/L", "lbstnrlo": 132.0, "lbstnrhi": 147.0, **columns}
    labs = table(
        Lab,
        *(
            {**SODIUM, **given, "visitnum": visit, "lbstresn": result, "_line": line}
            for line, (visit, result) in enumerate(results, start=1)
        ),
    )
    rows = LAB_RESULTS.transform(labs, table(BlindedSubject, PERSON)).collect()
    assert LabResult.is_valid(rows)
    return rows.sort("_line")


def test_baseline_is_of_visit_1_and_has_no_change_itself(table: Callable[..., pl.LazyFrame]) -> None:
    rows = series(table, (1, 140), (1.1, 150), (4, 133))

    assert rows["ablfl"].to_list() == ["Y", None, None]
    assert rows.select("base", "chg").rows() == [(140, None), (140, 10), (140, -7)]
    assert rows["avisitn"].to_list() == [0, None, 2]


def test_without_a_baseline_there_is_no_change_and_no_shift(table: Callable[..., pl.LazyFrame]) -> None:
    rows = series(table, (1, None), (4, 133))

    assert rows.select("ablfl", "base", "chg", "bnrind", "shift1").rows() == [(None,) * 5] * 2
    assert rows["anrind"].to_list() == [None, "NORMAL"]


def test_a_baseline_of_zero_has_changes_but_no_percentage(table: Callable[..., pl.LazyFrame]) -> None:
    rows = series(table, (1, 0), (4, 3))

    assert rows.select("chg", "pchg").row(1) == (3, None)


def test_a_ratio_that_no_double_holds_is_null(table: Callable[..., pl.LazyFrame]) -> None:
    rows = series(table, (1, 1e-309), (4, 140), lbstnrlo=1e-309, lbstnrhi=1e-308)

    assert rows.select("base", "chg", "pchg", "r2a1lo", "r2a1hi").row(1) == (1e-309, 140, None, None, None)
    assert rows.select("r2a1lo", "br2a1lo").row(0) == (1, 1)
    assert series(table, (1, 140), lbstnrhi=0.0)["r2a1hi"].to_list() == [None]


def test_the_shift_is_from_baseline_by_the_multiples_of_the_range(table: Callable[..., pl.LazyFrame]) -> None:
    # 0.5 x 132 is 66, 1.5 x 147 is 220.5: the ends themselves are normal, and so is what only the laboratory calls low.
    rows = series(table, (1, 65.9), (4, 66), (5, 220.5), (7, 220.6), (8, 100))

    assert rows["anrind"].to_list() == ["LOW", "NORMAL", "NORMAL", "HIGH", "NORMAL"]
    assert set(rows["bnrind"]) == {"LOW"}
    assert rows["shift1"].to_list() == [None, "LOW to NORMAL", "LOW to NORMAL", "LOW to HIGH", "LOW to NORMAL"]
    assert rows.select("r2a1lo", "br2a1lo").row(1) == (66 / 132, 65.9 / 132)


def test_a_range_is_kept_in_the_studys_decimals_and_zero_is_no_end(table: Callable[..., pl.LazyFrame]) -> None:
    def ends(test: str, low: float, high: float) -> tuple[float | None, float | None]:
        rows = series(table, (1, 1), lbtestcd=test, lbstnrlo=low, lbstnrhi=high)
        found: tuple[float | None, float | None] = rows.select("a1lo", "a1hi").row(0)
        return found

    # Bilirubin, urate, cholesterol and haematocrit.
    assert ends("BILI", 3.42, 20.52) == (3, 21)
    assert ends("URATE", 148.7, 446.1) == (149, 446)
    assert ends("CHOL", 3.85314, 7.39596) == (3.85, 7.4)
    assert ends("HCT", 0.345, 0.475) == (0.345, 0.475)
    assert ends("EOS", 0.0, 0.57) == (None, 0.57)


def test_the_visit_farthest_inside_is_analysed_the_earliest_of_several(table: Callable[..., pl.LazyFrame]) -> None:
    # The distance is the greater of 220.5 - AVAL and AVAL - 66. Unplanned visits and those past week 24 do not count.
    rows = series(table, (1, 80), (4, 130), (4.1, 70), (5, 90), (7, 90), (13, 80))
    assert rows["albtrval"].to_list() == [140.5, 90.5, 150.5, 130.5, 130.5, 140.5]
    assert rows["anl01fl"].to_list() == [None, None, None, "Y", None, None]
    assert rows["aentmtfl"].to_list() == [None, None, None, None, "Y", None]

    # Equal but for the last bits of a double: 0.765 - 0.39 and 0.56 - 0.185.
    tied = series(table, (4, 0.39), (7, 0.56), lbtestcd="HCT", lbstnrlo=0.37, lbstnrhi=0.51)
    assert tied["anl01fl"].to_list() == ["Y", None]


def test_a_parameter_has_its_unit_unless_there_is_none(table: Callable[..., pl.LazyFrame]) -> None:
    named = [
        series(table, (1, 1), lbtest="Hematocrit", lbstresu=unit)["param"].item() for unit in ("mmol/L", "1", None)
    ]

    assert named == ["Hematocrit (mmol/L)", "Hematocrit", "Hematocrit"]


def test_every_published_indicator(
    published: Callable[[str], pl.DataFrame],
    delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame],
    table: Callable[..., pl.LazyFrame],
) -> None:
    truth = published("pharmaversesdtm/lb")
    labs = LABS.tidy(delivered(truth, LABS, "LBDTC").lazy())
    subjects = SUBJECTS.tidy(delivered(published("cdiscpilotsdtm/dm"), SUBJECTS, "DMDTC").lazy())
    others = (table(row) for row in (Exposure, Disposition, Visit, Vital))

    rows = LAB_RESULTS.transform(labs, KNOWN.transform(subjects, *others)).collect().sort("_line")

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
