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
    """Print rows to standard output. CSV and JSON are complete and plain; a table folds long texts.

    Rows that are wider than the terminal are listed one below another.
    """
    if format_ is Format.csv:
        nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
        as_text = [pl.col(name).map_elements(str, return_dtype=pl.String) for name in nested]
        print(frame.with_columns(as_text).write_csv(), end="")
    elif format_ is Format.json:
        print(json.dumps(frame.to_dicts(), default=str, ensure_ascii=False, indent=2))
    else:
        out.print(_listed(frame, title) if _too_wide(frame) else _table(frame, title))


def _table(frame: pl.DataFrame, title: str | None) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False)
    for name, kind in frame.schema.items():
        figure = kind.is_numeric() or kind == pl.Date
        table.add_column(escape(name), justify="right" if figure else "left", no_wrap=figure, overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*[_cell(value) for value in row])
    return table


def _listed(frame: pl.DataFrame, title: str | None) -> Table:
    """A row below another, each as its columns and values: for rows wider than the terminal."""
    table = Table(title=title, title_justify="left", show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in frame.iter_rows():
        for name, value in zip(frame.columns, row, strict=True):
            table.add_row(escape(name), _cell(value))
        table.add_section()
    return table


def _too_wide(frame: pl.DataFrame) -> bool:
    """Whether a table of these rows would have to break its words into pieces to fit."""
    least = [
        max(len(word) for text in [name, *map(_cell, frame[name].head(100))] for word in text.split(" "))
        for name in frame.columns
    ]
    # A text may be folded once or twice and stay readable; around each column there are two spaces and a line.
    return sum(min(width, 16) + 3 for width in least) > out.width


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    return value.isoformat() if isinstance(value, date) else escape(str(value))


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A bar on standard error, gone when the work is done; `what` is its first task."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        bar.add_task(what, total=None)
        yield bar
