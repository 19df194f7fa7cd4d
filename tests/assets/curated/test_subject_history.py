"""Versions of subjects by delivery day: on a real lake, in whatever order the snapshots are read."""

import sys
from collections.abc import Callable
from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "lakehouse"))

from house import House

from assets.curated.subject_history import SUBJECT_HISTORY, TOLD
from assets.subjects import SUBJECTS, Subject
from lakehouse import ledger, manifest
from lakehouse.clock import Clock
from lakehouse.curate import Curation, curate
from lakehouse.dialect import PLAIN
from lakehouse.ingest import schemas
from lakehouse.lake import Lake
from lakehouse.lineage import columns

HEADER = ",".join(SUBJECTS.columns) + "\n"
TOLD_OF = ("usubjid", "sex", "age", "valid_from", "valid_to", "is_current", "_file", "_line")


def line(subject: str, sex: str = "F", age: str = "63", site: str = "701") -> str:
    values = {"STUDYID": "T", "USUBJID": f"T-{site}-{subject}", "SUBJID": subject, "SITEID": site, "SEX": sex,
              "AGE": age, "AGEU": "YEARS", "COUNTRY": "USA", "DMDTC": "2014-01-01"}  # fmt: skip
    return ",".join(values.get(name, "") for name in SUBJECTS.columns) + "\n"


def snapshot(number: int, *lines: str, site: str = "701") -> tuple[str, str]:
    return f"{site}/subjects_2014-02-{number:02}.csv", "".join(lines)


# Subject 1 is corrected on the 4th; 2 is missing on the 3rd and back on the 4th; 3 leaves with the 4th. What the 5th
# says of subject 1 breaks the contract, so it tells of nobody who left. Another site tells of one of its own.
SNAPSHOTS = [
    snapshot(1, line("1")),
    snapshot(2, line("1"), line("2"), line("3")),
    snapshot(3, line("1"), line("3")),
    snapshot(4, line("1", age="64"), line("2")),
    snapshot(5, line("1", age="old"), line("2")),
    snapshot(3, line("8", site="702"), site="702"),
]
FEB = {day: date(2014, 2, day) for day in range(1, 8)}
HISTORY = [
    ("T-701-1", "F", 63, FEB[1], FEB[4], False, "701/subjects_2014-02-01.csv", 2),
    ("T-701-1", "F", 64, FEB[4], None, True, "701/subjects_2014-02-04.csv", 2),
    ("T-701-2", "F", 63, FEB[2], FEB[3], False, "701/subjects_2014-02-02.csv", 3),
    ("T-701-2", "F", 63, FEB[4], None, True, "701/subjects_2014-02-04.csv", 3),
    ("T-701-3", "F", 63, FEB[2], FEB[4], False, "701/subjects_2014-02-02.csv", 4),
    ("T-702-8", "F", 63, FEB[3], None, True, "702/subjects_2014-02-03.csv", 2),
]


@pytest.fixture
def study(tmp_path: Path) -> Callable[[str], House]:
    """Makes a lakehouse of subjects alone."""

    def house(name: str) -> House:
        (tmp_path / name / "landing").mkdir(parents=True)
        lake = Lake(str(tmp_path / name / "lake"))
        return House(tmp_path / name / "landing", lake, SUBJECTS, Clock(date(2014, 12, 31)))

    return house


def land(house: House, path: str, body: str) -> None:
    house.land(path, body, header=HEADER)
    house.run()


def history(house: House, of: tuple[str, ...] = TOLD_OF) -> list[tuple[object, ...]]:
    told(house)
    rows = house.lake.scan(SUBJECT_HISTORY.table, manifest.versions(house.lake)[SUBJECT_HISTORY.table])
    return rows.sort("usubjid", "valid_from").select(of).collect().rows()


def told(house: House) -> Curation:
    [done] = curate(house.lake, [SUBJECT_HISTORY], [SUBJECTS], house.clock)
    return done


def test_versions_run_from_delivery_day_to_delivery_day(study: Callable[[str], House]) -> None:
    house = study("all")
    for item in SNAPSHOTS:
        house.land(*item, header=HEADER)
    house.run()
    assert history(house) == HISTORY


def test_a_site_has_its_region_when_the_list_has_it(study: Callable[[str], House]) -> None:
    house = study("regions")
    house.land(*snapshot(1, line("1")), header=HEADER)
    house.land(*snapshot(1, line("9", site="999"), site="999"), header=HEADER)
    house.run()
    assert history(house, ("siteid", "region")) == [("701", "Northern America"), ("999", None)]


@pytest.mark.parametrize("order", [*permutations(range(4))][1::5], ids=str)
def test_the_order_of_arrival_does_not_matter(study: Callable[[str], House], order: tuple[int, ...]) -> None:
    """Made again after every snapshot, as they come, or once and for all."""
    house = study("one by one")
    for number in (*order, 4, 5):
        land(house, *SNAPSHOTS[number])
        told(house)
    assert history(house) == HISTORY

    ledger.rebuild(house.lake, SUBJECTS, "someone", "to see", 10**8)
    house.run()
    assert history(house) == HISTORY
    assert not told(house).changed


def test_what_is_corrected_or_withdrawn_was_never_said(study: Callable[[str], House]) -> None:
    house = study("corrected")
    land(house, *snapshot(1, line("1", sex="M")))
    land(house, *snapshot(2, line("1", sex="F")))
    assert [row[1] for row in history(house)] == ["M", "F"]

    land(house, *snapshot(1, line("1", sex="F")))
    assert history(house) == [("T-701-1", "F", 63, FEB[1], None, True, "701/subjects_2014-02-01.csv", 2)]

    ledger.withdraw(house.lake, SUBJECTS, "701/subjects_2014-02-01.csv", "someone", "wrong file")
    house.run()
    assert history(house) == [("T-701-1", "F", 63, FEB[2], None, True, "701/subjects_2014-02-02.csv", 2)]


def test_of_two_records_on_one_day_the_last_counts(study: Callable[[str], House]) -> None:
    house = study("twice")
    land(house, *snapshot(1, line("1", sex="M"), line("1", sex="F")))
    assert history(house) == [("T-701-1", "F", 63, FEB[1], None, True, "701/subjects_2014-02-01.csv", 3)]


def test_a_site_is_made_anew_alone(study: Callable[[str], House]) -> None:
    house = study("alone")
    for item in SNAPSHOTS:
        land(house, *item)
    told(house)
    lone = house.lake.open(SUBJECT_HISTORY.table)
    land(house, *snapshot(6, line("8", age="70", site="702"), site="702"))
    told(house)
    gone, added = house.lake.changed(SUBJECT_HISTORY.table, lone.version(), lone.version() + 1)
    assert set(gone["_site"]) == {"702"}
    assert added.select("age", "is_current").rows() == [(63, False), (70, True)]
    assert history(house)[:5] == HISTORY[:5]


def test_a_version_is_made_of_nothing_that_tells_the_treatment() -> None:
    inputs = {f"{layer}/subjects": kinds for layer, kinds in schemas(SUBJECTS).items()}
    assert set(TOLD) < set(Subject.column_names())
    made_of = columns(SUBJECT_HISTORY.transform, {name: inputs[name] for name in SUBJECT_HISTORY.inputs})
    assert ("raw/subjects", "SEX") in made_of["sex"]
    told_by = {name.upper() for _, name in {item for items in made_of.values() for item in items}}
    assert not told_by & {"ARM", "ARMCD", "ACTARM", "ACTARMCD"}
    # Values are read from raw as they stand: no site may write them in a way of its own.
    assert [(dialect.decimal, dialect.nulls) for _, dialect in SUBJECTS.dialects()] == [(".", PLAIN.nulls)]
