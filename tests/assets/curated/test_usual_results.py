import math
import statistics
from collections.abc import Callable
from datetime import date

import polars as pl
import pytest
from agreement import made

from assets.curated import reference_results as sampled
from assets.curated.reference_results import REFERENCE_RESULTS, REFERENCE_SUBJECTS, ReferenceResult
from assets.curated.subjects import BlindedSubject
from assets.curated.usual_results import USUAL_RESULTS, UsualResult
from assets.study import LOGARITHMIC


def result(test: str, subject: str, value: float, visit: float, day: date | None) -> dict[str, object]:
    """One result of the sample."""
    return {"usubjid": subject, "source": "labs", "paramcd": test, "visitnum": visit, "aval": value, "adt": day}


def usual(table: Callable[..., pl.LazyFrame], test: str, *values: float) -> dict[str, object]:
    """What is usual when each is a result of a subject of its own at the first visit, and 1 more at the second."""
    rows = table(
        ReferenceResult,
        *(
            result(test, f"s{n}", value + visit - 1, visit, date(2014, 1, 31))
            for n, value in enumerate(values)
            for visit in (1.0, 2.0)
        ),
        # By which January is over; of this one nothing counts.
        result(test, "other", 1e6, 1.0, date(2014, 2, 1)),
    )
    found = USUAL_RESULTS.transform(rows).collect()
    assert UsualResult.is_valid(found)
    return found.row(0, named=True)


def test_centre_and_spread_are_median_and_scaled_median_deviation(table: Callable[..., pl.LazyFrame]) -> None:
    # 100 to 119 and 101 to 120: the median is 110; the deviations' is 5, x 1.4826 = 7.413, to two figures 7.4.
    found = usual(table, "SODIUM", *range(100, 120))
    assert (found["scale"], found["centre"], found["spread"]) == ("plain", 110, 7.4)
    # Every change is the same: nothing to judge another by.
    assert found["change_spread"] is None


def test_with_few_results_or_without_deviation_nothing_is_usual(table: Callable[..., pl.LazyFrame]) -> None:
    assert usual(table, "SODIUM", *range(14))["centre"] is None
    assert usual(table, "CREAT", *[0.0] * 20)["spread"] is None
    assert usual(table, "SODIUM", *[7.0] * 10, *[8.0] * 10)["spread"] == 0.74


def test_a_month_counts_once_it_is_over(table: Callable[..., pl.LazyFrame]) -> None:
    def centre(*days: date | None) -> object:
        rows = [result("SODIUM", f"s{n}", n, 1.0, date(2014, 1, n + 1)) for n in range(31)]
        late = [result("SODIUM", f"late{n}", 1000, 1.0, day) for n, day in enumerate(days)]
        found = USUAL_RESULTS.transform(table(ReferenceResult, *rows, *late)).collect()
        return found["centre"].to_list()

    assert centre() == centre(None) == []
    assert centre(date(2014, 2, 1)) == [15] == centre(*[date(2014, 2, n) for n in range(1, 29)])
    assert centre(*[date(2014, 1, 31)] * 40, date(2014, 3, 1)) == [1000]


def test_the_studys_numbers_are_those_of_another_library() -> None:
    """Beside Python's own statistics, to the second figure of the spread."""
    results = made("curated/lab_results").filter(pl.col("aval").is_not_null(), pl.col("adt") < date(2015, 3, 1))
    for test in ("SODIUM", "ALT", "WBC", "URATE"):
        values = results.filter(lbtestcd=test)["aval"].to_list()
        x = [math.log10(value) for value in values] if test in LOGARITHMIC else values
        centre = statistics.median(x)
        spread = 1.4826 * statistics.median(abs(value - centre) for value in x)
        found = made("curated/usual_results").row(by_predicate=pl.col("paramcd") == test, named=True)
        place = 10 ** (math.floor(math.log10(spread)) - 1)
        assert found["spread"] == pytest.approx(spread, abs=place / 1.99), test
        assert found["centre"] == pytest.approx(centre, abs=place / 1.99), test


def test_a_sample_is_drawn_evenly_and_stays(
    table: Callable[..., pl.LazyFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [{"usubjid": f"01-{700 + n % 10}-{n}", "siteid": str(700 + n % 10)} for n in range(4000)]
    monkeypatch.setattr(sampled, "SAMPLE", 400)

    def drawn(count: int) -> pl.DataFrame:
        return REFERENCE_SUBJECTS.transform(table(BlindedSubject, *people[:count])).collect()

    assert drawn(300).height == 300
    early, late = drawn(3900), drawn(4000)
    assert (early.height, late.height) == (400, 400)
    # Of 100 new subjects about 10 take the place of others; of ten sites each has about 40.
    assert 1 <= early.join(late, on="usubjid", how="anti").height <= 25
    assert late.group_by("siteid").len()["len"].is_between(20, 65).all()


def test_only_the_sample_is_asked() -> None:
    sample = made("curated/reference_subjects").head(3)
    vitals, labs = made("curated/vital_signs").lazy(), made("curated/lab_results").lazy()
    found = REFERENCE_RESULTS.transform(sample.lazy(), vitals, labs).collect()
    assert set(found["usubjid"]) == set(sample["usubjid"]) & set(made("curated/vital_signs")["usubjid"])
