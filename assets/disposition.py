"""Disposition: how each subject's part in the study ended, and its last visits. SDTM's DS domain."""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.cdisc import STUDY_BEGAN, SubjectRecord, dtc_date, dtc_earliest, is_dtc, number_or_nan
from lakehouse.source import Source

DATES = ("dsdtc", "dsstdtc")
LEFT = "DISPOSITION EVENT"
# CDISC controlled terminology, codelist NCOMPLT (C66727): as far as one study of adults with one treatment period goes.
ENDINGS = [
    "ADVERSE EVENT",
    "COMPLETED",
    "DEATH",
    "LACK OF EFFICACY",
    "LOST TO FOLLOW-UP",
    "NON-COMPLIANCE WITH STUDY DRUG",
    "OTHER",
    "PHYSICIAN DECISION",
    "PREGNANCY",
    "PROTOCOL DEVIATION",
    "PROTOCOL VIOLATION",
    "RECOVERY",
    "SCREEN FAILURE",
    "SITE TERMINATED BY SPONSOR",
    "STUDY TERMINATED BY SPONSOR",
    "TECHNICAL PROBLEMS",
    "WITHDRAWAL BY SUBJECT",
]
# By category (codelist DSCAT, C74558), what DSDECOD may say. The study's other events are its own.
TERMS = {LEFT: ENDINGS, "OTHER EVENT": ["FINAL LAB VISIT", "FINAL RETRIEVAL VISIT"]}


class Disposition(SubjectRecord):
    """One event of a subject's way through the study."""

    dsspid = dy.String(
        nullable=True,
        description="The site's own number of the event (SDTM DSSPID); it is none of the adverse events' numbers.",
    )
    dsterm = dy.String(description="The event in the site's words (SDTM DSTERM).")
    dsdecod = dy.String(description="The event in standard words, such as COMPLETED (SDTM DSDECOD).")
    dscat = dy.String(description="DISPOSITION EVENT or OTHER EVENT (SDTM DSCAT).")
    dsevent = dy.String(
        description="What the record is about: DISPOSITION EVENT for how the subject's part ended, else DSDECOD."
    )
    visitnum = dy.Float64(nullable=True, description="Number of the visit it was recorded at (SDTM VISITNUM).")
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    dsdtc = dy.String(description="When it was recorded: ISO 8601, may be partial (SDTM DSDTC).")
    dsdt = dy.Date(nullable=True, description="Date of DSDTC; null when it is partial.")
    dsstdtc = dy.String(nullable=True, description="When it happened: ISO 8601, may be partial (SDTM DSSTDTC).")
    dsstdt = dy.Date(nullable=True, description="Date of DSSTDTC; null when it is missing or partial.")

    @dy.rule()
    def category_known(cls) -> pl.Expr:
        """DSCAT is DISPOSITION EVENT or OTHER EVENT."""
        return pl.col("dscat").is_in(list(TERMS))

    @dy.rule()
    def ending_known(cls) -> pl.Expr:
        """DSDECOD of a DISPOSITION EVENT is COMPLETED, SCREEN FAILURE or CDISC's reason for leaving (NCOMPLT)."""
        return (pl.col("dscat") != LEFT) | pl.col("dsdecod").is_in(ENDINGS)

    @dy.rule()
    def other_event_known(cls) -> pl.Expr:
        """DSDECOD of an OTHER EVENT is FINAL LAB VISIT or FINAL RETRIEVAL VISIT."""
        return (pl.col("dscat") != "OTHER EVENT") | pl.col("dsdecod").is_in(TERMS["OTHER EVENT"])

    @dy.rule()
    def dates_real(cls) -> pl.Expr:
        """DSDTC and DSSTDTC are dates that exist, in ISO 8601: 2014-01-02, or part of it, such as 2014-01."""
        return pl.all_horizontal(is_dtc(pl.col(name)).fill_null(True) for name in DATES)

    @dy.rule()
    def dates_in_study(cls) -> pl.Expr:
        """DSDTC and DSSTDTC are not before 2012, when the study began."""
        return pl.all_horizontal((dtc_earliest(pl.col(name)) >= STUDY_BEGAN).fill_null(True) for name in DATES)

    @dy.rule()
    def happened_before_delivery(cls) -> pl.Expr:
        """DSDTC and DSSTDTC are not after the day of the file they are delivered in."""
        return pl.all_horizontal((dtc_earliest(pl.col(name)) <= pl.col("_delivered")).fill_null(True) for name in DATES)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Disposition with what each record is about, and parsed dates beside the delivered texts."""
    return (
        raw.rename(str.lower)
        .with_columns(
            dsevent=pl.when(pl.col("dscat") == LEFT).then("dscat").otherwise("dsdecod"),
            visitnum=number_or_nan(pl.col("visitnum")),
            dsdt=dtc_date(pl.col("dsdtc")),
            dsstdt=dtc_date(pl.col("dsstdtc")),
        )
        .select(Disposition.column_names())
    )


DISPOSITION = Source(
    name="disposition",
    description="Disposition: how each subject's part in the study ended, and its final visits.",
    owner="team:clinical-data",
    contract=Disposition,
    tidy=tidy,
    # A subject leaves once, and a site may correct why: with DSDECOD as the key it would have left for two reasons.
    key=("usubjid", "dsevent"),
    columns=("STUDYID", "USUBJID", "DSTERM", "DSDECOD", "DSCAT", "VISITNUM", "VISIT", "DSDTC", "DSSTDTC"),
    optional=("DSSPID",),
    first_day=STUDY_BEGAN,
    late_after=timedelta(days=90),
    publish=False,
)
