"""Readings of the subjects' wristbands: heart rate and steps, from a stream of the devices' vendor.

A wristband counts its readings, and one that it is not sure to have sent it sends again with the same count. So a
reading is told by its device and count, not by where the stream has it: what was sent twice is one row.
"""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.cdisc import STUDY_BEGAN
from lakehouse.contract import Contract
from lakehouse.feeds.kafka import KafkaTopic
from lakehouse.formats.messages import Messages
from lakehouse.source import Source

# A wristband's clock is set by the phone it talks to, and may be a little ahead of the broker's.
_AHEAD = timedelta(minutes=1)
_WHOLE = r"^[0-9]{1,15}$"


class Reading(Contract):
    """One reading of one wristband, over the time since the one before."""

    usubjid = dy.String(description="Unique subject identifier of who wears the device (SDTM USUBJID).")
    device = dy.String(description="Serial number of the wristband.")
    reading = dy.Int64(min=0, description="Count of the reading, by its device.")
    event_time = dy.Datetime(time_unit="us", time_zone="UTC", description="When it was taken, by the device's clock.")
    received = dy.Datetime(
        time_unit="us", time_zone="UTC", description="When the stream got it, by the broker's clock."
    )
    heart_rate = dy.Int64(nullable=True, description="Beats per minute; null when the device found no pulse.")
    steps = dy.Int64(description="Steps since the reading before.")

    @dy.rule()
    def heart_rate_plausible(cls) -> pl.Expr:
        """The heart rate is from 20 to 250 beats per minute."""
        return pl.col("heart_rate").is_between(20, 250).fill_null(True)

    @dy.rule()
    def steps_plausible(cls) -> pl.Expr:
        """Steps are from 0 to 20,000 in one reading."""
        return pl.col("steps").is_between(0, 20_000)

    @dy.rule()
    def taken_before_receipt(cls) -> pl.Expr:
        """The reading was taken no later than the stream got it; a minute of the clocks' difference is let pass."""
        return pl.col("event_time") <= pl.col("received") + _AHEAD

    @dy.rule()
    def taken_in_study(cls) -> pl.Expr:
        """The reading was not taken before 2012, when the study began."""
        return pl.col("event_time").dt.date() >= STUDY_BEGAN


def _whole(name: str) -> pl.Expr:
    """A whole number; -1 where there is a text that is none, which the contract refuses."""
    text = pl.col(name)
    return (
        pl.when(text.str.contains(_WHOLE))
        .then(text)
        .cast(pl.Int64, strict=False)
        .fill_null(pl.when(text.is_not_null()).then(-1))
    )


def _moment(name: str) -> pl.Expr:
    """A moment with its offset from UTC; null for any other text."""
    return pl.col(name).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)


def tidy(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Readings with their numbers and moments."""
    return raw.with_columns(
        reading=_whole("reading_id"),
        event_time=_moment("event_time"),
        received=_moment("kafka_timestamp"),
        heart_rate=_whole("heart_rate"),
        steps=_whole("steps"),
    ).select(Reading.column_names())


WEARABLE = Source(
    name="wearable",
    description="Heart rate and steps of the subjects, as their wristbands send them.",
    owner="team:clinical-data",
    contract=Reading,
    tidy=tidy,
    key=("device", "reading"),
    columns=("kafka_topic", "kafka_partition", "kafka_offset", "kafka_timestamp"),
    # By message: one that lacks a member is refused alone, not with all that came with it.
    optional=("usubjid", "device", "reading_id", "event_time", "heart_rate", "steps"),
    path="{site}/{name}/{day}_{part}.parquet",
    dialect=Messages(),
    feed=KafkaTopic(system="wearables", topic="wearable.readings"),
    first_day=STUDY_BEGAN,
    after_landing="delete",
    publish=False,
)
