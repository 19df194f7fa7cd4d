"""The reference files, each with its source and version: what comes from elsewhere, and no site delivers.

A new version of a file is put in place of the old one, with its `version` here; the tables joined with it are made anew
with the next run. README.md beside the files has the words that their publishers ask for.
"""

from pathlib import Path

import polars as pl

from lakehouse.reference import Reference

_HERE = Path(__file__).parent

LAB_TESTS = Reference(
    path=_HERE / "lab_tests.csv",
    columns=dict.fromkeys(("lbtestcd", "lborresu", "loinc", "loinc_name"), pl.String()),
    key=("lbtestcd", "lborresu"),
    version="LOINC 2.80, mapping 1",
    source="Regenstrief Institute, loinc.org; mapped to the study's tests and units by this project",
)
UNITS = Reference(
    path=_HERE / "units.csv",
    columns=dict.fromkeys(("lbstresu", "ucum"), pl.String()),
    key=("lbstresu",),
    version="UCUM 2.1, mapping 1",
    source="Regenstrief Institute, ucum.org; mapped to CDISC's units by this project",
)
SITES = Reference(
    path=_HERE / "sites.csv",
    columns=dict.fromkeys(("siteid", "country", "region"), pl.String()),
    key=("siteid",),
    version="CDISCPILOT01, UN M49 of 1999, list 1",
    source="sites and countries as the study's demographics have them; regions of the United Nations' M49",
)
TERMS = Reference(
    path=_HERE / "event_terms.csv",
    columns=dict.fromkeys(("aellt", "aedecod", "aehlt", "aehlgt", "aesoc"), pl.String()),
    key=("aellt",),
    version="CDISCPILOT01 as published in 2013, list 1",
    source="CDISC's pilot study, its adverse events as published (pharmaversesdtm, Apache-2.0); no extract of MedDRA",
)
FILES = (LAB_TESTS, UNITS, SITES, TERMS)
