"""The tables every lakehouse has about itself: what was delivered, and what was rejected by which rule."""

import dataframely as dy
import polars as pl

from lakehouse.curated import Curated, Through

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
        description="in effect, replaced (its path was delivered again), withdrawn, or rejected (nothing usable in it)."
    )
    reason = dy.String(nullable=True, description="Why the whole file was refused, in words for the site.")


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
    transform=lambda account: account.drop("sound"),
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
    through=Through(
        "quality.deliveries",
        "behind.source = this.source and behind._site = this._site "
        "and behind._delivered is not distinct from this._delivered and behind.quarantined + (behind.reason is not "
        "null)::int > 0",
    ),
)

QUALITY = (DELIVERIES, REJECTIONS)
