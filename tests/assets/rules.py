"""Tests of every source's rules. A source's own test imports them and says `SOURCE`, `GOOD`, a row that breaks no rule,
and `CASES`: the rule that is broken, and what of the good row is changed to break it.
"""

from collections.abc import Callable, Mapping

import polars as pl
import pytest

from lakehouse.source import Source

Row = Mapping[str, str | None]


def test_a_row_that_breaks_one_rule_is_told_that_rule(
    request: pytest.FixtureRequest,
    raw_row: Callable[[Source, Row], pl.DataFrame],
    broken: Callable[[Source, pl.DataFrame], list[str]],
    rule: str,
    values: Row,
) -> None:
    told = request.module
    assert broken(told.SOURCE, raw_row(told.SOURCE, {**told.GOOD, **values})) == [rule]


def test_every_rule_has_a_row_that_breaks_it(
    request: pytest.FixtureRequest, raw_row: Callable[[Source, Row], pl.DataFrame]
) -> None:
    told = request.module
    contract, (_, values) = told.SOURCE.contract, told.CASES[0]
    bad = told.SOURCE.tidy(raw_row(told.SOURCE, {**told.GOOD, **values}).lazy()).collect()
    _, failure = contract.filter(bad, cast=False)
    rules = set(failure.details().columns) - set(contract.column_names())
    assert {rule for rule in rules if "|" not in rule} == {rule for rule, _ in told.CASES if "|" not in rule}


def test_every_column_is_described(request: pytest.FixtureRequest) -> None:
    contract = request.module.SOURCE.contract
    assert [name for name, column in contract.columns().items() if not column.description] == []
