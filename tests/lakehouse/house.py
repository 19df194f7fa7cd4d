"""A whole lakehouse of one small source, and what a person does with it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path

import polars as pl
from thermometer import THERMOMETER

from lakehouse import account, ingest, manifest
from lakehouse.clock import Clock
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.source import Source

HEADER = "SENSOR,HOUR,CELSIUS\n"


@dataclass
class House:
    """A landing folder and a lake, and what a person does with them."""

    landing: Path
    lake: Lake
    source: Source = THERMOMETER
    clock: Clock = field(default_factory=lambda: Clock(date(2020, 12, 31)))
    batch_bytes: int = 10**8
    ticks: count = field(default_factory=lambda: count(1))

    def land(self, path: str, body: str | bytes, *, header: str = HEADER) -> Path:
        """Write a file with a time of its own: `header` and a text body, or exactly the bytes given."""
        file = self.landing / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body if isinstance(body, bytes) else (header + body).encode())
        os.utime(file, ns=(next(self.ticks) * 10**9,) * 2)
        return file

    def pending(self) -> ingest.Work:
        """What is left to do."""
        files = listing(self.landing, [self.source]).claimed[self.source.name]
        return ingest.pending(self.lake, self.source, files)

    def run(self) -> Sequence[ingest.Plan]:
        """Ingest whatever has landed."""
        unseen = self.pending().unseen
        return ingest.ingest(self.lake, self.source, self.landing, unseen, self.clock, self.batch_bytes)

    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not self.pending().any

    def read(self, *layers: str) -> dict[str, pl.DataFrame]:
        """The layers (default: all) as readers see them."""
        versions = manifest.versions(self.lake)
        names = {layer: f"{layer}/{self.source.name}" for layer in layers or ingest.LAYERS}
        scans = [self.lake.scan(name, versions[name]) for name in names.values()]
        return dict(zip(names, pl.collect_all(scans), strict=True))

    def table(self, layer: str) -> pl.DataFrame:
        """One layer as readers see it."""
        return self.read(layer)[layer]

    def tables(self) -> dict[str, list[tuple[object, ...]]]:
        """Every layer as readers see it, but for the times of receipt, in an order that compares."""
        layers, times = self.read(), ["_received_at", "_ended_at"]
        return {layer: sorted(rows.drop(times, strict=False).rows(), key=repr) for layer, rows in layers.items()}

    def unbalanced(self) -> pl.DataFrame:
        """Deliveries whose account does not balance."""
        versions = manifest.versions(self.lake)
        return account.recount(self.lake, self.source.name, versions, self.table("account"))
