"""Results beside their subjects: what the curated tables of results have in common."""

import polars as pl

SUBJECT = ("subjid", "siteid", "age", "sex", "saffl", "trtsdt")


def with_subject(results: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Results with the `SUBJECT` columns of their subject; those whose subject is not known yet are left out."""
    return results.join(subjects.select("usubjid", *SUBJECT), on="usubjid", how="inner")


def not_enrolled(results: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Every result is of a subject whose demographics have been delivered."""
    return results.join(subjects, on="usubjid", how="anti")
