"""What ADaM says for any study: study days, analysis visits, baseline and change, flags. Pure expressions on columns.

Sources: ADaM IG 1.3 (CDISC, 2021) and SDTMIG 3.4. What they leave to the study is in `assets.study`. Every step that
looks at other rows looks at those of the same subject only, so a table can be made for some subjects alone.
"""

import polars as pl

from assets.study import WEEKS, Visits

YES, NO = pl.lit("Y"), pl.lit("N")


def flag(holds: pl.Expr) -> pl.Expr:
    """Y where it holds, null elsewhere: a record-level flag (ADaM IG 1.3, section 3.1.4)."""
    return pl.when(holds).then(YES)


def yes_no(holds: pl.Expr) -> pl.Expr:
    """Y where it holds, N elsewhere, also where it cannot be told: a population flag (ADaM IG 1.3, section 3.2.3)."""
    return pl.when(holds.fill_null(False)).then(YES).otherwise(NO)


def study_day(day: pl.Expr, first_dose: pl.Expr) -> pl.Expr:
    """Days from first dose: 1 on that day, -1 on the day before, never 0; null without either date.

    Source: ADaM IG 1.3, section 3.3.3 (ADY); SDTMIG 3.4, section 4.4.4.
    """
    days: pl.Expr = (day - first_dose).dt.total_days()
    return days + (days >= 0).cast(pl.Int64)


def rounded(value: pl.Expr, decimals: int) -> pl.Expr:
    """A number to some decimals, halves away from zero, as SAS rounds: 171.45 becomes 171.5, though stored below it.

    Source: SAS 9.4 Functions, ROUND, which takes a number for a half when it is one but for the last bits.
    """
    shift = 10.0**decimals
    # Polars divides by a number now and then as a product with its inverse, which is another double: the last step
    # makes it the same one always.
    return ((value * shift).round(6).round(0, mode="half_away_from_zero") / shift).round(decimals)


def analysis_visit(visits: Visits) -> pl.Expr:
    """AVISITN of `visitnum`: 0 at baseline, the week of a planned visit after it, null for any other.

    Source: ADaM IG 1.3, section 3.3.3 (AVISITN); the study's schedule.
    """
    weeks = {visits.baseline: 0, **WEEKS}
    return pl.col("visitnum").replace_strict(weeks, default=None, return_dtype=pl.Int64)


def visit_name() -> pl.Expr:
    """AVISIT of `avisitn`: Baseline, Week 2 and so on. Source: ADaM IG 1.3, section 3.3.3 (AVISIT)."""
    week = pl.col("avisitn")
    return pl.when(week == 0).then(pl.lit("Baseline")).otherwise(pl.concat_str(pl.lit("Week "), week))


def with_baseline(rows: pl.LazyFrame, visits: Visits, by: list[str]) -> pl.LazyFrame:
    """Rows with AVISITN, AVISIT, ABLFL, BASE, CHG, PCHG and AENTMTFL.

    by: columns that name a series of results of one subject (with BASETYPE among them where it has one); a series has
    one record for each `visitnum`. BASE and CHG are in the unit of `aval`, PCHG in percent.

    ABLFL is on the result at the study's baseline visit; where there is none, BASE, CHG and PCHG are null.
    CHG = AVAL - BASE and PCHG = 100 CHG / BASE, null where that is no number; also of results before baseline.
    AENTMTFL is on the last planned visit of those that can end treatment, whether it has a result or not.
    Sources: ADaM IG 1.3, sections 3.3.3 (AVISITN), 3.3.4 (BASE, CHG, PCHG) and 3.3.8 (ABLFL); the study's visits.
    """
    ends = pl.col("avisitn").is_not_null() & pl.col("visitnum").is_between(*visits.ends)
    last = pl.when(ends).then(pl.col("visitnum")).max().over(by)
    change = pl.col("aval") - pl.col("base")
    return (
        rows.with_columns(
            avisitn=analysis_visit(visits),
            ablfl=flag((pl.col("visitnum") == visits.baseline) & pl.col("aval").is_not_null()),
        )
        .with_columns(
            avisit=visit_name(), base=at_baseline("aval", by), aentmtfl=flag(ends & (pl.col("visitnum") == last))
        )
        .with_columns(
            chg=change if visits.change_at_baseline else pl.when(pl.col("visitnum") != visits.baseline).then(change)
        )
        .with_columns(pchg=ratio(100 * pl.col("chg"), pl.col("base")))
    )


def ratio(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """Part / whole; null where no Float64 can be it: of a whole that is 0, or so small that the ratio is infinite."""
    quotient = part / whole
    return pl.when(quotient.is_finite()).then(quotient)


def at_baseline(column: str, by: list[str]) -> pl.Expr:
    """The value that a column has on its series' baseline record (the one with ABLFL); null without one.

    There is one at most: a series has one record for each visit, and ABLFL is on that of one visit.
    Source: ADaM IG 1.3, section 3.3.4 (BASE).
    """
    return pl.col(column).filter(pl.col("ablfl") == YES).first().over(by)


def first_occurrence(among: pl.Expr, within: list[str], order: list[str]) -> pl.Expr:
    """Y on the first row, by `order`, of those `among` which it is looked for, within each group.

    Source: ADaM OCCDS 1.1, occurrence flag variables (AOCCFL, AOCCSFL, AOCCPFL).
    """
    held = among.fill_null(False)
    return flag(held & (held.cast(pl.Int64).cum_sum().over(within, order_by=order) == 1))


def worded(template: str, *parts: str | pl.Expr) -> pl.Expr:
    """Words with parts put in for each `{}`, as text; null when one of them is.

    As `pl.format`, whose own code fails an assertion on some frames (Polars 2.1, lazily collected).
    """
    first, *others = template.split("{}")
    pieces: list[str | pl.Expr] = [pl.lit(first)]
    for part, words in zip(parts, others, strict=True):
        pieces += [part, pl.lit(words)]
    return pl.concat_str(pieces)
