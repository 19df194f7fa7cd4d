"""Adverse events as the sites record them: SDTM's AE domain.

A site records an event again each time it looks at it, until it is over: one record for each look, with the severity
and outcome of that day. Records of one event share AESPID.
"""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.cdisc import STUDY_BEGAN, SubjectRecord, dtc_date, dtc_earliest, dtc_in_order, is_dtc, number_or_nan
from lakehouse.contract import Contract
from lakehouse.source import Source

DATES = ("aedtc", "aestdtc", "aeendtc")
# CDISC controlled terminology: codelists AESEV (C66769), NY (C66742), ACN (C66767) and OUT (C66768).
SEVERITIES = ["MILD", "MODERATE", "SEVERE"]
NO_YES = ["N", "Y"]
ACTIONS = [
    "DOSE INCREASED",
    "DOSE NOT CHANGED",
    "DOSE RATE REDUCED",
    "DOSE REDUCED",
    "DRUG INTERRUPTED",
    "DRUG WITHDRAWN",
    "NOT APPLICABLE",
    "NOT EVALUABLE",
    "UNKNOWN",
]
RECOVERED = ["RECOVERED/RESOLVED", "RECOVERED/RESOLVED WITH SEQUELAE"]
OUTCOMES = [*RECOVERED, "FATAL", "NOT RECOVERED/NOT RESOLVED", "RECOVERING/RESOLVING", "UNKNOWN"]
# CDISC has no codelist for AEREL; these are the study's own words.
RELATIONS = ["NONE", "REMOTE", "POSSIBLE", "PROBABLE"]
# What makes an event serious: ICH E2A, section II.B; AESCAN and AESOD are of earlier times.
CRITERIA = ("aescan", "aescong", "aesdisab", "aesdth", "aeshosp", "aeslife", "aesod")


class EventWords(Contract):
    """How an adverse event may be put, whichever system holds it; its columns are told by those that are one."""

    @dy.rule()
    def severity_known(cls) -> pl.Expr:
        """AESEV is MILD, MODERATE or SEVERE."""
        return pl.col("aesev").is_in(SEVERITIES)

    @dy.rule()
    def relation_known(cls) -> pl.Expr:
        """AEREL is NONE, REMOTE, POSSIBLE or PROBABLE."""
        return pl.col("aerel").is_in(RELATIONS)

    @dy.rule()
    def outcome_known(cls) -> pl.Expr:
        """AEOUT is one of CDISC's outcomes, such as RECOVERED/RESOLVED, NOT RECOVERED/NOT RESOLVED or FATAL."""
        return pl.col("aeout").is_in(OUTCOMES)

    @dy.rule()
    def end_not_before_start(cls) -> pl.Expr:
        """AEENDTC is not before AESTDTC."""
        return dtc_in_order(pl.col("aestdtc"), pl.col("aeendtc"))


class AdverseEvent(EventWords, SubjectRecord):
    """One look at one adverse event of one subject."""

    aeseq = dy.Float64(description="Number of the record in the subject's log of events, as written down (SDTM AESEQ).")
    aespid = dy.String(nullable=True, description="Number of the event, the same at each look (SDTM AESPID).")
    aeterm = dy.String(description="The event in the site's words (SDTM AETERM).")
    aellt = dy.String(nullable=True, description="MedDRA lowest level term (SDTM AELLT).")
    aedecod = dy.String(nullable=True, description="MedDRA preferred term; null until it is coded (SDTM AEDECOD).")
    aehlt = dy.String(nullable=True, description="MedDRA high level term (SDTM AEHLT).")
    aehlgt = dy.String(nullable=True, description="MedDRA high level group term (SDTM AEHLGT).")
    aebodsys = dy.String(nullable=True, description="Body system or organ class used for analysis (SDTM AEBODSYS).")
    aesoc = dy.String(nullable=True, description="MedDRA primary system organ class (SDTM AESOC).")
    aesev = dy.String(description="Severity on the day of AEDTC (SDTM AESEV).")
    aeser = dy.String(description="Whether the event is serious, Y or N (SDTM AESER).")
    aeacn = dy.String(nullable=True, description="Action taken with the study treatment (SDTM AEACN).")
    aerel = dy.String(nullable=True, description="Relation to the treatment in the site's judgement (SDTM AEREL).")
    aeout = dy.String(description="Outcome on the day of AEDTC (SDTM AEOUT).")
    aescan = dy.String(nullable=True, description="Involves cancer, Y or N (SDTM AESCAN).")
    aescong = dy.String(nullable=True, description="Congenital anomaly or birth defect, Y or N (SDTM AESCONG).")
    aesdisab = dy.String(nullable=True, description="Persistent or significant disability, Y or N (SDTM AESDISAB).")
    aesdth = dy.String(nullable=True, description="Results in death, Y or N (SDTM AESDTH).")
    aeshosp = dy.String(nullable=True, description="Requires or prolongs hospitalisation, Y or N (SDTM AESHOSP).")
    aeslife = dy.String(nullable=True, description="Is life-threatening, Y or N (SDTM AESLIFE).")
    aesod = dy.String(nullable=True, description="Occurred with overdose, Y or N (SDTM AESOD).")
    aedtc = dy.String(description="When the event was looked at: ISO 8601, may be partial (SDTM AEDTC).")
    aedt = dy.Date(nullable=True, description="Date of AEDTC; null when it is partial.")
    aestdtc = dy.String(
        nullable=True, description="When the event began, also before the study: ISO 8601, may be partial (AESTDTC)."
    )
    aestdt = dy.Date(nullable=True, description="Date of AESTDTC; null when it is missing or partial.")
    aeendtc = dy.String(
        nullable=True, description="When the event ended: ISO 8601, may be partial; null until then (SDTM AEENDTC)."
    )
    aeendt = dy.Date(nullable=True, description="Date of AEENDTC; null when it is missing or partial.")

    @dy.rule()
    def sequence_whole(cls) -> pl.Expr:
        """AESEQ is a whole number from 1 on."""
        # What is no number at all is told by another rule.
        return pl.col("aeseq").is_nan() | ((pl.col("aeseq") == pl.col("aeseq").floor()) & (pl.col("aeseq") >= 1))

    @dy.rule()
    def seriousness_known(cls) -> pl.Expr:
        """AESER, and each reason for it that is given (AESCAN, AESDTH, AESHOSP and so on), is Y or N."""
        return pl.all_horizontal(pl.col(name).is_in(NO_YES).fill_null(True) for name in ("aeser", *CRITERIA))

    @dy.rule()
    def serious_says_why(cls) -> pl.Expr:
        """A serious event (AESER is Y) has at least one reason that is Y: AESDTH, AESHOSP, AESLIFE and so on."""
        return (pl.col("aeser") != "Y") | _any_criterion()

    @dy.rule()
    def reason_makes_serious(cls) -> pl.Expr:
        """An event with a reason that is Y (AESDTH, AESHOSP, AESLIFE and so on) is serious: AESER is Y."""
        return (pl.col("aeser") != "N") | ~_any_criterion()

    @dy.rule()
    def action_known(cls) -> pl.Expr:
        """AEACN is one of CDISC's actions, such as DOSE NOT CHANGED, DRUG INTERRUPTED or DRUG WITHDRAWN."""
        return pl.col("aeacn").is_in(ACTIONS)

    @dy.rule()
    def death_is_fatal(cls) -> pl.Expr:
        """An event that results in death (AESDTH is Y) has the outcome FATAL, and no other has."""
        return (pl.col("aesdth") == "Y") == (pl.col("aeout") == "FATAL")

    @dy.rule()
    def over_has_end(cls) -> pl.Expr:
        """An event that is over (AEOUT begins with RECOVERED, or is FATAL) has its last day in AEENDTC."""
        return ~pl.col("aeout").is_in([*RECOVERED, "FATAL"]) | pl.col("aeendtc").is_not_null()

    @dy.rule()
    def dates_real(cls) -> pl.Expr:
        """AEDTC, AESTDTC and AEENDTC are dates that exist, in ISO 8601: 2014-01-02, or 2014-01 or 2014 if partial."""
        return pl.all_horizontal(is_dtc(pl.col(name)).fill_null(True) for name in DATES)

    @dy.rule()
    def recorded_in_study(cls) -> pl.Expr:
        """AEDTC is not before 2012, when the study began; AESTDTC may be."""
        return dtc_earliest(pl.col("aedtc")) >= STUDY_BEGAN

    @dy.rule()
    def start_not_after_record(cls) -> pl.Expr:
        """AESTDTC is not after AEDTC, the day the event was looked at."""
        return dtc_in_order(pl.col("aestdtc"), pl.col("aedtc"))

    @dy.rule()
    def recorded_before_delivery(cls) -> pl.Expr:
        """AEDTC and AEENDTC are not after the day of the file they are delivered in; AEENDTC is empty until then."""
        known = ("aedtc", "aeendtc")
        return pl.all_horizontal((dtc_earliest(pl.col(name)) <= pl.col("_delivered")).fill_null(True) for name in known)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Adverse events with parsed dates beside the delivered texts."""
    return (
        raw.rename(str.lower)
        .with_columns(
            aeseq=number_or_nan(pl.col("aeseq")),
            aedt=dtc_date(pl.col("aedtc")),
            aestdt=dtc_date(pl.col("aestdtc")),
            aeendt=dtc_date(pl.col("aeendtc")),
        )
        .select(AdverseEvent.column_names())
    )


def _any_criterion() -> pl.Expr:
    """Whether a reason for seriousness is Y; those that are missing are not."""
    return pl.any_horizontal((pl.col(name) == "Y").fill_null(False) for name in CRITERIA)


ADVERSE_EVENTS = Source(
    name="adverse_events",
    description="Adverse events: what happened to the subjects, how severe, how it ended, coded in MedDRA.",
    owner="team:clinical-data",
    contract=AdverseEvent,
    tidy=tidy,
    # One event has several records, two of them on one day, and terms, dates and severity are what a site corrects.
    key=("usubjid", "aeseq"),
    columns=(
        "STUDYID",
        "USUBJID",
        "AESEQ",
        "AETERM",
        "AESEV",
        "AESER",
        "AEREL",
        "AEOUT",
        "AEDTC",
        "AESTDTC",
        "AEENDTC",
    ),
    optional=(
        "AESPID",
        "AELLT",
        "AEDECOD",
        "AEHLT",
        "AEHLGT",
        "AEBODSYS",
        "AESOC",
        "AEACN",
        "AESCAN",
        "AESCONG",
        "AESDISAB",
        "AESDTH",
        "AESHOSP",
        "AESLIFE",
        "AESOD",
    ),
    first_day=STUDY_BEGAN,
    late_after=timedelta(days=60),
    # What happened to a subject must reach those who watch over safety; these are asked back, not held back.
    severities={"reason_makes_serious": "warn", "start_not_after_record": "warn"},
    publish=False,
)
