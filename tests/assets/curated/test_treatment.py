from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from assets.catalog import curated, sources
from assets.curated.subjects import BlindedSubject
from assets.curated.treatment import TREATMENT, Treatment
from assets.exposure import Exposure
from assets.subjects import Subject
from lakehouse.history import schema
from lakehouse.ingest import schemas as schemas_of
from lakehouse.lineage import columns

PERSON = {"studyid": "S", "usubjid": "01-701-1", "subjid": "1", "siteid": "701", "country": "USA", "sex": "F"}
ARMS = {"armcd": "Xan_Hi", "arm": "Xanomeline High Dose", "actarmcd": "Xan_Lo", "actarm": "Xanomeline Low Dose"}
TELLING = {*ARMS, "trt01p", "trt01pn", "trt01a", "trt01an", "cumdose", "avgdd", "extrt", "exdose"}


def test_a_subject_has_a_planned_and_an_actual_arm(table: Callable[..., pl.LazyFrame]) -> None:
    rows = TREATMENT.transform(table(Subject, {**PERSON, **ARMS}), table(Exposure), table(BlindedSubject)).collect()

    named = {name: PERSON[name] for name in ("studyid", "usubjid", "siteid")}
    # The study analyses as randomised.
    analysed = {"trt01p": ARMS["arm"], "trt01pn": 81, "trt01a": ARMS["arm"], "trt01an": 81}
    assert rows.equals(table(Treatment, {**named, **ARMS, **analysed}).collect())
    assert Treatment.is_valid(rows)


@pytest.mark.parametrize("armcd", ["Scrnfail", None])
def test_who_was_never_randomised_has_no_treatment(table: Callable[..., pl.LazyFrame], armcd: str | None) -> None:
    person = {**PERSON, "armcd": armcd, "arm": armcd and "Screen Failure"}
    rows = TREATMENT.transform(table(Subject, person), table(Exposure), table(BlindedSubject)).collect()

    assert rows.select("trt01p", "trt01pn", "trt01a", "trt01an").row(0) == (None,) * 4


def test_the_dose_is_added_up_over_the_periods(table: Callable[..., pl.LazyFrame]) -> None:
    def dosed(ended: date | None) -> tuple[float, float]:
        periods = [
            (54.0, date(2014, 1, 1), date(2014, 1, 10)),
            (81.0, date(2014, 1, 11), date(2014, 1, 12)),
            (54.0, date(2014, 1, 13), None),
        ]
        exposure = table(
            Exposure,
            *(
                {"usubjid": "01-701-1", "exdose": dose, "exstdt": first, "exendt": last}
                for dose, first, last in periods
            ),
        )
        days = None if ended is None else (ended - date(2014, 1, 1)).days + 1
        subject = table(BlindedSubject, {"usubjid": "01-701-1", "trtedt": ended, "trtdurd": days})
        rows = TREATMENT.transform(table(Subject, {**PERSON, **ARMS}), exposure, subject).collect()
        assert Treatment.is_valid(rows)
        return rows.select("cumdose", "avgdd").row(0)

    # 10 x 54 + 2 x 81 + 8 x 54 mg over 20 days; the last period lasts until the end of treatment.
    assert dosed(date(2014, 1, 20)) == (1134, 56.7)
    # While treatment goes on nobody knows.
    assert dosed(None) == (None, None)


@pytest.mark.parametrize(
    ("periods", "told"),
    [
        ([(1, 10), (11, 12), (13, None)], 0),
        ([(1, 10), (10, 12)], 1),
        # Within the first, and after one that lies within it.
        ([(1, 20), (3, 4), (5, 6)], 2),
        ([(1, None), (11, 12)], 1),
        ([(1, 10), (1, 10)], 1),
    ],
)
def test_doses_of_periods_that_overlap_are_told(
    table: Callable[..., pl.LazyFrame], periods: list[tuple[int, int | None]], told: int
) -> None:
    check = TREATMENT.checks["one_dose_at_a_time"]
    days = [{"exstdt": date(2014, 1, first), "exendt": last and date(2014, 1, last)} for first, last in periods]
    both = [{"usubjid": who, "exdose": 54.0, **day} for day in reversed(days) for who in ("01-701-1", "01-701-2")]
    assert check(table(Treatment), table(Subject), table(Exposure, *both), table(BlindedSubject)).collect().height == (
        2 * told
    )


def test_a_treatment_of_no_day_has_no_dose_a_day(table: Callable[..., pl.LazyFrame]) -> None:
    """The study ended on the day before the first dose, whose period was never ended."""
    exposure = table(Exposure, {"usubjid": "01-701-1", "exdose": 54.0, "exstdt": date(2014, 1, 2)})
    subject = table(BlindedSubject, {"usubjid": "01-701-1", "trtedt": date(2014, 1, 1), "trtdurd": 0})

    rows = TREATMENT.transform(table(Subject, {**PERSON, **ARMS}), exposure, subject).collect()

    assert rows.select("cumdose", "avgdd").row(0) == (0, None)
    assert Treatment.is_valid(rows)


def test_only_the_unblinded_table_tells_the_treatment() -> None:
    telling = [item for item in curated() if set(item.contract.column_names()) & TELLING]

    assert [(item.name, item.warehouse) for item in telling] == [("treatment", "unblinded")]
    assert [item.name for item in curated() if "curated/treatment" in item.inputs] == []


def test_no_blinded_column_is_made_of_what_tells_the_treatment() -> None:
    """Asked of Polars; of an arm only whether there is one may be known."""
    schemas = {f"processed/{source.name}": dict(schemas_of(source)["processed"]) for source in sources()}
    schemas |= {f"history/{source.name}": schema(source) for source in sources()}
    schemas |= {item.table: dict(item.contract.create_empty().schema) for item in curated()}
    randomised = {"ittfl", "saffl", "eosstt", "disconfl", "dsraefl", "dcsreas"}
    blinded = [item for item in curated() if item.warehouse != "unblinded" and set(item.inputs) <= set(schemas)]
    assert {"subjects", "visit_features"} <= {item.name for item in blinded}
    for item in blinded:
        made_of = columns(item.transform, {name: schemas[name] for name in item.inputs})
        for column, origins in made_of.items():
            allowed = {"armcd"} if column in randomised else set()
            assert not {name for _, name in origins} & TELLING - allowed, (item.name, column)
