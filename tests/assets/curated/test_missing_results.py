import statistics
from collections.abc import Callable
from datetime import date

import polars as pl
import pytest
from agreement import made, published

from assets import study
from assets.curated.lab_results import LabResult
from assets.curated.missing_by_site import MISSING_BY_SITE
from assets.curated.missing_results import MISSING_RESULTS, MissingResult
from assets.curated.scheduled_results import SCHEDULED_RESULTS, ScheduledResult, schedule
from assets.curated.subjects import BlindedSubject
from assets.curated.vital_signs import VitalSign
from assets.visits import Visit

PERSON = {"usubjid": "01-701-1", "siteid": "701", "ittfl": "Y"}
DAY = date(2014, 1, 2)
# VISITNUM of weeks 0 (laboratory), 2, 4 and 6.
WEEKS = (1.0, 4.0, 5.0, 7.0)


def sodium(
    table: Callable[..., pl.LazyFrame], came: tuple[float, ...], results: dict[int, float], **person: object
) -> dict[int, tuple[str, float | None]]:
    """By week, status and carried value of sodium, of a subject who came to some visits and has some results."""
    labs = table(
        LabResult,
        *(
            {"usubjid": "01-701-1", "paramcd": "SODIUM", "avisitn": week, "aval": value, "lbstresc": str(value)}
            for week, value in results.items()
        ),
    )
    visits = table(Visit, *({"usubjid": "01-701-1", "visitnum": number, "svstdt": DAY} for number in came))
    subjects = table(BlindedSubject, {**PERSON, **person})
    rows = SCHEDULED_RESULTS.transform(subjects, visits, table(VitalSign), labs).collect()
    assert ScheduledResult.is_valid(rows)
    found = rows.filter(paramcd="SODIUM").sort("avisitn").select("avisitn", "status", "carried").rows()
    return {week: (status, carried) for week, status, carried in found}


def test_what_is_missing_and_why(table: Callable[..., pl.LazyFrame]) -> None:
    # There; came without a result; did not come; came; gone for good.
    found = sodium(table, (1.0, 4.0, 7.0), {0: 140.0, 6: 144.0}, dcdecod="DEATH")

    assert {week: found[week] for week in (0, 2, 4, 6, 8, 26)} == {
        0: ("present", 140),
        2: ("no result", 140),
        4: ("visit missed", 140),
        6: ("present", 144),
        8: ("left the study", 144),
        26: ("left the study", 144),
    }


def test_what_is_not_due_is_not_missing(table: Callable[..., pl.LazyFrame]) -> None:
    assert set(sodium(table, (1.0, 4.0), {0: 140.0, 2: 141.0})) == {0, 2}
    assert sodium(table, (1.0,), {0: 140.0}, ittfl="N") == {}
    # A result is there, whether its visit is on record or not.
    assert sodium(table, (), {2: 141.0})[2] == ("present", 141)


def test_a_result_that_the_site_says_was_not_done(table: Callable[..., pl.LazyFrame]) -> None:
    vitals = table(VitalSign, {"usubjid": "01-701-1", "paramcd": "TEMP", "avisitn": 2, "vsstat": "NOT DONE"})
    visits = table(Visit, {"usubjid": "01-701-1", "visitnum": 4.0})
    rows = SCHEDULED_RESULTS.transform(table(BlindedSubject, PERSON), visits, vitals, table(LabResult)).collect()
    assert rows.filter(pl.col("paramcd") == "TEMP", pl.col("avisitn") == 2)["status"].to_list() == ["not done"]


def test_the_schedule_is_what_the_study_did() -> None:
    """Each planned result was measured in most of the subjects who came, and nothing else was in more than a few."""
    planned = schedule().collect()
    assert planned.height == 432
    rows = pl.concat(
        [
            made("curated/vital_signs").select("usubjid", "paramcd", "basetype", "avisitn"),
            made("curated/lab_results").select(
                "usubjid", "paramcd", pl.lit(None, pl.String).alias("basetype"), "avisitn"
            ),
        ]
    ).drop_nulls("avisitn")
    keys = ["paramcd", "basetype", "avisitn"]
    measured = rows.group_by(keys).agg(n=pl.col("usubjid").n_unique())
    both = measured.join(planned, on=keys, how="full", nulls_equal=True, coalesce=True)
    assert both.filter(pl.col("source").is_not_null())["n"].min() >= 108
    assert both.filter(pl.col("source").is_null())["n"].max() <= 22


def test_policies_by_hand(table: Callable[..., pl.LazyFrame]) -> None:
    """Three subjects at two sites and two visits; the second subject misses the second."""
    values = {"01-701-1": (140.0, 142.0), "01-701-2": (150.0, None), "01-702-3": (145.0, 149.0)}
    rows = table(
        ScheduledResult,
        *(
            {
                "usubjid": subject,
                "siteid": subject[3:6],
                "source": "labs",
                "paramcd": "SODIUM",
                "avisitn": week,
                "visitnum": 4.0,
                "status": "present" if value else "no result",
                "aval": value,
                "carried": value or pair[0],
                "complete": None not in pair,
            }
            for subject, pair in values.items()
            for week, value in zip((0, 2), pair, strict=True)
        ),
    )
    found = MISSING_RESULTS.transform(MISSING_BY_SITE.transform(rows)).collect().sort("avisitn")
    assert MissingResult.is_valid(found)
    assert found.select("expected", "present", "no_result", "left_study").rows() == [(3, 3, 0, 0), (3, 2, 1, 0)]

    def told(policy: str) -> list[tuple[object, ...]]:
        return found.select(f"{policy}_n", f"{policy}_mean", pl.col(f"{policy}_sd").round(6)).rows()

    assert told("keep") == [(3, 145, 5), (2, 145.5, round(statistics.stdev([142, 149]), 6))]
    assert told("drop") == [(2, 142.5, round(statistics.stdev([140, 145]), 6)), (2, 145.5, 4.949747)]
    assert told("carry") == [(3, 145, 5), (3, 147, round(statistics.stdev([142, 150, 149]), 6))]


@pytest.mark.parametrize("test", ["SODIUM", "ALT", "GLUC"])
def test_observed_cases_are_those_of_the_published_dataset(test: str) -> None:
    """n, mean and SD per visit beside ADLBC, with Python's own statistics."""
    theirs = published("ADLBC").filter(pl.col("PARAMCD") == test, pl.col("AVISITN") != 99, pl.col("AVAL").is_not_null())
    for week in (0, *study.WEEKS.values()):
        values = theirs.filter(pl.col("AVISITN") == week)["AVAL"].to_list()
        row = made("curated/missing_results").row(
            by_predicate=(pl.col("paramcd") == test) & (pl.col("avisitn") == week), named=True
        )
        assert row["keep_n"] == len(values), week
        assert row["keep_mean"] == pytest.approx(statistics.fmean(values), rel=1e-7)
        assert row["keep_sd"] == pytest.approx(statistics.stdev(values), rel=1e-6)


def test_every_scheduled_result_is_counted_once() -> None:
    found = made("curated/missing_results")
    parts = ("present", "not_done", "no_result", "visit_missed", "left_study")
    assert (found.select(pl.sum_horizontal(parts)).to_series() == found["expected"]).all()
    assert found.select(pl.col("expected", *parts).sum()).row(0) == (109_728, 76_918, 5, 2_246, 0, 30_559)
