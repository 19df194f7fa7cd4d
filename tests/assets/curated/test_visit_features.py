"""Features that know nothing of what came after: on the study, with leaks planted, in a real lake fed day by day."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from agreement import made
from leaks import as_it_counts_now, leaks

from assets import catalog
from assets.adverse_events import AdverseEvent
from assets.curated import visit_features as features
from assets.curated.subjects import SUBJECTS
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
from lakehouse.history import DAYS, newest
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


CONTRACTS = {
    "visits": Visit,
    "subjects": Subject,
    "events": AdverseEvent,
    "vitals": Vital,
    "labs": Lab,
    "disposition": Disposition,
}


@pytest.fixture
def inputs(table: Callable[..., pl.LazyFrame]) -> Callable[..., list[pl.LazyFrame]]:
    """The inputs of one subject made by hand; by name, each as rows, known from their delivery on unless they say."""

    def of(takes_part: bool = True, **given: list[dict[str, object]]) -> list[pl.LazyFrame]:
        frames = [pl.LazyFrame([S] if takes_part else [], schema={"usubjid": pl.String})]
        for name, contract in CONTRACTS.items():
            found = [{**S, **row} for row in given.get(name, [])]
            days = {
                column: [row.get(column, row["_delivered"] if column == "_known" else None) for row in found]
                for column in DAYS
            }
            empty = pl.LazyFrame(schema=contract.create_empty().schema)
            rows = table(contract, *found) if found else empty
            frames.append(rows.with_columns(pl.Series(column, told, DAYS[column]) for column, told in days.items()))
        return frames

    return of


@pytest.fixture
def rows(inputs: Callable[..., list[pl.LazyFrame]]) -> Callable[..., pl.DataFrame]:
    """The table of one subject made by hand, by visit."""

    def of(**given: object) -> pl.DataFrame:
        return VisitFeatures.validate(visit_features(*inputs(**given)).collect().sort("visitnum"))

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


def _without_the_door(at: pl.LazyFrame, versions: pl.LazyFrame, *key: str) -> pl.LazyFrame:
    return newest(at.join(versions, on="usubjid"), [*features.ROW, *key])


def _by_measurement(at: pl.LazyFrame, versions: pl.LazyFrame, *key: str) -> pl.LazyFrame:
    joined = at.join(versions, on="usubjid")
    if "_day" in versions.collect_schema():
        joined = joined.filter(pl.col("_day") <= pl.col("cutoff"))
    return newest(joined, [*features.ROW, *key])


def test_a_leak_in_the_code_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door left open: records of any day, which later visits are full of."""
    monkeypatch.setattr(features, "known", _without_the_door)
    cutoffs = visit_features(*study()).select("cutoff").unique().collect()["cutoff"].sort()
    found = leaks(visit_features, study(), KEY, [LABEL], cutoffs.gather_every(40))
    assert {"visits_so_far", "days_since_start", "ae_emergent"} <= set(found)


def test_a_value_measured_in_time_and_delivered_late_is_caught(
    monkeypatch: pytest.MonkeyPatch, inputs: Callable[..., list[pl.LazyFrame]]
) -> None:
    """A leak that a look at the days of measurement would not find: planted, caught, and not there as the code is."""
    frames = inputs(visits=VISITS, vitals=[sysbp(120, 3, on=0), sysbp(160, 4, on=14, sent=20)])
    assert leaks(visit_features, frames, KEY, [LABEL]) == {}

    monkeypatch.setattr(features, "known", _by_measurement)
    found = leaks(visit_features, frames, KEY, [LABEL])
    assert {"sysbp_last", "sysbp_chg", "sysbp_slope", "sysbp_days"} <= set(found)


# What visit 4 had at three time points on day 14, one of which was wrong.
POINTS = [sysbp(value, 4, 14, vstptnum=point) for point, value in ((1.0, 130), (2.0, 160), (3.0, 130))]
WRONG, RIGHT = POINTS[1], {**POINTS[1], "vsstresn": 130.0}
CORRECTED = {
    "in a later day's file": [{**RIGHT, "_delivered": day(20)}],
    "in the same file, sent again": [{**RIGHT, "_known": day(20)}],
    "to nothing": [{**RIGHT, "vsstresn": None, "_delivered": day(20)}],
    "by withdrawing it": [],
}


@pytest.mark.parametrize("how", CORRECTED)
def test_a_correction_is_in_no_row_from_before_it(
    rows: Callable[..., pl.DataFrame],
    inputs: Callable[..., list[pl.LazyFrame]],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """The row of day 14 keeps the mean that was known then, a row of day 28 has the other; looking back is caught."""
    stays = how in {"in a later day's file", "to nothing"}
    wrong = WRONG if stays else {**WRONG, "_until": day(20)}
    values = [sysbp(120, 3, 0), POINTS[0], wrong, POINTS[2], *CORRECTED[how]]
    got = rows(visits=VISITS, vitals=values)
    assert got.select("visitnum", "sysbp_last").rows() == [(3, 120), (4, 140), (5, 130)]

    frames = inputs(visits=VISITS, vitals=values)
    assert leaks(visit_features, frames, KEY, [LABEL]) == {}
    monkeypatch.setattr(features, "known", as_it_counts_now)
    assert {"sysbp_last", "sysbp_chg", "sysbp_slope"} <= set(leaks(visit_features, frames, KEY, [LABEL]))


def test_of_what_counts_now_no_more_is_used_than_who_takes_part(inputs: Callable[..., list[pl.LazyFrame]]) -> None:
    """An input that is no history is caught, whatever is taken from it."""

    def ages(subjects: pl.LazyFrame, *others: pl.LazyFrame) -> pl.LazyFrame:
        return visit_features(subjects, *others).drop("age").join(subjects.select("usubjid", "age"), on="usubjid")

    people, *others = inputs(visits=VISITS)
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="age"):
        leaks(ages, [people.with_columns(age=60.0), *others], KEY, [LABEL])


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
    """A correction of the visit months later does not let the months in between into its row, nor its own words."""
    corrected = visit(4, 14) | {"_delivered": day(90), "visit": "WEEK 2"}
    got = rows(visits=[*VISITS, corrected], vitals=[sysbp(120, 3, 0), sysbp(150, 5, 28)])
    assert got.select("visitnum", "visit", "cutoff", "sysbp_last").row(1) == (4, "V4", day(14), 120)


def test_a_visit_is_cut_off_when_it_was_first_known(rows: Callable[..., pl.DataFrame]) -> None:
    """One in a file that was refused at first; one that was corrected in its file; one withdrawn, and sent again."""
    visits = [
        {**visit(3, 0), "_known": day(5)},
        {**visit(4, 14), "_until": day(16)},
        {**visit(4, 13), "_delivered": day(14), "_known": day(16)},
        {**visit(5, 28), "_until": day(30)},
        {**visit(5, 28), "_known": day(60)},
    ]
    got = rows(visits=visits)
    assert got.select("visitnum", "cutoff", "visits_so_far", "days_since_start").rows() == [
        (3, day(5), 1, 5),
        (4, day(14), 2, 14),
        (5, day(28), 3, 28),
    ]


def test_a_visit_that_counts_no_longer_has_no_row(rows: Callable[..., pl.DataFrame]) -> None:
    """The row of the visit after it had counted it, and still does."""
    visits = [VISITS[0], {**VISITS[1], "_until": day(30)}, VISITS[2], visit(7, 42)]
    got = rows(visits=visits)
    assert got.select("visitnum", "visits_so_far").rows() == [(3, 1), (5, 3), (7, 3)]


def test_who_is_parked_has_no_row(rows: Callable[..., pl.DataFrame]) -> None:
    """As in every curated table: a subject whose demographics are not there, whatever else is."""
    assert rows(visits=VISITS, vitals=[sysbp(120, 3, 0)]).height == 3
    assert rows(takes_part=False, visits=VISITS, vitals=[sysbp(120, 3, 0)]).is_empty()


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
    left = (
        []
        if ended is None
        else [{"dscat": LEFT, "dsevent": LEFT, "dsdecod": how, "dsstdt": day(ended), "_delivered": day(ended)}]
    )
    visits = [visit(1, -10), *VISITS, visit(7, 42)]
    got = rows(visits=visits, disposition=left)[LABEL].to_list()
    # Before baseline there is nothing to leave.
    assert got == [None, *label]


def test_the_label_is_made_of_what_counts(rows: Callable[..., pl.DataFrame]) -> None:
    """A visit that was dated too late says nothing of how long a subject was seen, nor does a withdrawn end."""
    too_late = [{**visit(7, 90), "_delivered": day(42)}, {**visit(7, 42), "_delivered": day(50)}]
    assert rows(visits=[*VISITS, *too_late])[LABEL].to_list() == [False, False, None, None]

    end = {"dscat": LEFT, "dsevent": LEFT, "dsdecod": "DEATH", "dsstdt": day(30), "_delivered": day(30)}
    assert rows(visits=VISITS, disposition=[end])[LABEL].to_list() == [False, True, True]
    assert rows(visits=VISITS, disposition=[{**end, "_until": day(40)}])[LABEL].to_list() == [False, None, None]
    mended = [end, {**end, "dsdecod": "COMPLETED", "_delivered": day(40)}]
    assert rows(visits=VISITS, disposition=mended)[LABEL].to_list() == [False, False, False]


def test_a_row_once_made_stays_as_it_is_but_for_its_label(tmp_path: Path) -> None:
    """A real lake, fed until one day after another: what it makes of a visit does not change with what follows."""
    whole, landing = tmp_path / "whole", tmp_path / "landing"
    land(whole)
    sources, lake = catalog.sources(), Lake(str(tmp_path / "lake"))
    tables = [SUBJECTS, VISIT_FEATURES]

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
