"""What waits in the systems that feeds pull from, for `lakehouse status` and `lakehouse run`."""

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from lakehouse.clock import Clock
from lakehouse.feeds import Lag, pulling
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import Source

SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(),
    "system": pl.String(),
    "kind": pl.String(),
    "events": pl.Int64(),
    "bytes": pl.Int64(),
    "seconds": pl.Float64(),
    "state": pl.String(),
}


def lags(settings: Settings, sources: Sequence[Source], *, now: bool = False) -> dict[str, Lag | None]:
    """By source with a feed, what waits in its system; None where nobody has said where the system is.

    now: ask even those that are left alone because they failed.
    """
    urls = {source.name: settings.system(source.feed.system) for source in sources if source.feed}
    asked = {source.name: (source, url) for source in sources if (url := urls.get(source.name))}
    found = pulling.lags(Lake(settings.lake_uri), settings.landing, asked, now=now)
    return {name: found.get(name) for name in urls}


def before_a_run(
    sources: Sequence[Source], found: dict[str, Lag | None], days: Collection[date], clock: Clock
) -> tuple[list[str], list[tuple[str, str]]]:
    """The sources whose systems a run for some `days` is to ask, and what is to be told of systems, by source."""
    waiting, told = [], []
    for source in sources:
        if lag := found.get(source.name):
            past = pulling.unasked(source, days, clock)
            told += [(source.name, why) for why in (lag.trouble, past) if why]
            if lag.any or days:
                waiting.append(source.name)
    return waiting, told


def unset(source: Source, found: dict[str, Lag | None]) -> str | None:
    """What to set, for a source whose system nobody has said the place of; None for others."""
    if source.feed is None or found[source.name] is not None:
        return None
    return f"not connected: set LAKEHOUSE_SYSTEM_{source.feed.system.upper()}"


def shown(sources: Sequence[Source], found: dict[str, Lag | None]) -> pl.DataFrame:
    """A row for each source with a feed: what waits in its system, and whether that answers."""
    rows = []
    for source in sources:
        if source.feed:
            lag = found[source.name]
            told = lag or Lag()
            waits = "about this much waits" if told.about else "new data waits"
            waits = "at least this much waits" if told.more else waits
            state = unset(source, found) or told.trouble or (waits if told.any else "nothing new")
            seconds = None if told.seconds is None else round(told.seconds, 1)
            rows.append((source.name, source.feed.system, source.feed.kind, told.events, told.bytes, seconds, state))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def beside(account: pl.DataFrame, fed: pl.DataFrame, streams: pl.DataFrame) -> pl.DataFrame:
    """The account of sources, with what waits in the system of each as `system`, null for a source of files, and its
    streams as `streams`, null where it has none.
    """
    system = pl.struct(pl.col("system").alias("name"), pl.exclude("source", "system"))
    judged = streams.group_by("source", maintain_order=True).agg(streams=pl.struct(pl.exclude("source")))
    told = account.join(fed.select("source", system=system), on="source", how="left", maintain_order="left")
    return told.join(judged, on="source", how="left", maintain_order="left")
