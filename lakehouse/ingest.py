"""From the landing folder to raw, processed, quarantine and the account, exactly once.

A batch goes through the source's tables in a fixed order, each in one commit that names the ledger row it reaches; the
manifest comes last. The raw table is the gate: the first commit to it fixes where the batch ends, and an attempt that
finds a table neither where the batch starts nor where it ends gives up. So a crash at any moment leaves tables that the
next attempt completes, and a late attempt of an earlier run changes nothing.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from lakehouse import account, ledger, manifest
from lakehouse.clock import Clock
from lakehouse.contract import PROVENANCE
from lakehouse.errors import SupersededError
from lakehouse.evaluate import QUARANTINE, Judged, judge, processed_schema
from lakehouse.lake import Lake
from lakehouse.landing import Landed
from lakehouse.plan import Base, Plan, plan
from lakehouse.records import Delivery, schema
from lakehouse.source import Source
from lakehouse.winners import superseded_schema

LAYERS = ("raw", "processed", "quarantine", "superseded", "account")


@dataclass(frozen=True)
class Work:
    """Where ingestion stands: what the ledger knows, what landed, and what is left to do for one source."""

    unseen: list[Landed]
    unfinished: bool

    @property
    def any(self) -> bool:
        return bool(self.unseen) or self.unfinished


def tables(source: Source) -> dict[str, str]:
    """The source's tables by layer, in the order they are committed."""
    return {layer: f"{layer}/{source.name}" for layer in LAYERS}


def schemas(source: Source) -> dict[str, dict[str, pl.DataType]]:
    """The schema of each of the source's tables, by layer."""
    processed = processed_schema(source)
    return {
        "raw": schema(source.header),
        "processed": processed,
        "quarantine": QUARANTINE,
        "superseded": superseded_schema(processed, source.key),
        "account": account.SCHEMA,
    }


def pending(lake: Lake, source: Source, files: list[Landed], days: Collection[date] | None = None) -> Work:
    """What is left to do: landed files not on record (of `days`, when given), and recorded ones not in the tables."""
    on_record = ledger.read(lake, source)
    state = manifest.states(lake).get(source.name, manifest.State(source.name))
    unseen = ledger.unseen(files, ledger.latest(on_record))
    if days is not None:
        unseen = [file for file in unseen if file.delivered in days]
    unfinished = on_record.filter(~pl.col("seen_again") & (pl.col("seq") > state.seq))
    return Work(unseen, not unfinished.is_empty())


def ingest(
    lake: Lake,
    source: Source,
    landing: Path,
    files: list[Landed],
    clock: Clock,
    batch_bytes: int,
    progress: Callable[[int], None] | None = None,
) -> list[Plan]:
    """Put `files` on record, then bring the source's tables up to the ledger; what each batch did.

    files: landed files that may hold something new, see `pending`. Running it again completes what a crash left.
    Raises SupersededError when another run is doing this work, UnavailableError when the lake fails.
    """
    fresh = ledger.register(lake, source, landing, files, clock, batch_bytes, progress)
    return list(_catch_up(lake, source, fresh, batch_bytes))


def _catch_up(lake: Lake, source: Source, fresh: dict[str, bytes], batch_bytes: int) -> Iterator[Plan]:
    on_record = ledger.read(lake, source)
    for layer, columns in schemas(source).items():
        lake.create(tables(source)[layer], columns)
    while True:
        state = manifest.states(lake).get(source.name, manifest.State(source.name))
        waiting = on_record.filter(pl.col("seq") > state.seq)
        if waiting.filter(~pl.col("seen_again")).is_empty():
            return
        gate = lake.open(tables(source)["raw"])
        assert gate is not None
        begun = gate.transaction_version("ledger") or 0
        end = begun if begun > state.seq else _batch_end(waiting, batch_bytes)
        batch = waiting.filter(pl.col("seq") <= end, ~pl.col("seen_again"))
        yield _advance(lake, source, state, batch, end, fresh)


def _batch_end(waiting: pl.DataFrame, batch_bytes: int) -> int:
    """The last ledger row of the next batch: as many as fit, at least one."""
    size = pl.when("seen_again").then(0).otherwise("bytes").cum_sum()
    first = (~pl.col("seen_again")).cum_sum() <= 1
    fitting = waiting.filter((size <= batch_bytes) | first)
    return int(fitting["seq"].max())  # type: ignore[arg-type]


def _advance(
    lake: Lake, source: Source, state: manifest.State, batch: pl.DataFrame, end: int, fresh: dict[str, bytes]
) -> Plan:
    """One batch: the ledger rows after `state` up to `end` into every table, then the manifest."""

    def evaluate(rows: pl.DataFrame) -> Judged:
        return judge(source, [_delivery(lake, row, fresh) for row in rows.iter_rows(named=True)])

    names = tables(source)
    base = Base(lake, source, {layer: state.version(name) for layer, name in names.items()}, schemas(source))
    done = plan(base, batch, evaluate(batch), evaluate)
    reached = {}
    for layer, change in done.changes.items():
        delta = lake.open(names[layer])
        assert delta is not None
        at = delta.transaction_version("ledger") or 0
        if at == end:
            reached[names[layer]] = delta.version()
            continue
        if at != state.seq:
            raise SupersededError(f"another run is ingesting {source.name}; it goes on from here")
        reached[names[layer]] = lake.commit(delta, change, "ledger", end)
    manifest.record(lake, manifest.State(source.name, end, reached, {names["raw"]: end}, source.contract_version))
    return done


def _delivery(lake: Lake, row: dict[str, object], fresh: dict[str, bytes]) -> Delivery:
    checksum = str(row["_checksum"])
    data = fresh.get(checksum)
    refusal = row["refusal"]
    return Delivery(
        {name: row[name] for name in PROVENANCE if name != "_line"},
        lake.kept(checksum) if data is None else data,
        str(refusal) if refusal is not None else None,
    )
