"""The delivery days as Dagster partitions, and which of them a run asks for."""

from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from lakehouse.clock import Clock
from lakehouse.source import Source


def delivery_days(sources: Sequence[Source], clock: Clock) -> dg.DailyPartitionsDefinition:
    """One partition for each day a delivery may be dated, from the earliest source's first day to the clock's last.

    A live study's last day is tomorrow in UTC, because sites ahead of UTC already write that date.
    """
    first = min((source.first_day for source in sources), default=clock.today)
    if clock.as_of:
        return dg.DailyPartitionsDefinition(first.isoformat(), end_date=(clock.as_of + timedelta(days=1)).isoformat())
    # Dagster ends at the last whole day (yesterday); today and tomorrow are two more.
    return dg.DailyPartitionsDefinition(first.isoformat(), end_offset=2)


def asked_days(context: dg.AssetExecutionContext) -> set[date] | None:
    """The days a run was asked for; None for a run that takes whatever is pending."""
    if not (context.has_partition_key or context.has_partition_key_range):
        return None
    return {date.fromisoformat(key) for key in context.partition_keys}
