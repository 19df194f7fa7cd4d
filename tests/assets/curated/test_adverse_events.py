from collections.abc import Callable, Mapping
from datetime import date

import polars as pl
import pytest

from assets.adverse_events import AdverseEvent
from assets.curated.adverse_events import ADVERSE_EVENTS, SubjectEvent
from assets.curated.subjects import BlindedSubject

PERSON = {"usubjid": "01-701-1", "studyid": "S", "subjid": "1", "siteid": "701", "sex": "F", "saffl": "Y"}
TREATED = date(2014, 1, 10)
EVENT = {
    "studyid": "S",
    "usubjid": "01-701-1",
    "aeterm": "HEADACHE",
    "aedecod": "HEADACHE",
    "aebodsys": "NERVOUS SYSTEM DISORDERS",
    "aesev": "MILD",
    "aeser": "N",
    "aeout": "NOT RECOVERED/NOT RESOLVED",
    "aedtc": "2014-02-01",
}


@pytest.fixture
def events(table: Callable[..., pl.LazyFrame]) -> Callable[..., pl.DataFrame]:
    """Events of one subject, treated from 2014-01-10, by AESEQ."""

    def made(*given: Mapping[str, object], treated: date | None = TREATED) -> pl.DataFrame:
        rows = [{**EVENT, "aeseq": float(number), "_line": number, **event} for number, event in enumerate(given, 1)]
        subjects = table(BlindedSubject, {**PERSON, "trtsdt": treated})
        found = ADVERSE_EVENTS.transform(table(AdverseEvent, *rows), subjects).collect()
        assert SubjectEvent.is_valid(found)
        return found.sort("aeseq")

    return made


def began(day: date) -> dict[str, object]:
    return {"aestdtc": day.isoformat(), "aestdt": day}


def test_days_and_duration(events: Callable[..., pl.DataFrame]) -> None:
    rows = events({**began(date(2014, 1, 9)), "aeendtc": "2014-01-10", "aeendt": date(2014, 1, 10)})

    assert rows.select("astdt", "astdtf", "astdy").row(0) == (date(2014, 1, 9), None, -1)
    assert rows.select("aendt", "aendy", "adurn", "aduru").row(0) == (date(2014, 1, 10), 1, 2, "DAY")


@pytest.mark.parametrize(
    ("text", "day", "imputed"),
    [("2013-07", date(2013, 7, 1), "D"), ("2003", None, None), ("2003---04", None, None), (None, None, None)],
)
def test_only_the_day_of_a_month_is_imputed(
    events: Callable[..., pl.DataFrame], text: str | None, day: date | None, imputed: str | None
) -> None:
    rows = events({"aestdtc": text, "aeendtc": "2014-01-20", "aeendt": date(2014, 1, 20)})

    assert rows.select("astdt", "astdtf").row(0) == (day, imputed)
    # Nobody can count from a day that was made up.
    assert rows.select("aendy", "adurn", "aduru").row(0) == (11, None, None)


@pytest.mark.parametrize(
    ("day", "treated", "emergent"),
    [
        (date(2014, 1, 9), TREATED, None),
        (TREATED, TREATED, "Y"),
        (date(2015, 1, 1), TREATED, "Y"),
        (date(2015, 1, 1), None, None),
    ],
)
def test_what_begins_with_first_dose_or_later_is_emergent(
    events: Callable[..., pl.DataFrame], day: date, treated: date | None, emergent: str | None
) -> None:
    assert events(began(day), treated=treated)["trtemfl"].item() == emergent


def test_first_occurrences_are_among_emergent_events_in_order_of_time(events: Callable[..., pl.DataFrame]) -> None:
    later, first = began(date(2014, 1, 20)), began(date(2014, 1, 15))
    nausea = {"aedecod": "NAUSEA", "aebodsys": "GASTROINTESTINAL DISORDERS"}

    rows = events(
        began(date(2014, 1, 5)),
        later,
        first,
        first,
        {**later, **nausea},
        {**later, "aedecod": "DIZZINESS", "aeser": "Y"},
        {**later, **nausea, "aeser": "Y"},
    )

    flagged = {name: rows.filter(pl.col(name) == "Y")["aeseq"].to_list() for name in rows.columns if "aocc" in name}
    assert flagged == {
        "aoccfl": [3],
        "aoccsfl": [3, 5],
        "aoccpfl": [3, 5, 6],
        "aocc01fl": [],
        "aocc02fl": [6],
        "aocc03fl": [6, 7],
        "aocc04fl": [6, 7],
    }


@pytest.mark.parametrize(
    ("term", "system", "dermatologic"),
    [
        ("APPLICATION SITE PAIN", "GENERAL DISORDERS AND ADMINISTRATION SITE CONDITIONS", True),
        ("PHARYNGEAL ERYTHEMA", "RESPIRATORY, THORACIC AND MEDIASTINAL DISORDERS", True),
        ("PRURITUS", "SKIN AND SUBCUTANEOUS TISSUE DISORDERS", True),
        ("HYPERHIDROSIS", "SKIN AND SUBCUTANEOUS TISSUE DISORDERS", False),
        ("HEADACHE", "NERVOUS SYSTEM DISORDERS", False),
        (None, None, False),
    ],
)
def test_dermatologic_events(
    events: Callable[..., pl.DataFrame], term: str | None, system: str | None, dermatologic: bool
) -> None:
    rows = events({**began(TREATED), "aedecod": term, "aebodsys": system})

    assert rows.select("cq01nam", "aocc01fl").row(0) == (("DERMATOLOGIC EVENTS", "Y") if dermatologic else (None, None))


def test_an_event_of_an_unknown_subject_stays_out(table: Callable[..., pl.LazyFrame]) -> None:
    given = table(AdverseEvent, {**EVENT, "aeseq": 1.0}, {**EVENT, "aeseq": 1.0, "usubjid": "01-701-2", "_line": 3})
    subjects = table(BlindedSubject, PERSON)

    assert ADVERSE_EVENTS.transform(given, subjects).collect()["usubjid"].to_list() == ["01-701-1"]


ITCHING = {
    "aedecod": "PRURITUS",
    "aehlt": "HLT_0778",
    "aehlgt": "HLGT_0695",
    "aesoc": "SKIN AND SUBCUTANEOUS TISSUE DISORDERS",
    "aebodsys": "SKIN AND SUBCUTANEOUS TISSUE DISORDERS",
}


@pytest.mark.parametrize(
    ("delivered", "place"),
    [
        pytest.param({"aedecod": "PRURITUS"}, ITCHING, id="above a preferred term"),
        pytest.param({"aellt": "ITCHING BOTH HANDS"}, ITCHING, id="above a lowest level term"),
        pytest.param(
            {"aellt": "ITCHING", "aedecod": "PRURITUS", "aehlt": "H", "aebodsys": "EYE DISORDERS"},
            {**ITCHING, "aehlt": "H", "aebodsys": "EYE DISORDERS"},
            id="what is delivered stands",
        ),
        pytest.param(
            {"aellt": "HICCOUGHS", "aedecod": "HICCUPS", "aesoc": "RESPIRATORY"},
            {"aedecod": "HICCUPS", "aehlt": None, "aehlgt": None, "aesoc": "RESPIRATORY", "aebodsys": "RESPIRATORY"},
            id="a term that is not listed",
        ),
        pytest.param({}, dict.fromkeys(ITCHING), id="not coded"),
    ],
)
def test_the_file_of_terms_tells_what_was_not_delivered(
    events: Callable[..., pl.DataFrame], delivered: Mapping[str, str], place: Mapping[str, str | None]
) -> None:
    rows = events({**began(date(2014, 1, 12)), "aedecod": None, "aebodsys": None, **delivered}, began(TREATED))

    assert rows.height == 2
    assert rows.select(*ITCHING).row(0, named=True) == place
    # Whatever hangs on the term sees it.
    assert (rows["cq01nam"][0] is not None) == (place is ITCHING)
