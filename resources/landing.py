"""The landing folder as a Dagster resource, and the clock its files are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse import unpacking
from lakehouse.clock import Clock
from lakehouse.feeds import remote
from lakehouse.lake import Lake
from lakehouse.landing import Landed, Listing, settled
from lakehouse.settings import Settings
from lakehouse.source import Source


@dataclass(frozen=True)
class LandingResource:
    """Reads the landing folder; holds what decides which of its files may be read."""

    settings: Settings

    @property
    def clock(self) -> Clock:
        return Clock(self.settings.as_of)

    def look(self, sources: Sequence[Source], *, wait: bool = False) -> tuple[Listing, unpacking.Unpacked]:
        """Every file, complete or not, once the archives are unpacked, and what became of these.

        wait: for an archive that was written a moment ago.
        """
        return unpacking.look(self.settings.landing, sources, self.settings.settle_seconds, wait=wait)

    def fetch(self, lake: Lake, sources: Sequence[Source], seconds: float = float("inf")) -> remote.Looked | None:
        """Bring what is new in the folder elsewhere; None when nobody has said where that is.

        seconds: no further file is begun after so long.
        """
        url, settings = self.settings.remote, self.settings
        if url is None:
            return None
        return remote.look(
            url.get_secret_value(), lake, settings.landing, sources, settings.settle_seconds, seconds=seconds
        )

    def settled(self, source: Source) -> list[Landed]:
        """A source's complete files; waits for one that was written a moment ago, but not for one still growing."""
        return settled(self.settings.landing, source, self.settle_seconds(source))

    def settle_seconds(self, source: Source) -> float:
        """How long a file must have been left alone; what a feed lands is there whole or not at all."""
        return 0.0 if source.feed else self.settings.settle_seconds

    def url(self, source: Source) -> str | None:
        """Where the system is that the source's feed pulls from; None when nobody has set it, or it has no feed."""
        return self.settings.system(source.feed.system) if source.feed else None
