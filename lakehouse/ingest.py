"""From the landing folder to raw, processed, quarantine and the account, exactly once.

A batch goes through the source's tables in a fixed order, each in one commit that names the ledger row it reaches; the
manifest comes last. The raw table is the gate: the first commit to it fixes where the batch ends, and an attempt that
finds a table neither where the batch starts nor where it ends gives up. So a crash at any moment leaves tables that the
next attempt completes, and a late attempt of an earlier run changes nothing.

A rebuild is a row of the ledger like any other: its first batch replaces what the tables hold, the others add to that,
and readers see none of it before the last. A delivery too large for one batch goes the same way.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from lakehouse import account, ledger, manifest
from lakehouse.batch import PARTS, Intake, Step, next_step
from lakehouse.clock import Clock
from lakehouse.errors import SupersededError
from lakehouse.evaluate import QUARANTINE, processed_schema
from lakehouse.files import discard
from lakehouse.lake import Change, Lake, made_by
from lakehouse.landing import Landed
from lakehouse.plan import Base, Plan, plan
from lakehouse.records import schema
from lakehouse.rewriting import rewritten
from lakehouse.source import Source
from lakehouse.straight import LAYERS_OF_RECORDS, NotPlainError, straight
from lakehouse.winners import superseded_schema

_ATTEMPTS = 5
_WHY = "the contract changed to {}"
# What of the ledger tells which files are new and whether rows wait.
_POSITIONS = ("seq", "act", "_file", "bytes", "part_bytes", "mtime_ns")
LAYERS = (*LAYERS_OF_RECORDS, "account")


@dataclass(frozen=True)
class Work:
    """What is left to do for one source: files to put on record, whether recorded ones wait, and whether all is to be
    judged anew because the contract has changed.
    """

    unseen: list[Landed]
    unfinished: bool
    anew: bool = False

    @property
    def any(self) -> bool:
        return bool(self.unseen) or self.unfinished or self.anew


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
    on_record = ledger.read(lake, source, _POSITIONS)
    unseen = ledger.unseen(files, on_record)
    if days is not None:
        unseen = [file for file in unseen if file.delivered in days]
    reached = _reached(lake, source)
    unfinished = next_step(on_record, reached, 0) is not None
    return Work(unseen, unfinished, _outdated(lake, source, reached))


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

    files: landed files that may hold something new, see `pending`. Running it again completes what a crash left. When
    the source's contract has changed, every delivery on record is judged anew.
    Raises SupersededError when another run is doing this work, UnavailableError when the lake fails.
    """
    begun = _reached(lake, source)
    for layer, columns in schemas(source).items():
        if lake.open(tables(source)[layer]) is None:
            lake.create(tables(source)[layer], columns)
    if _outdated(lake, source, begun):
        ledger.register(lake, source, landing, files, clock, batch_bytes, progress)
        ledger.rebuild(lake, source, "lakehouse", _WHY.format(source.contract_version), batch_bytes)
        return list(_catch_up(lake, source, begun, Intake(lake, source), batch_bytes))
    done: list[Plan] = []
    # A batch at a time, so that what was read to be kept need not be read again.
    for some in list(ledger.groups(files, batch_bytes)) or [[]]:
        with closing(Intake(lake, source)) as intake:
            intake.held = ledger.register(
                lake, source, landing, some, clock, batch_bytes, progress, checksum=intake.checksum
            )
            done += _catch_up(lake, source, begun, intake, batch_bytes)
    return done


def _reached(lake: Lake, source: Source) -> manifest.State:
    """How far the tables are: what readers see, or the rebuild under way that will take its place."""
    states = manifest.states(lake)
    found = [states.get(f"{group}{source.name}") for group in ("", manifest.UNFINISHED)]
    return max((state for state in found if state), key=lambda state: state.seq, default=manifest.State(source.name))


def _outdated(lake: Lake, source: Source, reached: manifest.State) -> bool:
    """Whether tables were made by another contract, and no rebuild that is still to begin will make them anew."""
    if reached.seq == 0 or reached.code == source.contract_version:
        return False
    begun = -(-reached.seq // PARTS)
    orders = ledger.scan(lake, source).filter(pl.col("seq") > begun, pl.col("act") == ledger.REBUILD)
    return bool(orders.select(pl.len() == 0).collect().item())


def _waiting(lake: Lake, source: Source, reached: manifest.State) -> pl.DataFrame:
    """The ledger rows that the tables are still to reflect, in order: those after `reached`, or, when the tables are to
    be made anew, all of them.
    """
    later = ledger.scan(lake, source).filter(pl.col("seq") > reached.seq // PARTS).sort("seq").collect()
    return ledger.read(lake, source) if (later["act"] == ledger.REBUILD).any() else later


def _catch_up(lake: Lake, source: Source, since: manifest.State, intake: Intake, batch_bytes: int) -> Iterator[Plan]:
    """Batches until the tables are where the ledger is. since: where they were some time ago."""
    on_record = _waiting(lake, source, since)
    while True:
        reached = _reached(lake, source)
        gate = lake.open(tables(source)["raw"])
        assert gate is not None
        begun = gate.transaction_version("ledger") or 0
        if begun > max(ledger.last_seq(on_record), reached.seq // PARTS) * PARTS:
            # Another run put more on record meanwhile and began it: a batch cut from what we read would lack its end.
            on_record = _waiting(lake, source, reached)
        step = next_step(on_record, reached, batch_bytes // source.expands, begun)
        if step is None:
            return
        if begun > max(step.begin, (step.goal - 1) * PARTS) and not made_by(gate, "ledger", source.contract_version):
            # An attempt that was cut short judged this batch by another contract.
            ledger.rebuild(lake, source, "lakehouse", _WHY.format(source.contract_version), batch_bytes)
            on_record = _waiting(lake, source, reached)
            continue
        yield _advance(lake, source, reached, step, intake, batch_bytes)


def _advance(lake: Lake, source: Source, reached: manifest.State, step: Step, intake: Intake, batch_bytes: int) -> Plan:
    """One batch into every table, then the manifest."""
    names = tables(source)
    versions = {layer: None if step.anew else reached.version(name) for layer, name in names.items()}
    base = Base(lake, source, versions, schemas(source))
    changes, done, rest = _work_out(base, step, intake, batch_bytes)
    end = step.end(rest)
    new = {names[layer]: _commit(lake, source, names[layer], change, step, end) for layer, change in changes.items()}
    group = source.name if rest is None else f"{manifest.UNFINISHED}{source.name}"
    manifest.record(lake, manifest.State(group, end, new, rest, source.contract_version))
    return done


def _work_out(
    base: Base, step: Step, intake: Intake, batch_bytes: int
) -> tuple[dict[str, Change], Plan, dict[str, int] | None]:
    """What a batch changes, by layer, what it comes to, and where the next one goes on towards the same goal."""
    if intake.straight(step):
        with suppress(NotPlainError):
            return *straight(base, step, intake), None
    rows, judged, rest = intake.take(step)
    changes, done = plan(base, rows, judged, lambda deliveries, wanted: intake.again(deliveries, wanted, batch_bytes))
    return changes, done, rest


def _commit(lake: Lake, source: Source, table: str, change: Change, step: Step, end: int) -> int:
    """The version at which the table holds the batch; raises SupersededError when it is not where the batch begins."""
    for attempt in range(_ATTEMPTS):
        delta = lake.open(table)
        assert delta is not None
        at = delta.transaction_version("ledger") or 0
        if at == end:
            if not attempt:
                # What an attempt that was cut short has committed is not written a second time.
                discard(lake, table, change.files)
            return delta.version()
        # A rebuild takes nothing from the tables, so it may begin wherever a batch before it was given up.
        if at != step.begin and not (step.anew and at < end):
            break
        put = rewritten(lake, table, delta, change)
        try:
            replace = "true" if step.anew else None
            return lake.commit(delta, put, "ledger", end, replace=replace, by=source.contract_version)
        except SupersededError:
            # Housekeeping may have moved the same rows into other files; an ingestion would have moved the position.
            now = lake.open(table)
            if now is None or (now.transaction_version("ledger") or 0) != at:
                # Perhaps by this very commit, whose answer was lost: the files are left to housekeeping.
                raise
            if put is not change:
                discard(lake, table, put.files)
            if attempt == _ATTEMPTS - 1:
                raise
    raise SupersededError(f"another run is ingesting {source.name}; it goes on from here")
