"""The tables every lakehouse has about itself: what was delivered, what is due, and what was rejected by which rule."""

import dataframely as dy
import polars as pl

from lakehouse.arrivals import arrivals
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
    """Lines that break a rule, counted by source, site, day and rule: no values, so it may be read by anyone."""

    source = dy.String(description="Name of the source.")
    site = dy.String(alias="_site", description="Delivering site.")
    delivered = dy.Date(
        alias="_delivered", nullable=True, description="Delivery day; null when its file has no valid one."
    )
    rule = dy.String(description="Name of the broken rule.")
    severity = dy.String(
        description="reject (the line is quarantined), file (its whole file is), block (it is, and curated tables wait "
        "for a person) or warn (the line is kept and flagged)."
    )
    lines = dy.Int64(description="Lines that break it; a file refused whole without readable records counts as none.")
    files = dy.Int64(description="Files they are in.")


def rejections(quarantine: pl.LazyFrame, warnings: pl.LazyFrame, rules: pl.LazyFrame) -> pl.LazyFrame:
    """Quarantined and flagged lines of every source, counted by source, site, day and rule.

    warnings: flagged rows of processed. rules: what the sources declare of theirs; a rule that is not there quarantines
    the line, or the file where its name says so.
    """
    columns = ["source", "_site", "_delivered", "_file", "_checksum", "_line"]
    flagged = warnings.select(*columns, pl.col("_warnings").str.split(" ").alias("reasons"))
    severity = pl.when(pl.col("rule").str.starts_with("file:")).then(pl.lit("file")).otherwise(pl.lit("reject"))
    return (
        pl.concat([quarantine.select(*columns, "reasons"), flagged])
        .explode("reasons")
        .rename({"reasons": "rule"})
        .join(rules, on=["source", "rule"], how="left")
        .group_by("source", "_site", "_delivered", "rule", severity=pl.coalesce("severity", severity))
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
    by="_file",
    inputs=("account",),
    transform=lambda account: account.drop("sound"),
)

REJECTIONS = Curated(
    name="rejections",
    layer="quality",
    description="Lines that break a rule, by source, site, day and rule.",
    owner=_OWNER,
    contract=Rejection,
    key=("source", "_site", "_delivered", "rule"),
    by="_site",
    inputs=("quarantine", "warnings", "rules"),
    transform=rejections,
    through=Through(
        "quality.deliveries",
        "behind.source = this.source and behind._site = this._site "
        "and behind._delivered is not distinct from this._delivered and behind.quarantined + (behind.reason is not "
        "null)::int > 0",
    ),
)

ARRIVALS = Curated(
    name="arrivals",
    layer="quality",
    description="When each site last delivered each source, and by when more is due.",
    owner=_OWNER,
    contract=Arrival,
    key=("source", "_site"),
    by="_site",
    inputs=("account", "expectations"),
    transform=arrivals,
    through=Through("quality.deliveries", "behind.source = this.source and behind._site = this._site"),
)

QUALITY = (DELIVERIES, REJECTIONS, ARRIVALS)
