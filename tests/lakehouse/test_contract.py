"""What a row must be, and the words a site is told when it is not."""

import dataframely as dy
import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER, Reading

from lakehouse.contract import PROVENANCE, Contract, explain


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("hour|max", "hour is above its maximum"),
        ("hour|min", "hour is below its minimum"),
        ("sensor|nullability", "sensor is missing"),
        ("sensor|regex", "sensor is not written as it must be"),
        ("sensor|min_length", "sensor is too short"),
        ("sensor|max_length", "sensor is too long"),
        ("celsius|min_exclusive", "celsius is not above its minimum"),
        ("celsius|max_exclusive", "celsius is not below its maximum"),
        ("celsius|inf", "celsius is infinite"),
        ("celsius|nan", "celsius is not a number"),
        ("celsius|resolution", "celsius breaks resolution"),
        ("temperature_is_a_number", "must hold: The temperature is a number"),
        ("no_such_rule", "breaks no_such_rule"),
    ],
)
def test_a_broken_rule_in_words(rule: str, words: str) -> None:
    assert explain(Reading, rule) == words


def test_every_rule_of_every_kind_of_column_has_words() -> None:
    """Whatever dataframely can report about a column is told by more than the constraint's name."""

    class Everything(Contract):
        text = dy.String(min_length=2, max_length=3, regex="^a")
        whole = dy.Int64(min=1, max=2)
        number = dy.Float64(min_exclusive=0, max_exclusive=9, allow_inf=False, allow_nan=False)
        day = dy.Date()

    broken = pl.DataFrame(
        {"text": [None, "b", "abcd"], "whole": [0, 3, None], "number": [0.0, 9.0, float("nan")], "day": [None] * 3},
        schema_overrides={"day": pl.Date},
    ).with_columns(pl.lit(None, kind).alias(name) for name, kind in PROVENANCE.items())
    rules = Everything.filter(broken, cast=False)[1].counts()
    told = {rule: explain(Everything, rule) for rule in rules}
    assert {rule for rule in rules if not rule.startswith("_")} >= {"text|nullability", "whole|max", "number|nan"}
    assert [words for words in told.values() if "breaks" in words] == []


def test_every_contract_carries_provenance() -> None:
    schema = Reading.create_empty().schema
    assert {name: schema[name] for name in PROVENANCE} == PROVENANCE
    assert not any(Reading.columns()[name].nullable for name in PROVENANCE)


def test_what_is_rejected_says_why_in_words(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", "ok,1,1\n,24,hot\nx,1,101\nx\n")
    house.land("A/thermometer_2020-01-02.csv", b"SENSOR,HOUR\nx,1\n")
    house.run()
    rows = house.table("quarantine").sort("_file", "_line")
    assert rows.select("_line", "reasons", "explanation", "_text").rows() == [
        (
            3,
            ["temperature_is_a_number", "sensor|nullability", "hour|max"],
            "must hold: The temperature is a number; sensor is missing; hour is above its maximum",
            ",24,hot",
        ),
        (4, ["celsius|max"], "celsius is above its maximum", "x,1,101"),
        (5, ["record:short"], "the record has fewer fields than the header", "x"),
        (
            0,
            ["file:header"],
            "the header lacks CELSIUS; add what is missing and send the file again",
            None,
        ),
        (2, ["file:header"], "the header lacks CELSIUS; add what is missing and send the file again", "x,1"),
    ]
    assert house.source is THERMOMETER
