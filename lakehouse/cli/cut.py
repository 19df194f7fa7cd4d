"""The commands of whoever freezes a data cut: make, list, show and prove, compare, build models on it, drop."""

import json
import subprocess
import sys
import tempfile
from datetime import datetime
from getpass import getuser
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.markup import escape

from assets import catalog
from lakehouse import cut_schemas, cuts, difference, postgres, standing
from lakehouse.cli.options import DBT_PROJECT, FormatOption
from lakehouse.cli.show import Format, err, out, progress, rows
from lakehouse.errors import CutError, LakehouseError
from lakehouse.lake import Lake
from lakehouse.settings import Settings, inherited

app = typer.Typer(
    rich_markup_mode="markdown", no_args_is_help=True, help="Freeze the lake as it is, or was, under a name."
)
NameArgument = Annotated[str, typer.Argument(help="The cut's name, for example interim_1.")]
WhyOption = Annotated[str, typer.Option("--why", "--reason", help="Why; it stays on record.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Small letters, digits and single underscores: interim_1.")],
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The lake as it was at the end of this day (UTC), instead of now."),
    ] = None,
    why: WhyOption = "no reason given",
) -> None:
    """Freeze every table as it is now, or as it was at the end of a day, until **lakehouse cut drop**.

    A day is the day on which the lakehouse came to know something. For what was delivered or measured until a day, read
    a cut with a condition on that date.
    """
    lake = _lake()
    with progress("Reading every table for its checksum") as bar:
        task = bar.task_ids[0]
        cut, ahead = cuts.create(
            lake,
            name,
            getuser(),
            why,
            catalog.sources(),
            catalog.curated(),
            standing.fingerprint(DBT_PROJECT),
            as_of.date() if as_of else None,
            lambda number, total: bar.update(task, completed=number, total=total),
        )
    total = sum(pin.rows for pin in cut.pins)
    out.print(f"Cut [b]{name}[/b]: {len(cut.pins)} tables, {total:,} rows, as of {cut.state_at:%Y-%m-%d %H:%M:%S} UTC.")
    if ahead:
        out.print(
            f"By then {', '.join(ahead)} had moved on, and the curated tables had not followed: the cut holds the "
            "last state in which they had."
        )
    out.print(f'Next:  lakehouse sql --cut {name} "…"    lakehouse cut build {name}', highlight=False)


@app.command("list")
def list_(
    dropped: Annotated[bool, typer.Option("--dropped", help="List those that were dropped as well.")] = False,
    format_: FormatOption = Format.table,
) -> None:
    """List the cuts there are: who made them, when, why, and the state they hold."""
    found = [cut for cut in cuts.every(_lake()) if dropped or cut.dropped is None]
    if not found and format_ is Format.table:
        out.print("There is no cut. lakehouse cut create NAME makes one.")
        return
    listed = [
        {
            "name": cut.name,
            "as_of": cut.as_of,
            "state_at": _minute(cut.state_at),
            "tables": len(cut.pins),
            "rows": sum(pin.rows for pin in cut.pins),
            "created": _minute(cut.created.at),
            "by": cut.created.who,
            "why": cut.created.why,
        }
        | (
            {
                "dropped": _minute(cut.dropped.at) if cut.dropped else None,
                "dropped_by": cut.dropped.who if cut.dropped else None,
                "dropped_why": cut.dropped.why if cut.dropped else None,
            }
            if dropped
            else {}
        )
        for cut in found
    ]
    rows(pl.DataFrame(listed, infer_schema_length=None), format_)


@app.command()
def show(
    name: NameArgument,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read every table again and compare its checksum; exit code 1 if one differs."),
    ] = False,
    format_: FormatOption = Format.table,
) -> None:
    """Show what a cut holds: each table's version, rows, checksum, and the contract or code that made it."""
    lake = _lake()
    cut = cuts.get(lake, name)
    if format_ is Format.table:
        asked = f"the end of {cut.as_of}" if cut.as_of else "the moment it was made"
        out.print(
            f"[b]{name}[/b]: made by {escape(cut.created.who)}, {_minute(cut.created.at)}: {escape(cut.created.why)}\n"
            f"As of {asked}; the state recorded at {_minute(cut.state_at)}.\n"
            f"Engine's judgement {cut.judgement}, dbt models {cut.models or 'none'}."
        )
    columns = ["table", "version", "rows", "made_by", "checksum"]
    held = pl.DataFrame([{column: getattr(pin, column) for column in columns} for pin in cut.pins])
    if not verify:
        rows(held, format_)
        return
    with progress("Reading every table again"):
        read = cuts.verify(lake, name)
    rows(held.join(read.select("table", "same"), on="table", maintain_order="left"), format_)
    if wrong := read.filter(~pl.col("same"))["table"].to_list():
        raise CutError(
            f"cut {name} no longer reads as it did: {', '.join(wrong)}; restore the lake's files from a backup"
        )
    err.print(f"Every table of cut {name} reads as it did: {len(cut.pins)} checksums are the same.")


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A cut.")],
    after: Annotated[str | None, typer.Argument(help="Another one; without it, the lake as it is now.")] = None,
    format_: FormatOption = Format.table,
) -> None:
    """Count the rows that were added, removed and changed between two cuts, or since a cut, by each table's key."""
    found = difference.between(_lake(), before, after, cuts.keys(catalog.sources(), catalog.curated()))
    rows(found, format_)


@app.command()
def build(
    name: NameArgument,
    only_load: Annotated[
        bool, typer.Option("--only-load", help="Load the cut's tables and leave the models to dbt by hand.")
    ] = False,
) -> None:
    """Load a cut into PostgreSQL (**lake_NAME**, **unblinded_NAME**) and build the dbt models on it (**cut_NAME**).

    What others read stays as it is. By hand, in schemas of your own: **dbt build --vars '{cut: NAME}'**.
    """
    settings, lake = Settings.load(), _lake()
    cut = cuts.get(lake, name)
    with postgres.serving(settings) as url:
        try:
            loads = cut_schemas.load(lake, url, cut, catalog.published())
            out.print(f"lake_{name}: {len(loads)} tables, {sum(load.rows for load in loads):,} rows.")
            if not only_load:
                _models(url, cut)
        finally:
            # Dropped meanwhile: what was built since must not outlive it.
            if all(item.name != name for item in cuts.every(lake) if item.dropped is None):
                cut_schemas.remove(url, name)
        cuts.get(lake, name)


@app.command()
def drop(
    name: NameArgument,
    why: Annotated[str, typer.Option("--why", "--reason", help="Why; it stays on record.")],
) -> None:
    """Give a cut up: its schemas in PostgreSQL go now, its versions with the next **lakehouse housekeep**.

    Who, when and why stay on record, and so does the name: it is never given to another cut.
    """
    settings, lake = Settings.load(), _lake()
    cuts.get(lake, name)
    with postgres.serving(settings) as url:
        gone = cut_schemas.remove(url, name)
        cuts.drop(lake, name, getuser(), why)
    out.print(f"Cut {name} is dropped. Removed from PostgreSQL: {', '.join(gone) or 'nothing was built on it'}.")


def _models(url: str, cut: cuts.Cut) -> None:
    """dbt on a cut, as the warehouse's owner. What it leaves in files goes: it may quote what PostgreSQL said."""
    if cut.models != standing.fingerprint(DBT_PROJECT):
        out.print("The dbt project has changed since the cut was made: its models are built as they are now.")
    words = ["--quiet", "build", "--full-refresh", "--target", "prod", "--vars", json.dumps({"cut": cut.name})]
    with tempfile.TemporaryDirectory(prefix="dbt-") as folder:
        places = ["--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)]
        places += ["--target-path", folder, "--log-path", folder]
        dbt = Path(sys.executable).with_name("dbt")
        environment = {**inherited(), **postgres.dbt_environment(url)}
        with progress("Building the models"):
            done = subprocess.run([dbt, *words, *places], env=environment, capture_output=True, text=True, check=False)
        try:
            results = json.loads((Path(folder) / "run_results.json").read_text())["results"]
        except (OSError, KeyError, ValueError):
            results = []
    failed = [item["unique_id"].split(".")[2] for item in results if item["status"] in {"error", "fail"}]
    if done.returncode:
        by_hand = f"dbt build --vars '{{cut: {cut.name}}}'" + (f" -s {' '.join(failed)}" if failed else "")
        raise LakehouseError(
            f"dbt on cut {cut.name}: {', '.join(failed) or 'the project'} failed; {by_hand} in dbt_project/ shows why, "
            "in schemas of your own; the loaded tables are kept"
        )
    kinds = [item["unique_id"].partition(".")[0] for item in results]
    out.print(f"cut_{cut.name}: {kinds.count('model')} models, {len(kinds) - kinds.count('model')} tests passed.")


def _lake() -> Lake:
    return Lake(Settings.load().lake_uri)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
