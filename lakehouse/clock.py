"""The one clock: what day it is for this lakehouse, which an ended study sets by hand."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta


@dataclass(frozen=True)
class Clock:
    """Tells the day that freshness, lateness and the end of the partitions are judged by."""

    as_of: date | None = None

    @property
    def today(self) -> date:
        """The set day, or today in UTC."""
        return self.as_of or datetime.now(UTC).date()

    @property
    def last_day(self) -> date:
        """The last day a delivery may be dated: tomorrow (sites ahead of UTC write it already) or the set day."""
        return self.as_of or self.today + timedelta(days=1)
