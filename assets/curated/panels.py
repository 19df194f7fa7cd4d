"""What one subject's visit measured, as one digest: equal ones of two subjects are the same rows delivered twice."""

import hashlib

import dataframely as dy
import polars as pl

from assets.curated.adam import worded
from assets.curated.measured import ORIGIN
from assets.study import LEAST_OF_PANEL
from lakehouse.contract import Contract
from lakehouse.curated import Curated


class Panel(Contract):
    """The results of one kind of one visit of one subject; its provenance is that of the first of them."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    kind = dy.String(description="Vital signs, or the category of laboratory tests (ADaM PARCAT1).")
    visitnum = dy.Float64(description="Visit number (SDTM VISITNUM).")
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    results = dy.Int64(min=LEAST_OF_PANEL, description="Results in it.")
    panel = dy.String(description="Digest of every test, time point and result as delivered: names what was measured.")


def panels(vital_signs: pl.LazyFrame, lab_results: pl.LazyFrame) -> pl.LazyFrame:
    """Results as delivered of each subject, kind and visit with eight results or more."""
    named = ("usubjid", "siteid", "visitnum", "visit", *ORIGIN)
    vitals = vital_signs.select(
        *named,
        kind=pl.lit("vital signs"),
        _result=worded("{} {} {} {}", "vstestcd", pl.col("basetype").fill_null("-"), "vsorres", "vsorresu"),
    )
    labs = lab_results.select(
        *named,
        kind=pl.col("parcat1").fill_null("-"),
        _result=worded("{} {} {}", "lbtestcd", "lborres", pl.col("lborresu").fill_null("-")),
    )
    first = [pl.col(name).sort_by("_file", "_line").first() for name in ("siteid", "visit", *ORIGIN)]
    return (
        pl.concat([vitals, labs])
        .drop_nulls("_result")
        .group_by("usubjid", "kind", "visitnum")
        .agg(*first, results=pl.len().cast(pl.Int64), panel=pl.col("_result").sort().str.join("; "))
        .with_columns(pl.col("panel").map_batches(_digests, return_dtype=pl.String))
        .filter(pl.col("results") >= LEAST_OF_PANEL)
        .select(Panel.column_names())
    )


def _digests(texts: pl.Series) -> pl.Series:
    found = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]
    return pl.Series(texts.name, found, pl.String)


PANELS = Curated(
    name="panels",
    description="What each subject's visit measured, as one digest: what duplicates are found by. Blinded.",
    owner="team:clinical-data",
    contract=Panel,
    key=("usubjid", "kind", "visitnum"),
    by="usubjid",
    inputs=("curated/vital_signs", "curated/lab_results"),
    transform=panels,
    warehouse=None,
)
