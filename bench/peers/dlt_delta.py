"""dlt: its filesystem source finds the files, a transformer reads and judges them in chunks, to Delta by month.

dlt merges one load with a table by key, and does not look for a key that comes twice within the load: such records wait
for a second load, which is merged. With `--arrow` whole tables go through instead of records, which dlt's guide to
performance recommends where it can be done; typing and rules are then pandas'.
"""

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path

# dlt reads its configuration as it is imported.
os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    # As its guide to performance has it: files of so many rows, taken on by as many processes as there are cores.
    "DATA_WRITER__FILE_MAX_ITEMS": "100000",
    "NORMALIZE__WORKERS": "2",
}

import dlt
import measured
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from dlt.sources.filesystem import FileItemDict, filesystem
from pandas_rules import judge
from pyarrow.csv import write_csv
from units import HIGH, LOW, TO_STANDARD

UNITS = {(test, unit): how for test, unit, *how in TO_STANDARD}
LIMITS = {test: (LOW[test], HIGH[test]) for test in LOW}
_SUBJECT, _NUMBER = re.compile(r"^01-([0-9]{3})-[0-9]+$"), re.compile(r"^-?[0-9]+(\.[0-9]+)?$")
KEY = ["usubjid", "vstestcd", "visitnum", "vstptnum"]
CHUNK = 10_000
BY_MONTH = {"month": {"data_type": "text", "partition": True}}


def number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def judged(row: dict, delivered: date) -> dict:
    """A record, typed, with the rules it breaks."""
    row = {name.lower(): value or None for name, value in row.items() if name not in ("STUDYID", "VSLOC")}
    subject = _SUBJECT.match(row["usubjid"] or "")
    test, result = row["vstestcd"], row["vsorres"]
    unit, limits = UNITS.get((test, row["vsorresu"])), LIMITS.get(test)
    value, when, visit = number(result), day(row["vsdtc"] or ""), number(row["visitnum"])
    standard = (value - unit[0]) * unit[1] if value is not None and unit else None
    broken = {
        "subject_named": subject is None,
        "test_known": limits is None,
        "result_is_a_number": result is not None and not _NUMBER.match(result),
        "result_or_not_done": result is None and row["vsstat"] != "NOT DONE",
        "unit_known": result is not None and limits is not None and unit is None,
        "value_possible": standard is not None and limits is not None and not limits[0] <= standard <= limits[1],
        "visit_is_a_number": visit is None,
        "date_real": when is None,
        "date_in_study": when is not None and when < date(2012, 1, 1),
        "measured_before_delivery": when is not None and when > delivered,
    }
    point = number(row["vstptnum"])
    return {
        **row,
        "site": subject and subject[1],
        "vsstresn": standard,
        "visitnum": visit,
        "vsdt": when,
        # A key of dlt's has no nulls.
        "vstptnum": -1.0 if point is None else point,
        "month": when and when.strftime("%Y-%m"),
        "reasons": " ".join(name for name, wrong in broken.items() if wrong),
    }


class Records:
    """Lists of dictionaries."""

    def __init__(self) -> None:
        self.newest: dict[tuple, date] = {}
        self.again: dict[tuple, dict] = {}

    def read(self, files: list[Path]) -> Iterator[tuple[list[dict], list[dict]]]:
        """What is accepted and what is rejected, chunk by chunk; records of a key already seen are kept in `again`."""
        for file in files:
            delivered = date.fromisoformat(file.stem[-10:])
            with file.open(newline="") as stream:
                lines = csv.DictReader(stream)
                while chunk := [judged(line, delivered) for line in islice(lines, CHUNK)]:
                    bad = [row for row in chunk if row["reasons"]]
                    yield [row for row in chunk if not row["reasons"] and self.first(row)], bad

    def first(self, row: dict) -> bool:
        """Whether nothing was seen of the record's key; of later records, the newest is remembered."""
        del row["reasons"]
        key = tuple(row[name] for name in KEY)
        before = self.newest.get(key)
        if before is None or row["vsdt"] > before:
            self.newest[key] = row["vsdt"]
            if before is not None:
                self.again[key] = row
        return before is None

    def later(self) -> list[dict]:
        """The newest record of each key that came more than once."""
        return list(self.again.values())


class Tables:
    """Arrow tables, made from pandas'."""

    def __init__(self) -> None:
        self.newest: dict[int, pd.Timestamp] = {}
        self.again: list[pd.DataFrame] = []

    def read(self, files: list[Path]) -> Iterator[tuple[pa.Table, pa.Table]]:
        """As of `Records`, in chunks ten times as large, which small files share."""
        waiting: list[pd.DataFrame] = []
        count = 0
        for file in files:
            for chunk in pd.read_csv(file, dtype=str, chunksize=10 * CHUNK, keep_default_na=False, na_values=[""]):
                waiting.append(chunk.assign(delivered=pd.Timestamp(file.stem[-10:])))
                count += len(chunk)
                if count >= 10 * CHUNK:
                    yield self.judged(pd.concat(waiting, ignore_index=True))
                    waiting, count = [], 0
        if waiting:
            yield self.judged(pd.concat(waiting, ignore_index=True))

    def judged(self, chunk: pd.DataFrame) -> tuple[pa.Table, pa.Table]:
        """The accepted rows that are the first of their key, and the rejected ones."""
        rows = judge(chunk.drop(columns="delivered"), chunk["delivered"])
        rows["month"] = rows["vsdt"].dt.strftime("%Y-%m")
        rows["vstptnum"] = rows["vstptnum"].fillna(-1.0)
        rows["vsdt"] = rows["vsdt"].astype("datetime64[us]")
        good = rows["reasons"] == ""
        return arrow(self.first(rows[good].drop(columns="reasons"))), arrow(rows[~good])

    def first(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Of each key the newest row, if nothing was seen of it before; of later ones, the newer are remembered."""
        rows = rows.sort_values("vsdt").drop_duplicates(KEY, keep="last")
        keys = pd.util.hash_pandas_object(rows[KEY], index=False)
        before = pd.to_datetime(keys.map(self.newest))
        newer = before.isna() | (rows["vsdt"] > before)
        self.newest |= dict(zip(keys[newer], rows.loc[newer, "vsdt"], strict=True))
        self.again.append(rows[newer & before.notna()])
        return rows[before.isna()]

    def later(self) -> pa.Table:
        """The newest row of each key that came more than once."""
        return arrow(pd.concat(self.again).sort_values("vsdt").drop_duplicates(KEY, keep="last"))


def arrow(rows: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    return table.cast(pa.schema([(name, TYPES.get(name, pa.string())) for name in table.column_names]))


TYPES = {**dict.fromkeys(["vsstresn", "visitnum", "vstptnum"], pa.float64()), "vsdt": pa.date32()}


def work(files: list[Path], out: Path) -> dict:
    rows = Tables() if "--arrow" in sys.argv else Records()
    pipeline = dlt.pipeline(
        "vitals",
        destination=dlt.destinations.filesystem(f"file://{out}/lake"),
        dataset_name="vitals",
        pipelines_dir=str(out / "pipelines"),
    )
    landed = filesystem(f"file://{files[0].parents[1]}", file_glob="*/*.csv", files_per_page=2000)

    @dlt.transformer(table_name="accepted", table_format="delta", columns=BY_MONTH, write_disposition="append")
    def read(items: list[FileItemDict]) -> Iterator[object]:
        apart = dlt.mark.make_hints(table_name="rejected", table_format="delta", write_disposition="append")
        for accepted, rejected in rows.read([Path(item.local_file_path) for item in items]):
            yield accepted
            yield dlt.mark.with_hints(rejected, apart, create_table_variant=True)

    pipeline.run(landed | read)
    pipeline.run(
        dlt.resource(
            [rows.later()],
            name="later",
            table_name="accepted",
            table_format="delta",
            columns=BY_MONTH,
            primary_key=KEY,
            write_disposition={"disposition": "merge", "strategy": "upsert"},
        )
    )
    tables = {name: DeltaTable(str(out / "lake/vitals" / name)) for name in ("accepted", "rejected")}
    stored = tables["accepted"].to_pyarrow_table(columns=["site", "vstestcd", "month", "vsstresn"])
    results = stored.filter(pc.is_valid(stored["vsstresn"])).group_by(["site", "vstestcd", "month"])
    summary = results.aggregate([("vsstresn", "count"), ("vsstresn", "mean")])
    write_csv(summary.rename_columns(["site", "vstestcd", "month", "results", "mean"]), out / "summary.csv")
    by_rule = Counter(" ".join(tables["rejected"].to_pyarrow_table(columns=["reasons"])["reasons"].to_pylist()).split())
    return {"accepted": stored.num_rows, "rejected": dict(sorted(by_rule.items()))}


if __name__ == "__main__":
    measured.main(work)
    # About one time in five the interpreter's own end aborts ("terminate called without an active exception"), when all
    # is written and told: it is not waited for.
    sys.stdout.flush()
    os._exit(0)
