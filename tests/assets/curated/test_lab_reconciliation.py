"""What the central laboratory and the sites tell of the same specimen is compared as a person would."""

from collections.abc import Callable

import polars as pl
import pytest

from assets.central_lab import CentralResult
from assets.curated.lab_reconciliation import LAB_RECONCILIATION, Reconciliation
from assets.labs import Lab

ID = {"usubjid": "01-701-1001", "visitnum": 3.0}
DAY = "2014-01-02T08:30"


@pytest.fixture
def compared(table: Callable[..., pl.LazyFrame]) -> Callable[..., pl.DataFrame]:
    """The comparison of rows given for the sites and for the laboratory."""

    def rows(sites: list[dict[str, object]], theirs: list[dict[str, object]]) -> pl.DataFrame:
        ours = [{**ID, "lbdtc": DAY, **row} for row in sites]
        central = [{**ID, "siteid": "701", "lbdtc": DAY, "result_id": f"r{n}", **row} for n, row in enumerate(theirs)]
        made = LAB_RECONCILIATION.transform(table(Lab, *ours), table(CentralResult, *central)).collect()
        assert Reconciliation.is_valid(made)
        return made

    return rows


def ours(test: str, standard: float | None, written: str, **more: object) -> dict[str, object]:
    return {"lbtestcd": test, "lbstresn": standard, "lborres": written, "lborresu": "mg/dL", **more}


def theirs(test: str, value: float | None, written: str, unit: str, **more: object) -> dict[str, object]:
    return {"lbtestcd": test, "lborresn": value, "lborres": written, "lborresu": unit, **more}


@pytest.mark.parametrize(
    ("value", "unit", "difference"),
    [
        # 5.551 mmol/L is 100 mg/dL; half a percent to either side is no difference.
        (100.0, "mg/dL", None),
        (5.551, "mmol/L", None),
        (100.4, "mg/dL", None),
        (99.6, "mg/dL", None),
        (100.6, "mg/dL", "result"),
        (99.4, "mg/dL", "result"),
        (100.0, "mmol/L", "result"),
    ],
)
def test_results_agree_in_the_unit_of_the_study_within_half_a_percent(
    compared: Callable[..., pl.DataFrame], value: float, unit: str, difference: str | None
) -> None:
    [row] = compared([ours("GLUC", 5.551, "100")], [theirs("GLUC", value, str(value), unit)]).to_dicts()
    assert row["difference"] == difference
    assert (row["lborres"], row["central_lborres"], row["central_lborresu"]) == ("100", str(value), unit)
    assert (row["siteid"], row["result_id"]) == ("701", "r0")


def test_urea_is_one_test_under_two_names(compared: Callable[..., pl.DataFrame]) -> None:
    made = compared([ours("BUN", 3.57, "10")], [theirs("UREAN", 10.0, "10", "mg/dL")])
    assert made.select("lbtestcd", "difference").rows() == [("BUN", None)]


def test_results_beyond_a_limit_are_compared_as_they_are_written(compared: Callable[..., pl.DataFrame]) -> None:
    def difference(written: str, number: float | None = None) -> object:
        return compared([ours("GLUC", None, "<0.2")], [theirs("GLUC", number, written, "mg/dL")])["difference"].item()

    assert (difference("<0.2"), difference("<0.3"), difference("0.2", 0.2)) == (None, "result", "result")


@pytest.mark.parametrize(
    ("site", "laboratory", "difference"),
    [
        # By the day, or as much of it as both tell; a time is none of it.
        (DAY, "2014-01-02T11:00", None),
        (DAY, "2014-01-02", None),
        (DAY, "2014-01", None),
        ("2014", DAY, None),
        (DAY, "2014-01-03T08:30", "date"),
        ("2014-02", DAY, "date"),
    ],
)
def test_dates_are_compared_as_far_as_both_are_known(
    compared: Callable[..., pl.DataFrame], site: str, laboratory: str, difference: str | None
) -> None:
    made = compared([ours("GLUC", 5.551, "100", lbdtc=site)], [theirs("GLUC", 100.0, "100", "mg/dL", lbdtc=laboratory)])
    assert made["difference"].to_list() == [difference]


def test_the_result_is_told_before_the_date(compared: Callable[..., pl.DataFrame]) -> None:
    made = compared([ours("GLUC", 5.551, "100")], [theirs("GLUC", 200.0, "200", "mg/dL", lbdtc="2014-05-05")])
    assert made["difference"].to_list() == ["result"]


def test_what_one_of_them_has_alone_is_told(compared: Callable[..., pl.DataFrame]) -> None:
    sites = [ours("GLUC", 5.551, "100", visitnum=4.0), ours("GLUC", 5.551, "100", usubjid="01-702-1002")]
    # Not one of the laboratory's tests.
    sites += [ours("HGB", 8.0, "8", visitnum=4.0)]
    made = compared(sites, [theirs("GLUC", 100.0, "100", "mg/dL", visitnum=5.0)]).sort("visitnum")
    # Of a subject whom the laboratory does not know nothing is expected of it.
    assert made.select("usubjid", "visitnum", "difference").rows() == [
        ("01-701-1001", 4.0, "only_site"),
        ("01-701-1001", 5.0, "only_laboratory"),
    ]


def test_a_test_that_was_done_twice_is_two_rows(compared: Callable[..., pl.DataFrame]) -> None:
    twice = [theirs("GLUC", 100.0, "100", "mg/dL"), theirs("GLUC", 120.0, "120", "mg/dL")]
    made = compared([ours("GLUC", 5.551, "100")], twice).sort("result_id")
    assert made.select("result_id", "difference").rows() == [("r0", None), ("r1", "result")]
