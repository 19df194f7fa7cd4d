"""The reference files: codes that are well formed, for what the study has, with their source named beside them."""

import pytest

from assets import labs, reference
from assets.curated.subjects import elsewhere
from assets.pilot.land import EXPORTS, collected
from lakehouse.reference import Reference

# What the study's own data do not tell well enough to give a code.
UNCERTAIN = {("KETONES", labs.NO_UNITS), ("UROBIL", labs.NO_UNITS)}


def luhn(digits: str) -> int:
    """The check digit of a LOINC code, modulus 10: LOINC Users' Guide, appendix on check digits."""
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return -sum(number // 10 + number % 10 for number in doubled) % 10


def test_every_loinc_code_has_its_check_digit() -> None:
    codes = reference.LAB_TESTS.rows().collect()["loinc"].unique().to_list()
    assert len(codes) == 55
    assert [code for code in codes if luhn(code.split("-")[0]) != int(code.split("-")[1])] == []


def test_one_code_has_one_name() -> None:
    rows = reference.LAB_TESTS.rows().select("loinc", "loinc_name").unique().collect()
    assert rows["loinc"].is_unique().all()


def test_every_test_as_the_study_sends_it_has_a_code_but_the_uncertain() -> None:
    sent = set(collected(EXPORTS["labs"]).select("LBTESTCD", "LBORRESU").unique().rows())
    listed = set(reference.LAB_TESTS.rows().select("lbtestcd", "lborresu").collect().rows())
    assert sent - listed == UNCERTAIN
    known = {(test, unit) for test, unit, *_ in labs.known_units()}
    assert listed <= known


def test_every_standard_unit_has_one_of_ucum() -> None:
    standard = {unit.standard for unit in labs.UNITS if unit.standard}
    assert set(reference.UNITS.rows().collect()["lbstresu"]) == standard


def test_the_sites_and_countries_are_the_studys() -> None:
    sent = collected(EXPORTS["subjects"])
    assert set(reference.SITES.rows().select("siteid", "country").collect().rows()) == set(
        sent.select("SITEID", "COUNTRY").unique().rows()
    )
    own = sent.select(siteid="SITEID", country="COUNTRY").lazy()
    assert elsewhere(own).collect().is_empty()
    assert elsewhere(own.head(1).with_columns(country="siteid")).collect().height == 1


def test_the_terms_are_those_the_study_published_and_each_has_one_place() -> None:
    rows = reference.TERMS.rows().collect()
    sent = collected(EXPORTS["adverse_events"]).select(name.upper() for name in rows.columns).unique()
    assert set(rows.rows()) == set(sent.rows())
    assert rows.select("aedecod", "aehlt", "aehlgt", "aesoc").unique()["aedecod"].is_unique().all()
    # Names of MedDRA's middle levels are not in the publication, and so not here.
    assert rows["aehlt"].str.contains("^HLT_[0-9]{4}$").all()
    assert rows["aehlgt"].str.contains("^HLGT_[0-9]{4}$").all()


@pytest.mark.parametrize("file", reference.FILES, ids=[file.name for file in reference.FILES])
def test_the_page_beside_the_files_names_version_and_source(file: Reference) -> None:
    page = file.path.with_name("README.md").read_text()
    assert f"| `{file.path.name}` | {file.version} | {file.source} |" in page


def test_every_file_is_declared() -> None:
    assert {file.path for file in reference.FILES} == set(reference.LAB_TESTS.path.parent.glob("*.csv"))
