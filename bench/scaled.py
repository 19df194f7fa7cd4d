"""The study's vital signs, scaled: any number of records of new subjects with shifted dates, some with each defect.

    python bench/scaled.py FOLDER [--rows 1000000] [--shape one|daily|small|files-N|pilot]

What every contender has to do with them is the source `VITALS` below: ten rules, one row for each key (the later record
wins), results in standard units.
"""

import argparse
import json
from datetime import date, timedelta
from pathlib import Path

import dataframely as dy
import polars as pl
from units import HIGH, LOW, TO_STANDARD

from assets.pilot.land import EXPORTS, collected
from lakehouse.contract import Contract
from lakehouse.lookup import look_up
from lakehouse.source import Source

FIRST = date(2017, 1, 1)
SMALL_FILE = 50
# How many files.
SHAPES = {"one": 1, "daily": 365}
# A record is about 100 bytes: what says again what another column says is left out.
COLUMNS = tuple(name for name in EXPORTS["vitals"].columns if name not in ("VSTEST", "VSELTM", "VSTPTREF"))
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
# The rule that each defect breaks, and what a record with it says. Every thousandth record has each of them.
DEFECTS: dict[str, dict[str, str]] = {
    "subject_named": {"USUBJID": "subject 12"},
    "test_known": {"VSTESTCD": "BPSYS"},
    "result_is_a_number": {"VSTESTCD": "SYSBP", "VSORRES": "12O", "VSORRESU": "mmHg", "VSSTAT": ""},
    "result_or_not_done": {"VSORRES": "", "VSSTAT": ""},
    "unit_known": {"VSORRES": "100", "VSORRESU": "stone", "VSSTAT": ""},
    "value_possible": {"VSTESTCD": "SYSBP", "VSORRES": "99999", "VSORRESU": "mmHg", "VSSTAT": ""},
    "visit_is_a_number": {"VISITNUM": "one"},
    "date_real": {"VSDTC": "2013-02-30"},
    "date_in_study": {"VSDTC": "1912-05-06"},
    "measured_before_delivery": {"VSDTC": "2099-01-01"},
}


class Vital(Contract):
    """One vital sign of one subject at one visit and time point."""

    usubjid = dy.String()
    site = dy.String(nullable=True)
    vstestcd = dy.String()
    vspos = dy.String(nullable=True)
    vsorres = dy.String(nullable=True)
    vsorresu = dy.String(nullable=True)
    vsstat = dy.String(nullable=True)
    vsstresn = dy.Float64(nullable=True)
    visitnum = dy.Float64(nullable=True)
    visit = dy.String(nullable=True)
    vsdtc = dy.String(nullable=True)
    vsdt = dy.Date(nullable=True)
    vstpt = dy.String(nullable=True)
    vstptnum = dy.Float64(nullable=True)

    @dy.rule()
    def subject_named(cls) -> pl.Expr:
        """USUBJID is study, site and subject."""
        return pl.col("site").is_not_null()

    @dy.rule()
    def test_known(cls) -> pl.Expr:
        """VSTESTCD is one of the study's."""
        return pl.col("vstestcd").is_in(list(LOW))

    @dy.rule()
    def result_is_a_number(cls) -> pl.Expr:
        """VSORRES is a plain number."""
        return pl.col("vsorres").str.contains(_NUMBER)

    @dy.rule()
    def result_or_not_done(cls) -> pl.Expr:
        """VSORRES has a result, or VSSTAT says NOT DONE."""
        return pl.col("vsorres").is_not_null() | (pl.col("vsstat") == "NOT DONE").fill_null(False)

    @dy.rule()
    def unit_known(cls) -> pl.Expr:
        """VSORRESU is a unit of the test."""
        known = [f"{test} {unit}" for test, unit, *_ in TO_STANDARD]
        given = pl.concat_str("vstestcd", "vsorresu", separator=" ", ignore_nulls=True)
        return pl.col("vsorres").is_null() | ~pl.col("vstestcd").is_in(list(LOW)) | given.is_in(known)

    @dy.rule()
    def value_possible(cls) -> pl.Expr:
        """The result, in the standard unit, is one that a living adult can show."""
        test, value = pl.col("vstestcd"), pl.col("vsstresn")
        return value.is_between(test.replace_strict(LOW, default=None), test.replace_strict(HIGH, default=None))

    @dy.rule()
    def visit_is_a_number(cls) -> pl.Expr:
        """VISITNUM is a number."""
        return pl.col("visitnum").is_not_null()

    @dy.rule()
    def date_real(cls) -> pl.Expr:
        """VSDTC is a day that exists."""
        return pl.col("vsdt").is_not_null()

    @dy.rule()
    def date_in_study(cls) -> pl.Expr:
        """VSDTC is not before the study."""
        return pl.col("vsdt") >= date(2012, 1, 1)

    @dy.rule()
    def measured_before_delivery(cls) -> pl.Expr:
        """VSDTC is not after the file's day."""
        return pl.col("vsdt") <= pl.col("_delivered")


def typed(raw: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of `raw` with numbers, dates and standard results."""
    units = pl.LazyFrame(list(TO_STANDARD), schema=["VSTESTCD", "VSORRESU", "_zero", "_factor"], orient="row")
    result = pl.col("VSORRES").cast(pl.Float64, strict=False)
    return look_up(raw, units, ["VSTESTCD", "VSORRESU"]).select(
        pl.col("^_.*$").exclude("_extra", "_zero", "_factor"),
        usubjid="USUBJID",
        # In half the time of extracting it.
        site=pl.when(pl.col("USUBJID").str.contains(r"^01-[0-9]{3}-[0-9]+$")).then(pl.col("USUBJID").str.slice(3, 3)),
        vstestcd="VSTESTCD",
        vspos="VSPOS",
        vsorres="VSORRES",
        vsorresu="VSORRESU",
        vsstat="VSSTAT",
        vsstresn=(result - pl.col("_zero")) * pl.col("_factor"),
        visitnum=pl.col("VISITNUM").cast(pl.Float64, strict=False),
        visit="VISIT",
        vsdtc="VSDTC",
        vsdt=pl.when(pl.col("VSDTC").str.contains(_DAY)).then("VSDTC").str.to_date("%Y-%m-%d", strict=False),
        vstpt="VSTPT",
        vstptnum=pl.col("VSTPTNUM").cast(pl.Float64, strict=False),
    )


VITALS = Source(
    name="vitals",
    description="Vital signs, scaled.",
    owner="team:bench",
    contract=Vital,
    tidy=typed,
    key=("usubjid", "vstestcd", "visitnum", "vstptnum"),
    columns=COLUMNS,
)


def records(rows: int) -> pl.DataFrame:
    """So many records in the order they were collected: the export's columns as text, `_site`, `_day` and `_defect`."""
    study = collected(EXPORTS["vitals"]).select(*COLUMNS, "_site", "_day")
    twice = rows // 500
    copies = -(-(rows - twice) // study.height)
    many = pl.concat([_copy(study, number) for number in range(copies)]).head(rows - twice)
    many = many.sort("_day", maintain_order=True).with_columns(_n=pl.int_range(pl.len()) % 1000)
    kinds = pl.DataFrame(
        {"_n": range(7, 7 + 13 * len(DEFECTS), 13), "_defect": list(DEFECTS)}, schema_overrides={"_n": pl.Int64}
    )
    many = many.join(kinds, on="_n", how="left", maintain_order="left").drop("_n")
    again = many.filter(pl.col("_defect").is_null()).gather_every(400).head(twice)
    again = _dated(again, pl.lit(1))
    whole = pl.concat([many, again]).sort("_day", maintain_order=True)
    changes: dict[str, pl.Expr] = {}
    for rule, fields in DEFECTS.items():
        for name, value in fields.items():
            before = changes.get(name, pl.col(name))
            changes[name] = pl.when(pl.col("_defect") == rule).then(pl.lit(value or None, pl.String)).otherwise(before)
    return whole.with_columns(**changes)


def _copy(study: pl.DataFrame, number: int) -> pl.DataFrame:
    renamed = study.with_columns(USUBJID=pl.col("USUBJID") + f"{number:03}")
    return _dated(renamed, pl.lit(number % 365))


def _dated(frame: pl.DataFrame, days: pl.Expr) -> pl.DataFrame:
    later = pl.col("_day") + pl.duration(days=days)
    return frame.with_columns(VSDTC=later.cast(pl.String), _day=later)


def pilot() -> pl.DataFrame:
    """The study's own records as they are, in the same columns; none of them breaks a rule."""
    study = collected(EXPORTS["vitals"]).select(*COLUMNS, "_site", "_day")
    return study.with_columns(_defect=pl.lit(None, pl.String))


def write(landing: Path, rows: int, shape: str) -> None:
    """The records as files `SITE/vitals_DAY.csv`: `one` file, 365 `daily` ones, or as many `small` ones of 50 records;
    of the `pilot`, whose records are not scaled, a file for each site and day.

    Beside them `expected.json`: how many records there are, how many are accepted, and by which rule the others fail.
    """
    many = pilot() if shape == "pilot" else records(rows)
    if shape == "pilot":
        rows = many.height
        for (site, day), some in many.partition_by("_site", "_day", as_dict=True, maintain_order=True).items():
            _file(landing, str(site), str(day), some)
    elif shape == "small":
        for (site,), some in many.partition_by("_site", as_dict=True, maintain_order=True).items():
            _files(landing, str(site), some, -(-some.height // SMALL_FILE))
    else:
        _files(landing, "701", many, SHAPES.get(shape) or int(shape.removeprefix("files-")))
    failed = dict(many["_defect"].drop_nulls().value_counts().sort("_defect").iter_rows())
    again = 0 if shape == "pilot" else rows // 500
    told = {"rows": rows, "accepted": rows - sum(failed.values()) - again, "rejected": failed}
    (landing / "expected.json").write_text(json.dumps(told))


def _files(landing: Path, site: str, many: pl.DataFrame, count: int) -> None:
    for number in range(count):
        first, last = number * many.height // count, (number + 1) * many.height // count
        _file(landing, site, str(FIRST + timedelta(days=number)), many.slice(first, last - first))


def _file(landing: Path, site: str, day: str, some: pl.DataFrame) -> None:
    (landing / site).mkdir(parents=True, exist_ok=True)
    some.drop("_site", "_day", "_defect").write_csv(landing / site / f"vitals_{day}.csv")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--shape", default="one", help="one, daily, small, files-N for N files, or pilot")
    asked = options.parse_args()
    write(asked.folder, asked.rows, asked.shape)
