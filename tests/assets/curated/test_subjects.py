from collections.abc import Callable, Mapping
from datetime import date
from itertools import permutations

import polars as pl
import pytest

from assets.curated.subjects import SUBJECTS, BlindedSubject
from assets.disposition import Disposition
from assets.exposure import Exposure
from assets.subjects import Subject
from assets.visits import Visit
from assets.vitals import Vital

Rows = tuple[Mapping[str, object], ...]
ID = {"studyid": "S", "usubjid": "01-701-1"}
PERSON = {**ID, "subjid": "1", "siteid": "701", "country": "USA", "sex": "F", "armcd": "Xan_Hi", "ageu": "YEARS"}
JAN = {day: date(2014, 1, day) for day in range(1, 32)}
DOSED = {**ID, "extrt": "XANOMELINE", "exdose": 54.0, "exdosu": "mg"}


@pytest.fixture
def subject(table: Callable[..., pl.LazyFrame]) -> Callable[..., dict[str, object]]:
    """The row of one subject, made of its demographics and what else is known of it."""

    def made(
        person: Mapping[str, object], exposure: Rows = (), disposition: Rows = (), visits: Rows = (), vitals: Rows = ()
    ) -> dict[str, object]:
        given = ((Exposure, exposure), (Disposition, disposition), (Visit, visits), (Vital, vitals))
        others = [table(contract, *({**ID, **row} for row in rows)) for contract, rows in given]
        rows = SUBJECTS.transform(table(Subject, person), *others).collect()
        assert BlindedSubject.is_valid(rows)
        return rows.row(0, named=True)

    return made


def test_a_subject_keeps_all_but_the_arms(subject: Callable[..., dict[str, object]]) -> None:
    known = {"age": 63.0, "rfstdtc": "2014-01-02", "rfstdt": JAN[2], "dmdtc": "2013-12", "_line": 7}

    row = subject({**PERSON, **known, "arm": "Placebo", "actarmcd": "Pbo"})

    kept = {**PERSON, **known, "age": 63}
    del kept["armcd"]
    assert {name: row[name] for name in kept} == kept
    assert not row.keys() & {"arm", "armcd", "actarm", "actarmcd", "rfxstdtc", "trt01p", "cumdose"}


@pytest.mark.parametrize(
    ("age", "unit", "group"),
    [
        (64, "YEARS", ("<65", 1)),
        (65, "YEARS", ("65-80", 2)),
        (80, "YEARS", ("65-80", 2)),
        (81, "YEARS", (">80", 3)),
        (900, "MONTHS", (None, None)),
        (None, None, (None, None)),
    ],
)
def test_age_groups(
    subject: Callable[..., dict[str, object]], age: int | None, unit: str | None, group: tuple[str | None, int | None]
) -> None:
    row = subject({**PERSON, "age": age, "ageu": unit})

    assert (row["age"], row["agegr1"], row["agegr1n"]) == (age, *group)


def test_small_sites_are_one(subject: Callable[..., dict[str, object]]) -> None:
    assert subject(PERSON)["sitegr1"] == "701"
    assert subject({**PERSON, "siteid": "702"})["sitegr1"] == "900"


def test_treatment_lasts_from_the_first_day_to_the_last(subject: Callable[..., dict[str, object]]) -> None:
    row = subject(
        PERSON,
        exposure=(
            {**DOSED, "visitnum": 4.0, "exstdt": JAN[11], "exendt": JAN[20]},
            {**DOSED, "visitnum": 3.0, "exstdt": JAN[2], "exendt": JAN[10]},
        ),
    )

    assert (row["trtsdt"], row["trtedt"], row["trtdurd"], row["saffl"]) == (JAN[2], JAN[20], 19, "Y")


def test_treatment_that_was_never_ended_ends_with_the_study(subject: Callable[..., dict[str, object]]) -> None:
    exposure = (
        {**DOSED, "visitnum": 3.0, "exstdt": JAN[2], "exendt": JAN[10]},
        {**DOSED, "visitnum": 4.0, "exstdt": JAN[11], "exendt": None},
    )
    left = {"dscat": "DISPOSITION EVENT", "dsdecod": "DEATH", "dsterm": "DEATH", "dsstdt": JAN[25], "visitnum": 5.0}

    ended = subject(PERSON, exposure, disposition=(left,))
    ongoing = subject(PERSON, exposure)

    assert (ended["trtedt"], ended["trtdurd"], ended["rfendt"]) == (JAN[25], 24, JAN[25])
    assert (ongoing["trtedt"], ongoing["trtdurd"], ongoing["eosstt"]) == (None, None, "ONGOING")


@pytest.mark.parametrize(
    ("armcd", "treated", "flags"),
    [
        ("Pbo", True, ("Y", "Y", "ONGOING")),
        ("Pbo", False, ("Y", "N", "ONGOING")),
        ("Scrnfail", False, ("N", "N", None)),
        ("NOTASSGN", False, ("N", "N", None)),
        (None, False, ("N", "N", None)),
        # Treated, but never randomised.
        (None, True, ("N", "N", None)),
    ],
)
def test_populations(
    subject: Callable[..., dict[str, object]], armcd: str | None, treated: bool, flags: tuple[str, str, str | None]
) -> None:
    exposure = ({**DOSED, "visitnum": 3.0, "exstdt": JAN[2]},) if treated else ()
    row = subject({**PERSON, "armcd": armcd}, exposure)

    assert (row["ittfl"], row["saffl"], row["eosstt"]) == flags


@pytest.mark.parametrize(
    ("decod", "term", "expected"),
    [
        ("COMPLETED", "PROTOCOL COMPLETED", ("COMPLETED", None, None, None, None)),
        ("ADVERSE EVENT", "ADVERSE EVENT", ("DISCONTINUED", "Y", "Y", "Adverse Event", None)),
        ("DEATH", "DEATH", ("DISCONTINUED", "Y", None, "Death", "Y")),
        ("PROTOCOL DEVIATION", "PROTOCOL VIOLATION", ("DISCONTINUED", "Y", None, "Protocol Violation", None)),
        ("PROTOCOL DEVIATION", "PROTOCOL ENTRY CRITERIA NOT MET", ("DISCONTINUED", "Y", None, "I/E Not Met", None)),
        ("WITHDRAWAL BY SUBJECT", "WITHDREW", ("DISCONTINUED", "Y", None, "Withdrew Consent", None)),
        ("OTHER", "MOVED", ("DISCONTINUED", "Y", None, None, None)),
    ],
)
def test_disposition(
    subject: Callable[..., dict[str, object]], decod: str, term: str, expected: tuple[str | None, ...]
) -> None:
    left = {"dscat": "DISPOSITION EVENT", "dsdecod": decod, "dsterm": term, "dsstdt": JAN[20], "visitnum": 13.0}
    final = {"dscat": "OTHER EVENT", "dsdecod": "FINAL LAB VISIT", "dsterm": "X", "dsstdt": JAN[30], "visitnum": 8.0}

    row = subject(PERSON, disposition=(left, final))

    assert tuple(row[name] for name in ("eosstt", "disconfl", "dsraefl", "dcsreas", "dthfl")) == expected
    assert (row["dcdecod"], row["visnumen"]) == (decod, 12)


def test_a_screening_failure_discontinues_nothing(subject: Callable[..., dict[str, object]]) -> None:
    failed = {"dscat": "DISPOSITION EVENT", "dsdecod": "SCREEN FAILURE", "dsterm": "X", "dsstdt": JAN[20]}

    row = subject({**PERSON, "armcd": "Scrnfail"}, disposition=(failed,))

    assert (row["dcdecod"], row["eosstt"], row["disconfl"], row["rfendt"]) == ("SCREEN FAILURE", None, None, None)


def test_completed_visits(subject: Callable[..., dict[str, object]]) -> None:
    visits = tuple(
        {"visitnum": float(number), "visit": "V", "svstdt": JAN[day]} for number, day in ((1, 1), (8, 20), (10, 25))
    )
    exposure = ({**DOSED, "visitnum": 3.0, "exstdt": JAN[2]},)
    left = {"dscat": "DISPOSITION EVENT", "dsdecod": "DEATH", "dsterm": "DEATH", "dsstdt": JAN[22]}

    def completed(row: Mapping[str, object]) -> tuple[object, ...]:
        return tuple(row[name] for name in ("visit1dt", "comp8fl", "comp16fl", "comp24fl"))

    assert completed(subject(PERSON, exposure, visits=visits)) == (JAN[1], "Y", "Y", "N")
    # A visit after the day the study ended is a follow-up.
    assert completed(subject(PERSON, exposure, (left,), visits)) == (JAN[1], "Y", "N", "N")
    assert completed(subject(PERSON, visits=visits)) == (JAN[1], "N", "N", "N")


def test_size_at_baseline(subject: Callable[..., dict[str, object]]) -> None:
    def measured(test: str, visit: float, result: float) -> dict[str, object]:
        return {"vstestcd": test, "visitnum": visit, "vsstresn": result, "_line": int(visit) + 2}

    height, weight = measured("HEIGHT", 1, 171.45), measured("WEIGHT", 3, 88.45)

    row = subject(PERSON, vitals=(measured("WEIGHT", 1, 90), height, weight, measured("WEIGHT", 4, 80)))
    light = subject(PERSON, vitals=(height,))

    # Of several at one visit that without a time point counts, else that of the lowest number; not done counts nothing.
    later, earlier = ({**measured("WEIGHT", 3, kg), "vstptnum": at} for kg, at in ((70, 816.0), (72, 815.0)))
    undone = {**measured("WEIGHT", 3, 0), "vsstresn": None}
    for order in permutations((later, earlier, undone)):
        assert subject(PERSON, vitals=order)["weightbl"] == 72
    assert subject(PERSON, vitals=(later, earlier, weight))["weightbl"] == 88.5
    # 171.45 is a half that a double holds from below. 88.5 / 1.715^2 is 30.089.
    assert [row[name] for name in ("heightbl", "weightbl", "bmibl", "bmiblgr1")] == [171.5, 88.5, 30.1, ">=30"]
    assert [light[name] for name in ("heightbl", "weightbl", "bmibl", "bmiblgr1")] == [171.5, None, None, None]


def test_two_treatment_starts_are_told(table: Callable[..., pl.LazyFrame]) -> None:
    two_starts = SUBJECTS.checks["one_treatment_start"]
    others = [table(contract) for contract in (Disposition, Visit, Vital)]
    exposure = table(Exposure, {**DOSED, "visitnum": 3.0, "exstdt": JAN[2]})

    def told(first: str | None) -> int:
        return (
            two_starts(table(BlindedSubject), table(Subject, {**PERSON, "rfxstdtc": first}), exposure, *others)
            .collect()
            .height
        )

    assert (told("2014-01-03"), told("2014-01-02"), told("2014-01"), told(None)) == (1, 0, 0, 0)


def test_a_visit_before_consent_is_told(table: Callable[..., pl.LazyFrame]) -> None:
    early = SUBJECTS.checks["consent_before_visits"]
    visits = table(
        Visit, *({**ID, "visitnum": float(n), "visit": "V", "svstdt": JAN[n], "_line": n} for n in (2, 3, 4))
    )

    def told(consent: str | None) -> list[int]:
        person = table(Subject, {**PERSON, "rficdtc": consent})
        others = table(Exposure), table(Disposition), visits, table(Vital)
        return early(table(BlindedSubject), person, *others).collect()["_line"].to_list()

    assert (told("2014-01-04"), told("2014-01-02"), told(None)) == ([2, 3], [], [])
