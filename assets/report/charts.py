"""The report's charts as SVG that stands in the page: its texts are text, and its colours the page's, light or dark.

Matplotlib is loaded by who draws: it takes a second, and Dagster loads this module for every run.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that stand for the page's own, which follow the reader's light or dark.
INK, FAINT, PAPER = "#010101", "#020202", "#030303"
HUES = ("#040404", "#050505", "#060606", "#070707")
_VARIABLES = {INK: "--ink", FAINT: "--line", PAPER: "--paper"} | {hue: f"--hue-{n}" for n, hue in enumerate(HUES, 1)}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    # Else every drawing of the same figures is named anew.
    "svg.hashsalt": "lakehouse",
    # Comes with Matplotlib, and is wider than most: what fits in it fits in the reader's own, which the page takes.
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelcolor": INK,
    "hatch.linewidth": 1.2,
    "legend.frameon": False,
}
_DASHES = ("-", "--", "-.", ":")
_MARKS = ("o", "s", "^", "D")


def arrivals(by_month: pl.DataFrame) -> str:
    """Records by month of delivery, those in quarantine hatched on top."""
    with _drawing(9, 2.9) as figure:
        axes = figure.subplots()
        months, kept, apart = (by_month[name].to_list() for name in ("month", "kept", "quarantined"))
        axes.bar(months, kept, width=24, color=HUES[0], label="in the tables")
        hatched: dict[str, Any] = {"color": PAPER, "edgecolor": HUES[1], "hatch": "////", "linewidth": 1}
        some = [number for number, count in enumerate(apart) if count]
        heights, below = ([values[number] for number in some] for values in (apart, kept))
        axes.bar([months[number] for number in some], heights, width=24, bottom=below, label="in quarantine", **hatched)
        _dated(axes)
        axes.set_ylabel("records")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
        return _svg(figure, "arrivals")


def enrolment(course: pl.DataFrame) -> str:
    """Subjects screened, treated, completed and gone, added up; each line named at its end."""
    names = {"screened": "screened", "treated": "treated", "completed": "completed", "left": "left early"}
    with _drawing(9, 3.2) as figure:
        axes = figure.subplots()
        months = course["month"].to_list()
        ends = _apart([course[name][-1] for name in names], max(1, *course["screened"].to_list()) / 14)
        for number, (name, words) in enumerate(names.items()):
            values = course[name].to_list()
            axes.step(months, values, where="post", color=HUES[number], linestyle=_DASHES[number], linewidth=2)
            axes.annotate(
                f"{words} {values[-1]:,}", (months[-1], ends[number]), (8, 0), textcoords="offset points", va="center"
            )
        _dated(axes)
        axes.set_ylabel("subjects")
        axes.set_ylim(bottom=0)
        return _svg(figure, "enrolment")


def changes(rows: pl.DataFrame) -> str:
    """Mean change from baseline by week with its confidence interval, one small chart for each sign."""
    from matplotlib.ticker import MaxNLocator

    params = rows["param"].unique(maintain_order=True).to_list()
    with _drawing(9, 2.5 * ((len(params) + 1) // 2)) as figure:
        grid = figure.subplots((len(params) + 1) // 2, 2, squeeze=False)
        for number, axes in enumerate(grid.flat):
            if number >= len(params):
                axes.set_visible(False)
                continue
            of = rows.filter(pl.col("param") == params[number]).drop_nulls("mean")
            weeks, mean = of["week"].to_list(), of["mean"].to_list()
            spread = [(of["mean"] - of["low"]).to_list(), (of["high"] - of["mean"]).to_list()]
            axes.axhline(0, color=INK, linewidth=0.8)
            style = {"color": HUES[number], "marker": _MARKS[number], "capsize": 3, "linewidth": 1.8, "markersize": 5}
            axes.errorbar(weeks, mean, yerr=spread, **style)
            axes.set_title(params[number])
            axes.set_xlabel("week")
            axes.set_xticks(weeks)
            axes.yaxis.set_major_locator(MaxNLocator(5))
        return _svg(figure, "changes")


def rejections(rows: pl.DataFrame) -> str:
    """Lines in quarantine by the rule they break, the most first."""
    with _drawing(9, 0.9 + 0.32 * rows.height) as figure:
        axes = figure.subplots()
        names = [f"{source}: {rule}" for source, rule in rows.select("source", "rule").iter_rows()]
        bars = axes.barh(names, rows["lines"].to_list(), color=HUES[1], height=0.65)
        axes.bar_label(bars, fmt="{:,.0f}", padding=4)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        return _svg(figure, "rejections")


@contextmanager
def _drawing(width: float, height: float) -> "Iterator[Figure]":
    """An empty drawing in the page's style; inches."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def _dated(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter

    locator = AutoDateLocator(  # type: ignore[no-untyped-call]
        minticks=4, maxticks=9
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _apart(values: Sequence[float], least: float) -> list[float]:
    """Heights for labels that stand at these values, moved up where they would cover each other."""
    placed: dict[int, float] = {}
    below = float("-inf")
    for number in sorted(range(len(values)), key=lambda n: values[n]):
        below = placed[number] = max(values[number], below + least)
    return [placed[number] for number in range(len(values))]


def _svg(figure: "Figure", name: str) -> str:
    """The drawing without a fixed size, in the page's colours, silent to screen readers: the page says it in words."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true" focusable="false">', text, count=1
    )
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r'xlink:href="(#[^"]*)"', r'href="\1"', text)
    # Several drawings stand in one page: of their names only those that are used stay, and each is its drawing's own.
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda it: f' id="{name}-{it[1]}"' if it[1] in used else "", text)
    return re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
