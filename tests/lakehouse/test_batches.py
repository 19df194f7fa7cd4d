"""How much is read together."""

import io
from dataclasses import replace

import polars as pl
from house import House
from thermometer import THERMOMETER

from lakehouse import ledger
from lakehouse.formats.parquet import Parquet


def test_what_is_packed_counts_as_what_it_may_unpack_to(house: House) -> None:
    """Deliveries of Parquet are small, and their text is not."""
    house.source = replace(THERMOMETER, path="{site}/{name}_{day}.parquet", dialect=Parquet())
    hours = pl.DataFrame({"SENSOR": "s", "HOUR": [str(hour) for hour in range(24)], "CELSIUS": "1"})
    size = 0
    for day in (1, 2, 3):
        stream = io.BytesIO()
        hours.write_parquet(stream)
        size = max(size, len(stream.getvalue()))
        house.land(f"A/thermometer_2020-01-0{day}.parquet", stream.getvalue())
    house.batch_bytes = 4 * size
    assert len(house.run()) == 3
    for batches, most in ((3, 4 * size), (1, 4 * size * Parquet.expands)):
        ledger.rebuild(house.lake, house.source, "a person", "to see", most)
        assert len(house.run()) == batches
    assert house.unbalanced().is_empty()
