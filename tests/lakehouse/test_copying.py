"""Rows by COPY: all of them in their order, whatever is sent at a time."""

import polars as pl
import pytest

from lakehouse import copying, postgres
from lakehouse.errors import UnavailableError


@pytest.mark.parametrize("count", [0, 1, 10_000, 25_001])
def test_every_row_is_put_in_once(server: str, count: int) -> None:
    rows = pl.select(number=pl.int_range(count)).with_columns(
        text=pl.when(pl.col("number") % 7 > 0).then(pl.format("{} äß", "number"))
    )
    with postgres.transaction(server) as cursor:
        cursor.execute("create temporary table put (text text, number bigint)")
        copying.put(cursor, "pg_temp.put", rows)
        cursor.execute("select number, text from put")
        assert cursor.fetchall() == rows.rows()


def test_text_that_postgresql_cannot_hold_is_refused_without_it(server: str) -> None:
    rows = pl.DataFrame({"text": ["secret\0"]})

    def load() -> None:
        with postgres.transaction(server) as cursor:
            cursor.execute("create temporary table put (text text)")
            copying.put(cursor, "pg_temp.put", rows)

    with pytest.raises(UnavailableError, match="SQLSTATE 22021") as told:
        load()
    assert "secret" not in str(told.value)
