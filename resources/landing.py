"""The landing folder as a Dagster resource, and the clock its files are judged by."""

from dataclasses import dataclass

from lakehouse.clock import Clock
from lakehouse.landing import Landed, Listing, listing, settled
from lakehouse.settings import Settings
from lakehouse.source import Source


@dataclass(frozen=True)
class LandingResource:
    """Reads the landing folder; holds what decides which of its files may be read."""

    settings: Settings

    @property
    def clock(self) -> Clock:
        return Clock(self.settings.as_of)

    def listing(self, sources: list[Source]) -> Listing:
        """Every file, complete or not."""
        return listing(self.settings.landing, sources)

    def settled(self, source: Source) -> list[Landed]:
        """A source's complete files; waits for one that was written a moment ago, but not for one still growing."""
        return settled(self.settings.landing, source, self.settle_seconds(source))

    def settle_seconds(self, source: Source) -> float:
        """How long a file must have been left alone; what a feed lands is there whole or not at all."""
        return 0.0 if source.feed else self.settings.settle_seconds

    def url(self, source: Source) -> str | None:
        """Where the system is that the source's feed pulls from; None when nobody has set it, or it has no feed."""
        return self.settings.system(source.feed.system) if source.feed else None
