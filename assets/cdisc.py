"""Conventions of CDISC's SDTM that the trial's sources share: numbers as text, partial dates, who a record is about.

What belongs to one domain (its tests, units and limits) is in that domain's own module.
"""

from datetime import date

import dataframely as dy
import polars as pl

from lakehouse.contract import Contract

STUDY_BEGAN = date(2012, 1, 1)

# Nothing measured is nearer to 0 than 1e-17; ratios with what is nearer could be larger than any Float64.
_NUMBER = r"^[+-]?(?:0*[1-9][0-9]*(?:\.[0-9]+)?|0+(?:\.(?:0{0,16}[1-9][0-9]*|0+))?)$"
# 17 significant digits write any Float64 (IEEE 754), and systems do export 8.1999999999999993; of more, some are lost.
_DIGITS = 17
# SDTMIG 3.4, section 4.4.2: right-hand parts may be left off, a part missing before others is a hyphen of its own.
_DTC = (
    r"^(?P<year>[0-9]{4}|-)(?:-(?P<month>[0-9]{2}|-)(?:-(?P<day>[0-9]{2}|-)"
    r"(?:T(?P<hour>[01][0-9]|2[0-3]|-)(?::(?P<minute>[0-5][0-9]|-)(?::(?:[0-5][0-9](?:\.[0-9]+)?|-))?)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?$"
)
_SITE = r"^[^-]+-([^-]+)-[^-]+$"


class SubjectRecord(Contract):
    """What every record of the trial names: its study, and a subject of the site that delivers it."""

    studyid = dy.String(description="Study identifier (SDTM STUDYID).")
    usubjid = dy.String(description="Unique subject identifier: study, site and subject number (SDTM USUBJID).")

    @dy.rule()
    def subject_of_site(cls) -> pl.Expr:
        """USUBJID is written study-site-subject (01-701-1015), and its site is the one that delivers the file."""
        # A missing USUBJID is another rule's matter.
        return pl.col("usubjid").is_null() | site(pl.col("usubjid")).eq_missing(pl.col("_site"))


def site(usubjid: pl.Expr) -> pl.Expr:
    """The site in a USUBJID that is written study-site-subject; null in any other."""
    return usubjid.str.extract(_SITE)


def number(text: pl.Expr) -> pl.Expr:
    """A decimal number written plainly, as Float64; null for any other text, which is for the contract to refuse.

    Sign, leading and trailing zeros are allowed; exponents, blanks, separators, NaN, infinity, more than 17 significant
    digits, and numbers nearer to 0 than 1e-17 are not. A zero has no sign: -0 would be 0 as a key and another text.
    """
    digits = text.str.strip_chars_start("+-0.").str.count_matches("[0-9]")
    plainly = text.str.contains(_NUMBER) & (digits <= _DIGITS)
    return pl.when(plainly).then(text).cast(pl.Float64, strict=False).replace(-0.0, 0.0)


def number_or_nan(text: pl.Expr) -> pl.Expr:
    """As `number`, but NaN where a text is given that is not one.

    For a column whose text is not kept beside it: contracts refuse NaN, so missing and unreadable stay apart.
    """
    return number(text).fill_null(pl.when(text.is_not_null()).then(float("nan")))


def written(value: pl.Expr) -> pl.Expr:
    """A number the way --STRESC has it: the shortest text that reads back as the same number, without a bare `.0`."""
    return value.cast(pl.String).str.strip_suffix(".0")


def is_dtc(text: pl.Expr) -> pl.Expr:
    """Whether a --DTC text is ISO 8601, possibly partial, and a day that exists (2014-02-30 does not).

    Boolean, null for null. Source: SDTMIG 3.4, sections 4.4.1 and 4.4.2.
    """
    # Without its year a day is judged by a leap year, without its month by a month of 31 days.
    in_calendar = _day(text, year="2000").is_not_null()
    return pl.when(text.is_not_null()).then(in_calendar & text.str.contains("[0-9]Z?$"))


def dtc_date(text: pl.Expr) -> pl.Expr:
    """Date of a --DTC text; null when it is partial or not ISO 8601."""
    part = text.str.extract_groups(_DTC)
    whole = pl.all_horizontal(part.struct.field(name) != "-" for name in ("year", "month", "day"))
    return pl.when(whole).then(_day(text))


def dtc_moment(text: pl.Expr) -> pl.Expr:
    """Date and time of a --DTC text that gives both to the minute or better, in microseconds; null for any other.

    The clock is the one on the wall at the site: a zone, if there is one, stays in the text.
    """
    part = text.str.extract_groups(_DTC)
    seconds = text.str.extract(r"T[^:]+:[^:]+:([0-9.]+)").fill_null("00")
    clock = pl.concat_str(part.struct.field("hour"), part.struct.field("minute"), seconds, separator=":")
    moment = dtc_date(text).cast(pl.String) + "T" + clock
    return moment.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)


def dtc_earliest(text: pl.Expr) -> pl.Expr:
    """First day a --DTC text can mean; null when its year is missing or it is not ISO 8601."""
    return _day(text)


def dtc_latest(text: pl.Expr) -> pl.Expr:
    """Last day a --DTC text can mean; null when its year is missing or it is not ISO 8601."""
    latest = _day(text, month="12")
    day_missing = text.str.extract_groups(_DTC).struct.field("day").replace("-", None).is_null()
    return pl.when(day_missing).then(latest.dt.month_end()).otherwise(latest)


def dtc_in_order(start: pl.Expr, end: pl.Expr) -> pl.Expr:
    """Whether the end can be on the day of the start or after it, as far as partial --DTC texts tell.

    Boolean, null where either is missing, lacks its year or is not ISO 8601.
    """
    return dtc_earliest(start) <= dtc_latest(end)


def _day(text: pl.Expr, year: str | None = None, month: str = "01") -> pl.Expr:
    """The day of a --DTC text, with the first of what is missing; `year`, `month` stand in for a missing one."""
    part = text.str.extract_groups(_DTC)
    given = {name: part.struct.field(name).replace("-", None) for name in ("year", "month", "day")}
    matched = part.struct.field("year").is_not_null()
    filled = pl.concat_str(
        given["year"].fill_null(year) if year else given["year"],
        given["month"].fill_null(month),
        given["day"].fill_null("01"),
        separator="-",
    )
    return pl.when(matched).then(filled).str.to_date("%Y-%m-%d", strict=False)
