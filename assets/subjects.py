"""Subjects, by daily snapshots of their demographics: SDTM's DM domain as the sites know it."""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.cdisc import STUDY_BEGAN, SubjectRecord, dtc_date, dtc_earliest, is_dtc, number_or_nan
from lakehouse.source import Source

DATES = ("rfstdtc", "rfxstdtc", "rficdtc", "dmdtc")
# CDISC controlled terminology, codelists SEX (C66731) and AGEU (C66781).
SEXES = ["F", "M", "U", "INTERSEX", "UNDIFFERENTIATED"]
OLDEST = {"YEARS": 120, "MONTHS": 120 * 12, "WEEKS": 120 * 53, "DAYS": 120 * 366, "HOURS": 120 * 366 * 24}


class Subject(SubjectRecord):
    """One subject, with the treatment arm: this table is for the unblinded."""

    subjid = dy.String(description="Subject identifier within the study (SDTM SUBJID).")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")
    rfstdtc = dy.String(
        nullable=True, description="Reference start, the first treatment: ISO 8601, may be partial (SDTM RFSTDTC)."
    )
    rfstdt = dy.Date(nullable=True, description="Date of RFSTDTC; null when it is partial.")
    rfxstdtc = dy.String(nullable=True, description="First exposure: ISO 8601, may be partial (SDTM RFXSTDTC).")
    rficdtc = dy.String(nullable=True, description="Informed consent: ISO 8601, may be partial (SDTM RFICDTC).")
    age = dy.Float64(nullable=True, description="Age, a whole number of AGEU (SDTM AGE).")
    ageu = dy.String(nullable=True, description="Unit of the age (SDTM AGEU).")
    sex = dy.String(description="Sex (SDTM SEX).")
    race = dy.String(nullable=True, description="Race (SDTM RACE).")
    ethnic = dy.String(nullable=True, description="Ethnicity (SDTM ETHNIC).")
    armcd = dy.String(nullable=True, description="Short name of the planned arm (SDTM ARMCD).")
    arm = dy.String(nullable=True, description="Planned arm (SDTM ARM).")
    actarmcd = dy.String(nullable=True, description="Short name of the actual arm (SDTM ACTARMCD).")
    actarm = dy.String(nullable=True, description="Actual arm (SDTM ACTARM).")
    country = dy.String(description="Country of the site, ISO 3166-1 alpha-3 (SDTM COUNTRY).")
    dmdtc = dy.String(
        nullable=True, description="When demographics were collected: ISO 8601, may be partial (SDTM DMDTC)."
    )
    dmdt = dy.Date(nullable=True, description="Date of DMDTC; null when it is partial.")

    @dy.rule()
    def subject_named_alike(cls) -> pl.Expr:
        """USUBJID ends in SITEID and SUBJID: 01-701-1015 is subject 1015 of site 701."""
        return pl.col("usubjid").str.ends_with(pl.concat_str(pl.lit(""), "siteid", "subjid", separator="-"))

    @dy.rule()
    def age_whole(cls) -> pl.Expr:
        """AGE is a whole number, not below zero and of at most 120 years."""
        oldest = pl.col("ageu").replace_strict(OLDEST, default=max(OLDEST.values()), return_dtype=pl.Float64)
        # What is no number at all is told by another rule.
        sound = (pl.col("age") == pl.col("age").floor()) & pl.col("age").is_between(0, oldest)
        return pl.col("age").is_nan() | sound

    @dy.rule()
    def age_has_unit(cls) -> pl.Expr:
        """An AGE has its unit in AGEU: YEARS, MONTHS, WEEKS, DAYS or HOURS."""
        return pl.col("age").is_null() | pl.col("ageu").is_in(list(OLDEST)).fill_null(False)

    @dy.rule()
    def sex_known(cls) -> pl.Expr:
        """SEX is F, M, U, INTERSEX or UNDIFFERENTIATED."""
        return pl.col("sex").is_in(SEXES)

    @dy.rule()
    def country_coded(cls) -> pl.Expr:
        """COUNTRY is an ISO 3166-1 code of three letters, such as USA."""
        return pl.col("country").str.contains("^[A-Z]{3}$")

    @dy.rule()
    def arms_whole(cls) -> pl.Expr:
        """An arm is given with its code: ARM with ARMCD, ACTARM with ACTARMCD."""
        planned = pl.col("armcd").is_null() == pl.col("arm").is_null()
        return planned & (pl.col("actarmcd").is_null() == pl.col("actarm").is_null())

    @dy.rule()
    def dates_real(cls) -> pl.Expr:
        """RFSTDTC, RFXSTDTC, RFICDTC and DMDTC are dates that exist, in ISO 8601: 2014-01-02, or 2014-01 if partial."""
        return pl.all_horizontal(is_dtc(pl.col(name)).fill_null(True) for name in DATES)

    @dy.rule()
    def dates_in_study(cls) -> pl.Expr:
        """RFSTDTC, RFXSTDTC, RFICDTC and DMDTC are not before 2012, when the study began."""
        return pl.all_horizontal((dtc_earliest(pl.col(name)) >= STUDY_BEGAN).fill_null(True) for name in DATES)

    @dy.rule()
    def collected_before_delivery(cls) -> pl.Expr:
        """DMDTC is not after the day of the file it is delivered in."""
        return dtc_earliest(pl.col("dmdtc")) <= pl.col("_delivered")


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Subjects with age as a number and parsed dates beside the delivered texts."""
    return (
        raw.rename(str.lower)
        .with_columns(
            age=number_or_nan(pl.col("age")),
            dmdt=dtc_date(pl.col("dmdtc")),
            rfstdt=dtc_date(pl.col("rfstdtc")),
        )
        .select(Subject.column_names())
    )


SUBJECTS = Source(
    name="subjects",
    description="Subjects: demographics, first treatment and arm, as their site has them on the day of delivery.",
    owner="team:clinical-data",
    contract=Subject,
    tidy=tidy,
    key=("usubjid",),
    mode="snapshot",
    columns=(
        "STUDYID",
        "USUBJID",
        "SUBJID",
        "SITEID",
        "RFSTDTC",
        "RFXSTDTC",
        "RFICDTC",
        "AGE",
        "AGEU",
        "SEX",
        "RACE",
        "ETHNIC",
        "ARMCD",
        "ARM",
        "ACTARMCD",
        "ACTARM",
        "COUNTRY",
        "DMDTC",
    ),
    first_day=STUDY_BEGAN,
    late_after=timedelta(days=60),
    publish=False,
)
