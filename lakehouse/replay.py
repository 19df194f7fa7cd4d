"""Past days from the record: what was delivered on them is read and judged again, and compared with what tables hold.

For systems that cannot be asked again, such as a database's log: everything they gave is kept, so a replay of some days
needs nobody. A table that holds something else, because it was damaged or because code beside the contract changed, is
found that way, and `ledger.rebuild` mends it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from lakehouse import ledger, manifest
from lakehouse.batch import Intake
from lakehouse.clock import Clock
from lakehouse.ingest import LAYERS, ingest, tables
from lakehouse.lake import DELIVERY, RECORD, Lake
from lakehouse.near import near
from lakehouse.plan import CONTESTED, STANDING, Plan
from lakehouse.source import Source


@dataclass(frozen=True)
class Replayed:
    """How many deliveries and records were judged again, and the paths of those that the tables hold otherwise."""

    deliveries: int = 0
    records: int = 0
    differing: tuple[str, ...] = ()


def replay(lake: Lake, source: Source, days: Collection[date], most_bytes: int) -> Replayed:
    """Judge again what is on record of some days, about `most_bytes` at a time.

    The tables are to be up to date with the ledger. Raises UnavailableError when the lake fails, DefinitionError when
    the source's tidy cannot work.
    """
    versions = manifest.versions(lake)
    rows = ledger.read(lake, source).filter(pl.col("act") == ledger.DELIVERED, pl.col("_delivered").is_in([*days]))
    if f"raw/{source.name}" not in versions:
        return Replayed()
    count, differing = 0, list[str]()
    for some in _groups(rows, most_bytes // source.expands):
        judged = Intake(lake, source).whole(some)
        count += judged.raw.height
        there = _held(lake, source, versions, some.select(DELIVERY))
        # What two sites contend for is judged by the tables, not by itself.
        rejected = there["quarantine"].filter(~pl.col("reasons").list.contains(CONTESTED))
        named = [*RECORD, "reasons"]
        standing = there["account"].filter(pl.col("state").is_in(STANDING))
        somewhere = pl.concat([there[layer].select(RECORD) for layer in ("processed", "quarantine", "superseded")])
        lost = pl.concat([judged.accepted.select(RECORD), judged.rejected.select(RECORD)])
        lost = lost.join(standing, on=DELIVERY, how="semi").join(somewhere, on=RECORD, how="anti")
        differing += [
            *_unlike(there["raw"], judged.raw),
            *_unlike(there["processed"], judged.accepted.join(there["processed"], on=RECORD, how="semi")),
            *_unlike(rejected.select(named), judged.rejected.join(rejected, on=RECORD, how="semi").select(named)),
            *lost["_file"],
        ]
    return Replayed(rows.height, count, tuple(sorted({*differing})))


def mended(
    lake: Lake, source: Source, landing: Path, days: Collection[date], clock: Clock, most_bytes: int
) -> tuple[Replayed, list[Plan]]:
    """Judge some days again, and make all of the source anew if a table holds something else; what each batch did."""
    found = replay(lake, source, days, most_bytes)
    if not found.differing:
        return found, []
    several = (
        f"a replay of {min(days)} to {max(days)} found tables that hold {len(found.differing)} deliveries otherwise"
    )
    ledger.rebuild(lake, source, "lakehouse", several, most_bytes)
    return found, ingest(lake, source, landing, [], clock, most_bytes)


def _held(lake: Lake, source: Source, versions: Mapping[str, int], deliveries: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What each layer holds of some deliveries."""
    scans = [
        lake.scan(name, versions[name]).filter(near(deliveries)).join(deliveries.lazy(), on=DELIVERY, how="semi")
        for name in tables(source).values()
    ]
    return dict(zip(LAYERS, pl.collect_all(scans), strict=True))


def _groups(rows: pl.DataFrame, most_bytes: int) -> Iterator[pl.DataFrame]:
    """Deliveries in order, as many at a time as have so many bytes, or one."""
    begin, size = 0, 0
    for at, more in enumerate(rows["bytes"]):
        if at > begin and size + more > most_bytes:
            yield rows[begin:at]
            begin, size = at, 0
        size += more
    if begin < rows.height:
        yield rows[begin:]


def _unlike(there: pl.DataFrame, judged: pl.DataFrame) -> list[str]:
    """The paths of the deliveries whose rows are not the same in both."""
    here = judged.select(there.columns).sort(RECORD)
    if there.sort(RECORD).equals(here):
        return []
    first, second = (frame.partition_by("_file", as_dict=True) for frame in (there.sort(RECORD), here))
    none = there.clear()
    return [
        str(name[0])
        for name in first.keys() | second.keys()
        if not first.get(name, none).equals(second.get(name, none))
    ]
