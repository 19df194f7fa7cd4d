"""From a system into raw, processed and quarantine: what benches of feeds share."""

import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl

from lakehouse import ingest, manifest
from lakehouse.clock import Clock
from lakehouse.feeds import pulling
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.settings import Settings
from lakehouse.source import Source


@dataclass
class Fed:
    """A lake of one source with a feed, in `folder`; `url` is its system's."""

    source: Source
    url: str
    folder: Path
    clock: Clock = field(default_factory=lambda: Clock(date.today()))

    def __post_init__(self) -> None:
        self.landing = self.folder / "landing"
        self.landing.mkdir(parents=True)
        self.lake = Lake(str(self.folder / "lake"))

    def bring(self, most_bytes: int = Settings().batch_bytes) -> dict[str, float]:
        """Pull what is new and ingest it, as a run of the lakehouse does; seconds and work (CPU) of both."""
        begun, worked = time.perf_counter(), time.process_time()
        told = pulling.pull(self.lake, self.source, self.landing, self.url, self.clock, most_bytes)
        assert not told.trouble, told.trouble
        pulled, pulling_work = time.perf_counter() - begun, time.process_time() - worked
        files = listing(self.landing, [self.source]).claimed[self.source.name]
        unseen = ingest.pending(self.lake, self.source, files).unseen
        ingest.ingest(self.lake, self.source, self.landing, unseen, self.clock, most_bytes)
        whole = time.perf_counter() - begun
        return {
            "extracts": told.extracts,
            "bytes": told.bytes,
            "pull": pulled,
            "pull_work": pulling_work,
            "seconds": whole,
            "work": time.process_time() - worked,
        }

    def rows(self, layer: str) -> int:
        """How many rows readers see in a layer."""
        name = f"{layer}/{self.source.name}"
        version = manifest.versions(self.lake).get(name)
        return 0 if version is None else int(self.lake.scan(name, version).select(pl.len()).collect().item())


def told(name: str, count: int, figures: dict[str, float]) -> str:
    """A line on a bringing of `count` records."""
    rest = figures["seconds"] - figures["pull"]
    return (
        f"{name}: pulled {count / figures['pull']:,.0f} a second, ingested {count / rest:,.0f}, both one after the "
        f"other {count / figures['seconds']:,.0f} ({count / figures['work']:,.0f} a second of this process's work)"
    )
