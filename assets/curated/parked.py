"""What waits: records whose subject's demographics have not arrived, of every source that names a subject."""

import dataframely as dy
import polars as pl

from assets.vitals import Vital
from lakehouse.contract import Contract
from lakehouse.curated import Curated

SOURCES = ("vitals", "labs", "adverse_events", "exposure", "disposition", "visits")


class Parked(Contract):
    """One record that is sound but in no curated table yet; its provenance is the record's."""

    source = dy.String(description="Name of the source.")
    usubjid = Vital.usubjid
    reason = dy.String(description="What it waits for, in words a site can act on.")


def parked(subjects: pl.LazyFrame, *records: pl.LazyFrame) -> pl.LazyFrame:
    """The records, of `SOURCES` in this order, whose subject is not among the subjects; released when it arrives.

    Processed tables judge a record alone; whether its subject exists depends on what else has arrived, so it is judged
    here, anew each time.
    """
    origin = [name for name in Parked.column_names() if name.startswith("_")]
    waiting = [
        rows.join(subjects, on="usubjid", how="anti").select(pl.lit(source).alias("source"), "usubjid", *origin)
        for source, rows in zip(SOURCES, records, strict=True)
    ]
    reason = "the subject's demographics have not been delivered: send them, or correct USUBJID"
    return pl.concat(waiting).with_columns(reason=pl.lit(reason)).select(Parked.column_names())


def still_waiting(waiting: pl.LazyFrame, *_: pl.LazyFrame) -> pl.LazyFrame:
    """No record waits for its subject's demographics."""
    return waiting.select("source")


PARKED = Curated(
    name="parked",
    layer="quality",
    description="Records that wait outside the curated tables until their subject's demographics arrive.",
    owner="team:clinical-data",
    contract=Parked,
    key=("source", "_file", "_checksum", "_line"),
    by="usubjid",
    inputs=("curated/subjects", *(f"processed/{source}" for source in SOURCES)),
    transform=parked,
    checks={"empty": still_waiting},
)
