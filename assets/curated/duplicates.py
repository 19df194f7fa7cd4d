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
    like_usubjid = dy.String(description="The other subject, the nearest of them if there are more.")
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

    Each is compared with the two next to it by weight among those of its age, and of each other age that is near
    enough: if anyone is near, the nearest by weight is. So the work grows with the subjects and not with their pairs,
    and nobody is missed; in one order by age and then weight a subject hides behind one of its age who weighs more. Of
    several the nearest is named, by age, then by weight. Only who has a height and a weight at baseline can be found.
    """
    known = subjects.drop_nulls(["age", "weightbl", *ALIKE])
    among = [
        known.with_columns(_age=pl.col("age") + years, _years=pl.lit(abs(years)))
        for years in range(-SAME_AGE, SAME_AGE + 1)
    ]
    of_age = pl.when(pl.col("_years") == 0).then(pl.struct("usubjid", "siteid", "weightbl"))
    lighter, heavier = (
        side.over([*ALIKE, "_age"], order_by=["weightbl", "usubjid"])
        for side in (of_age.forward_fill().shift(1), of_age.backward_fill().shift(-1))
    )
    beside = pl.concat(among).with_columns(_lighter=lighter, _heavier=heavier)
    apart = (pl.col("_like").struct.field("weightbl") - pl.col("weightbl")).abs().round(9)
    return (
        pl.concat([beside.with_columns(_like=side) for side in ("_lighter", "_heavier")])
        .with_columns(_other(), _apart=apart)
        .filter(pl.col("_apart") <= SAME_WEIGHT)
        .sort("usubjid", "_years", "_apart", "like_usubjid")
        .unique("usubjid", keep="first", maintain_order=True)
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
