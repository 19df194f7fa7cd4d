"""How far the curated tables agree with the published analysis datasets, as a page and a list for people to read.

    python tests/assets/curated/agreement_page.py

writes `docs/agreement.md`, and `docs/disagreements.csv` with the key of every row that differs and that the
publication's own documentation does not explain.
"""

import sys
from functools import cache
from pathlib import Path

import polars as pl
from agreement import DATASETS, PRECISION, Dataset, c, differences, left_out, shares, textbook

FOLDER = Path(__file__).parents[3] / "docs"
PAGE, LIST = FOLDER / "agreement.md", FOLDER / "disagreements.csv"
DEFINE = "https://github.com/phuse-org/phuse-scripts/blob/master/data/adam/cdisc/define.xml"
KEY = {"USUBJID": pl.String, "PARAMCD": pl.String, "VISITNUM": pl.Float64, "AVISITN": pl.Float64}
NOT_PUBLISHED = "not in the publication: {}"


def percent(part: int, whole: int) -> str:
    """A share for people, cut and not rounded: only all is 100 %."""
    return f"{10_000 * part // whole / 100:.2f} %"


@cache
def listed() -> pl.DataFrame:
    """Rows that differ for a reason that the publication does not tell itself, by key, and the columns they differ in.

    Where there is no row of ours, or none of theirs, that is `the row`.
    """
    found = []
    for dataset in DATASETS:
        told = [
            _keys(rows, dataset.name, rule.why).with_columns(
                column=pl.when(rows["_ours"].is_null()).then(pl.lit("the row")).otherwise(pl.lit(name))
            )
            for name, rule, rows in differences(dataset)
            if rule and rule.gives is None
        ]
        ours = left_out(dataset)
        left = [
            _keys(rows.rename({name.lower(): name for name in KEY if name.lower() in rows.columns}), dataset.name, why)
            for why, rows in ((NOT_PUBLISHED.format(why), rows) for (why,), rows in ours.group_by("why"))
        ]
        found += [*told, *(rows.with_columns(column=pl.lit("the row")) for rows in left)]
    return (
        pl.concat(found)
        .unique()
        .group_by("dataset", "reason", *KEY)
        .agg(columns=c("column").sort().str.join(" "))
        .sort("dataset", "reason", *KEY)
    )


def _keys(rows: pl.DataFrame, dataset: str, why: str) -> pl.DataFrame:
    keys = [(c(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in KEY.items()]
    return rows.select(pl.lit(dataset).alias("dataset"), pl.lit(why).alias("reason"), *keys)


def report() -> str:
    """All shares, and every reason to differ, as a page for people to read."""
    keys = listed()
    lines = [
        "# Agreement with the published analysis datasets",
        "",
        "The pilot study published its analysis datasets. The curated tables are made from what its sites export,",
        "never from those; here every derived column of every published row is compared with them. Numbers agree",
        f"within {PRECISION:g} of their size, all else exactly. Made by",
        "",
        "```",
        ".venv/bin/python tests/assets/curated/agreement_page.py",
        "```",
        "",
        "Where they differ, either the publication's own documentation says why: its",
        f"[define.xml]({DEFINE}) is quoted,",
        "and the tests check that its words come to the published values. Or each row is listed by its key in",
        "[disagreements.csv](disagreements.csv).",
        "",
        "The tests in `tests/assets/curated/test_published.py` fail when a row differs for no named reason, or when",
        "this page or the list is not what they find; with `-s` they print the shares.",
        "",
        "Baseline visits, multiples of ranges and what else CDISC leaves to a study are in `assets/study.py`.",
    ]
    for dataset in DATASETS:
        found = shares(dataset)
        whole = [share.column for share in found if share.agree == share.rows]
        lines += [
            "",
            f"## {dataset.name}: `{dataset.table}`",
            "",
            f"{found[0].rows:,} published rows; of {len(found)} columns {len(whole)} are equal on every row.",
            "",
            "| column | agree | of | share | the others |",
            "| --- | ---: | ---: | ---: | --- |",
        ]
        for share in found:
            why = "; ".join(f"{count:,}: {rule}" for rule, count in share.explained.items())
            lines.append(
                f"| {share.column} | {share.agree:,} | {share.rows:,} | {percent(share.agree, share.rows)} | {why} |"
            )
        lines += _reasons(dataset, keys.filter(dataset=dataset.name))
        if dataset.absent:
            lines += ["", f"Not to be had from what the sites export: {', '.join(dataset.absent)}."]
        if "_end" in dataset.key:
            agree, rows = textbook(dataset)
            lines += [
                "",
                "BASE by the rule of most studies, the last result on or before first dose, would agree on "
                f"{agree:,} of {rows:,} rows ({percent(agree, rows)}).",
            ]
    return "\n".join(lines) + "\n"


def _reasons(dataset: Dataset, keys: pl.DataFrame) -> list[str]:
    """Every reason of a dataset to differ: the words of the define that explain it, or how many keys are listed."""
    counts = dict(keys.group_by("reason").len().iter_rows())
    lines = []
    for rule in dataset.rules:
        quoted = f" The define: `{rule.define}`." if rule.define else ""
        told = f" {counts[rule.why]:,} listed by key." if rule.gives is None else " That explains it."
        lines.append(f"- {rule.why[0].upper()}{rule.why[1:]}.{quoted}{told}")
    for (why,), rows in left_out(dataset).sort("why").group_by("why", maintain_order=True):
        lines.append(f"- {rows.height:,} of our rows are not in the publication: {why}. {rows.height:,} listed by key.")
    return ["", *lines] if lines else []


if __name__ == "__main__":
    PAGE.write_text(report())
    listed().write_csv(LIST)
    sys.stdout.write(f"wrote {PAGE.name} and {LIST.name}\n")
