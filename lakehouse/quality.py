"""The tables every lakehouse has about itself: what was delivered, what is due, and what was rejected by which rule."""

import dataframely as dy
import polars as pl

from lakehouse.arrivals import arrivals
from lakehouse.curated import Curated

_OWNER = "team:platform"


class Delivery(dy.Schema):
    """One row per delivery of every source."""

    source = dy.String(description="Name of the source.")
    file = dy.String(alias="_file", description="Path of the delivery below the landing folder.")
    checksum = dy.String(alias="_checksum", description="SHA-256 of the delivered bytes.")
    observation = dy.Int64(alias="_observation", description="Which version of the path this is, from 1.")
    delivered = dy.Date(
        alias="_delivered", nullable=True, description="Delivery day; null when its file has no valid one."
    )
    site = dy.String(alias="_site", description="Delivering site.")
    received_at = dy.Datetime(
        alias="_received_at", time_unit="us", time_zone="UTC", description="When the lakehouse first saw it (UTC)."
    )
    size = dy.Int64(alias="bytes", description="Size as delivered, in bytes.")
    records = dy.Int64(description="Data records in the file.")
    accepted = dy.Int64(description="Records that are rows of processed now.")
    quarantined = dy.Int64(description="Records that are in quarantine now.")
    superseded = dy.Int64(description="Records that a later delivery or line has taken the place of.")
    state = dy.String(
        description="in effect, replaced (its path was delivered again) or rejected (nothing usable in it)."
    )
    reason = dy.String(nullable=True, description="Why the whole file was refused, in words for the site.")


class Arrival(dy.Schema):
    """When each site last delivered each source, and by when more is due. Compare the days with today, or with `as_of`
    where that is set."""

    source = dy.String(description="Name of the source.")
    site = dy.String(alias="_site", description="Delivering site.")
    first_day = dy.Date(description="First delivery day.")
    last_day = dy.Date(description="Last delivery day.")
    delivery_days = dy.Int64(description="Days with a delivery.")
    cadence_days = dy.Int64(
        description="Days between deliveries, as the source declares them or else the median of the site's own gaps."
    )
    expected_by = dy.Date(description="Day after which the site is late.")
    silent_after = dy.Date(description="Day after which the site is silent.")
    as_of = dy.Date(nullable=True, description="Day this lakehouse's clock was set to; null while it runs.")


class Rejection(dy.Schema):
    """Quarantined lines counted by source, site, day and rule: no values, so it may be read by anyone."""

    source = dy.String(description="Name of the source.")
    site = dy.String(alias="_site", description="Delivering site.")
    delivered = dy.Date(
        alias="_delivered", nullable=True, description="Delivery day; null when its file has no valid one."
    )
    rule = dy.String(description="Name of the broken rule.")
    lines = dy.Int64(description="Lines that break it; a file refused whole without readable records counts as none.")
    files = dy.Int64(description="Files they are in.")


def rejections(quarantine: pl.LazyFrame) -> pl.LazyFrame:
    """Quarantined lines of every source, counted by source, site, day and rule."""
    return (
        quarantine.explode("reasons")
        .group_by("source", "_site", "_delivered", rule="reasons")
        .agg(
            lines=(pl.col("_line") > 0).sum().cast(pl.Int64),
            files=pl.struct("_file", "_checksum").n_unique().cast(pl.Int64),
        )
    )


DELIVERIES = Curated(
    name="deliveries",
    layer="quality",
    description="The account: what became of every record of every delivery.",
    owner=_OWNER,
    contract=Delivery,
    key=("source", "_file", "_checksum", "_observation"),
    inputs=("account",),
    transform=lambda account: account,
)

REJECTIONS = Curated(
    name="rejections",
    layer="quality",
    description="Quarantined lines by source, site, day and rule.",
    owner=_OWNER,
    contract=Rejection,
    key=("source", "_site", "_delivered", "rule"),
    inputs=("quarantine",),
    transform=rejections,
)

ARRIVALS = Curated(
    name="arrivals",
    layer="quality",
    description="When each site last delivered each source, and by when more is due.",
    owner=_OWNER,
    contract=Arrival,
    key=("source", "_site"),
    inputs=("account", "expectations"),
    transform=arrivals,
)

QUALITY = (DELIVERIES, REJECTIONS, ARRIVALS)
