"""The report as one HTML file: figures put into words, tables and charts. It asks nothing of a network."""

import os
from datetime import date
from pathlib import Path

import jinja2
import polars as pl

from assets.report import charts
from assets.report.figures import FEWEST, Figures
from lakehouse.errors import UnavailableError

FOLDER = "reports"
TEMPLATE = Path(__file__).with_name("page.html.j2")
SEVERITIES = {
    "reject": "quarantined",
    "file": "file refused",
    "block": "held back",
    "warn": "kept, flagged",
}
# Bars for more rules than this would tell nothing; the table has them all.
_BARS = 12


def write(figures: Figures, home: Path) -> Path:
    """Make the page of a day, `reports/DAY.html` in the home folder, whole or not at all; its path.

    Raises UnavailableError when the folder cannot be written.
    """
    text = render(figures)
    path = home / FOLDER / f"{figures.day}.html"
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written ({error.strerror}); no report was made") from None
    return path


def address(path: Path, served: str) -> str:
    """Where a browser finds a page. served: the URL of the folder; a link to a file works in no page of a server."""
    return f"{served.rstrip('/')}/{path.name}" if served else path.as_uri()


def render(f: Figures) -> str:
    """The page. The same figures give the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"cell": cell, "long": long}
    apart = f.rejected.filter((pl.col("severity") != "warn") & (pl.col("lines") > 0)).head(_BARS)
    shown = f.changes.drop_nulls("mean")
    sections = [("arrived", "Arrived"), ("late", "Late"), ("rejected", "Rejected"), ("enrolment", "Enrolment")]
    sections += [("changes", "Change from baseline")] + ([("outliers", "Outliers")] if f.outliers is not None else [])
    return environment.get_template(TEMPLATE.name).render(
        f=f,
        title=f"Study report, {long(f.day)}",
        sections=sections,
        cards=cards(f),
        said=said(f, apart, shown),
        charts={
            "arrivals": charts.arrivals(f.by_month),
            "enrolment": charts.enrolment(f.course) if f.course.height else "",
            "changes": charts.changes(f.changes) if shown.height else "",
            "rejections": charts.rejections(apart) if apart.height else "",
        },
        arrived=f.arrived.rows(),
        by_month=by_month(f.by_month, ["kept", "quarantined"]),
        course=by_month(f.course, ["screened", "treated", "completed", "left"]),
        late=owing(f.late),
        rejected=f.rejected.with_columns(pl.col("severity").replace(SEVERITIES))
        .select("words", "source", "severity", "lines", "files", "sites", "since")
        .rows(),
        enrolment=f.enrolment.select("site", "screened", "treated", "on", "completed", "left").rows(),
        changes=[
            (row["param"], row["week"], row["subjects"], signed(row["mean"]), interval(row["low"], row["high"]))
            for row in f.changes.iter_rows(named=True)
        ],
        outliers=[] if f.outliers is None else f.outliers.rows(),
        fewest=FEWEST,
        versions=sorted(f.versions.items()),
    )


def by_month(rows: pl.DataFrame, counts: list[str]) -> list[tuple[object, ...]]:
    """Months in words, with their counts."""
    return rows.select(pl.col("month").dt.strftime("%B %Y"), *counts).rows()


def owing(late: pl.DataFrame) -> list[tuple[object, ...]]:
    """By site, in which sources it is silent, in which late, and when anything of them last came."""

    def named(status: str) -> pl.Expr:
        return pl.col("source").filter(pl.col("status") == status).sort().str.join(", ").replace("", "–")

    by_site = late.group_by("site").agg(
        named("silent").alias("silent"), named("late").alias("late"), pl.col("last_day").max()
    )
    return by_site.sort("site").rows()


def cards(f: Figures) -> list[tuple[str, str]]:
    """What somebody who reads nothing else is to take away."""
    open_lines = int(f.arrived["quarantined"].sum())
    silent, late = (f.late.filter(status=status)["site"].n_unique() for status in ("silent", "late"))
    return [
        (cell(int(f.arrived["today"].sum())), "files on the day"),
        (cell(int(f.arrived["lately"].sum())), "files in 7 days"),
        (cell(silent), f"{'site is' if silent == 1 else 'sites are'} silent in a source, {late} late"),
        (cell(open_lines), f"{'line waits' if open_lines == 1 else 'lines wait'} in quarantine"),
        (cell(int(f.enrolment["treated"].sum())), f"subjects treated, of {cell(int(f.enrolment['screened'].sum()))}"),
        (cell(int(f.enrolment["on"].sum())), "on treatment"),
    ]


def said(f: Figures, apart: pl.DataFrame, shown: pl.DataFrame) -> dict[str, str]:
    """What each chart shows, in words; by its name in the template."""
    total = {name: int(f.arrived[name].sum()) for name in ("today", "lately", "files", "records", "quarantined")}
    people = {name: int(f.enrolment[name].sum()) for name in ("screened", "treated", "on", "completed", "left")}
    newest = f.arrived["newest"].max()
    busiest = f.by_month.sort("kept", descending=True).row(0, named=True) if f.by_month.height else None
    worst = apart.row(0, named=True) if apart.height else None
    outliers = int(f.outliers["results"].sum()) if f.outliers is not None else 0
    ends = shown.group_by("param", maintain_order=True).last()
    changed = "; ".join(
        f"{row['param']} {signed(row['mean'])} in week {row['week']} ({cell(row['subjects'])} subjects)"
        for row in ends.iter_rows(named=True)
    )
    return {
        "arrived": f"{cell(total['today'])} files on the day, {cell(total['lately'])} in the 7 days to it, "
        f"{cell(total['files'])} so far with {cell(total['records'])} records, of which "
        f"{cell(total['quarantined'])} are in quarantine. "
        + (f"The newest delivery is of {long(newest)}." if isinstance(newest, date) else "Nothing was delivered yet."),
        "by_month": f"{f.by_month.height} months; most in {busiest['month']:%B %Y}, {cell(busiest['kept'])} records."
        if busiest
        else "Nothing was delivered yet.",
        "late": f"{f.late.height} times a site owes a source what its own rhythm or the source promised. Late is after "
        "two of its usual gaps, silent after four. A site whose subjects have all left owes nothing and is listed too."
        if f.late.height
        else "No site is late with anything.",
        "rejected": f"{f.rejected.height} rules are broken. A rejected line stays in quarantine, as it was delivered, "
        "until its file is mended and sent again."
        if f.rejected.height
        else "Nothing that was delivered breaks a rule.",
        "worst": f"{apart.height} rules; most ({cell(worst['lines'])}) break {worst['rule']} of {worst['source']}."
        if worst
        else "",
        "enrolment": f"{cell(people['screened'])} subjects were screened, {cell(people['treated'])} treated; of these "
        f"{cell(people['on'])} are on treatment, {cell(people['completed'])} completed, "
        f"{cell(people['left'])} left early.",
        "course": f"Screened {cell(people['screened'])}, treated {cell(people['treated'])}, completed "
        f"{cell(people['completed'])}, left early {cell(people['left'])}, added up by month.",
        "changes": f"At the last visit shown: {changed}.",
        "outliers": f"{cell(outliers)} results are flagged as unusual; none is changed or left out of the analysis.",
    }


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return value.isoformat() if isinstance(value, date) else str(value)


def long(day: date) -> str:
    """A day in words: 6 March 2014."""
    return f"{day.day} {day:%B %Y}"


def signed(value: float | None) -> str:
    """A change with its sign; what is not shown says why."""
    return f"fewer than {FEWEST} subjects" if value is None else f"{value:+.2f}".replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval."""
    return "–" if low is None or high is None else f"{signed(low)} to {signed(high)}"
