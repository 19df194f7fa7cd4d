"""Past days from the record: what was delivered on them is read and judged again, and compared with what tables hold.

For systems that cannot be asked again, such as a database's log: everything they gave is kept, so a replay of some days
needs nobody. A table that holds something else, because it was damaged or because code beside the contract changed, is
found that way, and `ledger.rebuild` mends it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from lakehouse import ledger, manifest
from lakehouse.batch import Intake
from lakehouse.lake import DELIVERY, RECORD, Lake
from lakehouse.near import near
from lakehouse.plan import CONTESTED, STANDING
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
        judged = Intake(lake, source, {}).whole(some)
        count += judged.raw.height
        there = {
            layer: lake.scan(f"{layer}/{source.name}", versions[f"{layer}/{source.name}"])
            .filter(near(some.select(DELIVERY)))
            .join(some.lazy().select(DELIVERY), on=DELIVERY, how="semi")
            .collect()
            for layer in ("raw", "processed", "quarantine", "superseded", "account")
        }
        # What two sites contend for is judged by the tables, not by itself.
        rejected = there["quarantine"].filter(~pl.col("reasons").list.contains(CONTESTED))
        named = [*RECORD, "reasons"]
        standing = there["account"].filter(pl.col("state").is_in(STANDING))
        gone = [frame.select(RECORD) for frame in there.values() if "_line" in frame.columns]
        lost = pl.concat([judged.accepted.select(RECORD), judged.rejected.select(RECORD)])
        lost = lost.join(standing, on=DELIVERY, how="semi").join(pl.concat(gone[1:]), on=RECORD, how="anti")
        differing += [
            *_unlike(there["raw"], judged.raw),
            *_unlike(there["processed"], judged.accepted.join(there["processed"], on=RECORD, how="semi")),
            *_unlike(rejected.select(named), judged.rejected.join(rejected, on=RECORD, how="semi").select(named)),
            *lost["_file"],
        ]
    return Replayed(rows.height, count, tuple(sorted({*differing})))


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
