"""The command that makes a day's report."""

import webbrowser
from datetime import datetime
from typing import Annotated

import typer

from assets import catalog
from assets.report import page
from assets.report.figures import gathered
from lakehouse.cli.show import out
from lakehouse.clock import Clock
from lakehouse.lake import Lake
from lakehouse.settings import Settings


def report(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day it is about; without it, today's.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Make the day's report: what arrived, what is late, what was rejected and why, how the study goes.

    One HTML file that needs no network, with aggregates only: **reports/DAY.html** in **LAKEHOUSE_HOME**.
    """
    settings = Settings.load()
    asked = day.date() if day else Clock(settings.as_of).today
    path = page.write(gathered(Lake(settings.lake_uri), catalog.sources(), asked), settings.home)
    out.print(str(path), soft_wrap=True)
    if open_:
        webbrowser.open(path.as_uri())
