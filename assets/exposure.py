"""Exposure: what each subject was given, how much and for how long. SDTM's EX domain; it tells the treatment."""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.cdisc import STUDY_BEGAN, SubjectRecord, dtc_date, dtc_earliest, dtc_in_order, is_dtc, number_or_nan
from lakehouse.source import Source

# The study's treatments with their daily doses in mg: SDTMIG 3.4, section 6.1.3, has a placebo with a dose of 0.
DOSES = {"PLACEBO": [0.0], "XANOMELINE": [54.0, 81.0]}
DATES = ("exstdtc", "exendtc")


class Exposure(SubjectRecord):
    """One interval in which a subject was given one dose, begun at one visit: this table is for the unblinded."""

    extrt = dy.String(description="Name of the treatment (SDTM EXTRT).")
    exdose = dy.Float64(description="Dose, in EXDOSU; 0 for placebo (SDTM EXDOSE).")
    exdosu = dy.String(description="Unit of the dose (SDTM EXDOSU).")
    exdosfrm = dy.String(nullable=True, description="Dose form, such as PATCH (SDTM EXDOSFRM).")
    exdosfrq = dy.String(nullable=True, description="How often the dose is given, such as QD (SDTM EXDOSFRQ).")
    exroute = dy.String(nullable=True, description="Route of administration, such as TRANSDERMAL (SDTM EXROUTE).")
    visitnum = dy.Float64(description="Number of the visit at which the interval began (SDTM VISITNUM).")
    visit = dy.String(nullable=True, description="Name of the visit (SDTM VISIT).")
    exstdtc = dy.String(description="First day of the interval: ISO 8601, may be partial (SDTM EXSTDTC).")
    exstdt = dy.Date(nullable=True, description="Date of EXSTDTC; null when it is partial.")
    exendtc = dy.String(
        nullable=True,
        description="Last day of the interval: ISO 8601, may be partial; null until it is known (SDTM EXENDTC).",
    )
    exendt = dy.Date(nullable=True, description="Date of EXENDTC; null when it is missing or partial.")

    @dy.rule()
    def treatment_known(cls) -> pl.Expr:
        """EXTRT is PLACEBO or XANOMELINE."""
        return pl.col("extrt").is_in(list(DOSES))

    @dy.rule()
    def dose_known(cls) -> pl.Expr:
        """EXDOSE is 0 for PLACEBO, and 54 or 81 for XANOMELINE."""
        # What is no number at all, and a treatment that the study does not have, are told by other rules.
        doses = [pl.col("exdose").is_in(doses) & (pl.col("extrt") == name) for name, doses in DOSES.items()]
        return pl.col("exdose").is_nan() | ~pl.col("extrt").is_in(list(DOSES)) | pl.any_horizontal(doses)

    @dy.rule()
    def unit_known(cls) -> pl.Expr:
        """EXDOSU is mg."""
        return pl.col("exdosu") == "mg"

    @dy.rule()
    def form_known(cls) -> pl.Expr:
        """EXDOSFRM is PATCH, in which the study's treatments come."""
        return pl.col("exdosfrm") == "PATCH"

    @dy.rule()
    def frequency_known(cls) -> pl.Expr:
        """EXDOSFRQ is QD, once a day, as the study's patches are applied."""
        return pl.col("exdosfrq") == "QD"

    @dy.rule()
    def route_known(cls) -> pl.Expr:
        """EXROUTE is TRANSDERMAL, through the skin."""
        return pl.col("exroute") == "TRANSDERMAL"

    @dy.rule()
    def dates_real(cls) -> pl.Expr:
        """EXSTDTC and EXENDTC are dates that exist, in ISO 8601: 2014-01-02, or part of it, such as 2014-01."""
        return pl.all_horizontal(is_dtc(pl.col(name)).fill_null(True) for name in DATES)

    @dy.rule()
    def start_in_study(cls) -> pl.Expr:
        """EXSTDTC is not before 2012, when the study began."""
        return dtc_earliest(pl.col("exstdtc")) >= STUDY_BEGAN

    @dy.rule()
    def end_not_before_start(cls) -> pl.Expr:
        """EXENDTC is not before EXSTDTC."""
        return dtc_in_order(pl.col("exstdtc"), pl.col("exendtc"))

    @dy.rule()
    def given_before_delivery(cls) -> pl.Expr:
        """EXSTDTC and EXENDTC are not after the day of the file they are delivered in; EXENDTC is empty until then."""
        return pl.all_horizontal((dtc_earliest(pl.col(name)) <= pl.col("_delivered")).fill_null(True) for name in DATES)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Exposure with the dose as a number and parsed dates beside the delivered texts."""
    return (
        raw.rename(str.lower)
        .with_columns(
            exdose=number_or_nan(pl.col("exdose")),
            visitnum=number_or_nan(pl.col("visitnum")),
            exstdt=dtc_date(pl.col("exstdtc")),
            exendt=dtc_date(pl.col("exendtc")),
        )
        .select(Exposure.column_names())
    )


EXPOSURE = Source(
    name="exposure",
    description="Exposure: treatment and dose of each subject, by interval. Unblinded: not for blinded readers.",
    owner="team:clinical-data",
    contract=Exposure,
    tidy=tidy,
    # One dose is given from a visit on; the days it begins and ends are what a site corrects.
    key=("usubjid", "visitnum"),
    columns=("STUDYID", "USUBJID", "EXTRT", "EXDOSE", "EXDOSU", "VISITNUM", "VISIT", "EXSTDTC", "EXENDTC"),
    optional=("EXDOSFRM", "EXDOSFRQ", "EXROUTE"),
    first_day=STUDY_BEGAN,
    late_after=timedelta(days=60),
    publish=False,
)
