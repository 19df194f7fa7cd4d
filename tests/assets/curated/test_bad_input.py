"""What sites send that is sound by itself and awkward together: files of theirs, a real lake, curated tables of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from assets import catalog
from assets.study import TIME_POINTS
from lakehouse import manifest
from lakehouse.clock import Clock
from lakehouse.curate import Curation, curate
from lakehouse.curated import Curated
from lakehouse.ingest import ingest, pending
from lakehouse.lake import Lake
from lakehouse.landing import listing

Row = Mapping[str, str]
CLOCK = Clock(date(2014, 12, 31))
SOURCES = [catalog.source(name) for name in ("subjects", "visits", "exposure", "disposition", "vitals", "labs")]
SUPINE, STANDING = TIME_POINTS[815], TIME_POINTS[816]


@dataclass
class Study:
    """A landing folder and a lake. tables: the curated tables that are made. given: by table, whose rows it was last
    made from.
    """

    folder: Path
    tables: tuple[str, ...]
    given: dict[str, set[str]] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"))

    def land(self, path: str, *rows: Row) -> None:
        name = path.partition("/")[2].rpartition("_")[0]
        columns = catalog.source(name).columns
        file = self.folder / "landing" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [",".join(columns), *(",".join(row.get(column, "") for column in columns) for row in rows)]
        file.write_text("\n".join(lines) + "\n")

    def bring(self) -> dict[str, Curation]:
        """Ingest what has landed and bring the curated tables up to date."""
        landing = self.folder / "landing"
        found = listing(landing, SOURCES).claimed
        for source in SOURCES:
            ingest(self.lake, source, landing, pending(self.lake, source, found[source.name]).unseen, CLOCK, 10**8)
        self.given.clear()
        made = [self._watched(item) for item in catalog.curated() if item.name in self.tables]
        return {done.table: done for done in curate(self.lake, made, SOURCES, CLOCK)}

    def _watched(self, table: Curated) -> Curated:
        def transform(*frames: pl.LazyFrame) -> pl.LazyFrame:
            of_subjects = [rows for rows in frames if "usubjid" in rows.collect_schema()]
            self.given.setdefault(table.name, set()).update(*(rows.collect()["usubjid"] for rows in of_subjects))
            return table.transform(*frames)

        return replace(table, transform=transform)

    def table(self, name: str) -> pl.DataFrame:
        """A curated table but for the time of receipt, as readers see it."""
        name = f"curated/{name}"
        rows = self.lake.scan(name, manifest.versions(self.lake)[name]).collect()
        return rows.drop("_received_at").sort("usubjid", "_file", "_line")


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Study]:
    return lambda name, *tables: Study(tmp_path / name, tables)


PERSON = {"STUDYID": "S", "SITEID": "701", "SEX": "F", "COUNTRY": "USA", "ARMCD": "Pbo", "ARM": "Placebo"}
PULSE = {"STUDYID": "S", "VSTESTCD": "PULSE", "VSTEST": "Pulse Rate", "VSORRESU": "beats/min", "VSDTC": "2014-01-02"}
ALT = {
    "STUDYID": "S",
    "LBTESTCD": "ALT",
    "LBTEST": "Alanine Aminotransferase",
    "LBORRESU": "U/L",
    "LBDTC": "2014-01-02",
}


def subject(number: int, **more: str) -> Row:
    return {**PERSON, "USUBJID": f"01-701-{number}", "SUBJID": str(number), **more}


def pulse(number: int, visit: float, result: str, **more: str) -> Row:
    return {**PULSE, "USUBJID": f"01-701-{number}", "VISITNUM": str(visit), "VSORRES": result, **more}


def alt(number: int, visit: float, result: str) -> Row:
    ranged = {"LBORNRLO": "6", "LBORNRHI": "34"}
    return {**ALT, **ranged, "USUBJID": f"01-701-{number}", "VISITNUM": str(visit), "LBORRES": result}


MEASURED = ("subjects", "vital_signs", "lab_results")


@pytest.mark.parametrize("day", ["2014-01-02", "2014-02-20"], ids=["the same file again", "another file"])
def test_a_baseline_that_is_corrected_late_moves_every_later_row_of_its_subject(
    study: Callable[..., Study], day: str
) -> None:
    live = study("live", *MEASURED)
    live.land("701/subjects_2014-01-02.csv", *(subject(number) for number in (1, 2, 3, 4)))
    everyone = (1, 2, 3, 4)
    live.land("701/vitals_2014-01-02.csv", *(pulse(n, 3, "60") for n in everyone))
    live.land("701/labs_2014-01-02.csv", *(alt(n, 1, "20") for n in everyone))
    for visit, later in ((4, "2014-01-16"), (5, "2014-01-30"), (7, "2014-02-13")):
        live.land(f"701/vitals_{later}.csv", *(pulse(n, visit, str(60 + visit)) for n in everyone))
        live.land(f"701/labs_{later}.csv", *(alt(n, visit, str(40 + visit)) for n in everyone))
    live.bring()
    before = {name: live.table(name) for name in ("vital_signs", "lab_results")}

    # Another value of one subject; of the file that is sent again the other records are as they were.
    rest = everyone[1:] if day == "2014-01-02" else ()
    live.land(f"701/vitals_{day}.csv", pulse(1, 3, "50"), *(pulse(n, 3, "60") for n in rest))
    live.land(f"701/labs_{day}.csv", alt(1, 1, "80"), *(alt(n, 1, "20") for n in rest))
    live.bring()

    if day != "2014-01-02":
        assert live.given == {name: {"01-701-1"} for name in MEASURED}
    vitals, labs = (live.table(name) for name in ("vital_signs", "lab_results"))
    mine, others = pl.col("usubjid") == "01-701-1", pl.col("usubjid") != "01-701-1"
    own = vitals.filter(mine).sort("visitnum")
    assert own.select("visitnum", "aval", "base", "chg", "pchg").rows() == [
        (3, 50, 50, 0, 0),
        (4, 64, 50, 14, 28),
        (5, 65, 50, 15, 30),
        (7, 67, 50, 17, 34),
    ]
    own = labs.filter(mine).sort("visitnum")
    assert own.select("aval", "base", "chg", "pchg", "bnrind", "shift1").rows() == [
        (80, 80, None, None, "HIGH", None),
        (44, 80, -36, -45, "HIGH", "HIGH to NORMAL"),
        (45, 80, -35, -43.75, "HIGH", "HIGH to NORMAL"),
        (47, 80, -33, -41.25, "HIGH", "HIGH to NORMAL"),
    ]
    assert before["lab_results"].filter(mine).sort("visitnum")["shift1"].to_list()[1:] == ["NORMAL to NORMAL"] * 3
    for name, rows in (("vital_signs", vitals), ("lab_results", labs)):
        # A file that is sent again has another checksum, whatever it says of the others.
        assert rows.filter(others).drop("_checksum").equals(before[name].filter(others).drop("_checksum"))

    whole = study("whole", *MEASURED)
    whole.folder.mkdir()
    (whole.folder / "landing").symlink_to(live.folder / "landing")
    whole.bring()
    for name, rows in (("vital_signs", vitals), ("lab_results", labs)):
        assert rows.equals(whole.table(name))


ODD = (*MEASURED, "reference_subjects", "reference_results", "usual_results", "result_flags", "scheduled_results")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict[str, Curation]]:
    """Two subjects who came to baseline and week 2: the first's time points have one name for two numbers, then none;
    the second came before it consented, and withdrew.
    """
    made = Study(tmp_path_factory.mktemp("odd"), ODD)
    made.land("701/subjects_2014-01-02.csv", subject(1, RFICDTC="2014-01-02"), subject(2, RFICDTC="2014-01-10"))
    came = [{"STUDYID": "S", "USUBJID": f"01-701-{n}", "VISIT": "V", "SVSTDTC": "2014-01-02"} for n in (1, 2)]
    made.land("701/visits_2014-01-02.csv", *({**row, "VISITNUM": "3"} for row in came))
    made.land("701/visits_2014-01-16.csv", *({**row, "VISITNUM": "4", "SVSTDTC": "2014-01-16"} for row in came))
    dose = {"STUDYID": "S", "EXTRT": "PLACEBO", "EXDOSE": "0", "EXDOSU": "mg", "VISITNUM": "3"}
    dosed = [{**dose, "USUBJID": f"01-701-{n}", "EXSTDTC": "2014-01-02"} for n in (1, 2)]
    made.land("701/exposure_2014-01-02.csv", *dosed)
    first = pulse(1, 3, "60", VSTPT=SUPINE, VSTPTNUM="815")
    made.land("701/vitals_2014-01-02.csv", first, {**first, "VSTPTNUM": "899"}, pulse(2, 3, "70"))
    unnamed = [pulse(1, 4, "61", VSTPTNUM=number) for number in ("815", "816", "817")]
    made.land("701/vitals_2014-01-16.csv", *unnamed, pulse(2, 4, "71"))
    left = {"DSTERM": "WITHDREW CONSENT", "DSDECOD": "WITHDRAWAL BY SUBJECT", "DSCAT": "DISPOSITION EVENT"}
    days = {"DSDTC": "2014-01-20", "DSSTDTC": "2014-01-18", "VISITNUM": "4"}
    made.land("701/disposition_2014-01-20.csv", {"STUDYID": "S", "USUBJID": "01-701-2", **left, **days})
    made.land("701/vitals_2014-02-20.csv", pulse(2, 8, "72", VSDTC="2014-02-20"))
    return made, made.bring()


def test_time_points_of_one_name_and_of_none_stop_no_table(odd: tuple[Study, dict[str, Curation]]) -> None:
    made, done = odd
    assert {name.partition("/")[2] for name in done} == set(ODD)
    rows = made.table("vital_signs").filter(usubjid="01-701-1").sort("visitnum", "atptn")
    third = TIME_POINTS[817]
    assert rows.select("visitnum", "basetype", "base").rows() == [
        (3, SUPINE, 60),
        (3, "TIME POINT 899", 60),
        (4, SUPINE, 60),
        (4, STANDING, None),
        (4, third, None),
    ]
    assert done["curated/vital_signs"].breaches == {"time_points_of_study": 1}


def test_a_visit_before_consent_is_told(odd: tuple[Study, dict[str, Curation]]) -> None:
    _, done = odd
    assert done["curated/subjects"].breaches["consent_before_visits"] == 1


def test_a_subject_who_withdrew_keeps_its_results_and_is_not_waited_for(odd: tuple[Study, dict[str, Curation]]) -> None:
    made, _ = odd
    row = made.table("subjects").row(1, named=True)
    assert {name: row[name] for name in ("usubjid", "eosstt", "disconfl", "dsraefl", "dcdecod", "dcsreas")} == {
        "usubjid": "01-701-2",
        "eosstt": "DISCONTINUED",
        "disconfl": "Y",
        "dsraefl": None,
        "dcdecod": "WITHDRAWAL BY SUBJECT",
        "dcsreas": "Withdrew Consent",
    }
    # The dose was never ended: it lasted until the subject left.
    assert (row["trtedt"], row["rfendt"], row["saffl"]) == (date(2014, 1, 18), date(2014, 1, 18), "Y")
    results = made.table("vital_signs").filter(usubjid="01-701-2")
    assert results.sort("visitnum").select("visitnum", "aval", "chg").rows() == [(3, 70, 0), (4, 71, 1), (8, 72, 2)]
    asked = made.lake.scan("curated/scheduled_results").collect().filter(usubjid="01-701-2", paramcd="TEMP")
    assert dict(asked.select("avisitn", "status").sort("avisitn").iter_rows()) == {
        **dict.fromkeys((0, 2), "no result"),
        **dict.fromkeys((4, 6, 8, 12, 16, 20, 24, 26), "left the study"),
    }
