"""When each subject was active, by their wristbands: readings with steps, close to each other."""

from datetime import timedelta

import dataframely as dy
import polars as pl

from assets.wearable import Reading
from lakehouse.curated import Curated, Through

# Longer without a step, and the next begins another session.
GAP = timedelta(minutes=15)


class ActivitySession(dy.Schema):
    """One time of activity of one subject."""

    usubjid = Reading.usubjid
    began = dy.Datetime(time_unit="us", time_zone="UTC", description="Time of its first reading with steps.")
    ended = dy.Datetime(time_unit="us", time_zone="UTC", description="Time of its last reading with steps.")
    readings = dy.Int64(min=1, description="Readings with steps in it.")
    steps = dy.Int64(min=1, description="Steps in it.")
    mean_heart_rate = dy.Float64(nullable=True, description="Mean of its heart rates, beats per minute.")
    max_heart_rate = dy.Int64(nullable=True, description="Highest of its heart rates, beats per minute.")
    last_received = dy.Datetime(
        time_unit="us", time_zone="UTC", description="When the last of its readings came: it may have changed then."
    )


def activity_sessions(readings: pl.LazyFrame) -> pl.LazyFrame:
    """Readings with steps by subject, in the order they were taken; a gap of more than 15 minutes ends a session.

    Only when a reading was taken decides, never when it came: one that comes late may make a session longer, or two
    one, and the subject's sessions are then what they had been with it in time.
    """
    new = (pl.col("event_time").diff() > GAP).fill_null(True).cum_sum().over("usubjid")
    return (
        readings.filter(pl.col("steps") > 0)
        .sort("usubjid", "event_time")
        .with_columns(session=new)
        .group_by("usubjid", "session")
        .agg(
            began=pl.col("event_time").min(),
            ended=pl.col("event_time").max(),
            readings=pl.len().cast(pl.Int64),
            steps=pl.col("steps").sum(),
            mean_heart_rate=pl.col("heart_rate").mean(),
            max_heart_rate=pl.col("heart_rate").max(),
            last_received=pl.col("received").max(),
        )
        .sort("usubjid", "began")
        .select(ActivitySession.column_names())
    )


ACTIVITY_SESSIONS = Curated(
    name="activity_sessions",
    description="Times of activity of each subject, by their wristbands' readings.",
    owner="team:clinical-data",
    contract=ActivitySession,
    key=("usubjid", "began"),
    by="usubjid",
    inputs=("processed/wearable",),
    transform=activity_sessions,
    warehouse=None,
    through=Through(
        "processed.wearable",
        "behind.usubjid = this.usubjid and behind.steps > 0 and behind.event_time between this.began and this.ended",
    ),
)
