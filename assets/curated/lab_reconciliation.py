"""Chemistry results as the sites report them beside the same results as the central laboratory tells them."""

import dataframely as dy
import polars as pl

from assets.cdisc import site
from assets.central_lab import UNITS
from assets.labs import known_units
from lakehouse.contract import PROVENANCE, Contract
from lakehouse.curated import Curated

# What one of them calls otherwise.
_SAME_TEST = {"UREAN": "BUN"}
# Results agree when they differ by no more than this share of them: half of the third digit that a report prints.
_SHARE = 0.005
SAME = ["usubjid", "lbtestcd", "visitnum"]
_SHARED = ["lborres", "lborresu", "lbdtc"]


class Reconciliation(Contract):
    """One result, as one or both tell it; its provenance is the site's where the site has it."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    lbtestcd = dy.String(description="Short name of the test (SDTM LBTESTCD).")
    visitnum = dy.Float64(description="Visit number (SDTM VISITNUM).")
    result_id = dy.String(nullable=True, description="The laboratory's own number of the result.")
    lborres = dy.String(nullable=True, description="Result as the site reports it (SDTM LBORRES).")
    lborresu = dy.String(nullable=True, description="Its unit (SDTM LBORRESU).")
    lbdtc = dy.String(nullable=True, description="When the specimen was taken, by the site (SDTM LBDTC).")
    central_lborres = dy.String(nullable=True, description="Result as the laboratory tells it.")
    central_lborresu = dy.String(nullable=True, description="Its unit.")
    central_lbdtc = dy.String(nullable=True, description="When the specimen was taken, by the laboratory.")
    difference = dy.String(
        nullable=True,
        description="What differs: only_site, only_laboratory, result or date, the first of them; null for none.",
    )


def reconciled(labs: pl.LazyFrame, central: pl.LazyFrame) -> pl.LazyFrame:
    """Every result of the laboratory's tests, of subjects the laboratory knows, from both sides.

    Results are compared in the study's standard unit, and agree within 0.5 %; results beyond a limit as they are
    written; dates by their day, or as much of it as both tell.
    """
    tests = [_SAME_TEST.get(test, test) for test in UNITS]
    theirs = central.with_columns(lbtestcd=pl.col("lbtestcd").replace(_SAME_TEST)).select(
        *SAME,
        "siteid",
        "result_id",
        *[pl.col(name).alias(f"central_{name}") for name in _SHARED],
        *[pl.col(name).alias(f"central{name}") for name in PROVENANCE],
        _theirs=_standard(pl.col("lborresn"), "lborresu"),
    )
    ours = (
        labs.filter(pl.col("lbtestcd").is_in(tests))
        .join(central.select("usubjid").unique(), on="usubjid", how="semi")
        .select(*SAME, *_SHARED, *PROVENANCE, _ours="lbstresn")
    )
    both = ours.join(theirs, on=SAME, how="full", coalesce=True)
    return both.with_columns(
        *[pl.coalesce(name, f"central{name}") for name in PROVENANCE],
        siteid=site(pl.col("usubjid")),
        difference=_difference(),
    ).select(Reconciliation.column_names())


def _standard(value: pl.Expr, unit: str) -> pl.Expr:
    """A result in the study's standard unit; null where it has none, or is no number."""
    factors = {f"{test} {written}": factor for test, written, _, factor in known_units()}
    test = pl.concat_str(pl.col("lbtestcd"), pl.col(unit), separator=" ")
    return value * test.replace_strict(factors, default=None, return_dtype=pl.Float64)


def _difference() -> pl.Expr:
    ours, theirs = pl.col("_ours"), pl.col("_theirs")
    numbers = ours.is_not_null() & theirs.is_not_null()
    apart = (ours - theirs).abs() > _SHARE * pl.max_horizontal(ours.abs(), theirs.abs())
    written = pl.col("lborres").ne_missing(pl.col("central_lborres"))
    days = [pl.col(name).str.head(10) for name in ("lbdtc", "central_lbdtc")]
    length = pl.min_horizontal(*(day.str.len_chars() for day in days))
    return (
        pl.when(pl.col("result_id").is_null())
        .then(pl.lit("only_site"))
        .when(pl.col("lborres").is_null())
        .then(pl.lit("only_laboratory"))
        .when(pl.when(numbers).then(apart).otherwise(written))
        .then(pl.lit("result"))
        .when(days[0].str.head(length) != days[1].str.head(length))
        .then(pl.lit("date"))
    )


LAB_RECONCILIATION = Curated(
    name="lab_reconciliation",
    description="Chemistry results of the sites beside the central laboratory's, and what differs. Blinded.",
    owner="team:clinical-data",
    contract=Reconciliation,
    # The laboratory may have done a test twice.
    key=("usubjid", "lbtestcd", "visitnum", "result_id"),
    by="usubjid",
    inputs=("processed/labs", "processed/central_lab"),
    transform=reconciled,
)
