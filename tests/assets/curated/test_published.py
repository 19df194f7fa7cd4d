"""The curated tables against the study's published analysis datasets, row by row and column by column."""

import agreement
import agreement_page
import polars as pl
import pytest
from agreement import DATASETS, Dataset, Share

from assets.curated.subjects import BlindedSubject

BY_NAME = {dataset.name: dataset for dataset in DATASETS}
each = pytest.mark.parametrize("dataset", DATASETS, ids=[dataset.name for dataset in DATASETS])


@each
def test_every_published_row_has_ours_and_every_difference_a_reason(dataset: Dataset) -> None:
    shares = agreement.shares(dataset)
    for share in shares:
        agreed = agreement_page.percent(share.agree, share.rows)
        print(f"{share.dataset:6} {share.column:9} {agreed:>9} of {share.rows:,} {dict(share.explained) or ''}")
    assert {share.rows for share in shares} == {agreement.published(dataset.name).height}
    assert [share for share in shares if share.unexplained] == []
    missing = agreement.joined(dataset)["_ours"].null_count()
    assert missing == (48 if dataset.name == "ADLBH" else 0)


@each
def test_every_published_column_is_compared_or_said_to_be_out_of_reach(dataset: Dataset) -> None:
    published = set(agreement.published(dataset.name).columns)
    compared = set(agreement.columns(dataset))
    assert compared | set(dataset.absent) == published
    assert not compared & set(dataset.absent)


def test_what_is_out_of_reach_of_the_landed_sources() -> None:
    absent = {dataset.name: dataset.absent for dataset in DATASETS}
    assert absent == {
        "ADSL": ("DISONSDT", "DURDIS", "DURDSGR1", "EDUCLVL", "EFFFL", "MMSETOT", "RFENDTC"),
        "ADVS": ("VSSEQ",),
        "ADLBC": ("LBSEQ",),
        "ADLBH": ("LBSEQ",),
        "ADAE": ("AELLTCD", "AEPTCD", "AEHLTCD", "AEHLGTCD", "AESOCCD"),
    }
    assert not {name.lower() for name in absent["ADSL"]} & set(BlindedSubject.column_names())
    events = agreement.published("ADAE")
    assert events.select(absent["ADAE"]).null_count().row(0) == (1191,) * 5


@pytest.mark.parametrize("name", ["ADVS", "ADLBC"])
def test_baseline_and_change_agree_on_every_row(name: str) -> None:
    shares = {share.column: share for share in agreement.shares(BY_NAME[name])}
    rows = {"ADVS": 32_139, "ADLBC": 37_132}[name]
    for column in ("ABLFL", "BASE", "CHG", "AVAL", "AVISITN", "ADY"):
        assert (shares[column].agree, shares[column].rows) == (rows, rows), column


def test_what_differs_is_this_and_nothing_else() -> None:
    """By dataset and reason: in how many columns, and on how many rows of them in all."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for dataset in DATASETS:
        for share in agreement.shares(dataset):
            for why, count in share.explained.items():
                columns, rows = found.get((share.dataset, why), (0, 0))
                found[share.dataset, why] = (columns + 1, rows + count)
    assert found == {
        ("ADSL", agreement.NO_WEIGHT): (1, 1),
        ("ADSL", agreement.REFERENCE_END): (1, 1),
        ("ADSL", agreement.OTHER_TERM): (1, 6),
        ("ADLBC", agreement.NO_RESULT): (1, 10),
        # 48 rows, less the columns that are empty in the publication on some of them.
        ("ADLBH", agreement.FRACTION): (44, 1917),
        # BASE, CHG, BR2A1HI, BNRIND; BR2A1LO; ANL01FL.
        ("ADLBH", agreement.FRACTION_IN_SERIES): (6, 4 * 132 + 66 + 10),
        ("ADLBH", agreement.NO_RANGE): (2, 427 + 99),
        ("ADLBH", agreement.BY_CODE): (1, 427),
        ("ADLBH", agreement.TIE): (1, 5),
    }


def test_every_difference_is_explained_by_the_publications_own_words_or_listed_by_key() -> None:
    keys = list(agreement_page.KEY)
    listed = agreement_page.listed()
    for dataset in DATASETS:
        by_key = listed.filter(dataset=dataset.name)
        for name, rule, rows in agreement.differences(dataset):
            if rule is None:
                assert rows.is_empty()
            elif rule.gives is not None:
                assert rule.define, rule.why
                assert rows.filter(pl.col(name).ne_missing(rule.gives)).is_empty(), (name, rule.why)
            else:
                names = pl.col("columns").str.split(" ").list.contains(name) | (pl.col("columns") == "the row")
                own = [key for key in keys if key in rows.columns]
                told = by_key.filter(names, reason=rule.why).select(own)
                asked = rows.select(pl.col(key).cast(agreement_page.KEY[key]) for key in own)
                assert asked.join(told, on=own, how="anti", nulls_equal=True).is_empty(), (name, rule.why)
    left_out = {"ADSL": 52, "ADLBC": 36, "ADLBH": 48}
    of_theirs = {"ADSL": 6 + 1, "ADLBC": 0, "ADLBH": 48 + 132 + 5}
    assert dict(listed.group_by("dataset").len().iter_rows()) == {
        name: left_out[name] + of_theirs[name] for name in left_out
    }


def test_cells_delivered_as_fractions_are_of_six_subjects_at_two_visits() -> None:
    rows = agreement.joined(BY_NAME["ADLBH"]).filter(pl.col("_ours").is_null())
    assert sorted(rows["USUBJID"].unique()) == [f"01-701-{number}" for number in (1015, 1023, 1028, 1033, 1034, 1047)]
    assert sorted(rows["PARAMCD"].unique()) == ["BASO", "EOS", "LYM", "MONO"]
    assert sorted(rows["VISITNUM"].unique()) == [1.0, 4.0]


def test_our_rows_that_the_publication_leaves_out() -> None:
    special = "visits for electrocardiograms, retrieval or baseline"
    left = {dataset.name: agreement.left_out(dataset).group_by("why").len().rows() for dataset in DATASETS}
    assert {name: dict(rows) for name, rows in left.items()} == {
        "ADSL": {"screening failures": 52},
        "ADVS": {},
        "ADLBC": {special: 36},
        "ADLBH": {special: 48},
        "ADAE": {},
    }


@pytest.mark.parametrize(
    ("name", "agree", "rows"), [("ADVS", 29_266, 29_643), ("ADLBC", 29_811, 32_704), ("ADLBH", 19_693, 21_871)]
)
def test_the_rule_of_most_studies_is_not_the_studys(name: str, agree: int, rows: int) -> None:
    assert agreement.textbook(BY_NAME[name]) == (agree, rows)


def test_a_difference_is_seen() -> None:
    """A comparison that finds all equal must be able to find the contrary: CHG told from the other baseline."""
    dataset = BY_NAME["ADVS"]
    wrong = Dataset(**{**vars(dataset), "ours": {**dataset.ours, "CHG": pl.col("base") - pl.col("aval")}})
    share = next(share for share in agreement.shares(wrong) if share.column == "CHG")
    assert share.unexplained > 20_000


def test_the_page_says_what_is_found() -> None:
    again = "run tests/assets/curated/agreement_page.py to make it anew"
    assert agreement_page.PAGE.read_text() == agreement_page.report(), again
    assert agreement_page.LIST.read_text() == agreement_page.listed().write_csv(), again


def test_a_share_is_all_only_when_it_is_all() -> None:
    assert agreement_page.percent(99_999, 100_000) == "99.99 %"
    assert agreement_page.percent(7, 7) == "100.00 %"
    assert Share("D", "C", 5, 3, {"why": 1}).unexplained == 1
