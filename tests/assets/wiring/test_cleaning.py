"""What cleaning finds in the whole trial: the errors that the fictional site plants; no result is changed."""

import polars as pl


def test_the_copied_visit_is_told_at_both_sites(trial):
    found = trial.table("curated/duplicates").filter(pl.col("across_sites")).sort("siteid")
    assert found.select("usubjid", "visit", "like_usubjid", "results", "_file").rows() == [
        ("01-701-1015", "SCREENING 2", "01-999-1001", 10, "701/vitals_2013-12-31.csv"),
        ("01-999-1001", "SCREENING 2", "01-701-1015", 10, "999/vitals_2013-07-17.csv"),
    ]


def test_the_weight_in_the_wrong_unit_is_told_with_the_one_that_would_fit(trial):
    found = trial.table("curated/result_flags").filter(pl.col("rule") == "unit_mixup")
    assert found.select("usubjid", "orres", "orresu", "aval", "expected", "_file", "_line").rows() == [
        ("01-999-1001", "68", "LB", 30.84, 67.9894, "999/vitals_2013-07-18.csv", 4)
    ]
    kept = trial.table("curated/vital_signs").filter(pl.col("_file") == "999/vitals_2013-07-18.csv")
    assert kept.sort("_line")["aval"].to_list() == [68.04, 68.49, 30.84, 67.59]


def test_a_question_says_so_in_words_and_is_in_postgresql(trial):
    asked = trial.query(
        "select kind, question, status, _file from lake.data_queries where siteid = '999' order by kind"
    )
    assert [row[0] for row in asked] == ["same_results", "unit_mixup"]
    assert "a subject of another site" in asked[0][1]
    assert "1015" not in asked[0][1]
    assert asked[1][1].startswith("Weight (kg) is 30.84 at UNSCHEDULED 2.3 (delivered as 68 LB), which does not fit")
    assert {row[2] for row in asked} == {"open"}


def test_the_visit_before_consent_is_on_record_as_it_came(trial):
    consent = trial.table("processed/subjects").drop_nulls("rficdtc")
    assert consent.select("usubjid", "rficdtc").rows() == [("01-999-1001", "2013-07-01")]
    first = trial.table("processed/visits").filter(pl.col("usubjid") == "01-999-1001")
    assert first.select("visit", "svstdtc", "_file").rows() == [
        ("SCREENING 1", "2013-06-24", "999/visits_2013-07-19.csv")
    ]


def test_a_site_that_no_list_has_is_reported(trial):
    found = trial.table("quality/unmatched").filter(pl.col("reference") == "sites")
    assert found.select("siteid", "code", "rows").rows() == [("999", "999", 1)]


def test_what_only_other_tables_need_stays_in_the_lake(trial):
    found = {name for (name,) in trial.query("select table_name from information_schema.tables")}
    assert {"data_queries", "missing_results"} <= found
    assert not {"panels", "reference_results", "reference_subjects", "scheduled_results", "missing_by_site"} & found
