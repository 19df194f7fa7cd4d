"""The task's rules for pandas."""

import pandas as pd
from units import HIGH, LOW, TO_STANDARD

UNITS = pd.DataFrame(TO_STANDARD, columns=["vstestcd", "vsorresu", "zero", "factor"])


def judge(chunk: pd.DataFrame, delivered: pd.Timestamp) -> pd.DataFrame:
    """The rows of a chunk, typed, with the rules they break."""
    rows = chunk.rename(columns=str.lower).drop(columns=["studyid", "vsloc"])
    rows = rows.merge(UNITS, on=["vstestcd", "vsorresu"], how="left")
    rows["site"] = rows["usubjid"].str.extract(r"^01-([0-9]{3})-[0-9]+$", expand=False)
    rows["vsstresn"] = (pd.to_numeric(rows["vsorres"], errors="coerce") - rows["zero"]) * rows["factor"]
    rows["visitnum"] = pd.to_numeric(rows["visitnum"], errors="coerce").astype("float64")
    rows["vsdt"] = pd.to_datetime(rows["vsdtc"], format="%Y-%m-%d", errors="coerce")
    rows["vstptnum"] = pd.to_numeric(rows["vstptnum"], errors="coerce").astype("float64")
    result, value, day = rows["vsorres"], rows["vsstresn"], rows["vsdt"]
    known = rows["vstestcd"].isin(list(LOW))
    low, high = rows["vstestcd"].map(LOW), rows["vstestcd"].map(HIGH)
    broken = {
        "subject_named": rows["site"].isna(),
        "test_known": ~known,
        "result_is_a_number": result.notna() & ~result.fillna("").str.fullmatch(r"-?[0-9]+(\.[0-9]+)?"),
        "result_or_not_done": result.isna() & (rows["vsstat"].fillna("") != "NOT DONE"),
        "unit_known": result.notna() & known & rows["factor"].isna(),
        "value_possible": value.notna() & low.notna() & ~value.between(low, high),
        "visit_is_a_number": rows["visitnum"].isna(),
        "date_real": day.isna(),
        "date_in_study": day < pd.Timestamp("2012-01-01"),
        "measured_before_delivery": day > delivered,
    }
    reasons = pd.Series("", index=rows.index)
    for name, wrong in broken.items():
        reasons = reasons.where(~wrong.fillna(False).astype(bool), reasons + name + " ")
    return rows.drop(columns=["zero", "factor"]).assign(reasons=reasons.str.strip())
