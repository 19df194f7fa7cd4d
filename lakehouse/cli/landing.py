"""What lands besides files that sites put there themselves, for `lakehouse run` and `lakehouse status`."""

from rich.markup import escape

from assets import catalog
from lakehouse import unpacking
from lakehouse.cli.show import err, out
from lakehouse.lake import Lake
from lakehouse.landing import Listing, listing
from lakehouse.settings import Settings
from resources.landing import LandingResource


def look(settings: Settings, lake: Lake) -> Listing:
    """The landed files, once what is elsewhere is fetched and archives are unpacked. Tells what became of both."""
    landing, sources = LandingResource(settings), catalog.sources()
    looked = landing.fetch(lake, sources)
    if looked and looked.fetched.files:
        out.print(f"{len(looked.fetched.files):,} files were fetched from the folder elsewhere")
    if looked and looked.wrong:
        err.print(f"[yellow]the folder elsewhere[/yellow]: {escape(looked.wrong)}", soft_wrap=True)
    found, unpacked = landing.look(sources, wait=True)
    for path, count in unpacked.landed.items():
        out.print(f"{escape(path)}: {count:,} files unpacked")
    if unpacked.wrong:
        err.print(f"[yellow]archives[/yellow]: {escape(unpacked.wrong)}", soft_wrap=True)
    _strangers(settings, found)
    return found


def status(settings: Settings) -> None:
    """Tell where files are fetched from, and of landed files that no source takes."""
    sources = catalog.sources()
    if settings.remote:
        out.print("LAKEHOUSE_REMOTE is set: what is new in that folder is fetched by lakehouse run and lakehouse up")
    _strangers(settings, listing(settings.landing, sources))


def _strangers(settings: Settings, found: Listing) -> None:
    """Tell of landed files that no source takes, and of archives that are not unpacked, why."""
    refused = unpacking.refusals(settings.landing, catalog.sources(), found.unclaimed)
    for path, why in refused.items():
        out.print(f"{escape(path)} is not unpacked: {escape(why)}", soft_wrap=True)
    if strangers := [path for path in found.unclaimed if path not in refused]:
        shown = ", ".join(strangers[:5])
        out.print(f"{len(strangers)} landed files belong to no source: {escape(shown)}{' …' if strangers[5:] else ''}")
