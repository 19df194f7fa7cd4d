"""What each site delivered on each day, over every source that sites deliver."""

import dataframely as dy
import polars as pl

from lakehouse.curated import Curated, Through

SOURCES = ("subjects", "visits", "vitals", "labs", "adverse_events", "exposure", "disposition")


class SiteActivity(dy.Schema):
    """One site on one delivery day; lines = accepted + quarantined + superseded."""

    siteid = dy.String(description="Delivering site, from the file's path.")
    day = dy.Date(description="Delivery day, from the file's path.")
    files = dy.Int64(min=0, description="Files delivered, each path once however often it was corrected.")
    lines = dy.Int64(min=0, description="Data records in them, of every version delivered.")
    accepted = dy.Int64(min=0, description="Records that are rows of processed now.")
    quarantined = dy.Int64(min=0, description="Records that are in quarantine now.")
    superseded = dy.Int64(min=0, description="Records that a later delivery or line has taken the place of.")
    subjects_seen = dy.Int64(min=0, description="Distinct subjects with an accepted record, over every source.")
    days_since_last = dy.Int64(
        nullable=True, min=1, description="Days since the site's delivery day before this one; null on its first."
    )
    expected_by = dy.Date(
        nullable=True,
        description="On the site's last day: the day by which the first of its sources is due again; null before.",
    )
    silent_after = dy.Date(
        nullable=True, description="On the site's last day: the day after which all of its sources are silent."
    )


def site_activity(account: pl.LazyFrame, arrivals: pl.LazyFrame, *processed: pl.LazyFrame) -> pl.LazyFrame:
    """Deliveries, records and subjects counted by site and delivery day; files without a valid day have none.

    processed: rows of every source about subjects, of which only the subject is counted.
    """
    place = (pl.col("_site").alias("siteid"), pl.col("_delivered").alias("day"))
    seen = (
        pl.concat([rows.select("usubjid", *place) for rows in processed])
        .group_by("siteid", "day")
        .agg(subjects_seen=pl.col("usubjid").n_unique().cast(pl.Int64))
    )
    delivered = (
        account.filter(pl.col("_delivered").is_not_null(), pl.col("source").is_in(SOURCES))
        .group_by(*place)
        .agg(
            pl.col("accepted", "quarantined", "superseded").sum(),
            files=pl.col("_file").n_unique().cast(pl.Int64),
            lines=pl.col("records").sum(),
        )
    )
    due = (
        arrivals.filter(pl.col("source").is_in(SOURCES))
        .group_by(siteid="_site")
        .agg(pl.col("expected_by").min(), pl.col("silent_after").max(), day=pl.col("last_day").max())
    )
    return (
        delivered.join(seen, on=["siteid", "day"], how="left")
        .join(due, on=["siteid", "day"], how="left")
        .sort("siteid", "day")
        .with_columns(
            pl.col("subjects_seen").fill_null(0),
            days_since_last=pl.col("day").diff().over("siteid").dt.total_days(),
        )
        .select(SiteActivity.column_names())
    )


SITE_ACTIVITY = Curated(
    name="site_activity",
    description="Files, records and subjects by site and delivery day.",
    owner="team:clinical-data",
    contract=SiteActivity,
    key=("siteid", "day"),
    by="siteid",
    by_in_inputs="_site",
    inputs=("account", "quality/arrivals", *(f"processed/{name}" for name in SOURCES)),
    transform=site_activity,
    through=Through("quality.deliveries", "behind._site = this.siteid and behind._delivered = this.day"),
)
