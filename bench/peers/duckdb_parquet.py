"""DuckDB: one SQL statement after another, to Parquet by month.

With `--all` it also keeps what lakehouse keeps: every record as text, every rejected one with its reasons, and an
account of each file.
"""

import sys
from pathlib import Path

import duckdb
import measured
from units import HIGH, LOW, TO_STANDARD

RULES = {
    "subject_named": "site <> ''",
    "test_known": "low is not null",
    "result_is_a_number": "regexp_full_match(vsorres, '-?[0-9]+(\\.[0-9]+)?')",
    "result_or_not_done": "vsorres is not null or coalesce(vsstat = 'NOT DONE', false)",
    "unit_known": "vsorres is null or low is null or factor is not null",
    "value_possible": "vsstresn between low and high",
    "visit_is_a_number": "visitnum is not null",
    "date_real": "vsdt is not null",
    "date_in_study": "vsdt >= date '2012-01-01'",
    "measured_before_delivery": "vsdt <= delivered",
}
_STANDARD = ", ".join(f"('{test}', '{unit}', {zero}, {factor}::double)" for test, unit, zero, factor in TO_STANDARD)
_LIMITS = ", ".join(f"('{test}', {LOW[test]}, {HIGH[test]})" for test in LOW)
TABLES = f"""
create table units as from (values {_STANDARD}) units(vstestcd, vsorresu, zero, factor);
create table limits as from (values {_LIMITS}) limits(vstestcd, low, high);
"""
JUDGED = """
create table judged as
with typed as (
    select
        r.* exclude (visitnum, vstptnum, studyid, vsloc),
        regexp_extract(usubjid, '^01-([0-9]{{3}})-[0-9]+$', 1) as site,
        (try_cast(vsorres as double) - zero) * factor as vsstresn,
        try_cast(visitnum as double) as visitnum,
        case when regexp_full_match(vsdtc, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') then try_cast(vsdtc as date) end as vsdt,
        try_cast(vstptnum as double) as vstptnum,
        cast(regexp_extract(filename, '_([0-9-]{{10}})\\.csv$', 1) as date) as delivered,
        factor, low, high
    from raw r left join units using (vstestcd, vsorresu) left join limits using (vstestcd)
)
select * exclude (delivered, factor, low, high), list_filter([{reasons}], lambda x: x is not null) as reasons from typed
"""


def work(files: list[Path], out: Path) -> dict:
    everything = "--all" in sys.argv
    con = duckdb.connect(str(out / "work.duckdb"))
    con.execute(TABLES)
    con.execute("create sequence lines")
    names = [str(file) for file in files]
    line = ", row_number() over () as line" if everything else ""
    kind = "table" if everything else "view"
    con.execute(
        f"create {kind} raw as select *{line} from read_csv({names!r}, header=true, all_varchar=true, filename=true)"
    )
    reasons = ", ".join(f"case when not ({rule}) then '{name}' end" for name, rule in RULES.items())
    con.execute(JUDGED.format(reasons=reasons))
    con.execute("""
        create table accepted as select * exclude (reasons), strftime(vsdt, '%Y-%m') as month from judged
        where len(reasons) = 0
        qualify row_number() over (partition by usubjid, vstestcd, visitnum, vstptnum order by vsdt desc) = 1
    """)
    con.execute(f"copy accepted to '{out}/accepted' (format parquet, partition_by (month))")
    con.execute(f"copy (from judged where len(reasons) > 0) to '{out}/rejected.parquet' (format parquet)")
    if everything:
        con.execute(f"copy raw to '{out}/raw.parquet' (format parquet)")
        con.execute(f"""
            copy (
                select filename, checksum, records, quarantined, kept as accepted,
                    records - quarantined - kept as superseded
                from (
                    select filename, count(*) as records, count(*) filter (len(reasons) > 0) as quarantined
                    from judged group by all
                )
                join (select filename, count(*) as kept from accepted group by all) using (filename)
                join (select filename, sha256(content) as checksum from read_blob({names!r})) using (filename)
            ) to '{out}/account.parquet' (format parquet)
        """)
    con.execute(f"""
        copy (
            select site, vstestcd as vstestcd, month, count(*) as results, avg(vsstresn) as mean from accepted
            where vsstresn is not null group by all
        ) to '{out}/summary.csv' (header)
    """)
    by_rule = con.execute("select unnest(reasons) as rule, count(*) from judged group by rule order by rule").fetchall()
    accepted = con.execute("select count(*) from accepted").fetchone()
    return {"accepted": accepted[0], "rejected": dict(by_rule)}


if __name__ == "__main__":
    measured.main(work)
