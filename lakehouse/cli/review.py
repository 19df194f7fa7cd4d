"""The commands of whoever reviews what arrived: what waits in quarantine, for whom, and what became of it."""

from getpass import getuser
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.markup import escape

from assets import catalog
from lakehouse import quarantine
from lakehouse import release as held
from lakehouse.cli.options import FormatOption, SourceOption
from lakehouse.cli.show import Format, out, rows
from lakehouse.drift import unknown_columns
from lakehouse.lake import Lake
from lakehouse.quarantine import By
from lakehouse.settings import Settings
from lakehouse.source import Source

app = typer.Typer(rich_markup_mode="markdown")


@app.callback(invoke_without_command=True)
def waiting(
    context: typer.Context,
    source: SourceOption = None,
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    by: Annotated[By | None, typer.Option(help="Count the lines instead of listing them.")] = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="List what a later delivery mended, and which one.")
    ] = False,
    format_: FormatOption = Format.table,
) -> None:
    """List rejected lines with their reasons. A line 0 stands for a whole file."""
    if context.invoked_subcommand:
        return
    settings = Settings.load()
    lake = Lake(settings.lake_uri)
    if resolved:
        if by:
            raise typer.BadParameter("--resolved lists lines; it does not go with --by")
        mended = pl.concat([quarantine.resolved(lake, item, settings.batch_bytes) for item in _chosen(source)])
        rows(mended if site is None else mended.filter(pl.col("site") == site), format_)
        return
    found = quarantine.waiting(lake, _chosen(source), site)
    if by:
        rows(quarantine.grouped(found, by), format_)
        return
    reasons = pl.col("reasons").list.join(" ")
    columns = ["source", "_site", "_file", "_line", reasons, "explanation", "_text"]
    listed = found.select(columns).sort("source", "_file", "_line").collect()
    if listed.is_empty() and format_ is Format.table:
        out.print(f"Nothing{f' of site {escape(site)}' if site else ''} waits in quarantine.")
        return
    rows(listed, format_)


@app.command()
def export(
    site: Annotated[str, typer.Option(help="The site whose files to write.")],
    to: Annotated[Path, typer.Option(help="Folder to write them into.")],
    source: SourceOption = None,
) -> None:
    """Write each file of a site that has rejected lines, complete, with the reasons in a first column `_reasons`.

    The site mends the lines in place and sends the file back under the same name: it takes the place of the first. The
    column may stay.
    """
    settings = Settings.load()
    if to.resolve().is_relative_to(settings.landing.resolve()):
        raise typer.BadParameter("--to is in the landing folder; what is written there counts as delivered")
    lake = Lake(settings.lake_uri)
    written = quarantine.export(lake, _chosen(source), site, to)
    if written.is_empty():
        out.print(f"Nothing of site {site} waits in quarantine.")
        return
    rows(written.sort("file"), title=f"Written to {to}")


def drift(source: SourceOption = None, format_: FormatOption = Format.table) -> None:
    """List the columns that sites deliver and the sources do not know: since when, from whom, and what they look like.

    They are kept in raw. A column that is added to its source is filled in for all that came before with the next run.
    """
    found = unknown_columns(Lake(Settings.load().lake_uri), _chosen(source))
    rows(found.with_columns(pl.col("filled", "share").round(3)), format_)


def release(
    source: Annotated[str, typer.Argument(help="The source whose records hold the curated tables back.")],
    reason: Annotated[str, typer.Option(help="Why they may be published; it stays on record.")],
) -> None:
    """Release what holds the curated tables back: records that break a rule of severity `block`.

    They stay in quarantine; the next run publishes what was curated without them. What comes later is held back again.
    """
    done = held.release(Lake(Settings.load().lake_uri), catalog.source(source), getuser(), reason)
    if done.is_empty():
        out.print(f"Nothing of {source} is held back.")
        return
    counted = done.group_by("rule").agg(pl.col("lines").sum(), files=pl.struct("_file", "_checksum").n_unique())
    rows(counted.sort("rule"), title=f"Released by {getuser()}; lakehouse run publishes")


def _chosen(source: str | None) -> list[Source]:
    return [catalog.source(source)] if source else list(catalog.sources())
