"""What the study declares for its analyses, where CDISC's standards leave it to the study: one place for all of it.

The study is CDISCPILOT01. Its define.xml is not part of this project. What is declared here is what its published
analysis datasets show: each value is the one under which they come out, for every row, as `docs/agreement.md` tells.
What a standard says for any study is in `assets.curated.adam`.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Visits(NamedTuple):
    """How the records of one source stand to the visits of the schedule.

    baseline: VISITNUM of the baseline record. ends: VISITNUM of the first and the last planned visit that can be the
    end of treatment. change_at_baseline: whether the baseline record itself has a change (of 0).
    """

    baseline: float
    ends: tuple[float, float]
    change_at_baseline: bool


# Planned visits after baseline by VISITNUM, and the week after first dose that each stands for (AVISITN). Visits that
# are not planned for assessments (electrocardiogram, telephone, retrieval, unscheduled) have no analysis visit.
WEEKS: Mapping[float, int] = {4: 2, 5: 4, 7: 6, 8: 8, 9: 12, 10: 16, 11: 20, 12: 24, 13: 26}
# Days after which a planned visit that has not taken place is missing: half the time between the first ones.
VISIT_WINDOW = 7
SCREENING, BASELINE, LAST_ON_TREATMENT = 1.0, 3.0, 12.0
# The published datasets repeat a record that ends treatment under this AVISITN; here it carries AENTMTFL instead.
END_OF_TREATMENT = (99, "End of Treatment")
# Vital signs have their baseline on the day of first dose, laboratory results at screening: none were drawn later.
VITAL_SIGNS = Visits(baseline=BASELINE, ends=(5, 13), change_at_baseline=True)
LAB_RESULTS = Visits(baseline=SCREENING, ends=(4, LAST_ON_TREATMENT), change_at_baseline=False)
# Height is measured once, at screening.
HEIGHT_VISIT = SCREENING

# ATPT and BASETYPE by ATPTN: the time points within a visit, and how the study names them.
TIME_POINTS: Mapping[float, str] = {
    815.0: "AFTER LYING DOWN FOR 5 MINUTES",
    816.0: "AFTER STANDING FOR 1 MINUTE",
    817.0: "AFTER STANDING FOR 3 MINUTES",
}

# PARAMN: the study's order of its parameters.
VITAL_SIGN_NUMBERS: Mapping[str, int] = {
    test: number for number, test in enumerate(("SYSBP", "DIABP", "PULSE", "WEIGHT", "HEIGHT", "TEMP"), start=1)
}
_LABS = (
    "HGB HCT MCV MCH MCHC WBC LYM MONO EOS BASO PLAT RBC ANISO MACROCY MICROCY POIKILO POLYCHR "
    "SODIUM K CL BILI ALP GGT ALT AST BUN CREAT URATE PHOS CA GLUC PROT ALB CHOL CK"
)
LAB_NUMBERS: Mapping[str, int] = {test: number for number, test in enumerate(_LABS.split(), start=1)}
LAB_CATEGORIES: Mapping[str, str] = {"CHEMISTRY": "CHEM", "HEMATOLOGY": "HEM"}

# A result is LOW below this multiple of the lower end of its range, HIGH above this multiple of the upper end.
LOW, HIGH = 0.5, 1.5
# Decimals that the study keeps of a range's end in the standard unit; the others are kept as they are.
RANGE_DECIMALS: Mapping[str, int] = {
    "BILI": 0, "CREAT": 0, "MCHC": 0, "URATE": 0, "BUN": 1, "GLUC": 1, "MCH": 1, "CA": 2, "CHOL": 2, "HGB": 2, "PHOS": 2
}  # fmt: skip

# AGEGR1N, the ages in years that it begins after, and AGEGR1.
AGE_GROUPS = ((1, -1, "<65"), (2, 64, "65-80"), (3, 80, ">80"))
# BMIBLGR1 and the body mass index in kg/m2 that it begins at (WHO Technical Report 894).
BMI_GROUPS = ((0.0, "<25"), (25.0, "25-<30"), (30.0, ">=30"))
RACE_NUMBERS: Mapping[str, int] = {
    "WHITE": 1, "BLACK OR AFRICAN AMERICAN": 2, "AMERICAN INDIAN OR ALASKA NATIVE": 6
}  # fmt: skip
# Sites that are too small to be analysed alone are one, SITEGR1 900.
POOLED_SITES = ("702", "706", "707", "711", "714", "715", "717")
POOLED = "900"

# Planned arms that are none: SDTM's codes for who was never randomised.
NO_ARM = ("SCRNFAIL", "NOTASSGN")
# TRT01PN by ARMCD: the dose in mg a day that the arm is named for. The study analyses its subjects as randomised:
# TRT01A is the planned treatment, also of the 12 whose ACTARM is the low dose of a planned high one.
ARM_DOSES: Mapping[str, int] = {"Pbo": 0, "Xan_Lo": 54, "Xan_Hi": 81}

# The visits whose completion COMPnnFL tells, by VISITNUM.
COMPLETERS: Mapping[str, float] = {"comp8fl": 8, "comp16fl": 10, "comp24fl": LAST_ON_TREATMENT}
# DCSREAS by DSDECOD; of protocol deviations those with the term below are a reason of their own.
DISCONTINUATION: Mapping[str, str] = {
    "ADVERSE EVENT": "Adverse Event",
    "DEATH": "Death",
    "LACK OF EFFICACY": "Lack of Efficacy",
    "LOST TO FOLLOW-UP": "Lost to Follow-up",
    "PHYSICIAN DECISION": "Physician Decision",
    "PROTOCOL DEVIATION": "Protocol Violation",
    "PROTOCOL VIOLATION": "Protocol Violation",
    "STUDY TERMINATED BY SPONSOR": "Sponsor Decision",
    "WITHDRAWAL BY SUBJECT": "Withdrew Consent",
}
ENTRY_CRITERIA = ("PROTOCOL ENTRY CRITERIA NOT MET", "I/E Not Met")

# The customised query of dermatologic events (CQ01): a preferred term with one of these words, or any of the skin's
# system organ class but these.
DERMATOLOGIC = "DERMATOLOGIC EVENTS"
DERMATOLOGIC_WORDS = ("APPLICATION", "DERMATITIS", "ERYTHEMA", "BLISTER")
SKIN = "SKIN AND SUBCUTANEOUS TISSUE DISORDERS"
NOT_DERMATOLOGIC = ("COLD SWEAT", "HYPERHIDROSIS", "ALOPECIA")

# Tests whose course tells most of how a subject is: they are features for models, by their unit as in the analysis.
FEATURE_VITALS: Mapping[str, str] = {
    "SYSBP": "mmHg",
    "DIABP": "mmHg",
    "PULSE": "BEATS/MIN",
    "WEIGHT": "kg",
    "TEMP": "C",
}
FEATURE_LABS: Mapping[str, str] = {
    "ALT": "U/L", "AST": "U/L", "BILI": "umol/L", "BUN": "mmol/L", "CREAT": "umol/L", "HGB": "mmol/L"
}  # fmt: skip
# Days ahead that the label of the features looks: until about the visit after the next.
HORIZON = 28

# What cleaning goes by, see docs/cleaning.md. The cut-off of a robust z-score is that of Iglewicz and Hoaglin, How to
# Detect and Handle Outliers (1993).
CUT_OFF = 3.5
# A change between two visits is told when it is so many of the study's robust standard deviations of such changes.
JUMP = 6.0
# After a conversion a value fits when it is within so many robust standard deviations.
FITS = 2.0
# Subjects whose results say what is usual.
SAMPLE = 1000
# Results that a centre and spread are taken from at least: of a test, and of one subject's series.
LEAST_OF_TEST, LEAST_OF_SERIES = 30, 4
# Tests whose results are judged by their logarithm: concentrations and counts whose distribution is skewed to the right
# (Limpert, Stahel and Abbt, Log-normal Distributions across the Sciences, BioScience 51, 2001).
LOGARITHMIC = (
    "ALP ALT AST BASO BILI BUN CK CREAT EOS GGT GLUC LYM MONO PLAT TSH VITB12 WBC".split()  # noqa: SIM905
)
# Results of two subjects, of one visit each, that are all equal are told when there are so many.
LEAST_OF_PANEL = 8
# Two subjects may be one person when all else is equal and they differ by no more: age in years, weight in kg.
SAME_AGE, SAME_WEIGHT = 1, 1.0


class Planned(NamedTuple):
    """Tests of one source that the schedule has at the same visits. points: time points within a visit, if any."""

    source: str
    tests: tuple[str, ...]
    weeks: tuple[int, ...]
    points: tuple[str | None, ...] = (None,)


_WEEKS = (0, *WEEKS.values())
_FINDINGS = ("ANISO", "MACROCY", "MICROCY", "POIKILO", "POLYCHR")
SCHEDULE = (
    Planned("vitals", ("SYSBP", "DIABP", "PULSE"), _WEEKS, tuple(TIME_POINTS.values())),
    Planned("vitals", ("TEMP", "WEIGHT"), _WEEKS),
    # Findings of red cells are reported where there are any.
    Planned("labs", tuple(test for test in LAB_NUMBERS if test not in _FINDINGS), _WEEKS),
    Planned("labs", ("COLOR", "KETONES", "PH", "SPGRAV", "UROBIL"), (0, 2, 12, 24)),
    Planned("labs", ("TSH", "VITB12"), (0,)),
)
