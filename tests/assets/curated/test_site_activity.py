from collections.abc import Callable
from datetime import date

import polars as pl

from assets.catalog import sources
from assets.cdisc import SubjectRecord
from assets.curated.site_activity import SITE_ACTIVITY, SOURCES, SiteActivity
from assets.labs import Lab
from assets.subjects import Subject
from assets.vitals import Vital
from lakehouse.quality import Arrival, Delivery

MONDAY, TUESDAY = date(2014, 6, 2), date(2014, 6, 3)


def test_files_records_and_subjects_by_site_and_day(table: Callable[..., pl.LazyFrame]) -> None:
    def file(name: str, site: str, day: date | None, counts: tuple[int, int, int], **more: object) -> dict[str, object]:
        accepted, quarantined, superseded = counts
        return {
            "source": name.split("/")[1].split("_")[0],
            "_file": name,
            "_site": site,
            "_delivered": day,
            "records": sum(counts),
            "accepted": accepted,
            "quarantined": quarantined,
            "superseded": superseded,
            **more,
        }

    account = table(
        Delivery,
        file("701/vitals_1.csv", "701", MONDAY, (0, 0, 3), _checksum="a", state="replaced"),
        file("701/vitals_1.csv", "701", MONDAY, (3, 1, 0), _checksum="b"),
        file("701/labs_1.csv", "701", MONDAY, (2, 0, 0)),
        file("701/labs_2.csv", "701", TUESDAY, (0, 5, 0), state="rejected"),
        file("702/subjects_1.csv", "702", MONDAY, (1, 0, 0)),
        file("702/subjects_x.csv", "702", None, (0, 9, 0), state="rejected"),
    )

    def seen(contract: type, *where: tuple[str, date, str]) -> pl.LazyFrame:
        return table(contract, *({"_site": s, "_delivered": day, "usubjid": subject} for s, day, subject in where))

    vitals = seen(Vital, ("701", MONDAY, "1"), ("701", MONDAY, "1"), ("701", MONDAY, "2"))
    labs = seen(Lab, ("701", MONDAY, "2"), ("701", MONDAY, "3"))
    subjects = seen(Subject, ("702", MONDAY, "9"))

    due = {"expected_by": date(2014, 6, 20), "silent_after": date(2014, 7, 1)}
    arrivals = table(
        Arrival,
        {"source": "vitals", "_site": "701", "last_day": MONDAY, **due},
        {"source": "labs", "_site": "701", "last_day": TUESDAY, **due, "expected_by": date(2014, 6, 10)},
        {"source": "subjects", "_site": "702", "last_day": MONDAY, **due, "silent_after": date(2014, 8, 1)},
    )

    rows = SITE_ACTIVITY.transform(account, arrivals, vitals, labs, subjects).sort("siteid", "day").collect()

    assert rows.select("siteid", "day", "files", "lines").rows() == [
        ("701", MONDAY, 2, 9),
        ("701", TUESDAY, 1, 5),
        ("702", MONDAY, 1, 1),
    ]
    assert rows.select("accepted", "quarantined", "superseded", "subjects_seen").rows() == [
        (5, 1, 3, 3),
        (0, 5, 0, 0),
        (1, 0, 0, 1),
    ]
    # A site is waited for from its last day on: late with the first of its sources, silent with the last.
    assert rows.select("days_since_last", "expected_by", "silent_after").rows() == [
        (None, None, None),
        (1, date(2014, 6, 10), date(2014, 7, 1)),
        (None, date(2014, 6, 20), date(2014, 8, 1)),
    ]
    assert rows.schema == SiteActivity.create_empty().schema


def test_subjects_are_seen_in_every_source_about_them() -> None:
    assert sorted(SOURCES) == [source.name for source in sources() if issubclass(source.contract, SubjectRecord)]


def test_nothing_delivered_is_no_rows(table: Callable[..., pl.LazyFrame]) -> None:
    empty = [table(contract).collect().lazy() for contract in (Delivery, Arrival, Vital, Lab, Subject)]

    assert SITE_ACTIVITY.transform(*empty).collect().is_empty()
