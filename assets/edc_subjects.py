"""Subjects as the trial's EDC system (electronic data capture) has them: every change of its table, in order."""

import dataframely as dy
import polars as pl

from assets.cdisc import number_or_nan, site
from assets.edc import Change, entered, followed, has, tells
from assets.subjects import OLDEST, SEXES


class SubjectChange(Change):
    """One change of the EDC's table of subjects; without the arm, which an EDC does not know."""

    siteid = dy.String(nullable=True, description="Study site identifier (SDTM SITEID).")
    sex = dy.String(nullable=True, description="Sex (SDTM SEX).")
    age = dy.Float64(nullable=True, allow_nan=True, description="Age in years (SDTM AGE); NaN where it is no number.")
    race = dy.String(nullable=True, description="Race (SDTM RACE).")

    @dy.rule()
    def key_told(cls) -> pl.Expr:
        """A change of a row tells USUBJID."""
        return tells("usubjid")

    @dy.rule()
    def row_whole(cls) -> pl.Expr:
        """A row has its site, and who entered it when, each in its own type."""
        return has("siteid")

    @dy.rule()
    def subject_of_site(cls) -> pl.Expr:
        """The site in USUBJID is SITEID: 01-701-1015 is a subject of site 701."""
        # What is not written study-site-subject is told by another rule.
        return site(pl.col("usubjid")) == pl.col("siteid")

    @dy.rule()
    def sex_known(cls) -> pl.Expr:
        """SEX is F, M, U, INTERSEX or UNDIFFERENTIATED."""
        return pl.col("sex").is_in(SEXES)

    @dy.rule()
    def age_whole(cls) -> pl.Expr:
        """AGE is a whole number, not below zero and of at most 120 years."""
        return (pl.col("age") == pl.col("age").floor()) & pl.col("age").is_between(0, OLDEST["YEARS"])


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Changes with numbers and times in place of PostgreSQL's own words for them."""
    return entered(raw).with_columns(age=number_or_nan(pl.col("age"))).select(SubjectChange.column_names())


EDC_SUBJECTS = followed(
    "subjects",
    description="Subjects in the EDC system: every change of its table, as its database tells them.",
    contract=SubjectChange,
    tidy=tidy,
    key=("usubjid",),
    columns=("usubjid", "siteid", "sex", "age", "race"),
    warned=("subject_of_site", "sex_known", "age_whole"),
)
