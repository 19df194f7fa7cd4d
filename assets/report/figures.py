"""The figures of a day's report: pure functions from the lake's tables, of what had been delivered by that day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from assets.study import WEEKS
from lakehouse import account, arrivals, manifest
from lakehouse.clock import Clock
from lakehouse.contract import explain, rule_names
from lakehouse.errors import UnavailableError
from lakehouse.lake import Lake
from lakehouse.records import PROBLEMS
from lakehouse.source import Source

# Statistics of fewer subjects are not shown: too few to say anything, and enough to tell on someone.
FEWEST = 5
LATELY = 7
# Vital signs whose change is drawn, by PARAMCD.
SIGNS = ("SYSBP", "DIABP", "PULSE", "WEIGHT")
WHOLE_FILE = "the file was refused whole ({})"
# Flags of results, where the lake has them: one row for each rule that a result falls under.
FLAGS = "curated/result_flags"
TABLES = ("quality/rejections", "curated/subjects", "curated/vital_signs")


@dataclass(frozen=True)
class Figures:
    """What is known of a day; every table has the columns that its function names.

    first: the first day of the study's deliveries. outliers: None where nobody looks for them.
    """

    day: date
    first: date | None
    arrived: pl.DataFrame
    by_month: pl.DataFrame
    late: pl.DataFrame
    rejected: pl.DataFrame
    enrolment: pl.DataFrame
    course: pl.DataFrame
    changes: pl.DataFrame
    outliers: pl.DataFrame | None
    versions: dict[str, int]


def gathered(lake: Lake, sources: Sequence[Source], day: date) -> Figures:
    """The figures of a day, all from one state of the lake.

    Raises UnavailableError when the tables have not been made yet.
    """
    versions = manifest.versions(lake)
    if missing := [table for table in TABLES if table not in versions]:
        raise UnavailableError(f"{', '.join(missing)} not made yet; lakehouse run makes what the report is made of")
    used = {table: version for table, version in versions.items() if table in (*TABLES, FLAGS)}
    deliveries = account.deliveries(lake, [source.name for source in sources], versions)
    deliveries = deliveries.filter(pl.col("_delivered") <= day)
    rejections, subjects, signs = (lake.scan(table, versions[table]) for table in TABLES)
    expected = arrivals.arrivals(deliveries, arrivals.expectations(sources, Clock(day)).lazy())
    flags = lake.scan(FLAGS, versions[FLAGS]) if FLAGS in versions else None
    return Figures(
        day=day,
        first=deliveries.select(pl.col("_delivered").min()).collect().item(),
        arrived=arrived(deliveries, sources, day),
        by_month=by_month(deliveries),
        late=late(expected, day),
        rejected=rejected(rejections, sources, day),
        enrolment=enrolment(subjects, day),
        course=enrolment_course(subjects, day),
        changes=changes(signs, day),
        outliers=None if flags is None else outliers(flags, day),
        versions=used,
    )


def arrived(deliveries: pl.LazyFrame, sources: Sequence[Source], day: date) -> pl.DataFrame:
    """By source, files on the day and in the days to it; so far files, records, accepted, quarantined, superseded."""
    names = pl.LazyFrame({"source": [source.name for source in sources]}, schema={"source": pl.String})
    lately = pl.col("_delivered") > day - timedelta(days=LATELY)
    counts = deliveries.group_by("source").agg(
        today=(pl.col("_delivered") == day).sum().cast(pl.Int64),
        lately=lately.sum().cast(pl.Int64),
        files=pl.len().cast(pl.Int64),
        newest=pl.col("_delivered").max(),
        **{name: pl.col(name).sum() for name in ("records", *account.COUNTS)},
    )
    columns = ["source", "today", "lately", "files", "records", *account.COUNTS, "newest"]
    numbers = pl.selectors.integer()
    return (
        names.join(counts, on="source", how="left")
        .with_columns(numbers.fill_null(0))
        .select(columns)
        .sort("source")
        .collect()
    )


def by_month(deliveries: pl.LazyFrame) -> pl.DataFrame:
    """By `month` of delivery, records: `kept` (accepted or superseded since) and `quarantined`."""
    return (
        deliveries.group_by(month=pl.col("_delivered").dt.truncate("1mo"))
        .agg(kept=pl.col("accepted").sum() + pl.col("superseded").sum(), quarantined=pl.col("quarantined").sum())
        .sort("month")
        .collect()
    )


def late(expected: pl.LazyFrame, day: date) -> pl.DataFrame:
    """Sites that are late or silent, by source: `source`, `site`, `status`, `last_day`, `days`, `expected_by`."""
    return (
        arrivals.judged(expected, day)
        .filter(pl.col("status") != "on time")
        .select("source", "status", "last_day", "expected_by", site="_site", days="days_since_last")
        .sort("status", "days", "source", "site", descending=[True, True, False, False])
        .collect()
    )


def rejected(rejections: pl.LazyFrame, sources: Sequence[Source], day: date) -> pl.DataFrame:
    """By source and rule what is in quarantine or flagged: `words`, `severity`, `lines`, `files`, `sites`, `since`.

    What has no delivery day is counted on every day.
    """
    words = {
        (source.name, rule): explain(source.contract, rule).removeprefix("must hold: ")
        for source in sources
        for rule in rule_names(source.contract)
    }
    known = pl.DataFrame(
        [(*key, text) for key, text in words.items()], schema=["source", "rule", "words"], orient="row"
    )
    return (
        rejections.filter((pl.col("_delivered") <= day) | pl.col("_delivered").is_null())
        .group_by("source", "rule", "severity")
        .agg(
            pl.col("lines", "files").sum(),
            sites=pl.col("_site").n_unique().cast(pl.Int64),
            since=pl.col("_delivered").min(),
        )
        .join(known.lazy(), on=["source", "rule"], how="left")
        .with_columns(
            words=pl.coalesce("words", pl.col("rule").replace_strict(PROBLEMS, default=pl.format(WHOLE_FILE, "rule")))
        )
        .sort("lines", "files", "source", "rule", descending=[True, True, False, False])
        .collect()
    )


def enrolment(subjects: pl.LazyFrame, day: date) -> pl.DataFrame:
    """By `site` subjects `screened`, `treated`, `completed`, who `left`, and `on` treatment still."""
    by = _by_then(day)
    return (
        subjects.group_by(site="siteid")
        .agg(**{name: which.sum().cast(pl.Int64) for name, which in by.items()})
        .filter(pl.col("screened") > 0)
        .sort("site")
        .collect()
    )


def enrolment_course(subjects: pl.LazyFrame, day: date) -> pl.DataFrame:
    """Subjects `screened`, `treated`, `completed` and who `left` by the end of each `month`, added up."""
    moments = {"screened": "dmdt", "treated": "trtsdt", "completed": "rfendt", "left": "rfendt"}
    then = _by_then(day)
    events = pl.concat(
        subjects.filter(then[what]).select(month=pl.col(column).dt.truncate("1mo"), what=pl.lit(what))
        for what, column in moments.items()
    ).collect()
    if events.is_empty():
        return pl.DataFrame(schema={"month": pl.Date, **dict.fromkeys(moments, pl.Int64)})
    first = min(events["month"].to_list())
    counted = pl.DataFrame({"month": pl.date_range(first, day.replace(day=1), "1mo", eager=True)})
    for what in moments:
        of = events.filter(what=what).group_by("month").agg(pl.len().cast(pl.Int64).alias(what))
        counted = counted.join(of, on="month", how="left", maintain_order="left")
    return counted.with_columns(pl.col(list(moments)).fill_null(0).cum_sum())


def changes(signs: pl.LazyFrame, day: date) -> pl.DataFrame:
    """Mean change from baseline by vital sign and week, all treatments together: `param`, `paramcd`, `week`,
    `subjects`, `mean`, and the ends `low`, `high` of its 95 % confidence interval (normal approximation).

    A subject's time points of one visit are one: their mean. Null where fewer than `FEWEST` subjects were measured.
    """
    told = pl.col("subjects") >= FEWEST
    half = 1.96 * pl.col("_sd") / pl.col("subjects").sqrt()
    return (
        signs.filter(
            pl.col("paramcd").is_in(SIGNS)
            & pl.col("avisitn").is_in(list(WEEKS.values()))
            & pl.col("chg").is_not_null()
            & (pl.col("_delivered") <= day)
        )
        .group_by("paramcd", "param", "paramn", "usubjid", week="avisitn")
        .agg(pl.col("chg").sort_by("chg").mean())
        .group_by("paramcd", "param", "paramn", "week")
        .agg(
            subjects=pl.len().cast(pl.Int64),
            mean=pl.col("chg").sort_by("chg").mean(),
            _sd=pl.col("chg").sort_by("chg").std(),
        )
        .with_columns(low=pl.col("mean") - half, high=pl.col("mean") + half)
        .with_columns(pl.when(told).then(pl.col("mean", "low", "high").round(2)))
        .sort("paramn", "week")
        .drop("paramn", "_sd")
        .collect()
    )


def outliers(flags: pl.LazyFrame, day: date) -> pl.DataFrame:
    """Results that are flagged, by `param` and `rule`: how many `results` of how many `sites`."""
    return (
        flags.filter(pl.col("_delivered") <= day)
        .group_by("param", "rule")
        .agg(results=pl.len().cast(pl.Int64), sites=pl.col("siteid").n_unique().cast(pl.Int64))
        .sort("results", "param", "rule", descending=[True, False, False])
        .collect()
    )


def _by_then(day: date) -> dict[str, pl.Expr]:
    """By name, who had got so far by a day."""
    over = (pl.col("rfendt") <= day).fill_null(False)
    screened = (pl.col("dmdt") <= day).fill_null(False)
    treated = (pl.col("trtsdt") <= day).fill_null(False)
    discontinued = pl.col("disconfl").eq_missing("Y")
    return {
        "screened": screened,
        "treated": treated,
        "completed": treated & over & ~discontinued,
        "left": treated & over & discontinued,
        "on": treated & ~over,
    }
