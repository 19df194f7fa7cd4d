"""Adverse events of known subjects, ready for analysis: ADaM's ADAE, without anything that tells the treatment."""

import dataframely as dy
import polars as pl

from assets import study
from assets.adverse_events import AdverseEvent
from assets.cdisc import dtc_earliest
from assets.curated.adam import first_occurrence, flag, study_day
from assets.curated.results import with_subject
from assets.curated.subjects import BlindedSubject
from assets.reference import TERMS
from lakehouse.contract import Contract
from lakehouse.curated import Curated

OCCURRENCE = "^Y$"
ORDER = ["astdt", "aeseq"]
ABOVE = ("aehlt", "aehlgt", "aesoc")


class SubjectEvent(Contract):
    """One look at one adverse event of a known subject; its provenance is the record's."""

    studyid = AdverseEvent.studyid
    usubjid = AdverseEvent.usubjid
    subjid = BlindedSubject.subjid
    siteid = BlindedSubject.siteid
    aeseq = AdverseEvent.aeseq
    aespid = AdverseEvent.aespid
    aeterm = AdverseEvent.aeterm
    aellt = AdverseEvent.aellt
    aedecod = AdverseEvent.aedecod
    aehlt = dy.String(nullable=True, description="High level term, as delivered, or of AEDECOD's place (SDTM AEHLT).")
    aehlgt = dy.String(
        nullable=True, description="High level group term, as delivered, or of AEDECOD's place (SDTM AEHLGT)."
    )
    aebodsys = dy.String(
        nullable=True, description="Class used for analysis, as delivered, or else AESOC (SDTM AEBODSYS)."
    )
    aesoc = dy.String(
        nullable=True, description="Primary system organ class, as delivered, or of AEDECOD's place (SDTM AESOC)."
    )
    aesev = AdverseEvent.aesev
    aeser = AdverseEvent.aeser
    aerel = AdverseEvent.aerel
    aeacn = AdverseEvent.aeacn
    aeout = AdverseEvent.aeout
    aescan = AdverseEvent.aescan
    aescong = AdverseEvent.aescong
    aesdisab = AdverseEvent.aesdisab
    aesdth = AdverseEvent.aesdth
    aeshosp = AdverseEvent.aeshosp
    aeslife = AdverseEvent.aeslife
    aesod = AdverseEvent.aesod
    aedtc = AdverseEvent.aedtc
    aedt = AdverseEvent.aedt
    aestdtc = AdverseEvent.aestdtc
    aeendtc = AdverseEvent.aeendtc
    age = BlindedSubject.age
    sex = BlindedSubject.sex
    saffl = BlindedSubject.saffl
    trtsdt = BlindedSubject.trtsdt
    astdt = dy.Date(nullable=True, description="First day; the month's first where only that is known (ADaM ASTDT).")
    astdtf = dy.String(nullable=True, regex="^D$", description="D where the day of ASTDT is imputed (ADaM ASTDTF).")
    astdy = dy.Int64(nullable=True, description="Study day of ASTDT; there is no day 0 (ADaM ASTDY).")
    aendt = dy.Date(nullable=True, description="Last day; null while it goes on, or when partial (ADaM AENDT).")
    aendy = dy.Int64(nullable=True, description="Study day of AENDT; there is no day 0 (ADaM AENDY).")
    adurn = dy.Int64(
        nullable=True, description="Days from ASTDT to AENDT, both counted; null with an imputed day (ADaM ADURN)."
    )
    aduru = dy.String(nullable=True, regex="^DAY$", description="Unit of ADURN: DAY (ADaM ADURU).")
    trtemfl = dy.String(
        nullable=True, regex=OCCURRENCE, description="Y when it began on the day of first dose or later (ADaM TRTEMFL)."
    )
    cq01nam = dy.String(
        nullable=True, description="DERMATOLOGIC EVENTS for those of the study's special interest (ADaM CQ01NAM)."
    )
    aoccfl = dy.String(nullable=True, regex=OCCURRENCE, description="Y on the subject's first (ADaM AOCCFL).")
    aoccsfl = dy.String(
        nullable=True, regex=OCCURRENCE, description="Y on the first of its system organ class (ADaM AOCCSFL)."
    )
    aoccpfl = dy.String(
        nullable=True, regex=OCCURRENCE, description="Y on the first of its preferred term (ADaM AOCCPFL)."
    )
    aocc01fl = dy.String(
        nullable=True, regex=OCCURRENCE, description="Y on the first dermatologic one (the study's AOCC01FL)."
    )
    aocc02fl = dy.String(
        nullable=True, regex=OCCURRENCE, description="Y on the first serious one (the study's AOCC02FL)."
    )
    aocc03fl = dy.String(
        nullable=True, regex=OCCURRENCE, description="Y on the first serious one of its class (the study's AOCC03FL)."
    )
    aocc04fl = dy.String(
        nullable=True, regex=OCCURRENCE, description="Y on the first serious one of its term (the study's AOCC04FL)."
    )


def adverse_events(events: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    """Adverse events beside their subjects, with days, duration, treatment emergence and first occurrences.

    Without the subject's demographics an event waits outside. What stands above its term is completed from the file of
    terms. An event of unknown day begins on the first of its month, one of unknown month has no ASTDT. It is
    treatment-emergent when ASTDT is not before TRTSDT; an AENDT is never imputed. Occurrence flags are among the
    treatment-emergent, the earliest by ASTDT, then by AESEQ.
    Sources: ADaM OCCDS 1.1, sections on timing, indicator and occurrence flag variables; ADaM IG 1.3, section 3.1.3
    (ASTDTF); the study's imputation and customised query in `assets.study`.
    """
    first_day = began()
    emergent, serious = pl.col("trtemfl") == "Y", pl.col("aeser") == "Y"
    by_subject, by_class, by_term = (["usubjid", *more] for more in ([], ["aebodsys"], ["aebodsys", "aedecod"]))
    return (
        placed(with_subject(events, subjects))
        .with_columns(
            astdt=first_day,
            astdtf=pl.when(pl.col("aestdt").is_null() & first_day.is_not_null()).then(pl.lit("D")),
            aendt="aeendt",
            cq01nam=pl.when(dermatologic()).then(pl.lit(study.DERMATOLOGIC)),
        )
        .with_columns(
            astdy=study_day(pl.col("astdt"), pl.col("trtsdt")),
            aendy=study_day(pl.col("aendt"), pl.col("trtsdt")),
            adurn=pl.when(pl.col("astdtf").is_null()).then((pl.col("aendt") - pl.col("astdt")).dt.total_days() + 1),
            trtemfl=flag(pl.col("astdt") >= pl.col("trtsdt")),
        )
        .with_columns(aduru=pl.when(pl.col("adurn").is_not_null()).then(pl.lit("DAY")))
        .with_columns(
            aoccfl=first_occurrence(emergent, by_subject, ORDER),
            aoccsfl=first_occurrence(emergent, by_class, ORDER),
            aoccpfl=first_occurrence(emergent, by_term, ORDER),
            aocc01fl=first_occurrence(emergent & pl.col("cq01nam").is_not_null(), by_subject, ORDER),
            aocc02fl=first_occurrence(emergent & serious, by_subject, ORDER),
            aocc03fl=first_occurrence(emergent & serious, by_class, ORDER),
            aocc04fl=first_occurrence(emergent & serious, by_term, ORDER),
        )
        .select(SubjectEvent.column_names())
    )


def placed(events: pl.LazyFrame) -> pl.LazyFrame:
    """Events with what stands above their term in the file of terms, where the site did not deliver it.

    AEDECOD of a lowest level term, then AEHLT, AEHLGT and AESOC of a preferred term; AEBODSYS is the primary class
    unless the site says otherwise (SDTM IG 3.4, section 6.2.1). What is delivered stands.
    """
    terms = TERMS.rows()
    lowest = terms.select("aellt", _aedecod="aedecod")
    above = terms.select("aedecod", *(pl.col(name).alias(f"_{name}") for name in ABOVE)).unique()
    return (
        events.join(lowest, on="aellt", how="left")
        .with_columns(pl.coalesce("aedecod", "_aedecod"))
        .join(above, on="aedecod", how="left")
        .with_columns(pl.coalesce(name, f"_{name}") for name in ABOVE)
        .with_columns(pl.coalesce("aebodsys", "aesoc"))
    )


def began() -> pl.Expr:
    """ASTDT: the first day of an event, the first of its month where only that is known; else null.

    Source: ADaM OCCDS 1.1 (ASTDT); imputed as the study's published ADAE has it.
    """
    known_month = pl.col("aestdtc").str.contains("^[0-9]{4}-[0-9]{2}")
    return pl.coalesce("aestdt", pl.when(known_month).then(dtc_earliest(pl.col("aestdtc"))))


def dermatologic() -> pl.Expr:
    """Whether an event is one of the study's customised query of dermatologic events, by AEDECOD and AEBODSYS.

    Source: ADaM OCCDS 1.1 (CQzzNAM); the study's query, as its published ADAE has it.
    """
    term = pl.col("aedecod")
    in_words = term.str.contains_any(list(study.DERMATOLOGIC_WORDS))
    of_skin = (pl.col("aebodsys") == study.SKIN) & ~term.is_in(study.NOT_DERMATOLOGIC)
    return in_words | of_skin


ADVERSE_EVENTS = Curated(
    name="adverse_events",
    description="Adverse events of subjects with demographics: treatment-emergent ones flagged, blinded (ADAE).",
    owner="team:clinical-data",
    contract=SubjectEvent,
    key=("_file", "_checksum", "_line"),
    by="usubjid",
    inputs=("processed/adverse_events", "curated/subjects"),
    transform=adverse_events,
)
