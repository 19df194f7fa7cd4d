"""Who takes part: one row per subject, ADaM's ADSL without anything that tells the treatment.

Published columns that the landed sources cannot give are in `assets.curated.treatment` where they tell the treatment,
and else: EDUCLVL (questions at screening), DISONSDT, DURDIS and DURDSGR1 (medical history), MMSETOT and EFFFL
(questionnaires: EFFFL asks for both efficacy scales after baseline), RFENDTC (demographics as the data managers
completed them; RFENDT here is the day of disposition).
"""

import dataframely as dy
import polars as pl

from assets import study
from assets.cdisc import dtc_date
from assets.curated.adam import flag, rounded, yes_no
from assets.disposition import LEFT
from assets.reference import SITES
from assets.subjects import Subject
from lakehouse.contract import Contract
from lakehouse.curated import Curated


class BlindedSubject(Contract):
    """One subject, without anything that tells the treatment; its provenance is that of its demographics."""

    usubjid = Subject.usubjid
    subjid = Subject.subjid
    studyid = Subject.studyid
    siteid = Subject.siteid
    country = Subject.country
    region = dy.String(nullable=True, description="Region of the site (UN M49); null for a site that is not listed.")
    age = dy.Int64(nullable=True, min=0, description="Age, in AGEU (SDTM AGE).")
    ageu = Subject.ageu
    sex = Subject.sex
    race = Subject.race
    ethnic = Subject.ethnic
    dmdtc = Subject.dmdtc
    dmdt = Subject.dmdt
    rfstdtc = Subject.rfstdtc
    rfstdt = Subject.rfstdt
    sitegr1 = dy.String(description="Site, or 900 for the small ones that are analysed as one (ADaM SITEGR1).")
    agegr1 = dy.String(nullable=True, description="Age group: <65, 65-80 or >80 years (ADaM AGEGR1).")
    agegr1n = dy.Int64(nullable=True, description="Number of the age group (ADaM AGEGR1N).")
    racen = dy.Int64(nullable=True, description="Number of the race, as the study has it (ADaM RACEN).")
    ittfl = dy.String(regex="^[YN]$", description="Y when randomised, that is with a planned arm (ADaM ITTFL).")
    saffl = dy.String(regex="^[YN]$", description="Y when randomised and treated (ADaM SAFFL).")
    trtsdt = dy.Date(nullable=True, description="Day of first dose (ADaM TRTSDT).")
    trtedt = dy.Date(nullable=True, description="Day of last dose; null while treatment goes on (ADaM TRTEDT).")
    trtdurd = dy.Int64(nullable=True, description="Days from first to last dose, both counted (ADaM TRTDURD).")
    visit1dt = dy.Date(nullable=True, description="Day of the first visit (the study's VISIT1DT).")
    rfendt = dy.Date(nullable=True, description="Day the study ended for a treated subject (the study's RFENDT).")
    visnumen = dy.Float64(nullable=True, description="Visit at which it ended, 12 at most (the study's VISNUMEN).")
    comp8fl = dy.String(regex="^[YN]$", description="Y when week 8 was completed (the study's COMP8FL).")
    comp16fl = dy.String(regex="^[YN]$", description="Y when week 16 was completed (the study's COMP16FL).")
    comp24fl = dy.String(regex="^[YN]$", description="Y when week 24 was completed (the study's COMP24FL).")
    eosstt = dy.String(
        nullable=True, description="COMPLETED, DISCONTINUED or ONGOING; null when never randomised (ADaM EOSSTT)."
    )
    disconfl = dy.String(nullable=True, regex="^Y$", description="Y when discontinued (the study's DISCONFL).")
    dsraefl = dy.String(
        nullable=True, regex="^Y$", description="Y when discontinued for an adverse event (the study's DSRAEFL)."
    )
    dcdecod = dy.String(nullable=True, description="Disposition, as standard term (ADaM DCDECOD).")
    dcsreas = dy.String(nullable=True, description="Reason for discontinuation (ADaM DCSREAS).")
    dthfl = dy.String(nullable=True, regex="^Y$", description="Y when the disposition is death (ADaM DTHFL).")
    heightbl = dy.Float64(nullable=True, description="Height at screening in cm, one decimal (the study's HEIGHTBL).")
    weightbl = dy.Float64(nullable=True, description="Weight at baseline in kg, one decimal (the study's WEIGHTBL).")
    bmibl = dy.Float64(nullable=True, description="Body mass index at baseline in kg/m2 (the study's BMIBL).")
    bmiblgr1 = dy.String(nullable=True, description="BMI group: <25, 25-<30 or >=30 (the study's BMIBLGR1).")


def subjects(
    demographics: pl.LazyFrame,
    exposure: pl.LazyFrame,
    disposition: pl.LazyFrame,
    visits: pl.LazyFrame,
    vitals: pl.LazyFrame,
) -> pl.LazyFrame:
    """Subjects with their dates, populations, disposition and size at baseline, as far as these have arrived.

    TRTSDT is the first day of exposure; TRTEDT the last, or the day of disposition where the last exposure was never
    ended. Sources: ADaM IG 1.3, section 3.2; the study's groups, visits and terms in `assets.study`.
    """
    return (
        demographics.with_columns(pl.col("age").cast(pl.Int64))
        .join(treated_days(exposure), on="usubjid", how="left")
        .join(ended(disposition), on="usubjid", how="left")
        .join(visited(visits), on="usubjid", how="left")
        .join(size_at_baseline(vitals), on="usubjid", how="left")
        .join(SITES.rows().select("siteid", "region"), on="siteid", how="left")
        .with_columns(
            sitegr1=pl.when(pl.col("siteid").is_in(study.POOLED_SITES)).then(pl.lit(study.POOLED)).otherwise("siteid"),
            ittfl=yes_no(~pl.col("armcd").str.to_uppercase().is_in(study.NO_ARM)),
            rfendt=pl.when(pl.col("trtsdt").is_not_null()).then("_ended"),
            racen=pl.col("race").replace_strict(study.RACE_NUMBERS, default=None, return_dtype=pl.Int64),
            **age_group(),
        )
        .with_columns(
            saffl=yes_no((pl.col("ittfl") == "Y") & pl.col("trtsdt").is_not_null()),
            trtedt=pl.coalesce("_last", pl.when(pl.col("trtsdt").is_not_null()).then("rfendt")),
            **completed(),
            **outcome(),
        )
        .with_columns(trtdurd=(pl.col("trtedt") - pl.col("trtsdt")).dt.total_days() + 1)
        .select(BlindedSubject.column_names())
    )


def treated_days(exposure: pl.LazyFrame) -> pl.LazyFrame:
    """By `usubjid` the first day of exposure, `trtsdt`, and the last one of the latest record, `_last`, if it ended.

    Source: ADaM IG 1.3, section 3.2 (TRTSDT, TRTEDT).
    """
    return exposure.group_by("usubjid").agg(
        trtsdt=pl.col("exstdt").min(),
        _last=pl.when(pl.col("exendt").sort_by("exstdt", "_file", "_line").last().is_not_null()).then(
            pl.col("exendt").max()
        ),
    )


def ended(disposition: pl.LazyFrame) -> pl.LazyFrame:
    """By `usubjid` the latest disposition event: `dcdecod`, its term, its day `_ended`, and `visnumen`.

    Source: the study's published ADSL (DCDECOD, VISNUMEN); SDTM IG 3.4 (DSCAT).
    """
    left = pl.col("dscat") == LEFT

    def latest(column: str) -> pl.Expr:
        return (
            pl.col(column)
            .filter(left)
            .sort_by(pl.col(name).filter(left) for name in ("dsstdt", "_file", "_line"))
            .last()
        )

    return disposition.group_by("usubjid").agg(
        dcdecod=latest("dsdecod"),
        _term=latest("dsterm"),
        _ended=latest("dsstdt"),
        visnumen=latest("visitnum").clip(upper_bound=study.LAST_ON_TREATMENT),
    )


def visited(visits: pl.LazyFrame) -> pl.LazyFrame:
    """By `usubjid` the day of the first visit, and of those whose completion is asked for, in the flag's name.

    Source: the study's published ADSL (VISIT1DT, COMP8FL, COMP16FL, COMP24FL).
    """
    asked = {"visit1dt": study.SCREENING, **{f"_{name}": number for name, number in study.COMPLETERS.items()}}
    return visits.group_by("usubjid").agg(
        pl.col("svstdt").filter(pl.col("visitnum") == number).min().alias(name) for name, number in asked.items()
    )


def size_at_baseline(vitals: pl.LazyFrame) -> pl.LazyFrame:
    """By `usubjid` HEIGHTBL, WEIGHTBL, BMIBL and BMIBLGR1.

    BMI is weight / height^2 in kg/m2, of the rounded numbers, and rounded to one decimal itself, as the study has it.
    Where a visit has several results, that without a time point counts, or else that of the lowest VSTPTNUM.
    Source: the study's published ADSL; the groups of WHO Technical Report 894.
    """

    def measured(test: str, visit: float) -> pl.Expr:
        at = (pl.col("vstestcd") == test) & (pl.col("visitnum") == visit) & pl.col("vsstresn").is_not_null()
        result, point = (pl.col(name).filter(at) for name in ("vsstresn", "vstptnum"))
        return rounded(result.sort_by(point, nulls_last=False).first(), 1)

    group = pl.lit(None, pl.String)
    for least, name in study.BMI_GROUPS:
        group = pl.when(pl.col("bmibl") >= least).then(pl.lit(name)).otherwise(group)
    return (
        vitals.group_by("usubjid")
        .agg(heightbl=measured("HEIGHT", study.HEIGHT_VISIT), weightbl=measured("WEIGHT", study.BASELINE))
        .with_columns(bmibl=rounded(pl.col("weightbl") / (pl.col("heightbl") / 100) ** 2, 1))
        .with_columns(bmiblgr1=group)
    )


def age_group() -> dict[str, pl.Expr]:
    """AGEGR1 and AGEGR1N of an age in years; null for one in another unit.

    Source: ADaM IG 1.3, section 3.2 (AGEGRy); the study's groups.
    """
    number, name = pl.lit(None, pl.Int64), pl.lit(None, pl.String)
    for group, above, text in study.AGE_GROUPS:
        older = (pl.col("ageu") == "YEARS") & (pl.col("age") > above)
        number = pl.when(older).then(pl.lit(group, pl.Int64)).otherwise(number)
        name = pl.when(older).then(pl.lit(text)).otherwise(name)
    return {"agegr1n": number, "agegr1": name}


def completed() -> dict[str, pl.Expr]:
    """COMPnnFL: the visit took place, and not after the day the study ended for the subject.

    Source: the study's published ADSL (COMP8FL, COMP16FL, COMP24FL).
    """
    ongoing = pl.col("rfendt").is_null()
    treated = pl.col("trtsdt").is_not_null()
    return {
        name: yes_no(treated & (ongoing | (pl.col(f"_{name}") <= pl.col("rfendt"))) & pl.col(f"_{name}").is_not_null())
        for name in study.COMPLETERS
    }


def outcome() -> dict[str, pl.Expr]:
    """EOSSTT, DISCONFL, DSRAEFL, DCSREAS and DTHFL from the disposition; null for who was never randomised.

    Source: ADaM IG 1.3, section 3.2 (EOSSTT, DCSREAS, DTHFL); the study's published ADSL for the others.
    """
    randomised, decided = pl.col("ittfl") == "Y", pl.col("dcdecod")
    discontinued = randomised & (decided != "COMPLETED")
    term, reason = study.ENTRY_CRITERIA
    named = decided.replace_strict(study.DISCONTINUATION, default=None, return_dtype=pl.String)
    return {
        "eosstt": pl.when(discontinued)
        .then(pl.lit("DISCONTINUED"))
        .when(randomised & (decided == "COMPLETED"))
        .then(pl.lit("COMPLETED"))
        .when(randomised)
        .then(pl.lit("ONGOING")),
        "disconfl": flag(discontinued),
        "dsraefl": flag(discontinued & (decided == "ADVERSE EVENT")),
        "dcsreas": pl.when(discontinued & (pl.col("_term") == term))
        .then(pl.lit(reason))
        .when(discontinued)
        .then(named),
        "dthfl": flag(decided == "DEATH"),
    }


def two_starts(
    _rows: pl.LazyFrame, demographics: pl.LazyFrame, exposure: pl.LazyFrame, *_: pl.LazyFrame
) -> pl.LazyFrame:
    """First treatment is on one day, whether demographics (RFXSTDTC) or exposure tells it."""
    told = demographics.select("usubjid", _told=dtc_date(pl.col("rfxstdtc")))
    return told.join(treated_days(exposure), on="usubjid").filter(pl.col("_told") != pl.col("trtsdt"))


def visits_before_consent(
    _rows: pl.LazyFrame,
    demographics: pl.LazyFrame,
    _exposure: pl.LazyFrame,
    _ended: pl.LazyFrame,
    visits: pl.LazyFrame,
    _: pl.LazyFrame,
) -> pl.LazyFrame:
    """No visit is before the subject's consent (RFICDTC), where its day is known."""
    consent = demographics.select("usubjid", _consent=dtc_date(pl.col("rficdtc")))
    return visits.join(consent, on="usubjid").filter(pl.col("svstdt") < pl.col("_consent"))


def elsewhere(rows: pl.LazyFrame, *_: pl.LazyFrame) -> pl.LazyFrame:
    """A subject's country is that of its site, as the list of sites has it."""
    listed = SITES.rows().select("siteid", _listed="country")
    return rows.select("siteid", "country").join(listed, on="siteid").filter(pl.col("country") != pl.col("_listed"))


SUBJECTS = Curated(
    name="subjects",
    description="Subjects with dates, populations, disposition and size at baseline: one row each, blinded (ADSL).",
    owner="team:clinical-data",
    contract=BlindedSubject,
    key=("usubjid",),
    by="usubjid",
    inputs=(
        "processed/subjects",
        "processed/exposure",
        "processed/disposition",
        "processed/visits",
        "processed/vitals",
    ),
    transform=subjects,
    checks={
        "one_treatment_start": two_starts,
        "consent_before_visits": visits_before_consent,
        "country_of_site": elsewhere,
    },
)
