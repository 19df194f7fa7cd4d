"""Site 999 does not exist: it shows quarantine at work. Every file it delivers is made up.

It enrols one subject, 01-999-1001, a screen failure so that no count of the treated changes, and delivers each known
way to get a file wrong in a file of its own, beside one result that is sound but belongs to a subject nobody enrolled.
Three files more break no rule and are wrong for those who know the study: one repeats another subject's visit, one
mixes up a unit, one has a visit before consent, whose day the real sites do not export. Of all its records 18 become
rows: the subject, the later of two vital signs with one key, that result, and those of the three files.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

SITE = "999"
ENROLLED = "01-999-1001"
NOT_ENROLLED = "01-999-9999"


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One file of site 999 and what must become of it once every file has been ingested.

    path: below the landing folder. content: the bytes. records: data records that can be told apart, which is none when
    the file cannot be decoded. accepted, quarantined, superseded: what they become; they add up to `records`.
    why: what is wrong with the file, in words.
    """

    path: str
    content: bytes
    records: int
    accepted: int = 0
    quarantined: int = 0
    superseded: int = 0
    why: str

    @property
    def day(self) -> date:
        """Day of delivery, from the path."""
        return date.fromisoformat(self.path.removesuffix(".csv").rpartition("_")[2])


_SUBJECT = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": ENROLLED,
    "SUBJID": "1001",
    "SITEID": SITE,
    "RFSTDTC": "",
    "RFXSTDTC": "",
    "RFICDTC": "2013-07-01",
    "AGE": "70",
    "AGEU": "YEARS",
    "SEX": "F",
    "RACE": "WHITE",
    "ETHNIC": "NOT HISPANIC OR LATINO",
    "ARMCD": "Scrnfail",
    "ARM": "Screen Failure",
    "ACTARMCD": "Scrnfail",
    "ACTARM": "Screen Failure",
    "COUNTRY": "USA",
    "DMDTC": "2013-07-01",
}
# Sound but for its date; each file below changes what is to be wrong.
_VITAL = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": ENROLLED,
    "VSTESTCD": "SYSBP",
    "VSTEST": "Systolic Blood Pressure",
    "VSPOS": "SUPINE",
    "VSORRES": "118",
    "VSORRESU": "mmHg",
    "VSSTAT": "",
    "VSLOC": "",
    "VISITNUM": "1",
    "VISIT": "SCREENING 1",
    "VSDTC": "",
    "VSTPT": "AFTER LYING DOWN FOR 5 MINUTES",
    "VSTPTNUM": "815",
    "VSELTM": "PT5M",
    "VSTPTREF": "PATIENT SUPINE",
}
_TEMPERATURE = {
    **dict.fromkeys(("VSPOS", "VSTPT", "VSTPTNUM", "VSELTM", "VSTPTREF"), ""),
    "VSTESTCD": "TEMP",
    "VSTEST": "Temperature",
    "VSLOC": "ORAL CAVITY",
}
_LAB = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": NOT_ENROLLED,
    "LBTESTCD": "ALT",
    "LBTEST": "Alanine Aminotransferase",
    "LBCAT": "CHEMISTRY",
    "LBORRES": "27",
    "LBORRESU": "U/L",
    "LBORNRLO": "6",
    "LBORNRHI": "34",
    "VISITNUM": "1",
    "VISIT": "SCREENING 1",
    "LBDTC": "",
}
_CREATININE = {
    "LBTESTCD": "CREAT",
    "LBTEST": "Creatinine",
    "LBORRES": "80",
    "LBORRESU": "µmol/L",
    "LBORNRLO": "62",
    "LBORNRHI": "124",
}
# Records of the site's one subject, none of which becomes a row as it is: she was never treated.
_VISIT = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": ENROLLED,
    "VISITNUM": "1",
    "VISIT": "SCREENING 1",
    "SVSTDTC": "2013-07-01",
    "SVENDTC": "2013-07-01",
    "SVUPDES": "",
}
_DOSE = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": ENROLLED,
    "EXTRT": "PLACEBO",
    "EXDOSE": "0",
    "EXDOSU": "mg",
    "EXDOSFRM": "PATCH",
    "EXDOSFRQ": "QD",
    "EXROUTE": "TRANSDERMAL",
    "VISITNUM": "3",
    "VISIT": "BASELINE",
    "EXSTDTC": "2013-07-08",
    "EXENDTC": "",
}
_EVENT = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": ENROLLED,
    "AESEQ": "1",
    "AESPID": "E01",
    "AETERM": "HEADACHE",
    **dict.fromkeys(("AELLT", "AEDECOD"), "HEADACHE"),
    **dict.fromkeys(("AEHLT", "AEHLGT"), ""),
    **dict.fromkeys(("AEBODSYS", "AESOC"), "NERVOUS SYSTEM DISORDERS"),
    "AESEV": "MILD",
    "AESER": "N",
    "AEACN": "",
    "AEREL": "NONE",
    "AEOUT": "NOT RECOVERED/NOT RESOLVED",
    **dict.fromkeys(("AESCAN", "AESCONG", "AESDISAB", "AESDTH", "AESHOSP", "AESLIFE", "AESOD"), "N"),
    "AEDTC": "2013-07-15",
    "AESTDTC": "2013-07-12",
    "AEENDTC": "",
}
_LEFT = {
    "STUDYID": "CDISCPILOT01",
    "USUBJID": ENROLLED,
    "DSSPID": "",
    "DSTERM": "SCREEN FAILURE",
    "DSDECOD": "SCREEN FAILURE",
    "DSCAT": "DISPOSITION EVENT",
    "VISITNUM": "1",
    "VISIT": "SCREENING 1",
    "DSDTC": "2013-07-16",
    "DSSTDTC": "2013-07-16",
}


def _csv(sound: Mapping[str, str], *changes: Mapping[str, str]) -> str:
    """A CSV file with a header and, for each of `changes`, the sound record with those fields changed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sound)
    writer.writerows({**sound, **change}.values() for change in changes)
    return text.getvalue()


def _vitals(day: str, *changes: Mapping[str, str]) -> str:
    return _csv({**_VITAL, "VSDTC": day}, *changes)


# What 01-701-1015 had at SCREENING 2: time point, systolic and diastolic pressure, pulse.
_COPIED = (("815", "138", "68", "56"), ("816", "137", "59", "60"), ("817", "145", "71", "57"))
_POINTS = {
    "815": {"VSPOS": "SUPINE", "VSTPT": "AFTER LYING DOWN FOR 5 MINUTES"},
    "816": {"VSPOS": "STANDING", "VSTPT": "AFTER STANDING FOR 1 MINUTE"},
    "817": {"VSPOS": "STANDING", "VSTPT": "AFTER STANDING FOR 3 MINUTES"},
}
_SIGNS = (
    {"VSTESTCD": "SYSBP", "VSTEST": "Systolic Blood Pressure", "VSORRESU": "mmHg"},
    {"VSTESTCD": "DIABP", "VSTEST": "Diastolic Blood Pressure", "VSORRESU": "mmHg"},
    {"VSTESTCD": "PULSE", "VSTEST": "Pulse Rate", "VSORRESU": "beats/min"},
)
_SCREENING_2 = {"VISITNUM": "2", "VISIT": "SCREENING 2"}
_WEIGHT = {**_TEMPERATURE, "VSTESTCD": "WEIGHT", "VSTEST": "Weight", "VSLOC": "", "VSORRESU": "LB"}
DEFECTS = (
    Defect(
        path="999/subjects_2013-07-01.csv",
        content=_csv(_SUBJECT, {}).encode(),
        records=1,
        accepted=1,
        why="nothing: it enrols the site's one subject, so that records about it are not refused for that",
    ),
    Defect(
        path="999/vitals_2013-07-02.csv",
        content=_vitals("2013-07-02", {}, _TEMPERATURE | {"VSORRES": "98.2", "VSORRESU": "F"})
        .replace("VSORRES,", "RESULT,", 1)
        .encode(),
        records=2,
        quarantined=2,
        why="wrong header: the column VSORRES is called RESULT",
    ),
    Defect(
        path="999/vitals_2013-07-03.csv",
        content=_vitals("2013-07-03", {"VSTESTCD": "BPSYS"}).encode(),
        records=1,
        quarantined=1,
        why="unknown test code: BPSYS in place of SYSBP",
    ),
    Defect(
        path="999/vitals_2013-07-04.csv",
        content=_vitals(
            "2013-07-04", {"VSORRES": "1200"}, _TEMPERATURE | {"VSORRES": "98.6", "VSORRESU": "C"}
        ).encode(),
        records=2,
        quarantined=2,
        why="impossible values: a systolic pressure of 1200 mmHg, and 98.6 °F given as 98.6 °C",
    ),
    Defect(
        path="999/vitals_2013-07-05.csv",
        content=_vitals("2013-07-05", {"VSORRES": "12O"}, _TEMPERATURE | {"VSORRES": "36,8", "VSORRESU": "C"}).encode(),
        records=2,
        quarantined=2,
        why="results that are no numbers: 12O with the letter O, and 36,8 with a decimal comma",
    ),
    Defect(
        path="999/vitals_2013-07-06.csv",
        content=_vitals("2013-07-06", {"VSDTC": "2013-02-30"}, {"VSDTC": "07/06/2013", "VISITNUM": "2"}).encode(),
        records=2,
        quarantined=2,
        why="dates that are none: the 30th of February, and 07/06/2013, which is not ISO 8601",
    ),
    Defect(
        path="999/vitals_2013-07-07.csv",
        content=_vitals("2013-07-07", {"USUBJID": ""}, {"VSTESTCD": ""}).encode(),
        records=2,
        quarantined=2,
        why="missing keys: one record names no subject, the other no test",
    ),
    Defect(
        path="999/vitals_2013-07-08.csv",
        content=_vitals("2013-07-08", {"VSORRES": "118"}, {"VSORRES": "121"}).encode(),
        records=2,
        accepted=1,
        superseded=1,
        why="one key twice: the first record (118 mmHg) is superseded by the second (121 mmHg), the later line",
    ),
    Defect(
        path="999/vitals_2013-07-09.csv",
        content=_vitals("2013-07-09", {}).partition(" Blood Pressure")[0].encode(),
        records=1,
        quarantined=1,
        why="truncated: the transfer broke off in the middle of the only record",
    ),
    Defect(
        path="999/labs_2013-07-10.csv",
        content=_csv({**_LAB, "LBDTC": "2013-07-10T09:30"}, _CREATININE).encode("latin-1"),
        records=0,
        why="wrong encoding: µmol/L in Latin-1, whose byte for µ is not UTF-8",
    ),
    Defect(
        path="999/labs_2013-07-11.csv",
        content=b"",
        records=0,
        why="empty: 0 bytes, not even a header",
    ),
    Defect(
        path="999/labs_2013-07-12.csv",
        content=_csv({**_LAB, "LBDTC": "2013-07-12T09:30"}, {}).encode(),
        records=1,
        accepted=1,
        why="a subject nobody enrolled, 01-999-9999: the record is sound, so it is a row; comparing sources finds it",
    ),
    Defect(
        path="999/visits_2013-07-13.csv",
        content=_csv(
            _VISIT,
            {"SVSTDTC": "2031-07-13", "SVENDTC": ""},
            {"SVENDTC": "2013-06-01"},
            {"VISITNUM": "1.1", "VISIT": "UNSCHEDULED 1.1"},
        ).encode(),
        records=3,
        quarantined=3,
        why="visits that cannot be: one in 2031, one that ends before it begins, an unplanned one that says not why",
    ),
    Defect(
        path="999/exposure_2013-07-14.csv",
        content=_csv(
            _DOSE, {"EXTRT": "XANOMELINE", "EXDOSE": "5.4"}, {"EXENDTC": "2013-07-01"}, {"EXDOSU": "ug"}
        ).encode(),
        records=3,
        quarantined=3,
        why="doses that cannot be: 5.4 mg in place of 54, an end before the start, and micrograms",
    ),
    Defect(
        path="999/adverse_events_2013-07-15.csv",
        content=_csv(
            _EVENT,
            {"AESEV": "GRADE 2"},
            {"AESEQ": "2", "AESTDTC": "2013-02-30"},
            {"AESEQ": "3", "AEOUT": "RECOVERED/RESOLVED"},
            {"AESEQ": "4", "AESER": "Y"},
        ).encode(),
        records=4,
        quarantined=4,
        why="events that are not told: a severity of other words, an onset on the 30th of February, a recovery without "
        "its day, and one that is serious for no reason",
    ),
    Defect(
        path="999/disposition_2013-07-16.csv",
        content=_csv(_LEFT, {"DSDECOD": "OTHER REASON"}, {"DSCAT": "WITHDRAWAL"}).encode(),
        records=2,
        quarantined=2,
        why="endings in words that CDISC does not have: a reason called OTHER REASON, a category called WITHDRAWAL",
    ),
    Defect(
        path="999/vitals_2013-07-17.csv",
        content=_vitals(
            "2013-07-17",
            *(
                sign | _SCREENING_2 | _POINTS[point] | {"VSTPTNUM": point, "VSORRES": result}
                for point, *results in _COPIED
                for sign, result in zip(_SIGNS, results, strict=True)
            ),
            _TEMPERATURE | _SCREENING_2 | {"VSORRES": "97.0", "VSORRESU": "F"},
        ).encode(),
        records=10,
        accepted=10,
        why="nothing a rule can see: every result is one that 01-701-1015 of another site has at the same visit",
    ),
    Defect(
        path="999/vitals_2013-07-18.csv",
        content=_vitals(
            "2013-07-18",
            *(
                _WEIGHT | {"VISITNUM": number, "VISIT": f"UNSCHEDULED {number}", "VSORRES": pounds}
                for number, pounds in (("2.1", "150"), ("2.2", "151"), ("2.3", "68"), ("2.4", "149"))
            ),
        ).encode(),
        records=4,
        accepted=4,
        why="nothing a rule can see: of four weights in pounds one is the number of kilograms, 68",
    ),
    Defect(
        path="999/visits_2013-07-19.csv",
        content=_csv(_VISIT, {"SVSTDTC": "2013-06-24", "SVENDTC": "2013-06-24"}).encode(),
        records=1,
        accepted=1,
        why="nothing a rule can see: the subject came to its first visit a week before it gave consent",
    ),
)
