"""Quarantine as a queue: what is open and for how long, files for a site to mend, and what a later delivery mended.

A path is replaced whole, so what a site mends is the complete file: an export is the file as delivered with a column of
reasons before the first, and mended in place and sent back under the same path it takes the first delivery's place.
After a contract is mended nothing needs to be sent: the next run judges all that is on record anew.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path

import polars as pl

from lakehouse import account, ledger, manifest
from lakehouse.batch import Intake
from lakehouse.contract import PROVENANCE
from lakehouse.evaluate import QUARANTINE
from lakehouse.lake import DELIVERY, RECORD, Lake
from lakehouse.marked import field, marked
from lakehouse.source import Source

_RESOLVED: dict[str, pl.DataType] = {
    "source": pl.String(),
    "site": pl.String(),
    "file": pl.String(),
    "line": pl.Int64(),
    "reasons": pl.String(),
    "rejected": PROVENANCE["_received_at"],
    "mended": PROVENANCE["_received_at"],
    "by": pl.String(),
}


class By(StrEnum):
    """What open lines are grouped by."""

    reason = "reason"
    site = "site"
    file = "file"


def waiting(
    lake: Lake, sources: Sequence[Source], site: str | None = None, versions: dict[str, int] | None = None
) -> pl.LazyFrame:
    """Every open line: `source`, the columns of quarantine, and `since`, the day it counts from.

    That day is the delivery day, so that sending the same fault again gains no time; the day of receipt for a file that
    has no valid one. A line 0 stands for a whole file. versions: of the tables, where the manifest has been read
    already.
    """
    versions = manifest.versions(lake) if versions is None else versions
    found = [
        lake.scan(table, versions[table]).select(pl.lit(item.name).alias("source"), *QUARANTINE)
        for item in sources
        if (table := f"quarantine/{item.name}") in versions
    ]
    rows = pl.concat(found) if found else pl.LazyFrame(schema={"source": pl.String(), **QUARANTINE})
    rows = rows if site is None else rows.filter(pl.col("_site") == site)
    return rows.with_columns(since=pl.coalesce("_delivered", pl.col("_received_at").dt.date()))


def grouped(rows: pl.LazyFrame, by: By) -> pl.DataFrame:
    """Open lines, as `waiting` yields them, counted by reason, site or file; the most first. A line may have several
    reasons and counts in each.
    """
    column = {By.reason: "reasons", By.site: "_site", By.file: "_file"}[by]
    counted = rows.explode("reasons").group_by("source", pl.col(column).alias(by.value))
    lines = pl.struct(*RECORD).filter(pl.col("_line") > 0).n_unique()
    told = {
        "lines": lines.cast(pl.Int64),
        "files": pl.struct(*DELIVERY).n_unique().cast(pl.Int64),
        "sites": pl.col("_site").n_unique().cast(pl.Int64),
        "oldest": pl.col("since").min(),
    }
    if by is not By.reason:
        del told["sites"]
        told["reasons"] = pl.col("reasons").unique().sort().str.join(" ")
    return counted.agg(**told).sort("lines", "source", by.value, descending=[True, False, False]).collect()


def overdue(lake: Lake, source: Source, today: date, versions: dict[str, int] | None = None) -> pl.DataFrame:
    """What has been open for longer than the source allows: `reason`, `lines`, `files`, `sites`, `oldest`."""
    late = waiting(lake, [source], versions=versions).filter(pl.col("since") < today - source.quarantine_limit)
    return grouped(late, By.reason).drop("source")


def export(lake: Lake, sources: Sequence[Source], site: str, folder: Path) -> pl.DataFrame:
    """Write every file of a site that has open lines below `folder`, under the path it was delivered under.

    Each is the complete file, as delivered but for a column of reasons before the first. A file that cannot be read, or
    whose dialect has no header line, is written as it came. `reasons.csv` in the folder has the reasons of all of them,
    `file`, `line` (0 for the whole file) and `reason`. Returns `file`, `lines` rejected and `reason`, the words for a
    file that was refused whole.
    """
    told, reasons = [], []
    for source in sources:
        for file, words in _export(lake, source, site, folder):
            told.append((file, len(words.keys() - {0}), words.get(0)))
            reasons += [(file, line, words[line]) for line in sorted(words)]
    if told:
        names = {"file": pl.String, "line": pl.Int64, "reason": pl.String}
        pl.DataFrame(reasons, schema=names, orient="row").write_csv(folder / "reasons.csv")
    return pl.DataFrame(told, schema={"file": pl.String, "lines": pl.Int64, "reason": pl.String}, orient="row")


def _export(lake: Lake, source: Source, site: str, folder: Path) -> Iterator[tuple[str, dict[int, str]]]:
    rows = waiting(lake, [source], site).collect()
    if rows.is_empty():
        return
    raw = lake.scan(f"raw/{source.name}", manifest.versions(lake)[f"raw/{source.name}"]).select(RECORD)
    starts = raw.join(rows.lazy().select(DELIVERY).unique(), on=DELIVERY, how="semi").collect()
    for lines in rows.sort("_file", "_received_at").partition_by(DELIVERY, maintain_order=True):
        file, checksum = lines.row(0, named=True)["_file"], lines.row(0, named=True)["_checksum"]
        words = {row["_line"]: row["explanation"] for row in lines.iter_rows(named=True)}
        begin = starts.join(lines.select(DELIVERY).unique(), on=DELIVERY, how="semi")["_line"].to_list()
        data = lake.kept(checksum)
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        # Without records nothing could be read.
        with_reasons = marked(data, source.dialect_of(site), begin, words) if begin else None
        target.write_bytes(data if with_reasons is None else with_reasons)
        yield file, words


def resolved(lake: Lake, source: Source, batch_bytes: int) -> pl.DataFrame:
    """Rejected records that a later delivery of their path mended or took out, and which delivery that was.

    One row per record: `source`, `site`, `file`, `line`, `reasons` (by the contract of today), `rejected` (when its
    delivery was received), `mended` (when the later one was) and `by`, the later one's checksum. A record that the
    later delivery holds as it was is still open there and not listed. Costs a reading of the paths that were delivered
    more than once, whole files of at least `batch_bytes` together at a time.
    """
    versions = manifest.versions(lake)
    table = f"account/{source.name}"
    deliveries = lake.scan(table, versions.get(table), schema=account.SCHEMA)
    replaced = deliveries.filter(pl.col("state") == "replaced").select("_file").unique()
    on_record = ledger.read(lake, source).filter(pl.col("act") == ledger.DELIVERED)
    rows = on_record.join(replaced.collect(), on="_file", how="semi").sort("_file", "_observation")
    rejected = [_rejected(lake, source, part) for part in _parts(rows, batch_bytes)]
    if not rejected:
        return pl.DataFrame(schema=_RESOLVED)
    found = pl.concat(rejected)
    gone = lake.scan(f"superseded/{source.name}", versions[f"superseded/{source.name}"])
    gone = gone.filter(pl.col("_kind") == "replaced").select(*RECORD, "_winner_checksum")
    old = found.join(gone.collect(), on=RECORD)
    later = rows.select("_file", _winner_checksum="_checksum", mended="_received_at", nth="_observation")
    nth = rows.select(*DELIVERY, began="_observation")
    old = (
        old.join(nth, on=DELIVERY).join(later, on=["_file", "_winner_checksum"]).filter(pl.col("nth") > pl.col("began"))
    )
    old = old.sort("nth").unique(RECORD, keep="first")
    # Unmended, a record comes back as it was, or with the reasons that an export put before it.
    heir = found.select("_file", "said", _winner_checksum="_checksum").unique()
    same = pl.concat([old.select(*RECORD, "_winner_checksum", said=said) for said in ("said", "exported")])
    still = same.join(heir, on=["_file", "_winner_checksum", "said"], how="semi")
    return (
        old.join(still, on=RECORD, how="anti")
        .sort("_file", "_received_at", "_line")
        .select(
            pl.lit(source.name).alias("source"),
            site="_site",
            file="_file",
            line="_line",
            reasons=pl.col("reasons").list.join(" "),
            rejected="_received_at",
            mended="mended",
            by="_winner_checksum",
        )
    )


def _parts(rows: pl.DataFrame, batch_bytes: int) -> Iterator[pl.DataFrame]:
    yield from rows.with_columns(_part=(pl.col("bytes").cum_sum() - pl.col("bytes")) // batch_bytes).partition_by(
        "_part"
    )


def _rejected(lake: Lake, source: Source, rows: pl.DataFrame) -> pl.DataFrame:
    """Records of some ledger rows that are rejected today: provenance, `reasons`, `said` and `exported`.

    said: what tells the record from others: its fields, or its text where they cannot be told. exported: the same, as
    an export has it.
    """
    judged = Intake(lake, source).whole(rows)
    known = judged.raw.select(*RECORD, said=pl.struct(*source.header, "_text").struct.json_encode(), split="_text")
    lines = judged.rejected.filter(pl.col("_line") > 0).join(known, on=RECORD)
    told = lines.select("explanation", "_site").iter_rows()
    before = pl.Series([field(words, source.dialect_of(site)) for words, site in told], dtype=pl.String)
    nothing = [pl.lit(None, pl.String).alias(name) for name in source.header]
    exported = pl.struct(*nothing, (pl.lit(before) + pl.col("split")).alias("_text")).struct.json_encode()
    return lines.with_columns(exported=pl.when(pl.col("split").is_not_null()).then(exported).otherwise("said")).select(
        *PROVENANCE, "reasons", "said", "exported"
    )
