"""Dask dataframes on one machine's two cores, to Parquet by month."""

from pathlib import Path

import dask.dataframe as dd
import measured
import pandas as pd
from pandas_rules import judge

MANY = 16
KEY = ["usubjid", "vstestcd", "visitnum", "vstptnum"]


def judged(part: pd.DataFrame) -> pd.DataFrame:
    """A partition's rows, typed and judged by the day of their file."""
    delivered = pd.to_datetime(part["file"].astype(str).str.slice(-14, -4))
    return judge(part.drop(columns="file"), delivered.reset_index(drop=True))


def work(files: list[Path], out: Path) -> dict:
    raw = dd.read_csv(
        [str(file) for file in files],
        dtype=str,
        keep_default_na=False,
        na_values=[""],
        include_path_column="file",
        blocksize="32MB" if len(files) == 1 else None,
    )
    if len(files) > MANY:
        # A partition for each small file would cost more than the work on it.
        raw = raw.repartition(npartitions=MANY)
    rows = raw.map_partitions(judged, meta=judged(pd.read_csv(files[0], dtype=str, nrows=5).assign(file=str(files[0]))))
    rows.to_parquet(out / "judged", write_index=False)
    stored = dd.read_parquet(out / "judged")
    rejected = stored[stored["reasons"] != ""]
    rejected.to_parquet(out / "rejected", write_index=False)
    good = stored[stored["reasons"] == ""].drop(columns="reasons")
    newest = good.sort_values("vsdt").drop_duplicates(KEY, keep="last")
    newest["month"] = newest["vsdt"].dt.strftime("%Y-%m")
    newest.to_parquet(out / "accepted", write_index=False, partition_on=["month"])
    kept = dd.read_parquet(out / "accepted")
    results = kept.dropna(subset=["vsstresn"]).groupby(["site", "vstestcd", "month"], observed=True)["vsstresn"]
    summary = results.agg(["count", "mean"]).rename(columns={"count": "results"}).reset_index().compute()
    summary.to_csv(out / "summary.csv", index=False)
    by_rule = rejected["reasons"].value_counts().compute()
    return {"accepted": len(kept), "rejected": {name: int(count) for name, count in sorted(by_rule.items())}}


if __name__ == "__main__":
    measured.main(work)
