"""The commands of whoever trains a model: a training set as a file, and what its columns are."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from assets import catalog, training
from assets.curated.visit_features import LABEL, VISIT_FEATURES
from lakehouse import cuts, manifest
from lakehouse.cli.options import FormatOption
from lakehouse.cli.show import Format, out, rows
from lakehouse.clock import Clock
from lakehouse.curate import GROUP
from lakehouse.errors import UnavailableError
from lakehouse.inputs import Inputs
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
        typer.Option(formats=["%Y-%m-%d"], help="Only what was there at the end of this day, labels as known then."),
    ] = None,
    in_cut: Annotated[str | None, typer.Option("--cut", help="The table as this data cut has it.")] = None,
) -> None:
    """Write a training set: one row per subject and visit, of what was known by then, with a label and a split.

    Rows of one subject are all in **train** or all in **test**. Each column's description is in the file. With
    **--as-of** a label is null until its days are over, and rows that count no longer are left out.
    """
    settings = Settings.load()
    lake = Lake(settings.lake_uri)
    if in_cut:
        cut = cuts.get(lake, in_cut)
        versions, codes = cut.versions, {pin.table: pin.made_by for pin in cut.pins}
        found = cuts.scan(lake, in_cut, TABLE)
    else:
        states = manifest.states(lake)
        versions, codes = manifest.readable(states), manifest.codes(states)
        if TABLE not in versions:
            raise UnavailableError(f"{TABLE} has not been made yet; lakehouse run makes it")
        found = lake.scan(TABLE, versions[TABLE])
        # What it was made from: the sources may have come further since.
        versions |= {table: version for table, version in (states[GROUP].inputs or {}).items() if "/" in table}
    day = as_of.date() if as_of else None
    if day:
        found = training.as_known(day, found, *_versions(lake, Clock(settings.as_of), versions, codes, in_cut))
    frame = training.training_set(found)
    told = {
        "table": TABLE,
        "version": str(versions[TABLE]),
        "code": codes[TABLE],
        "cut": in_cut or "",
        "as_of": str(day or ""),
    }
    training.write(frame, file, told)
    counted = frame.group_by(training.SPLIT).agg(
        subjects=pl.col("usubjid").n_unique(),
        rows=pl.len(),
        labelled=pl.col(LABEL).count(),
        positive=pl.col(LABEL).sum(),
    )
    rows(counted.sort(training.SPLIT, descending=True), title=f"Written to {file}")
    out.print(f"{TABLE} at version {versions[TABLE]}. The file names subjects: treat it as what it was made from.")


def _versions(
    lake: Lake, clock: Clock, versions: dict[str, int], codes: dict[str, str], in_cut: str | None
) -> list[pl.LazyFrame]:
    """Every version of the rows that tell what there was on a day."""
    sources = catalog.sources()
    for source in sources:
        table = f"processed/{source.name}"
        if source.name in training.AS_KNOWN_BY and codes.get(table, source.contract_version) != source.contract_version:
            held = f"in cut {in_cut} it" if in_cut else "it"
            mend = "leave out --as-of" if in_cut else "lakehouse run makes it anew"
            raise UnavailableError(
                f"{table} tells what was known on a day, but {held} was made by another contract than the one of now; "
                f"nothing was written; {mend}"
            )
    inputs = Inputs(lake, sources, clock, versions, {})
    return [inputs.rows(f"history/{name}").all for name in training.AS_KNOWN_BY]


@app.command()
def columns(format_: FormatOption = Format.table) -> None:
    """List the columns of a training set: keys, features, label and split, each described."""
    told = [(name, *words) for name, words in training.roles().items()]
    rows(pl.DataFrame(told, schema=["column", "role", "description"], orient="row"), format_)
