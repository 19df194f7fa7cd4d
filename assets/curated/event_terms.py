"""The hierarchy of adverse-event terms as it occurs: what the sites delivered, completed from the file of terms."""

import dataframely as dy
import polars as pl

from assets.adverse_events import AdverseEvent
from assets.curated.adverse_events import ABOVE
from assets.reference import TERMS
from lakehouse.curated import Curated, Through

LEVELS = ["aesoc", "aehlgt", "aehlt", "aedecod"]


class EventTerm(dy.Schema):
    """One preferred term and the classes above it, as events of known subjects have them."""

    aesoc = dy.String(nullable=True, description="Primary system organ class (SDTM AESOC).")
    aehlgt = dy.String(nullable=True, description="High level group term (SDTM AEHLGT).")
    aehlt = dy.String(nullable=True, description="High level term (SDTM AEHLT).")
    aedecod = AdverseEvent.aedecod
    lower_terms = dy.Int64(description="Lowest level terms that were coded to it (SDTM AELLT).")
    records = dy.Int64(description="Records of events with it: one for each look at an event.")
    events = dy.Int64(description="Events with it, by AESPID; a record without one is an event.")
    subjects = dy.Int64(description="Subjects who had one.")


def event_terms(events: pl.LazyFrame) -> pl.LazyFrame:
    """Each path from system organ class to preferred term that occurs, with how often."""
    event = pl.struct("usubjid", "aespid", seq=pl.when(pl.col("aespid").is_null()).then("aeseq"))
    return (
        events.group_by(LEVELS)
        .agg(
            lower_terms=pl.col("aellt").drop_nulls().n_unique().cast(pl.Int64),
            records=pl.len().cast(pl.Int64),
            events=event.n_unique().cast(pl.Int64),
            subjects=pl.col("usubjid").n_unique().cast(pl.Int64),
        )
        .select(EventTerm.column_names())
    )


def several_classes(terms: pl.LazyFrame, _: pl.LazyFrame) -> pl.LazyFrame:
    """A preferred term has one system organ class, and one path to it."""
    return terms.drop_nulls("aedecod").group_by("aedecod").len().filter(pl.col("len") > 1)


def without_class(terms: pl.LazyFrame, _: pl.LazyFrame) -> pl.LazyFrame:
    """Every coded event has its system organ class."""
    return terms.filter(pl.col("aedecod").is_not_null() & pl.col("aesoc").is_null())


def as_listed(terms: pl.LazyFrame, _: pl.LazyFrame) -> pl.LazyFrame:
    """A preferred term that the file of terms has stands where the file has it."""
    listed = TERMS.rows().select("aedecod", *ABOVE).unique()
    return terms.join(listed.select("aedecod"), on="aedecod", how="semi").join(
        listed, on=["aedecod", *ABOVE], how="anti"
    )


EVENT_TERMS = Curated(
    name="event_terms",
    description="The hierarchy of adverse-event terms that occur, with counts. Blinded.",
    owner="team:clinical-data",
    contract=EventTerm,
    key=tuple(LEVELS),
    inputs=("curated/adverse_events",),
    transform=event_terms,
    checks={"one_class_per_term": several_classes, "coded_to_a_class": without_class, "as_listed": as_listed},
    through=Through(
        "curated.adverse_events",
        " and ".join(f"behind.{level} is not distinct from this.{level}" for level in LEVELS),
    ),
)
