"""The same twice: subjects who may be one person, and results of one visit that two subjects have."""

import dataframely as dy
import polars as pl

from assets.curated.panels import Panel
from assets.study import SAME_AGE, SAME_WEIGHT
from lakehouse.contract import Contract
from lakehouse.curated import Curated

ALIKE = ["sex", "race", "ethnic", "ageu", "heightbl"]


class Duplicate(Contract):
    """One visit of a subject whose results are another one's; its provenance is that of the first of them."""

    panel = Panel.panel
    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    kind = Panel.kind
    visitnum = Panel.visitnum
    visit = Panel.visit
    results = Panel.results
    like_usubjid = dy.String(description="The other subject, one of them if there are more.")
    like_siteid = dy.String(description="Its site.")
    across_sites = dy.Bool(description="Whether the two sites differ.")


class Lookalike(Contract):
    """One subject who may be the same person as another one; its provenance is that of its demographics."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    like_usubjid = dy.String(description="The other subject, one of them if there are more.")
    like_siteid = dy.String(description="Its site.")
    across_sites = dy.Bool(description="Whether the two sites differ.")


def same_results(panels: pl.LazyFrame) -> pl.LazyFrame:
    """Visits whose results of one kind, eight or more, are all another subject's too, as delivered."""
    same = ["kind", "panel"]
    least, most = (
        pl.struct(pl.col("usubjid", "siteid").sort_by("usubjid", descending=last).first().over(same))
        for last in (False, True)
    )
    like = pl.when(pl.col("usubjid") == pl.col("usubjid").min().over(same)).then(most).otherwise(least)
    return (
        panels.filter(pl.col("usubjid").n_unique().over(same) > 1)
        .with_columns(_like=like)
        .with_columns(_other())
        .select(Duplicate.column_names())
    )


def same_person(subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Subjects who may be one person: alike in sex, race, ethnicity and height, within a year of age and 1 kg.

    Each is compared with its neighbours by age and weight only, so that the work grows with the subjects and not with
    their pairs; only who has a height and a weight at baseline can be. Source: Hernández and Stolfo, The Merge/Purge
    Problem for Large Databases, SIGMOD 1995 (sorted neighbourhood).
    """
    order = ["age", "weightbl", "usubjid"]

    def neighbour(column: str, places: int) -> pl.Expr:
        return pl.col(column).shift(places).over(ALIKE, order_by=order)

    def near(places: int) -> pl.Expr:
        age = (pl.col("age") - neighbour("age", places)).abs() <= SAME_AGE
        return age & ((pl.col("weightbl") - neighbour("weightbl", places)).abs() <= SAME_WEIGHT + 1e-9)

    like = [
        pl.when(near(places)).then(pl.struct(neighbour("usubjid", places), neighbour("siteid", places)))
        for places in (1, -1)
    ]
    return (
        subjects.drop_nulls(["age", "weightbl", *ALIKE])
        .with_columns(_like=pl.coalesce(like))
        .filter(pl.col("_like").is_not_null())
        .with_columns(_other())
        .select(Lookalike.column_names())
    )


def _other() -> list[pl.Expr]:
    site, subject = (pl.col("_like").struct.field(name) for name in ("siteid", "usubjid"))
    return [subject.alias("like_usubjid"), site.alias("like_siteid"), (site != pl.col("siteid")).alias("across_sites")]


DUPLICATES = Curated(
    name="duplicates",
    description="Visits whose results of one kind are all another subject's too. Blinded.",
    owner="team:clinical-data",
    contract=Duplicate,
    key=("usubjid", "kind", "visitnum"),
    by="panel",
    inputs=("curated/panels",),
    transform=same_results,
)
LOOKALIKES = Curated(
    name="lookalikes",
    description="Subjects who may be one person, at two sites or at one. Blinded.",
    owner="team:clinical-data",
    contract=Lookalike,
    key=("usubjid",),
    inputs=("curated/subjects",),
    transform=same_person,
)
