"""How much is read together."""

import gzip
import io
from dataclasses import replace

import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER

from lakehouse import ledger
from lakehouse.archive import EXPANDS
from lakehouse.dialect import Dialect
from lakehouse.formats import Format
from lakehouse.formats.messages import Messages
from lakehouse.formats.parquet import Parquet

HOURS = pl.DataFrame({"SENSOR": "s", "HOUR": [str(hour) for hour in range(24)], "CELSIUS": "1"})


def parquet() -> bytes:
    stream = io.BytesIO()
    HOURS.write_parquet(stream)
    return stream.getvalue()


def gzipped() -> bytes:
    return gzip.compress(HOURS.write_csv().encode(), mtime=0)


@pytest.mark.parametrize(
    ("ending", "dialect", "data"),
    [("parquet", Parquet(), parquet()), ("csv.gz", Dialect(compression="gzip"), gzipped())],
    ids=["parquet", "gzip"],
)
def test_what_is_packed_counts_as_what_it_may_unpack_to(
    house: House, ending: str, dialect: Dialect | Format, data: bytes
) -> None:
    """Such deliveries are small, and their text is not."""
    house.source = replace(THERMOMETER, path=f"{{site}}/{{name}}_{{day}}.{ending}", dialect=dialect)
    for day in (1, 2, 3):
        house.land(f"A/thermometer_2020-01-0{day}.{ending}", data)
    house.batch_bytes = 4 * len(data)
    assert len(house.run()) == 3
    for batches, most in ((3, 4 * len(data)), (1, 4 * len(data) * EXPANDS)):
        ledger.rebuild(house.lake, house.source, "a person", "to see", most)
        assert len(house.run()) == batches
    assert house.unbalanced().is_empty()


def test_formats_that_pack_say_so() -> None:
    assert (Parquet().expands, Messages().expands) == (EXPANDS, EXPANDS)
    assert Dialect().expands == 1
