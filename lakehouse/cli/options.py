"""Options that several commands share."""

from typing import Annotated

import typer

from lakehouse.cli.show import Format
from lakehouse.settings import PROJECT

SourceOption = Annotated[str | None, typer.Option("--source", help="Only this source.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the rows.")]
DBT_PROJECT = PROJECT / "dbt_project"
