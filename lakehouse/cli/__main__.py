"""The `lakehouse` command: what a person types. Exit code 0: success; 1: failure, its reason on stderr; 2: usage."""

import sys
import time
from datetime import date, datetime, timedelta
from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from assets import catalog
from assets.pilot import systems as pilot
from assets.pilot.land import LAST_DAY, land
from lakehouse import housekeeping, ledger, postgres, query, standing, warehouse
from lakehouse import trace as tracing
from lakehouse.cli import cut, features, landing, queries, report, review, stream, systems, up
from lakehouse.cli.options import DBT_PROJECT, FormatOption, SourceOption
from lakehouse.cli.show import Format, err, out, progress, rows
from lakehouse.clock import Clock
from lakehouse.errors import LakehouseError, NotOnRecordError, UnavailableError
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.settings import Settings, export
from lakehouse.source import Source
from resources import instance

app = typer.Typer(
    help="A lakehouse of Delta tables, PostgreSQL and dbt models in one Dagster graph.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(review.app, name="quarantine")
app.add_typer(cut.app, name="cut")
app.add_typer(features.app, name="features")
app.command()(review.drift)
app.command()(review.release)
app.command()(report.report)
app.command()(queries.queries)
app.command()(stream.stream)
app.command()(up.up)
# The pilot study ended: the day after its last delivery is the day its lakehouse lives in.
PILOT_TODAY = date.fromordinal(LAST_DAY.toordinal() + 1)


# What comes of each of the demo's other systems.
_RESULTS = {
    "api": "trace marts.mart_lab_reconciliation --limit 5",
    "cdc": "trace marts.mart_edc_adverse_events --limit 5",
    "stream": """sql 'select rule, key, "at", says from alerts.wearable order by "at" desc limit 20'""",
}
_DAY = ["%Y-%m-%d"]


@app.command()
def demo(
    with_: Annotated[
        str, typer.Option("--with", help="Other systems to start as well, with commas between: api, cdc, stream.")
    ] = "",
) -> None:
    """Land a real clinical trial and run everything: raw to marts, in an embedded PostgreSQL.

    The trial is the CDISC pilot study. A second call is quick and changes nothing. **--with** starts real servers of
    the trial's other systems for the time of the command: a central laboratory's API, an EDC database whose changes are
    captured, and a stream of wristbands, judged by **lakehouse stream**.
    """
    kinds = with_.replace(",", " ").split()
    if unknown := [kind for kind in kinds if kind not in pilot.SYSTEMS]:
        raise typer.BadParameter(f"--with knows no {', '.join(unknown)}; it knows {', '.join(pilot.SYSTEMS)}")
    settings = Settings.load()
    if settings.as_of is None:
        settings.home.mkdir(parents=True, exist_ok=True)
        why = "# Written by lakehouse demo: the pilot study ended, and its clock stands still."
        (settings.home / "settings.env").write_text(f"{why}\nLAKEHOUSE_AS_OF={PILOT_TODAY}\n")
        settings = Settings.load()
    _land(settings.landing, None)
    with pilot.serving(kinds, settings.home / "systems", out.print) as addresses:
        export({f"LAKEHOUSE_SYSTEM_{name.upper()}": url for name, url in addresses.items()})
        settings = Settings.load()
        lake = Lake(settings.lake_uri)
        if "stream" in kinds:
            stream.stream(once=True)
        if edc := addresses.get(pilot.SYSTEMS["cdc"]):
            done = pilot.work(lake, settings.landing, edc, Clock(settings.as_of), settings.batch_bytes)
            if done:
                out.print(f"A snapshot of the EDC was taken; then coordinators did {done.total()} transactions in it.")
        _run(settings, None, None)
    if edc:
        rows(pilot.captured(lake), title="What was captured of the EDC's tables")
    rows(standing.by_source_and_site(lake, catalog.sources()), title="What became of every record")
    me = escape(sys.argv[0])
    out.print(
        f"\nNext:  [b]{me} up[/b]            the lineage graph, in a browser"
        f"\n       [b]{me} quarantine[/b]    what was rejected, and why (site 999 is fictional and sends defects)"
        f'\n       [b]{me} sql "select lbtestcd, count(*) from curated.lab_results group by 1 order by 2 desc"[/b]'
    )
    for kind in kinds:
        out.print(f"       [b]{me} {_RESULTS[kind]}[/b]", soft_wrap=True)


@app.command("land-pilot")
def land_pilot(
    folder: Annotated[Path, typer.Argument(help="Where to write; a folder for each site is made in it.")],
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Leave out files dated after this day.")
    ] = None,
) -> None:
    """Write the CDISC pilot study as its sites would export it: one file for each site, kind and day."""
    _land(folder, until.date() if until else None)


@app.command()
def run(
    source: SourceOption = None,
    from_: Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="First delivery day.")] = None,
    to: Annotated[datetime | None, typer.Option("--to", formats=_DAY, help="Last delivery day.")] = None,
) -> None:
    """Ingest everything that has landed and bring all tables and models after it up to date.

    Systems that sources pull from are asked first; one that does not answer is told, keeps nothing else back, and makes
    the exit code 1. Recorded in Dagster like any other run. **--source**, **--from** and **--to** narrow what is
    ingested; the system of a source that is named is asked even while it is left alone because it failed.
    """
    if (from_ is None) != (to is None):
        raise typer.BadParameter("--from and --to go together")
    days = (from_.date(), to.date()) if from_ and to else None
    if days and days[0] > days[1]:
        raise typer.BadParameter(f"--from {days[0]} is after --to {days[1]}")
    if source:
        catalog.source(source)
    _run(Settings.load(), source, days)


@app.command()
def withdraw(
    path: Annotated[
        str, typer.Argument(help="The file's path below the landing folder, for example 701/labs_2014-01-02.csv.")
    ],
    reason: Annotated[str, typer.Option(help="Why; it stays on record.")],
) -> None:
    """Take back what a file delivered: its rows leave every table, and earlier ones of their keys come back.

    The bytes stay on record. The file may stay in the landing folder, too; it counts again when it is sent again.
    """
    settings = Settings.load()
    owners = [source for source in catalog.sources() if source.pattern.fullmatch(path)]
    if not owners:
        raise NotOnRecordError(f"{path} is no path of any source; lakehouse status lists the sources")
    ledger.withdraw(Lake(settings.lake_uri), owners[0], path, getuser(), reason)
    _run(settings, owners[0].name, None)


@app.command()
def rebuild(
    source: SourceOption = None,
    reason: Annotated[str, typer.Option(help="Why; it stays on record.")] = "no reason given",
    from_landing: Annotated[
        bool, typer.Option("--from-landing", help="Read every landed file again first, whatever its size and time.")
    ] = False,
) -> None:
    """Make raw, processed and quarantine anew from the bytes on record, and bring everything after them up to date.

    A changed contract does this by itself with the next run. Readers see the tables as they were until all is done.
    """
    settings = Settings.load()
    lake, chosen = Lake(settings.lake_uri), [catalog.source(source)] if source else list(catalog.sources())
    if from_landing:
        _read_again(settings, lake, chosen)
    for item in chosen:
        ledger.rebuild(lake, item, getuser(), reason, settings.batch_bytes)
    _run(settings, source, None)


@app.command()
def down() -> None:
    """Stop the embedded PostgreSQL, if it was left running."""
    if not postgres.stop(Settings.load()):
        raise UnavailableError("the embedded PostgreSQL is in use; stop lakehouse up (or whatever uses it) first")
    out.print("No embedded PostgreSQL is running.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what arrived and what became of it, per source, what waits in their systems, and how streams are doing."""
    settings = Settings.load()
    sources = catalog.sources()
    account = standing.by_source(Lake(settings.lake_uri), sources)
    if not as_json:
        rows(account, title="Sources")
    fed = systems.shown(sources, systems.lags(settings, sources))
    if as_json:
        rows(systems.beside(account, fed, stream.standing(settings)), Format.json)
        return
    if not fed.is_empty():
        rows(fed, title="Systems")
    rows(stream.standing(settings), title="Streams")
    landing.status(settings)


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help='For example "select count(*) from processed.vitals".')],
    in_cut: Annotated[str | None, typer.Option("--cut", help="The tables as this data cut has them.")] = None,
    format_: FormatOption = Format.table,
) -> None:
    """Query the lake's tables with SQL (DuckDB's), at one consistent state.

    Marts are in PostgreSQL: **psql "$(lakehouse warehouse-url)"**, or any other client.
    """
    rows(query.sql(Lake(Settings.load().lake_uri), statement, in_cut), format_)


@app.command()
def trace(
    table: Annotated[str, typer.Argument(help="For example processed/vitals, curated.vital_signs, marts.dim_subject.")],
    where: Annotated[
        str, typer.Option(help="Which rows, as SQL: DuckDB's for the lake, PostgreSQL's for marts.")
    ] = "true",
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 20,
    format_: FormatOption = Format.table,
) -> None:
    """Go from rows to the lines they came from: file, line, checksum, and the line's text in the bytes as received."""
    settings = Settings.load()
    through = {**catalog.through(), **tracing.declared(DBT_PROJECT)}
    lake = Lake(settings.lake_uri)
    found = tracing.trace(lake, lambda: postgres.serving(settings), table, where, limit, through, catalog.sources())
    if format_ is Format.table:
        known = [f"version {found.version}"] if found.version is not None else []
        known += [f"code {found.code}"] if found.code else []
        out.print(f"[b]{escape(found.table)}[/b]  {'  '.join(known)}")
        if found.through:
            out.print(f"A row of it is made of many; these are the rows of {escape(found.through)} it is made of.")
    rows(found.rows, format_)


@app.command()
def housekeep() -> None:
    """Put small files together and remove what no version of the last **LAKEHOUSE_KEEP_DAYS** needs; safe at any time.

    **lakehouse up** does it every night. Delivered bytes stay, and so does what readers and PostgreSQL are at.
    """
    settings = Settings.load()
    lake = Lake(settings.lake_uri)
    with postgres.serving(settings) as url:
        pins = warehouse.pinned(url, catalog.published())
        with progress("Keeping house") as bar:
            task = bar.task_ids[0]
            done = housekeeping.housekeep(
                lake,
                timedelta(days=settings.keep_days),
                pins,
                progress=lambda number, total: bar.update(task, completed=number, total=total),
            )
    rows(housekeeping.report(done))
    if busy := [item.table for item in done if item.gave_way]:
        out.print(f"Left to the next time, because they were being written: {', '.join(busy)}")
    out.print(f"{sum(item.freed for item in done) / 2**20:,.1f} MB freed; delivered bytes are all kept.")


@app.command("warehouse-url")
def warehouse_url() -> None:
    """Print the warehouse's URL; the embedded server is started and stays up until **lakehouse down**."""
    settings = Settings.load()
    with postgres.serving(settings) as url:
        if not settings.warehouse:
            postgres.keep_running(settings)
        out.print(url, soft_wrap=True)


def main() -> None:
    """Run the command line: an expected failure is told in a sentence, not in a traceback."""
    try:
        app()
    except LakehouseError as error:
        err.print(f"[red]lakehouse:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)


def _land(folder: Path, until: date | None) -> None:
    try:
        with progress("Landing the pilot study") as bar:
            task = bar.task_ids[0]
            landed = land(folder, until, lambda done, total: bar.update(task, completed=done, total=total))
    except OSError as error:
        raise UnavailableError(f"{folder} cannot be written ({error.strerror}); what was landed is kept") from None
    out.print(
        f"{landed.files:,} files of the CDISC pilot study and {landed.fictional} of a fictional site in {folder}, "
        f"{landed.written:,} of them new or changed"
    )


def _read_again(settings: Settings, lake: Lake, sources: list[Source]) -> None:
    """Put on record what the landed files hold now, and renew their kept bytes."""
    landed = listing(settings.landing, catalog.sources()).claimed
    lacking = [path for item in sources for path in ledger.missing(lake, item, landed[item.name])]
    if lacking:
        raise NotOnRecordError(
            f"{settings.landing} lacks {len(lacking)} files that are on record, first {lacking[0]}; nothing "
            "was changed; lakehouse rebuild without --from-landing makes the tables anew from the bytes on record"
        )
    for item in sources:
        ledger.register(
            lake, item, settings.landing, landed[item.name], Clock(settings.as_of), settings.batch_bytes, renew=True
        )


def _run(settings: Settings, source: str | None, days: tuple[date, date] | None) -> None:
    """Bring everything up to date in one Dagster run, unless there is nothing to do."""
    begun = time.monotonic()
    sources = [catalog.source(source)] if source else list(catalog.sources())
    lake = Lake(settings.lake_uri)
    asked = None if days is None else {date.fromordinal(n) for n in range(days[0].toordinal(), days[1].toordinal() + 1)}
    with postgres.serving(settings) as url:
        found = landing.look(settings, lake)
        work = standing.due(
            lake,
            url,
            catalog.sources(),
            catalog.curated(),
            catalog.published(),
            found,
            DBT_PROJECT,
            Clock(settings.as_of),
            asked,
            only=source,
        )
        # Who names a source may have mended its system a moment ago.
        lags = systems.lags(settings, sources, now=source is not None)
        waiting, wrong = systems.before_a_run(sources, lags, asked or (), Clock(settings.as_of))
        if source and (unset := systems.unset(sources[0], lags)):
            wrong.append((source, unset))
        for name, why in wrong:
            err.print(f"[yellow]{name}[/yellow]: {escape(why)}", soft_wrap=True)
        silent = [name for name, lag in lags.items() if lag and lag.trouble]
        if not work.any and not waiting:
            out.print("All that can be had is up to date." if silent else "Everything is up to date.")
            _ended(silent)
            return
        files = sum(len(item.unseen) for item in work.works.values())
        anew = [name for name, item in work.works.items() if item.anew]
        if anew:
            out.print(f"Judged anew, every delivery on record: {', '.join(anew)}")
        more = f", and what waits in the systems of {', '.join(waiting)}" if waiting else ""
        out.print(f"{files:,} files to ingest{more}; starting Dagster …")
        export(instance.environment(settings, url))
        from lakehouse import definitions  # only now: what needs no run answers without loading Dagster and dbt

        names = [item.name for item in sources]
        failed = definitions.run(Settings.load(), names, days, err.print, now=source is not None)
    if failed:
        told = "; ".join(f"{step}: {why}" for step, why in failed.items())
        raise LakehouseError(f"{told}\nWhat was committed before is kept; mend the cause and lakehouse run goes on.")
    out.print(f"Done in {time.monotonic() - begun:.0f} s.")
    _ended(silent)


def _ended(silent: list[str]) -> None:
    """A run that could not ask all it was to ask has not done all it was to do, as whoever called it has to know."""
    if silent:
        raise UnavailableError(f"nothing could be had for {', '.join(silent)}; lakehouse run tries again")


if __name__ == "__main__":
    main()
