"""Laboratory results against the published trial, every row of it, and each rule against a row that breaks only it."""

from collections.abc import Callable, Mapping
from datetime import date, datetime

import polars as pl
import pytest
from rules import (  # noqa: F401
    test_a_row_that_breaks_one_rule_is_told_that_rule,
    test_every_column_is_described,
    test_every_rule_has_a_row_that_breaks_it,
)

from assets.labs import IN_WORDS, LABS, TESTS, Lab, known_units
from lakehouse.source import Source

Row = Mapping[str, str | None]
SOURCE = LABS
GOOD: Row = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": "01-701-1015",
    "LBTESTCD": "BILI",
    "LBTEST": "Bilirubin",
    "LBCAT": "CHEMISTRY",
    "LBORRES": "0.4",
    "LBORRESU": "mg/dL",
    "LBORNRLO": "0.2",
    "LBORNRHI": "1.2",
    "VISITNUM": "1",
    "VISIT": "SCREENING 1",
    "LBDTC": "2014-01-02T14:45",
}

# Decimals to which the study publishes reference ranges in the standard unit; others are not converted.
RANGE_DECIMALS = {
    **dict.fromkeys(["BILI", "CREAT", "MCHC", "URATE", "VITB12"], 0),
    **dict.fromkeys(["BUN", "GLUC", "MCH"], 1),
    **dict.fromkeys(["CA", "CHOL", "HGB", "PHOS"], 2),
}


@pytest.fixture(scope="module")
def truth(published: Callable[[str], pl.DataFrame]) -> pl.DataFrame:
    return published("pharmaversesdtm/lb")


@pytest.fixture(scope="module")
def accepted(truth: pl.DataFrame, delivered: Callable[[pl.DataFrame, Source, str], pl.DataFrame]) -> pl.DataFrame:
    rows, failure = Lab.filter(LABS.tidy(delivered(truth, LABS, "LBDTC").lazy()).collect(), cast=False)
    assert failure.counts() == {}
    assert rows.height == 59_580
    return rows


def test_every_published_result_is_standardised_as_published(truth: pl.DataFrame, accepted: pl.DataFrame) -> None:
    assert accepted["lbstresc"].to_list() == truth["LBSTRESC"].to_list()
    assert accepted["lbstresu"].to_list() == truth["LBSTRESU"].to_list()
    # The published numbers carry the noise of their own multiplication, some 1e-13.
    both = pl.DataFrame({"ours": accepted["lbstresn"], "published": truth["LBSTRESN"]})
    assert both.filter(pl.col("ours").is_null() != pl.col("published").is_null()).is_empty()
    assert both.select((pl.col("ours") - pl.col("published")).abs().max()).item() < 1e-12
    assert both["ours"].null_count() == 880


def test_every_published_range_is_standardised_as_published(truth: pl.DataFrame, accepted: pl.DataFrame) -> None:
    decimals = pl.col("lbtestcd").replace_strict(RANGE_DECIMALS, default=12, return_dtype=pl.Int64)
    both = accepted.with_columns(truth["LBSTNRLO", "LBSTNRHI"])
    different = both.filter(
        pl.any_horizontal(
            (pl.col(ours).is_null() != pl.col(published).is_null())
            # Half of the last published decimal, and the noise of a multiplication.
            | ((pl.col(ours) - pl.col(published)).abs() > pl.lit(0.5) * pl.lit(10.0).pow(-decimals) + 1e-9)
            for ours, published in (("lbstnrlo", "LBSTNRLO"), ("lbstnrhi", "LBSTNRHI"))
        )
    )

    # Glycated haemoglobin: the published range, 4.2 to 11.2 %, is not the delivered 4.3 to 6.1 % in any unit.
    listed = different.select(
        "lbtestcd", "lbornrlo", "lbornrhi", "lbstnrlo", "lbstnrhi", pl.col("LBSTNRLO", "LBSTNRHI").round(6)
    )
    assert listed.rows() == [("HBA1C", "4.3", "6.1", 0.043, 0.061, 0.042, 0.112)] * 8
    assert both["lbstnrlo"].null_count() == both["lbstnrhi"].null_count() == 2_915


def test_every_published_text_and_date_is_kept(truth: pl.DataFrame, accepted: pl.DataFrame) -> None:
    for name in set(LABS.header) - {"VISITNUM"}:
        assert accepted[name.lower()].to_list() == truth[name].to_list()
    assert accepted["visitnum"].to_list() == truth["VISITNUM"].to_list()
    assert accepted["lbdt"].to_list() == [date.fromisoformat(text[:10]) for text in truth["LBDTC"]]
    moments = [datetime.fromisoformat(text) if "T" in text else None for text in truth["LBDTC"]]
    assert accepted["lbdtm"].to_list() == moments
    assert moments.count(None) == 225


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({}, ("6.84", 6.84, "umol/L", 3.42, 20.52), id="converted"),
        pytest.param({"LBORRES": "6.84000001", "LBORRESU": "umol/L", "LBORNRLO": "3", "LBORNRHI": "21"},
                     ("6.84000001", 6.84000001, "umol/L", 3.0, 21.0), id="standard unit kept exactly"),
        pytest.param({"LBORRES": "<0.2"}, ("<3.42", None, "umol/L", 3.42, 20.52), id="below the limit"),
        pytest.param({"LBORRES": ">= 30"}, (">=513", None, "umol/L", 3.42, 20.52), id="above the limit"),
        pytest.param({"LBORRES": "low"}, (None, None, "umol/L", 3.42, 20.52), id="unreadable"),
        pytest.param({"LBORNRLO": "<0.2", "LBORNRHI": "?"}, ("6.84", 6.84, "umol/L", None, None), id="range in words"),
        pytest.param({"LBORRESU": "mg"}, (None, None, None, None, None), id="unknown unit"),
        pytest.param({"LBTESTCD": "VITB12", "LBORRES": "1504", "LBORRESU": "pg/mL"},
                     ("1109.651", 1109.651, "pmol/L", 0.14756, 0.88536), id="seven significant digits"),
        pytest.param({"LBTESTCD": "COLOR", "LBORRES": "Yellow", "LBORRESU": "NO UNITS"},
                     ("Yellow", None, None, 0.2, 1.2), id="words"),
        pytest.param({"LBTESTCD": "KETONES", "LBORRES": "> 5", "LBORRESU": None},
                     (">5", None, None, 0.2, 1.2), id="limit of a test in words"),
        pytest.param({"LBTESTCD": "KETONES", "LBORRES": "1", "LBORRESU": None}, ("1", 1.0, None, 0.2, 1.2), id="code"),
    ],
)  # fmt: skip
def test_standard_result(
    raw_row: Callable[[Source, Row], pl.DataFrame],
    values: Row,
    expected: tuple[str | None, float | None, str | None, float | None, float | None],
) -> None:
    tidied = LABS.tidy(raw_row(LABS, {**GOOD, **values}).lazy()).collect()

    assert tidied.select("lbstresc", "lbstresn", "lbstresu", "lbstnrlo", "lbstnrhi").row(0) == expected
    assert tidied["lborres"].item() == {**GOOD, **values}["LBORRES"]


@pytest.mark.parametrize(
    ("text", "day", "moment"),
    [
        ("2014-01-02", date(2014, 1, 2), None),
        ("2014-01-02T14", date(2014, 1, 2), None),
        ("2014-01-02T-:45", date(2014, 1, 2), None),
        ("2014-01-02T14:-:30", date(2014, 1, 2), None),
        ("2014-01-02T14:45", date(2014, 1, 2), datetime(2014, 1, 2, 14, 45)),
        ("2014-01-02T14:45:30.25", date(2014, 1, 2), datetime(2014, 1, 2, 14, 45, 30, 250_000)),
        ("2014-01-02T14:45-05:00", date(2014, 1, 2), datetime(2014, 1, 2, 14, 45)),
        ("2014-01", None, None),
        ("2014---02", None, None),
        ("--01-02", None, None),
        ("-----T14:45", None, None),
        ("2014-02-30", None, None),
        ("2014-01-02 14:45", None, None),
    ],
)
def test_dates(
    raw_row: Callable[[Source, Row], pl.DataFrame], text: str, day: date | None, moment: datetime | None
) -> None:
    tidied = LABS.tidy(raw_row(LABS, {**GOOD, "LBDTC": text}).lazy()).collect()

    assert tidied.select("lbdtc", "lbdt", "lbdtm").row(0) == (text, day, moment)


def test_rows_come_out_one_for_one_in_their_order(raw_row: Callable[[Source, Row], pl.DataFrame]) -> None:
    units = ["mg/dL", None, "umol/L", "mg", "mg/dL"]
    raw = pl.concat(
        raw_row(LABS, {**GOOD, "LBORRESU": unit}).with_columns(_line=pl.lit(line, pl.Int64))
        for line, unit in enumerate(units, start=2)
    )

    tidied = LABS.tidy(raw.lazy()).collect()

    assert tidied.select("_line", "lborresu").rows() == list(enumerate(units, start=2))
    assert tidied.schema == Lab.create_empty().schema


def test_every_test_has_its_own_units_and_a_standard_one() -> None:
    pairs = [(test, unit) for test, unit, _, _ in known_units()]
    standards = {(test, standard) for test, _, standard, _ in known_units()}

    assert len(TESTS) == len(set(TESTS)) == len(standards) == 47
    assert len(pairs) == len(set(pairs))
    assert set(IN_WORDS) < set(TESTS)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="number"),
        pytest.param({"LBORRES": "<0.2"}, id="below the limit"),
        pytest.param({"LBTESTCD": "COLOR", "LBORRES": "Yellow", "LBORRESU": None}, id="words without a unit"),
        pytest.param({"LBORRES": "6.84", "LBORRESU": "umol/L"}, id="standard unit"),
        pytest.param({"LBORNRLO": None, "LBORNRHI": None, "LBCAT": None}, id="no range"),
        pytest.param({"LBORNRLO": "none"}, id="range in words"),
        pytest.param({"LBDTC": "2014-06-30T23:59"}, id="on the day of delivery"),
        pytest.param({"LBDTC": "--02-29"}, id="date without its year"),
        pytest.param({"LBDTC": "2014---31"}, id="date without its month"),
        pytest.param({"LBDTC": "2012"}, id="the study's first year"),
    ],
)
def test_a_sound_row_breaks_no_rule(
    raw_row: Callable[[Source, Row], pl.DataFrame], broken: Callable[[Source, pl.DataFrame], list[str]], values: Row
) -> None:
    assert broken(LABS, raw_row(LABS, {**GOOD, **values})) == []


CASES: list[tuple[str, Row]] = [
    ("studyid|nullability", {"STUDYID": None}),
    ("usubjid|nullability", {"USUBJID": None}),
    ("lbtestcd|nullability", {"LBTESTCD": None}),
    ("lbtest|nullability", {"LBTEST": None}),
    ("lborres|nullability", {"LBORRES": None}),
    ("lbdtc|nullability", {"LBDTC": None}),
    ("visitnum|nullability", {"VISITNUM": None}),
    ("visitnum|nan", {"VISITNUM": "3,1"}),
    ("subject_of_site", {"USUBJID": "01-703-1015"}),
    ("test_known", {"LBTESTCD": "BILIRUBIN"}),
    ("unit_known", {"LBORRESU": "mg/L"}),
    ("unit_known", {"LBORRESU": None}),
    ("unit_known", {"LBORRESU": "NO UNITS"}),
    ("unit_known", {"LBTESTCD": "PH", "LBORRESU": "mg/dL"}),
    *[
        ("result_readable", {"LBORRES": text})
        for text in (
            "0,4",
            "NEGATIVE",
            "NaN",
            "inf",
            "1e400",
            "<",
            "< 0,2",
            "<<1",
            "0.4 mg/dL",
            "9" * 18,
            f"0.{0:0308}1",
        )
    ],
    ("result_readable", {"LBTESTCD": "PH", "LBORRES": "acid", "LBORRESU": None}),
    ("result_not_negative", {"LBORRES": "-0.4"}),
    ("result_not_negative", {"LBORRES": "<-1"}),
    ("range_in_order", {"LBORNRLO": "1.2", "LBORNRHI": "0.2"}),
    ("date_real", {"LBDTC": "2014-02-30T14:45"}),
    ("date_real", {"LBDTC": "2014-01-02 14:45"}),
    ("date_real", {"LBDTC": "2014-01-02T14:60"}),
    ("date_real", {"LBDTC": "--02-30"}),
    ("date_real", {"LBDTC": "2014---32"}),
    ("date_real", {"LBDTC": "2014--"}),
    ("date_in_study", {"LBDTC": "2011"}),
    ("taken_before_delivery", {"LBDTC": "2014-07-01T00:00"}),
]
