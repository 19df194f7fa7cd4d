"""How a terminal is told things: tables that fit, rows as CSV or JSON, progress on long work."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

# A pipe or a log file has no width to keep to.
_WIDTH = None if shutil.get_terminal_size((0, 0)).columns else 200
out = Console(width=_WIDTH, highlight=False)
err = Console(width=_WIDTH, stderr=True, highlight=False)


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def rows(frame: pl.DataFrame, format_: Format = Format.table, title: str | None = None) -> None:
    """Print rows to standard output. CSV and JSON are complete and plain; a table folds long texts."""
    if format_ is Format.csv:
        nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
        as_text = [pl.col(name).map_elements(str, return_dtype=pl.String) for name in nested]
        print(frame.with_columns(as_text).write_csv(), end="")
    elif format_ is Format.json:
        print(json.dumps(frame.to_dicts(), default=str, ensure_ascii=False, indent=2))
    else:
        out.print(_table(frame, title))


def _table(frame: pl.DataFrame, title: str | None) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False)
    for name, kind in frame.schema.items():
        figure = kind.is_numeric() or kind == pl.Date
        table.add_column(
            name.strip("_").replace("_", " "), justify="right" if figure else "left", no_wrap=figure, overflow="fold"
        )
    for row in frame.iter_rows():
        table.add_row(*[_cell(value) for value in row])
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value.isoformat() if isinstance(value, date) else escape(str(value))


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A bar on standard error, gone when the work is done; `what` is its first task."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        bar.add_task(what, total=None)
        yield bar
