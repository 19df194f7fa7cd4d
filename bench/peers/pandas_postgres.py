"""pandas in chunks, to PostgreSQL with `to_sql`; PostgreSQL keeps one row for each key and makes the summary."""

import os
from pathlib import Path

import measured
import pandas as pd
from pandas_rules import judge
from sqlalchemy import create_engine, text

CHUNK = 100_000


def work(files: list[Path], out: Path) -> dict:
    engine = create_engine(os.environ["PEER_POSTGRES"])
    with engine.begin() as con:
        for file in files:
            delivered = pd.Timestamp(file.stem[-10:])
            for chunk in pd.read_csv(file, dtype=str, chunksize=CHUNK, keep_default_na=False, na_values=[""]):
                rows = judge(chunk, delivered)
                good = rows["reasons"] == ""
                kept = rows[good].drop(columns="reasons")
                kept.to_sql("staged", con, if_exists="append", index=False)
                bad = rows[~good]
                bad.to_sql("rejected", con, if_exists="append", index=False)
        con.execute(
            text("""
            create table accepted as
            select distinct on (usubjid, vstestcd, visitnum, vstptnum) *, to_char(vsdt, 'YYYY-MM') as month
            from staged order by usubjid, vstestcd, visitnum, vstptnum, vsdt desc
        """)
        )
    with engine.connect() as con:
        summary = pd.read_sql(
            "select site, vstestcd, month, count(*) as results, avg(vsstresn) as mean from accepted "
            "where vsstresn is not null group by 1, 2, 3",
            con,
        )
        by_rule = con.execute(
            text("select rule, count(*) from rejected, unnest(string_to_array(reasons, ' ')) rule group by rule")
        )
        told = {"rejected": {row[0]: row[1] for row in by_rule}}
        told["accepted"] = con.execute(text("select count(*) from accepted")).scalar()
    summary.to_csv(out / "summary.csv", index=False)
    return told


if __name__ == "__main__":
    measured.main(work)
