"""Results beside their subjects: what the curated tables of results have in common."""

import polars as pl

SUBJECT = ("subjid", "siteid", "age", "sex", "saffl", "trtsdt")


def with_subject(results: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Results with the `SUBJECT` columns of their subject; those whose subject is not known yet are left out."""
    return results.join(subjects.select("usubjid", *SUBJECT), on="usubjid", how="inner")
