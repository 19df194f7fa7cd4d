from collections.abc import Callable
from datetime import date, timedelta

import polars as pl

from assets import study
from assets.curated.planned_visits import PlannedVisit, planned_visits
from assets.curated.subjects import BlindedSubject
from assets.visits import Visit

DOSED = date(2014, 1, 1)


def test_every_visit_of_the_schedule_is_due_for_a_treated_subject(table: Callable[..., pl.LazyFrame]) -> None:
    subjects = table(
        BlindedSubject,
        {"usubjid": "A", "siteid": "701", "trtsdt": DOSED, "rfendt": date(2014, 3, 1)},
        {"usubjid": "B", "siteid": "701"},
    )
    visits = table(
        Visit,
        {"usubjid": "A", "visitnum": 4.0, "svstdt": date(2014, 1, 16)},
        # A visit of unknown day took place; an unplanned one is none of the schedule's.
        {"usubjid": "A", "visitnum": 5.0, "svstdt": None},
        {"usubjid": "A", "visitnum": 5.1, "svstdt": date(2014, 2, 3)},
        {"usubjid": "B", "visitnum": 4.0, "svstdt": date(2014, 1, 16)},
    )

    rows = planned_visits(visits, subjects).sort("usubjid", "visitnum").collect()

    assert PlannedVisit.is_valid(rows)
    assert rows.select("usubjid", "visitnum", "avisitn").rows() == [
        ("A", number, week) for number, week in study.WEEKS.items()
    ]
    assert rows.select("due", "missing_after", "visited", "visitdt").rows()[:3] == [
        (date(2014, 1, 15), date(2014, 1, 22), True, date(2014, 1, 16)),
        (date(2014, 1, 29), date(2014, 2, 5), True, None),
        (date(2014, 2, 12), date(2014, 2, 19), False, None),
    ]
    assert rows["due"].to_list()[-1] == DOSED + timedelta(weeks=26)
    assert rows["rfendt"].unique().to_list() == [date(2014, 3, 1)]
