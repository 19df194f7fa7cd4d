"""Questions to the sites: what a data manager asks about, one row each, and whether it still has to be asked."""

import dataframely as dy
import polars as pl

from assets.cdisc import written
from assets.curated.adam import worded
from assets.curated.measured import ORIGIN
from assets.curated.result_flags import JUMPED, OWN, STUDY, UNIT
from assets.curated.scheduled_results import NO_RESULT
from lakehouse.contract import Contract
from lakehouse.curated import Curated

KINDS = (UNIT, JUMPED, "far", "missing", "same_results", "same_person")
OPEN, CLOSED = pl.lit("open"), pl.lit("closed")
CHECK = "Please check value and unit against the source, and correct or confirm them."
_ELSEWHERE = "a subject of another site"


class DataQuery(Contract):
    """One question to a site; its provenance is that of the record it is about."""

    query = dy.String(description="Names the question, whatever is delivered meanwhile.")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    source = dy.String(description="Name of the source it is about.")
    visitnum = dy.Float64(nullable=True, description="Visit number (SDTM VISITNUM).")
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    paramcd = dy.String(nullable=True, description="Test, or the tests that are missing (ADaM PARAMCD).")
    kind = dy.String(
        regex=f"^({'|'.join(KINDS)})$",
        description="unit_mixup, jump, far, missing, same_results or same_person: what it is about.",
    )
    question = dy.String(description="What seems wrong and what to do, in words for the site.")
    since = dy.Date(description="Delivery day of the record it is about.")
    status = dy.String(regex="^(open|closed)$", description="open while it holds, closed once what was sent does not.")
    sent_by = dy.String(nullable=True, description="Who first sent it to the site; null while nobody has.")
    sent_at = dy.Datetime(
        nullable=True, time_unit="us", time_zone="UTC", description="When it was first sent to the site (UTC)."
    )


def data_queries(
    flags: pl.LazyFrame,
    scheduled: pl.LazyFrame,
    visits: pl.LazyFrame,
    duplicates: pl.LazyFrame,
    lookalikes: pl.LazyFrame,
    sent: pl.LazyFrame,
) -> pl.LazyFrame:
    """What is to be asked now, and what was asked and is settled.

    A flagged result is asked about when it may be a unit mix-up, jumps, or is far both from the subject's other results
    and from the study's; one that is far from the one alone is no question, a flag only. A visit that took place is
    asked about once for each source that lacks results of it. What was sent and is no longer to be asked is closed.
    """
    asked = [of_values(flags), of_missing(scheduled, visits), of_results(duplicates), of_persons(lookalikes)]
    columns = [name for name in DataQuery.column_names() if name not in ("status", "sent_by", "sent_at")]
    held = pl.concat([rows.with_columns(since="_delivered").select(columns) for rows in asked])
    first = sent.group_by("query").agg(pl.col("sent_by").sort_by("sent_at").first(), pl.col("sent_at").min())
    last = sent.group_by("query").agg(pl.col(name).sort_by("sent_at").last() for name in columns if name != "query")
    still = held.join(first, on="query", how="left").with_columns(status=OPEN)
    settled = last.join(held, on="query", how="anti").join(first, on="query").with_columns(status=CLOSED)
    return pl.concat([rows.select(DataQuery.column_names()) for rows in (still, settled)])


def of_values(flags: pl.LazyFrame) -> pl.LazyFrame:
    """Questions about flagged results, one for each result that deserves one."""
    record = ["_file", "_checksum", "_line"]
    rules = pl.col("rule")
    has = {name: (rules == name).any() for name in (UNIT, JUMPED, OWN, STUDY)}
    kind = (
        pl.when(has[UNIT])
        .then(pl.lit(UNIT))
        .when(has[JUMPED])
        .then(pl.lit(JUMPED))
        .when(has[OWN] & has[STUDY])
        .then(pl.lit("far"))
    )
    value = worded(
        "{} is {} at {} (delivered as {} {})",
        "param",
        written(pl.col("aval")),
        _at(),
        "orres",
        pl.col("orresu").fill_null(""),
    )
    other = written(pl.col("expected"))
    words = {
        UNIT: worded(
            f"{{}}, which does not fit; {{}} would, as if it were in the test's other unit. {CHECK}", value, other
        ),
        JUMPED: worded(f"{{}}, after {{}} at the visit before. {CHECK}", value, other),
        "far": worded(f"{{}}; the subject's other results are about {{}}. {CHECK}", value, other),
    }
    kinds = pl.col("kind")
    told = pl.when(kinds == UNIT).then(words[UNIT]).when(kinds == JUMPED).then(words[JUMPED]).otherwise(words["far"])
    decisive = pl.when(kinds == "far").then(rules == OWN).otherwise(rules == kinds)
    return (
        flags.with_columns(kind=kind.over(record))
        .filter(decisive)
        .with_columns(query=_named("value", "source", "paramcd", "visitnum", "basetype"), question=told)
    )


def of_missing(scheduled: pl.LazyFrame, visits: pl.LazyFrame) -> pl.LazyFrame:
    """Questions about visits that took place and lack results, one for each source; the record is the visit's."""
    lacking = (
        scheduled.filter(pl.col("status") == NO_RESULT)
        .group_by("usubjid", "siteid", "source", "visitnum")
        .agg(paramcd=pl.col("paramcd").unique().sort().str.join(" "))
    )
    took_place = visits.select("usubjid", "visitnum", "visit", "svstdtc", *ORIGIN)
    question = worded(
        "{} took place ({}), but has no {} of: {}. Please send them, or say that they were not done.",
        _at(),
        "svstdtc",
        pl.col("source").replace_strict({"vitals": "vital signs", "labs": "laboratory results"}),
        "paramcd",
    )
    return lacking.join(took_place, on=["usubjid", "visitnum"]).with_columns(
        kind=pl.lit("missing"), query=_named("missing", "source", "visitnum"), question=question
    )


def of_results(duplicates: pl.LazyFrame) -> pl.LazyFrame:
    """Questions about results that two subjects have; a site is not told who takes part at another."""
    question = worded(
        "All {} results ({}) of {} are also those of {}. Please check whose they are.",
        "results",
        pl.col("kind"),
        _at(),
        _other(),
    )
    return duplicates.with_columns(
        source=pl.when(pl.col("kind") == "vital signs").then(pl.lit("vitals")).otherwise(pl.lit("labs")),
        paramcd=pl.lit(None, pl.String),
        query=_named("same_results", "kind", "visitnum"),
        question=question,
        kind=pl.lit("same_results"),
    )


def of_persons(lookalikes: pl.LazyFrame) -> pl.LazyFrame:
    """Questions about subjects who may be one person."""
    question = worded(
        "Sex, race, ethnicity, height, and nearly age and weight, are those of {}. Please check that this is not the "
        "same person.",
        _other(),
    )
    return lookalikes.with_columns(
        source=pl.lit("subjects"),
        visitnum=pl.lit(None, pl.Float64),
        visit=pl.lit(None, pl.String),
        paramcd=pl.lit(None, pl.String),
        kind=pl.lit("same_person"),
        query=_named("same_person"),
        question=question,
    )


def _at() -> pl.Expr:
    return pl.col("visit").fill_null("an unnamed visit")


def _other() -> pl.Expr:
    return pl.when("across_sites").then(pl.lit(_ELSEWHERE)).otherwise(worded("subject {}", "like_usubjid"))


def _named(*parts: str) -> pl.Expr:
    """A question's name: the first part as it is, then the subject, then what columns have; `/` in them is escaped."""
    told = [_escaped(pl.col(name).cast(pl.String)).fill_null("-") for name in ("usubjid", *parts[1:])]
    return pl.concat_str(pl.lit(parts[0]), *told, separator="/")


def _escaped(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all("%", "%25", literal=True).str.replace_all("/", "%2F", literal=True)


DATA_QUERIES = Curated(
    name="data_queries",
    description="Questions to the sites, one row each: what seems wrong, since when, if it still does. Blinded.",
    owner="team:clinical-data",
    contract=DataQuery,
    key=("query",),
    by="usubjid",
    inputs=(
        "curated/result_flags",
        "curated/scheduled_results",
        "processed/visits",
        "curated/duplicates",
        "curated/lookalikes",
        "sent/data_queries",
    ),
    transform=data_queries,
)
