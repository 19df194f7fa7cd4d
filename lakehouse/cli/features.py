"""The commands of whoever trains a model: a training set as a file, and what its columns are."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from assets import training
from assets.curated.visit_features import LABEL, VISIT_FEATURES
from lakehouse import cuts, manifest
from lakehouse.cli.options import FormatOption
from lakehouse.cli.show import Format, out, rows
from lakehouse.errors import UnavailableError
from lakehouse.lake import Lake
from lakehouse.settings import Settings

app = typer.Typer(
    rich_markup_mode="markdown", no_args_is_help=True, help="Features of subjects by visit, as a training set."
)
TABLE = VISIT_FEATURES.table


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write: FILE.parquet or FILE.arrow.")],
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only visits delivered until this day, and labels known by then."),
    ] = None,
    in_cut: Annotated[str | None, typer.Option("--cut", help="The table as this data cut has it.")] = None,
) -> None:
    """Write a training set: one row per subject and visit, of what was known by then, with a label and a split.

    Rows of one subject are all in **train** or all in **test**. Each column's description is in the file.
    """
    lake = Lake(Settings.load().lake_uri)
    if in_cut:
        pin = cuts.get(lake, in_cut).pin(TABLE)
        found, version, code = cuts.scan(lake, in_cut, TABLE), pin.version, pin.made_by
    else:
        states = manifest.states(lake)
        versions = manifest.readable(states)
        if TABLE not in versions:
            raise UnavailableError(f"{TABLE} has not been made yet; lakehouse run makes it")
        found, version, code = lake.scan(TABLE, versions[TABLE]), versions[TABLE], manifest.codes(states)[TABLE]
    day = as_of.date() if as_of else None
    frame = training.training_set(found, day)
    told = {"table": TABLE, "version": str(version), "code": code, "cut": in_cut or "", "as_of": str(day or "")}
    training.write(frame, file, told)
    counted = frame.group_by(training.SPLIT).agg(
        subjects=pl.col("usubjid").n_unique(),
        rows=pl.len(),
        labelled=pl.col(LABEL).count(),
        positive=pl.col(LABEL).sum(),
    )
    rows(counted.sort(training.SPLIT, descending=True), title=f"Written to {file}")
    out.print(f"{TABLE} at version {version}. The file names subjects: treat it as what it was made from.")


@app.command()
def columns(format_: FormatOption = Format.table) -> None:
    """List the columns of a training set: keys, features, label and split, each described."""
    told = [(name, *words) for name, words in training.roles().items()]
    rows(pl.DataFrame(told, schema=["column", "role", "description"], orient="row"), format_)
