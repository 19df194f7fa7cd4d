"""Features for models: what was known of a subject at the end of each of its visits, and what became of it after.

Point-in-time correct: the cut-off of a row is the day its visit was first known, and a feature is made of nothing that
was known or measured after it. Of everything that can be corrected, mended or withdrawn the version is taken that
counted at the end of that day, as `lakehouse.history` tells it. Which rows there are is judged by what counts now: a
visit that was withdrawn has none, nor has a subject whose demographics are not there.

The label looks ahead on purpose and is no feature. Nothing here tells the treatment.
"""

from types import new_class
from typing import cast

import dataframely as dy
import polars as pl

from assets import study
from assets.cdisc import site
from assets.curated.adam import rounded, worded
from assets.curated.adverse_events import began
from assets.disposition import DISPOSITION, LEFT
from assets.visits import VISITS, Visit
from lakehouse.contract import Contract
from lakehouse.curated import Curated
from lakehouse.history import current, in_force, newest

LABEL = f"left_within_{study.HORIZON}_days"
# Slopes are told by this many days.
SLOPE_DAYS = 28
TESTS = {**study.FEATURE_VITALS, **study.FEATURE_LABS}
ROW = ["usubjid", "_at"]
# What tells which version of a record counted when.
VERSION = ("_delivered", "_file", "_line", "_known", "_until")


class _VisitFeatures(Contract):
    studyid = Visit.studyid
    usubjid = Visit.usubjid
    siteid = dy.String(description="Site of the subject, from USUBJID.")
    visitnum = Visit.visitnum
    visit = Visit.visit
    cutoff = dy.Date(description="Day the visit was first known: the features are made of nothing after it.")
    days_since_start = dy.Int64(
        nullable=True, description="Days from the baseline visit to the cut-off; null until that has taken place."
    )
    visits_so_far = dy.Int64(min=1, description="Visits known by the cut-off, this one counted, planned or not.")
    age = dy.Float64(nullable=True, description="Age in years as known at the cut-off (SDTM AGE).")
    sex = dy.String(nullable=True, description="Sex as known at the cut-off (SDTM SEX).")
    ae_emergent = dy.Int64(
        min=0, description="Adverse events known by the cut-off that began on the day of the baseline visit or later."
    )
    ae_recent = dy.Int64(min=0, description=f"Those of them that began in the {study.HORIZON} days up to the cut-off.")
    ae_serious = dy.Int64(min=0, description="Those of them known to be serious by the cut-off.")


def _columns(test: str, unit: str) -> dict[str, dy.Float64 | dy.Int64]:
    name = test.lower()
    return {
        f"{name}_last": dy.Float64(
            nullable=True, description=f"{test}: last value known, the visit's mean, in {unit}."
        ),
        f"{name}_base": dy.Float64(
            nullable=True, description=f"{test}: value at the study's baseline visit, in {unit}."
        ),
        f"{name}_chg": dy.Float64(nullable=True, description=f"{test}: last value less baseline, in {unit}."),
        f"{name}_slope": dy.Float64(
            nullable=True,
            description=f"{test}: least-squares slope of all values known, in {unit} by {SLOPE_DAYS} days.",
        ),
        f"{name}_days": dy.Int64(nullable=True, min=0, description=f"{test}: days from the last value to the cut-off."),
    }


_LABEL_COLUMN = dy.Bool(
    nullable=True,
    description=f"Label: whether the subject leaves the study, other than by completing it, in the "
    f"{study.HORIZON} days after the cut-off. Null unless the baseline visit was known, after the subject has left, "
    "and while nobody knows.",
)
_NAMESPACE = {
    "__doc__": "One visit of one subject: what was known at its end; its provenance is that of the visit.",
    "__module__": __name__,
    **{name: column for test, unit in TESTS.items() for name, column in _columns(test, unit).items()},
    LABEL: _LABEL_COLUMN,
}
# A class made of a table: five columns for each test.
_MADE = new_class("VisitFeatures", (_VisitFeatures,), {}, lambda namespace: namespace.update(_NAMESPACE))
VisitFeatures = cast(type[dy.Schema], _MADE)


def visit_features(
    subjects: pl.LazyFrame,
    visits: pl.LazyFrame,
    demographics: pl.LazyFrame,
    events: pl.LazyFrame,
    vitals: pl.LazyFrame,
    labs: pl.LazyFrame,
    disposition: pl.LazyFrame,
) -> pl.LazyFrame:
    """One row per subject and visit with what was known at its cut-off, and the label.

    subjects: those that take part; whose demographics are not there is in no curated table. The others: every version
    of their rows, as `lakehouse.history` has them; of the last only the label is made.
    """
    rows = attended(visits).join(subjects.select("usubjid"), on="usubjid", how="semi")
    at = rows.select("usubjid", _at="visitnum", cutoff="cutoff")
    started = so_far(at, visits)
    at_start = at.join(started.select(*ROW, "_start"), on=ROW)
    results = pl.concat([measured(vitals, "vs", study.VITAL_SIGNS), measured(labs, "lb", study.LAB_RESULTS)])
    parts = [
        started.drop("cutoff"),
        person(at, demographics),
        happened(at_start, events),
        course(at, results),
        left_after(at_start, visits, disposition),
    ]
    for part in parts:
        rows = rows.join(part, left_on=["usubjid", "visitnum"], right_on=ROW, how="left")
    return rows.with_columns(pl.col("ae_emergent", "ae_recent", "ae_serious").fill_null(0)).select(
        VisitFeatures.column_names()
    )


def labels(visits: pl.LazyFrame, disposition: pl.LazyFrame) -> pl.LazyFrame:
    """The label alone, by `usubjid` and `visitnum`: of `lakehouse.history.as_of` a day, what was known of it then."""
    at = attended(visits).select("usubjid", _at="visitnum", cutoff="cutoff")
    at_start = at.join(so_far(at, visits).select(*ROW, "_start"), on=ROW)
    return left_after(at_start, visits, disposition).rename({"_at": "visitnum"})


def known(at: pl.LazyFrame, versions: pl.LazyFrame, *key: str) -> pl.LazyFrame:
    """For each row of `at` (`usubjid`, `_at`, `cutoff`) its subject's records, as they counted at the end of that day.

    key: what tells the records of a subject apart. This is the one door through which records reach a feature.
    """
    return newest(at.join(versions, on="usubjid").filter(in_force(pl.col("cutoff"))), [*ROW, *key])


def attended(visits: pl.LazyFrame) -> pl.LazyFrame:
    """Visits that count, as they were when they were first known, with the day of that as `cutoff`."""
    first = visits.with_columns(cutoff=pl.col("_known").min().over(VISITS.key)).filter(in_force(pl.col("cutoff")))
    return (
        newest(first, VISITS.key)
        .join(current(visits, VISITS.key), on=VISITS.key, how="semi")
        .select(*Visit.column_names(), "cutoff")
        .with_columns(siteid=site(pl.col("usubjid")))
    )


def so_far(at: pl.LazyFrame, visits: pl.LazyFrame) -> pl.LazyFrame:
    """By row VISITS_SO_FAR, DAYS_SINCE_START and `_start`, the day of the baseline visit, where it is known."""
    baseline = pl.col("visitnum") == study.BASELINE
    return (
        known(at, visits.select("usubjid", "visitnum", "svstdt", *VERSION), "visitnum")
        .group_by(*ROW, "cutoff")
        .agg(visits_so_far=pl.len().cast(pl.Int64), _start=pl.col("svstdt").filter(baseline).first())
        .with_columns(days_since_start=(pl.col("cutoff") - pl.col("_start")).dt.total_days())
    )


def person(at: pl.LazyFrame, demographics: pl.LazyFrame) -> pl.LazyFrame:
    """By row age and sex, as the newest demographics of the time had them."""
    told = known(at, demographics.select("usubjid", "age", "sex", *VERSION))
    return told.select(*ROW, pl.col("age").cast(pl.Float64), "sex")


def happened(at: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """By row, events that had begun since its baseline visit (`_start`), counted by AESPID, as the log had them then.

    The log has one record for each look at an event; an event without a number is told apart by its record.
    """
    log = events.select("usubjid", "aeseq", "aeser", *VERSION, _begun=began(), _event=_event_number())
    emergent = (pl.col("_begun") >= pl.col("_start")).fill_null(False)
    recent = emergent & (pl.col("_begun") > pl.col("cutoff") - pl.duration(days=study.HORIZON))
    serious = emergent & (pl.col("aeser") == "Y")

    def count(which: pl.Expr) -> pl.Expr:
        return pl.col("_event").filter(which).n_unique().cast(pl.Int64)

    return (
        known(at, log, "aeseq")
        .group_by(ROW)
        .agg(ae_emergent=count(emergent), ae_recent=count(recent), ae_serious=count(serious))
    )


def measured(results: pl.LazyFrame, domain: str, visits: study.Visits) -> pl.LazyFrame:
    """Results of the tests that are features: `_test`, `_value`, `_day`, visit and time point, and whether at baseline.

    Those without a value as well: a value may be corrected to none.
    """
    point = pl.col("vstptnum") if domain == "vs" else pl.lit(None, pl.Float64)
    return results.filter(pl.col(f"{domain}testcd").is_in(list(TESTS))).select(
        "usubjid",
        "visitnum",
        *VERSION,
        _test=f"{domain}testcd",
        _point=point,
        _value=f"{domain}stresn",
        _day=f"{domain}dt",
        _baseline=pl.col("visitnum") == visits.baseline,
    )


def course(at: pl.LazyFrame, results: pl.LazyFrame) -> pl.LazyFrame:
    """By row and test the last value, baseline, change, slope and age of what had been measured and was known.

    A visit's value is the mean of its time points. The slope is of least squares over the days of the visits, with two
    at least. All are rounded to six decimals, past which the order of adding shows.
    """
    by_visit = (
        known(at, results, "_test", "visitnum", "_point")
        .filter(pl.col("_value").is_not_null(), pl.col("_day") <= pl.col("cutoff"))
        .group_by(*ROW, "cutoff", "_test", "visitnum", "_day", "_baseline")
        .agg(pl.col("_value").sort_by("_value").mean())
        .with_columns(_x=(pl.col("_day") - pl.col("cutoff")).dt.total_days())
    )
    return by_visit.group_by(ROW).agg(
        expression for test in TESTS for expression in _of_test(test, pl.col("_test") == test)
    )


def _of_test(test: str, is_test: pl.Expr) -> list[pl.Expr]:
    name, order = test.lower(), ["_x", "visitnum"]
    last = _latest(pl.col("_value"), *order, among=is_test)
    base = _latest(pl.col("_value"), *order, among=is_test & pl.col("_baseline"))
    x, y = (
        pl.col(column).filter(is_test).sort_by([pl.col(key).filter(is_test) for key in order]).cast(pl.Float64)
        for column in ("_x", "_value")
    )
    spread = ((x - x.mean()) ** 2).sum()
    slope = SLOPE_DAYS * ((x - x.mean()) * (y - y.mean())).sum() / spread
    return [
        rounded(last, 6).alias(f"{name}_last"),
        rounded(base, 6).alias(f"{name}_base"),
        rounded(last - base, 6).alias(f"{name}_chg"),
        pl.when(spread > 0).then(rounded(slope, 6)).alias(f"{name}_slope"),
        (-pl.col("_x").filter(is_test).max()).alias(f"{name}_days"),
    ]


def left_after(at: pl.LazyFrame, visits: pl.LazyFrame, disposition: pl.LazyFrame) -> pl.LazyFrame:
    """By row the label. It looks at all that counts now: this is what a model is to foretell."""
    ended = (
        current(disposition, DISPOSITION.key)
        .filter(pl.col("dscat") == LEFT)
        .select("usubjid", _ended="dsstdt", _how="dsdecod")
    )
    seen = current(visits, VISITS.key).group_by("usubjid").agg(_seen=pl.max_horizontal("svstdt", "svendt").max())
    horizon = pl.col("cutoff") + pl.duration(days=study.HORIZON)
    in_study = (pl.col("cutoff") >= pl.col("_start")) & (
        (pl.col("_ended") > pl.col("cutoff")) | pl.col("_ended").is_null()
    )
    leaves = (pl.col("_ended") <= horizon) & (pl.col("_how") != "COMPLETED")
    told = pl.col("_ended").is_not_null() | (pl.col("_seen") >= horizon)
    return (
        at.join(ended, on="usubjid", how="left")
        .join(seen, on="usubjid", how="left")
        .select(*ROW, pl.when(in_study & told).then(leaves.fill_null(False)).alias(LABEL))
    )


def _event_number() -> pl.Expr:
    return pl.when(pl.col("aespid").is_not_null()).then(pl.col("aespid")).otherwise(worded("#{}", "aeseq"))


def _latest(value: pl.Expr, *order: str, among: pl.Expr | None = None) -> pl.Expr:
    """The value of the last record of a group by some columns, of those `among` which it is looked for."""
    which = pl.lit(True) if among is None else among
    return value.filter(which).sort_by([pl.col(name).filter(which) for name in order]).last()


VISIT_FEATURES = Curated(
    name="visit_features",
    description="Features for models: one row per subject and visit, of what was known by then; and a label. Blinded.",
    owner="team:clinical-data",
    contract=VisitFeatures,
    key=("usubjid", "visitnum"),
    by="usubjid",
    inputs=(
        "curated/subjects",
        "history/visits",
        "history/subjects",
        "history/adverse_events",
        "history/vitals",
        "history/labs",
        "history/disposition",
    ),
    transform=visit_features,
    # Models are trained on files: see `lakehouse features export`.
    warehouse=None,
)
