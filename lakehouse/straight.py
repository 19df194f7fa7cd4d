"""A large delivery straight into the tables: judged a piece at a time, every table written in one commit.

It goes this way when it has nothing to do with what the tables hold: its path has delivered nothing that still counts,
and none of its keys is known. The last piece comes first: the last record of a key wins, so what a record loses to is
written before it, and nothing that is written has to be taken out. Every other large delivery takes a batch for each
piece, as `batch` says.
"""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import polars as pl
from deltalake.transaction import AddAction

from lakehouse import account, files
from lakehouse.batch import Intake, Step
from lakehouse.errors import RefusalError
from lakehouse.evaluate import Judged
from lakehouse.lake import DELIVERY, RECORD, Change
from lakehouse.plan import ORIGIN, STANDING, Base, Plan, rivals, rules_broken, warned_of
from lakehouse.prints import Prints, repeated
from lakehouse.winners import ENDED, WINNER, settle

LAYERS_OF_RECORDS = ("raw", "processed", "quarantine", "superseded")
# What their rows are called in the account.
_COUNTED = ("records", *account.COUNTS)


class NotPlainError(Exception):
    """The delivery has to do with what the tables hold, or something is wrong with it as a whole."""


class Written:
    """The data files of a delivery that are written and not committed, by layer."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._pool = ThreadPoolExecutor(2)
        self._under_way: list[tuple[str, Future[AddAction]]] = []
        # The newest rows of processed are still in memory.
        self._newest = pl.DataFrame(schema=base.schemas["processed"])
        self.files: dict[str, list[AddAction]] = {layer: [] for layer in LAYERS_OF_RECORDS}

    def raw(self, rows: pl.DataFrame) -> None:
        """Write rows of raw. Others may be written meanwhile: raw is the same in whatever order."""
        if not rows.is_empty():
            self.files["raw"].append(self._write("raw", rows))

    def put(self, rows: Mapping[str, pl.DataFrame]) -> None:
        """Write rows by layer, while the caller goes on; those given before are written first."""
        self.wait()
        self._newest = rows["processed"]
        for layer, frame in rows.items():
            if not frame.is_empty():
                self._under_way.append((layer, self._pool.submit(self._write, layer, frame)))

    def _write(self, layer: str, rows: pl.DataFrame) -> AddAction:
        lake, source = self._base.lake, self._base.source
        return files.write(lake, f"{layer}/{source.name}", self._base.schemas[layer], rows, {*ORIGIN, *source.key})

    def processed(self, file: int, prints: pl.Series) -> pl.DataFrame:
        """Key and provenance of the rows put into a file of processed, numbered from 0, whose key has one of these
        prints.
        """
        key = list(self._base.source.key)
        columns, written = [*key, *ORIGIN], self.files["processed"]
        rows = self._newest if file == len(written) else self._read(written[file], columns)
        return rows.select(columns).filter(_among(rows.select(key).hash_rows(), prints))

    def _read(self, file: AddAction, columns: list[str]) -> pl.DataFrame:
        return files.read(self._base.lake, f"processed/{self._base.source.name}", file.path, columns)

    def wait(self) -> None:
        """Until all is written that was put."""
        while self._under_way:
            layer, writing = self._under_way[0]
            self.files[layer].append(writing.result())
            self._under_way.pop(0)

    def close(self) -> None:
        """All is written, and there is no more."""
        self.wait()
        self._pool.shutdown()

    def discard(self) -> None:
        """Remove what was written. Nobody may write raw any more."""
        self._pool.shutdown(cancel_futures=True)
        for layer, writing in self._under_way:
            if not writing.cancelled() and writing.exception() is None:
                self.files[layer].append(writing.result())
        for layer, written in self.files.items():
            files.discard(self._base.lake, f"{layer}/{self._base.source.name}", written)


class _Seen:
    """The keys of the records that win, as far as they are known: as numbers, and in full in the files written."""

    def __init__(self, base: Base, written: Written, size: int) -> None:
        self._base, self._written = base, written
        self._key = list(base.source.key)
        self._prints = Prints(size)

    def settle(self, fresh: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The records of an earlier piece that win, and the others with what beats them, as superseded has it."""
        light = [*self._key, *ORIGIN]
        prints = fresh.select(self._key).hash_rows()
        # Most keys are new and come once; hashes tell which may not be.
        held = self._prints.holding(prints)
        some = fresh.select(light).filter(_among(prints, pl.concat([repeated(prints), *held.values()])))
        found = (self._written.processed(file, which) for file, which in held.items())
        # Without those whose keys only look alike.
        later = pl.concat([some.clear(), *found]).join(some, on=self._key, how="semi", nulls_equal=True)
        settled = settle(pl.concat([some, later]), self._base.source.key)
        settled = settled.join(later, on=RECORD, how="anti")
        lost = settled.filter(pl.col("_standing") != "wins")
        if not lost.is_empty():
            wins = ~fresh["_line"].is_in(lost["_line"].implode())
            fresh, prints = fresh.filter(wins), prints.filter(wins)
        if not fresh.is_empty():
            # They become the next file.
            self._prints.add(prints)
        never = [pl.lit(None, kind).alias(name) for name, kind in ENDED.items()]
        return fresh, lost.select(*light, pl.col("_standing").alias("_kind"), *WINNER, *never)


def _among(values: pl.Series, some: pl.Series) -> pl.Series:
    """Which values are among some."""
    return values.is_in(some.implode())


def _meets(base: Base, accepted: pl.DataFrame, nothing: pl.DataFrame) -> bool:
    """Whether the tables know a key of these rows."""
    if base.versions["processed"] is None and base.versions["superseded"] is None:
        return False
    return any(not known.is_empty() for known in rivals(base, accepted, nothing, nothing))


def straight(base: Base, step: Step, intake: Intake) -> tuple[dict[str, Change], Plan]:
    """The changes that bring the tables from `base` to where a large delivery is part of them, as `plan` has them, with
    its rows in files that are written; and what they come to. Raises NotPlainError when it cannot go this way.
    """
    written = Written(base)
    try:
        return _write(base, step, intake, written)
    except BaseException:
        written.discard()
        raise


def _write(base: Base, step: Step, intake: Intake, written: Written) -> tuple[dict[str, Change], Plan]:
    row = step.rows
    standing = base.scan("account").filter(pl.col("_file") == row["_file"].item(), pl.col("state").is_in(STANDING))
    if not base.source.judges_alone or not standing.head(1).collect().is_empty():
        raise NotPlainError
    nothing = row.select(*DELIVERY, "_delivered", "_site").clear()
    seen = _Seen(base, written, int(row["bytes"].item()))
    counts: Counter[str] = Counter()
    rules, warned = [], []

    def without_raw(judged: Judged) -> tuple[pl.DataFrame, pl.DataFrame, int]:
        # Most of what a piece holds, and the same whatever other pieces hold.
        said = judged.deliveries.row(0, named=True)
        if said["reason"] is not None or _meets(base, judged.accepted, nothing):
            raise NotPlainError
        written.raw(judged.raw)
        return judged.accepted, judged.rejected, judged.raw.height

    try:
        # Closed before anything is discarded: then no piece is at work any more.
        with closing(intake.backwards(step, without_raw)) as pieces:
            for accepted, rejected, records in pieces:
                won, lost = seen.settle(accepted)
                written.put({"processed": won, "quarantine": rejected, "superseded": lost})
                numbers = (records, won.height, rejected.height, lost.height)
                counts.update(dict(zip(_COUNTED, numbers, strict=True)))
                rules.append(rules_broken(rejected))
                warned.append(warned_of(won))
        written.close()
    except (RefusalError, OSError):
        # It is no text, or there is no room to have all of it uncompressed at once.
        raise NotPlainError from None
    if not counts["accepted"]:
        raise NotPlainError
    told = row.with_columns(
        *[pl.lit(counts[name], pl.Int64).alias(name) for name in _COUNTED],
        sound=pl.lit(counts["accepted"] + counts["superseded"] == counts["records"]),
        reason=pl.lit(None, pl.String),
    )
    opened = account.opened(base.source.name, told)
    changes = {
        layer: Change(pl.DataFrame(schema=base.schemas[layer]), files=tuple(some))
        for layer, some in written.files.items()
    }
    return {**changes, "account": Change(opened)}, Plan(opened, pl.concat(rules), pl.concat(warned))
