"""The command of the data manager who asks the sites: what seems wrong, and what was asked already."""

from enum import StrEnum
from getpass import getuser
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.markup import escape

from assets.curated.data_queries import DATA_QUERIES
from lakehouse import manifest, sent
from lakehouse.cli.options import FormatOption
from lakehouse.cli.show import Format, out, rows
from lakehouse.errors import UnavailableError
from lakehouse.lake import Lake
from lakehouse.settings import Settings

_SHOWN = ("siteid", "usubjid", "visit", "paramcd", "kind", "question", "since", "_file", "_line", "status", "sent_at")


class Status(StrEnum):
    """Which questions are listed."""

    open = "open"
    closed = "closed"
    all = "all"


def queries(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    status: Annotated[Status, typer.Option(help="Open ones still hold; closed ones were sent and hold no more.")] = (
        Status.open
    ),
    csv: Annotated[
        Path | None, typer.Option(help="Write them to this file for the site, and put on record that they were sent.")
    ] = None,
    format_: FormatOption = Format.table,
) -> None:
    """List the questions to the sites: outliers, jumps, unit mix-ups, missing results, the same twice.

    Nothing is changed by them: a site corrects a record by sending its file again, and the question closes with the
    next run. **--csv** is for sending: who wrote the file, and when, stays beside each question.
    """
    settings = Settings.load()
    lake = Lake(settings.lake_uri)
    if csv and csv.resolve().is_relative_to(settings.landing.resolve()):
        raise typer.BadParameter("--csv is in the landing folder; what is written there counts as delivered")
    version = manifest.versions(lake).get(DATA_QUERIES.table)
    found = lake.scan(DATA_QUERIES.table, version, schema=dict(DATA_QUERIES.contract.create_empty().schema))
    found = found if site is None else found.filter(pl.col("siteid") == site)
    found = found if status is Status.all else found.filter(pl.col("status") == status.value)
    listed = found.sort("siteid", "usubjid", "visitnum", "query").collect()
    if csv:
        _send(lake, listed, csv)
        return
    if listed.is_empty() and format_ is Format.table:
        named = "" if status is Status.all else f"{status.value} "
        out.print(f"There is no {named}question{f' to site {escape(site)}' if site else ''}.")
        return
    rows(listed.select(_SHOWN) if format_ is Format.table else listed, format_)


def _send(lake: Lake, listed: pl.DataFrame, csv: Path) -> None:
    """Write the questions for the site, then put on record those that had not been sent."""
    try:
        csv.parent.mkdir(parents=True, exist_ok=True)
        listed.write_csv(csv)
    except OSError as error:
        raise UnavailableError(f"{csv} cannot be written ({error.strerror}); nothing was put on record") from None
    fresh = listed.filter(pl.col("sent_at").is_null())
    sent.record(lake, DATA_QUERIES, fresh, getuser())
    out.print(
        f"{listed.height:,} questions written to {escape(str(csv))}, {fresh.height:,} of them for the first time; "
        "lakehouse run tells later which are settled"
    )
