"""Results of the central laboratory, from its API: chemistry, by subject, test and visit. SDTM's LB domain, in part."""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.cdisc import STUDY_BEGAN, dtc_date, dtc_earliest, is_dtc, number, number_or_nan, site
from lakehouse.contract import Contract
from lakehouse.feeds.auth import ClientCredentials
from lakehouse.feeds.marks import Since
from lakehouse.feeds.paging import ByCursor
from lakehouse.feeds.rest import RestApi
from lakehouse.formats.pages import Pages
from lakehouse.source import Source

# The laboratory's tests and the unit it reports each in.
UNITS = {
    **dict.fromkeys(("ALB", "PROT"), "g/dL"),
    **dict.fromkeys(("ALP", "ALT", "AST", "CK", "GGT"), "U/L"),
    **dict.fromkeys(("BILI", "CA", "CHOL", "CREAT", "GLUC", "PHOS", "URATE", "UREAN"), "mg/dL"),
    **dict.fromkeys(("CL", "K", "SODIUM"), "mEq/L"),
}
# A plain number, or one beyond what the method can measure.
_VALUE = r"^(?:<=|>=|<|>)? ?([0-9.]+)$"


class CentralResult(Contract):
    """One result of the central laboratory."""

    result_id = dy.String(description="The laboratory's own number of the result.")
    studyid = dy.String(description="Study identifier (SDTM STUDYID).")
    usubjid = dy.String(
        regex=r"^[0-9]+-[0-9]+-[0-9]+$",
        description="Unique subject identifier: study, site and subject number (SDTM USUBJID).",
    )
    siteid = dy.String(description="Site the specimen came from (SDTM SITEID).")
    lbtestcd = dy.String(description="Short name of the test (SDTM LBTESTCD).")
    lbtest = dy.String(description="Name of the test (SDTM LBTEST).")
    lborres = dy.String(description="Result as the laboratory gives it (SDTM LBORRES).")
    lborresn = dy.Float64(nullable=True, description="The result as a number; null for one beyond a limit, as <0.2.")
    lborresu = dy.String(description="Unit of the result and its range (SDTM LBORRESU).")
    lbornrlo = dy.Float64(nullable=True, description="Lower end of the reference range (SDTM LBORNRLO).")
    lbornrhi = dy.Float64(nullable=True, description="Upper end of the reference range (SDTM LBORNRHI).")
    visitnum = dy.Float64(description="Visit number; unplanned visits have decimals (SDTM VISITNUM).")
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    lbdtc = dy.String(description="When the specimen was taken: ISO 8601, may be partial (SDTM LBDTC).")
    lbdt = dy.Date(nullable=True, description="Date of LBDTC; null when it is partial.")
    updated = dy.Datetime(
        time_unit="us", time_zone="UTC", description="When the laboratory last changed the result (UTC)."
    )

    @dy.rule()
    def subject_of_named_site(cls) -> pl.Expr:
        """The subject's number holds the site that the laboratory names beside it."""
        return site(pl.col("usubjid")) == pl.col("siteid")

    @dy.rule()
    def test_known(cls) -> pl.Expr:
        """The test is one that the laboratory does for the study, in CDISC's short form, such as ALT."""
        return pl.col("lbtestcd").is_in(list(UNITS))

    @dy.rule()
    def unit_agreed(cls) -> pl.Expr:
        """The unit is the one agreed for the test, such as mg/dL for BILI."""
        agreed = pl.col("lbtestcd").replace_strict(UNITS, default=None, return_dtype=pl.String)
        return pl.col("lborresu") == agreed

    @dy.rule()
    def result_readable(cls) -> pl.Expr:
        """The result is a plain number that is not below zero, or one after <, <=, > or >=."""
        return number(pl.col("lborres").str.extract(_VALUE)).is_not_null() | pl.col("lborres").is_null()

    @dy.rule()
    def range_in_order(cls) -> pl.Expr:
        """The lower end of the reference range is not above the upper one."""
        return pl.col("lbornrlo") <= pl.col("lbornrhi")

    @dy.rule()
    def date_real(cls) -> pl.Expr:
        """LBDTC is a date that exists, in ISO 8601, or part of it, such as 2014-01."""
        return is_dtc(pl.col("lbdtc"))

    @dy.rule()
    def taken_in_study(cls) -> pl.Expr:
        """LBDTC is not before 2012, when the study began."""
        return dtc_earliest(pl.col("lbdtc")) >= STUDY_BEGAN

    @dy.rule()
    def taken_before_it_was_changed(cls) -> pl.Expr:
        """LBDTC is not after the day on which the laboratory last changed the result."""
        return dtc_earliest(pl.col("lbdtc")) <= pl.col("updated").dt.date()


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Results with the members of their nested objects as columns, and numbers and times beside the delivered texts."""

    def inside(column: str, member: str) -> pl.Expr:
        return pl.col(column).str.json_path_match(f"$.{member}")

    return raw.select(
        pl.col("^_.*$").exclude("_extra"),
        result_id="id",
        studyid="study",
        usubjid=inside("subject", "id"),
        siteid=inside("subject", "site"),
        lbtestcd=inside("test", "code"),
        lbtest=inside("test", "name"),
        lborres=inside("result", "value"),
        lborresn=number(inside("result", "value")),
        lborresu=inside("result", "unit"),
        lbornrlo=number_or_nan(inside("range", "low")),
        lbornrhi=number_or_nan(inside("range", "high")),
        visitnum=number_or_nan(inside("visit", "number")),
        visit=inside("visit", "name"),
        lbdtc="collected",
        lbdt=dtc_date(pl.col("collected")),
        updated=pl.col("updated")
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
        .dt.replace_time_zone("UTC"),
    ).select(CentralResult.column_names())


CENTRAL_LAB = Source(
    name="central_lab",
    description="Chemistry results of the central laboratory, as its API gives them.",
    owner="team:clinical-data",
    contract=CentralResult,
    tidy=tidy,
    key=("result_id",),
    columns=("id", "study", "subject", "visit", "test", "collected", "result", "updated"),
    optional=("range",),
    path="{site}/{name}/{day}_{part}.jsonl",
    dialect=Pages(records="items"),
    feed=RestApi(
        system="central_lab",
        path="/cursor",
        paging=ByCursor("next.cursor"),
        auth=ClientCredentials(),
        since=Since("since", "updated", overlap=timedelta(minutes=10), until="until"),
        every=timedelta(minutes=5),
    ),
    first_day=STUDY_BEGAN,
    late_after=timedelta(days=30),
    after_landing="delete",
    clear_after=timedelta(days=1),
    publish=False,
)
