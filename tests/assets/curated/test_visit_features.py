"""Features that know nothing of what came after: on the study, with leaks planted, in a real lake fed day by day."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from agreement import made
from leaks import leaks

from assets import catalog
from assets.adverse_events import AdverseEvent
from assets.curated import visit_features as features
from assets.curated.visit_features import LABEL, VISIT_FEATURES, VisitFeatures, visit_features
from assets.disposition import LEFT, Disposition
from assets.labs import Lab
from assets.pilot.land import land
from assets.subjects import Subject
from assets.visits import Visit
from assets.vitals import Vital
from lakehouse import manifest
from lakehouse.clock import Clock
from lakehouse.curate import curate
from lakehouse.ingest import ingest, pending
from lakehouse.lake import Lake
from lakehouse.landing import listing

KEY = VISIT_FEATURES.key
S = {"usubjid": "01-701-1"}
START = date(2014, 1, 1)
PROVENANCE = ("_file", "_line", "_checksum", "_received_at")


def day(number: int) -> date:
    """So many days after the baseline visit."""
    return START + timedelta(days=number)


@cache
def study() -> tuple[pl.LazyFrame, ...]:
    """The inputs, of two sites."""
    return tuple(
        made(name).lazy().filter(pl.col("usubjid").str.contains("^01-70[14]-")) for name in VISIT_FEATURES.inputs
    )


@pytest.fixture
def rows(table: Callable[..., pl.LazyFrame]) -> Callable[..., pl.DataFrame]:
    """The table of one subject made by hand, by visit; what it is made of by name, each as rows."""
    contracts = {
        "visits": Visit,
        "subjects": Subject,
        "events": AdverseEvent,
        "vitals": Vital,
        "labs": Lab,
        "disposition": Disposition,
    }

    def of(**given: list[dict[str, object]]) -> pl.DataFrame:
        frames = []
        for name, contract in contracts.items():
            found = [{**S, **row} for row in given.get(name, [])]
            empty = pl.LazyFrame(schema=contract.create_empty().schema)
            frames.append(table(contract, *found) if found else empty)
        made_rows = visit_features(*frames).collect().sort("visitnum")
        return VisitFeatures.validate(made_rows)

    return of


def visit(number: float, on: int, **more: object) -> dict[str, object]:
    return {"studyid": "S", "visitnum": number, "visit": f"V{number}", "svstdt": day(on), "_delivered": day(on), **more}


def sysbp(value: float, visitnum: float, on: int, sent: int | None = None, **more: object) -> dict[str, object]:
    delivered = day(on if sent is None else sent)
    name = {"vstestcd": "SYSBP", "visitnum": visitnum, "vsdt": day(on)}
    return {**name, "vsstresn": value, "_delivered": delivered, **more}


def event(number: int, began: int, sent: int, **more: object) -> dict[str, object]:
    return {"aeseq": float(number), "aespid": f"E{number}", "aestdt": day(began), "_delivered": day(sent), **more}


VISITS = [visit(3, 0), visit(4, 14), visit(5, 28)]


def test_no_feature_of_the_study_looks_ahead() -> None:
    """Every tenth cut-off of two sites."""
    cutoffs = visit_features(*study()).select("cutoff").unique().collect()["cutoff"].sort()
    assert len(cutoffs) > 300
    assert leaks(visit_features, study(), KEY, [LABEL], cutoffs.gather_every(10)) == {}


def test_the_label_looks_ahead() -> None:
    """What a leak looks like: the label, taken for a feature."""
    cutoffs = visit_features(*study()).select("cutoff").unique().collect()["cutoff"].sort()
    assert set(leaks(visit_features, study(), KEY, [], cutoffs.gather_every(25))) == {LABEL}


def _without_the_door(at: pl.LazyFrame, records: pl.LazyFrame) -> pl.LazyFrame:
    return at.join(records, on="usubjid")


def _by_measurement(at: pl.LazyFrame, records: pl.LazyFrame) -> pl.LazyFrame:
    joined = at.join(records, on="usubjid")
    return joined.filter(pl.col("_day") <= pl.col("cutoff")) if "_day" in records.collect_schema() else joined


def test_a_leak_in_the_code_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door left open: records of any day, which later visits are full of."""
    monkeypatch.setattr(features, "known", _without_the_door)
    cutoffs = visit_features(*study()).select("cutoff").unique().collect()["cutoff"].sort()
    found = leaks(visit_features, study(), KEY, [LABEL], cutoffs.gather_every(40))
    assert {"visits_so_far", "days_since_start", "ae_emergent"} <= set(found)


def test_a_value_measured_in_time_and_delivered_late_is_caught(
    monkeypatch: pytest.MonkeyPatch, table: Callable[..., pl.LazyFrame]
) -> None:
    """A leak that a look at the days of measurement would not find: planted, caught, and not there as the code is."""
    late = sysbp(160, 4, on=14, sent=20)
    inputs = [
        table(Visit, *({**S, **row} for row in VISITS)),
        pl.LazyFrame(schema=Subject.create_empty().schema),
        pl.LazyFrame(schema=AdverseEvent.create_empty().schema),
        table(Vital, {**S, **sysbp(120, 3, on=0)}, {**S, **late}),
        pl.LazyFrame(schema=Lab.create_empty().schema),
        pl.LazyFrame(schema=Disposition.create_empty().schema),
    ]
    assert leaks(visit_features, inputs, KEY, [LABEL]) == {}

    monkeypatch.setattr(features, "known", _by_measurement)
    found = leaks(visit_features, inputs, KEY, [LABEL])
    assert {"sysbp_last", "sysbp_chg", "sysbp_slope", "sysbp_days"} <= set(found)


def test_the_course_of_a_test(rows: Callable[..., pl.DataFrame]) -> None:
    """Last, baseline, change and days by hand; the slope beside NumPy's."""
    values = [
        sysbp(118, 1, -10),
        sysbp(120, 3, 0),
        sysbp(130, 3, 0, vstptnum=2.0),
        sysbp(133, 4, 12),
        sysbp(141, 5, 28),
    ]
    got = rows(visits=VISITS, vitals=values)

    assert got.select("sysbp_last", "sysbp_base", "sysbp_chg", "sysbp_days").rows() == [
        (125, 125, 0, 0),
        (133, 125, 8, 2),
        (141, 125, 16, 0),
    ]
    points = [(-10, 118.0), (0, 125.0), (12, 133.0), (28, 141.0)]
    for row, end in zip(got["sysbp_slope"], (2, 3, 4), strict=True):
        x, y = zip(*points[:end], strict=True)
        assert row == pytest.approx(28 * np.polyfit(x, y, 1)[0], abs=1e-5)


def test_one_value_has_no_slope_and_none_no_value(rows: Callable[..., pl.DataFrame]) -> None:
    got = rows(visits=VISITS[:1], vitals=[sysbp(120, 3, 0)])
    assert got.select("sysbp_last", "sysbp_slope", "pulse_last", "pulse_days").row(0) == (120, None, None, None)


def test_events_are_counted_as_the_log_had_them(rows: Callable[..., pl.DataFrame]) -> None:
    """One that was sent again as serious after day 14, one from before baseline, and one of which nobody knew yet."""
    events = [
        event(1, began=2, sent=3, aeser="N"),
        event(1, began=2, sent=20, aeser="Y"),
        event(2, began=-5, sent=0, aeser="N"),
        event(3, began=10, sent=15, aeser="N"),
        # Another look at the first.
        {**event(4, began=2, sent=28, aeser="N"), "aespid": "E1"},
    ]
    got = rows(visits=[*VISITS, visit(7, 42)], events=events)
    assert got.select("visitnum", "ae_emergent", "ae_recent", "ae_serious").rows() == [
        (3, 0, 0, 0),
        (4, 1, 1, 0),
        (5, 2, 2, 1),
        (7, 2, 0, 1),
    ]


def test_a_visit_is_cut_off_when_it_was_first_delivered(rows: Callable[..., pl.DataFrame]) -> None:
    """A correction of the visit months later does not let the months in between into its row."""
    corrected = visit(4, 14) | {"_delivered": day(90), "visit": "WEEK 2"}
    got = rows(visits=[*VISITS, corrected], vitals=[sysbp(120, 3, 0), sysbp(150, 5, 28)])
    assert got.select("visitnum", "visit", "cutoff", "sysbp_last").row(1) == (4, "V4", day(14), 120)


def test_demographics_are_those_of_the_time(rows: Callable[..., pl.DataFrame]) -> None:
    people = [{"age": 60.0, "sex": "F", "_delivered": day(10)}, {"age": 61.0, "sex": "F", "_delivered": day(20)}]
    assert rows(visits=VISITS, subjects=people).select("age", "sex").rows() == [(None, None), (60, "F"), (61, "F")]


@pytest.mark.parametrize(
    ("ended", "how", "label"),
    [
        (42, "ADVERSE EVENT", [False, True, True, None]),
        # On the last day of the horizon, and the day after it.
        (28, "LOST TO FOLLOW-UP", [True, True, None, None]),
        (43, "ADVERSE EVENT", [False, False, True, True]),
        (42, "COMPLETED", [False, False, False, None]),
        # Nobody knows yet what becomes of the last ones.
        (None, None, [False, False, None, None]),
    ],
)
def test_the_label(rows: Callable[..., pl.DataFrame], ended: int | None, how: str | None, label: list[bool]) -> None:
    left = [] if ended is None else [{"dscat": LEFT, "dsdecod": how, "dsstdt": day(ended), "_delivered": day(ended)}]
    visits = [visit(1, -10), *VISITS, visit(7, 42)]
    got = rows(visits=visits, disposition=left)[LABEL].to_list()
    # Before baseline there is nothing to leave.
    assert got == [None, *label]


def test_a_row_once_made_stays_as_it_is_but_for_its_label(tmp_path: Path) -> None:
    """A real lake, fed until one day after another: what it makes of a visit does not change with what follows."""
    whole, landing = tmp_path / "whole", tmp_path / "landing"
    land(whole)
    sources, lake = catalog.sources(), Lake(str(tmp_path / "lake"))
    tables = [VISIT_FEATURES]

    def fed(last: date) -> pl.DataFrame:
        for file in (whole / "701").iterdir():
            target = landing / "701" / file.name
            if date.fromisoformat(file.stem.rpartition("_")[2]) <= last and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
        for source in sources:
            unseen = pending(lake, source, listing(landing, sources).claimed[source.name]).unseen
            ingest(lake, source, landing, unseen, Clock(last), 10**8)
        curate(lake, tables, sources, Clock(date(2015, 3, 6)))
        table = VISIT_FEATURES.table
        return lake.scan(table, manifest.versions(lake)[table]).sort(KEY).collect()

    ends = [date(2013, 3, 1), date(2013, 9, 30), date(2013, 10, 1), date(2015, 3, 5)]
    told = [fed(end) for end in ends]
    assert [rows.height for rows in told] == sorted(rows.height for rows in told)
    for end, then in zip(ends, told, strict=True):
        assert then.height > 50
        now = told[-1].filter(pl.col("cutoff") <= end)
        assert now.drop(LABEL, "_received_at").equals(then.drop(LABEL, "_received_at"))
    # Made by subject from what changed, it is what it is when made whole.
    inputs = [made(name).lazy().filter(pl.col("usubjid").str.starts_with("01-701-")) for name in VISIT_FEATURES.inputs]
    truth = visit_features(*inputs).collect().sort(KEY)
    assert told[-1].drop("_site", *PROVENANCE).equals(truth.drop("_site", *PROVENANCE))
