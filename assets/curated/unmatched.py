"""Codes that were delivered and that no reference file has: what is not known is counted, never guessed."""

import dataframely as dy
import polars as pl

from assets.curated.adam import worded
from assets.labs import NO_UNITS
from assets.reference import LAB_TESTS, SITES, TERMS, UNITS
from lakehouse.curated import Curated, Through


class Unmatched(dy.Schema):
    """One code that a site delivered and a reference file has not."""

    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    reference = dy.String(description="Name of the reference file.")
    version = dy.String(description="Version of the reference file.")
    code = dy.String(description="What has no match: test and unit, standard unit, site, or coded term.")
    rows = dy.Int64(description="Rows of the curated table with it.")


def unmatched(lab_results: pl.LazyFrame, subjects: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """Tests in a unit without LOINC code, standard units without UCUM, sites and terms that the lists have not.

    A result without a standard unit asks for none. A term is the preferred one, or a lowest level term that leads to
    none; an event that is not coded has no term.
    """
    listed = TERMS.rows().select(code="aedecod").unique()
    coded = events.select("siteid", code=pl.coalesce("aedecod", "aellt")).drop_nulls()
    test = worded("{} in {}", "lbtestcd", pl.col("lborresu").fill_null(NO_UNITS))
    missing = {
        LAB_TESTS: lab_results.filter(pl.col("loinc").is_null()).select("siteid", code=test),
        UNITS: lab_results.filter(pl.col("ucum").is_null()).select("siteid", code="lbstresu").drop_nulls(),
        SITES: subjects.filter(pl.col("region").is_null()).select("siteid", code="siteid"),
        TERMS: coded.join(listed, on="code", how="anti"),
    }
    found = [
        rows.group_by("siteid", "code")
        .agg(rows=pl.len().cast(pl.Int64))
        .with_columns(reference=pl.lit(item.name), version=pl.lit(item.version))
        for item, rows in missing.items()
    ]
    return pl.concat(found).select(Unmatched.column_names())


def without_match(rows: pl.LazyFrame, *_: pl.LazyFrame) -> pl.LazyFrame:
    """Every delivered code has a match in its reference file."""
    return rows.select("reference")


UNMATCHED = Curated(
    name="unmatched",
    layer="quality",
    description="Codes that were delivered and that no reference file has, with counts per site.",
    owner="team:clinical-data",
    contract=Unmatched,
    key=("siteid", "reference", "code"),
    by="siteid",
    inputs=("curated/lab_results", "curated/subjects", "curated/adverse_events"),
    transform=unmatched,
    checks={"matched": without_match},
    through=Through(
        "curated.lab_results",
        "this.siteid = behind.siteid and this.reference in ('lab_tests', 'units') and (this.code = behind.lbstresu or "
        "this.code = behind.lbtestcd || ' in ' || coalesce(behind.lborresu, 'NO UNITS'))",
        more=(
            Through("curated.subjects", "this.reference = 'sites' and this.siteid = behind.siteid"),
            Through(
                "curated.adverse_events",
                "this.reference = 'event_terms' and this.siteid = behind.siteid "
                "and this.code = coalesce(behind.aedecod, behind.aellt)",
            ),
        ),
    ),
)
