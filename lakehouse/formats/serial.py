"""Excel's numbers as text: what a cell's number means under its format."""

import math
import re
from datetime import date, datetime, timedelta
from typing import Literal

# What a format shows of a number: a day, a day and a time, a time of day, or a time that goes on past 24 hours.
Kind = Literal["date", "datetime", "time", "elapsed"]

_BUILT_IN: dict[int, Kind] = {
    **dict.fromkeys([*range(14, 18), *range(27, 32), 36, *range(50, 59)], "date"),
    **dict.fromkeys([18, 19, 20, 21, *range(32, 36), 45, 47], "time"),
    22: "datetime",
    46: "elapsed",
}
# What is text in a format: in quotes, after a backslash, a width or a fill, AM/PM, colours and places in brackets.
_TEXT = re.compile(r'"[^"]*"|\\.|_.|\*.|AM/PM|A/P|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_MILLISECONDS = 86_400_000
# The first day after the one that Excel has and the calendar has not, and the first after the last day it shows.
_MARCH_1900, _END, _NEVER = 61, 2_958_466, 60


def kind_of(form: int, code: str | None) -> Kind | None:
    """What numbers are under the format of this number and code; None when they are just that."""
    if code is None:
        return _BUILT_IN.get(form)
    plain = _TEXT.sub("", code).partition(";")[0].lower()
    if plain == "general":
        return None
    if "[" in plain:
        return "elapsed"
    clock = "h" in plain or "s" in plain
    day = "y" in plain or "d" in plain or "mmm" in plain or ("m" in plain and not clock)
    if day:
        return "datetime" if clock else "date"
    return "time" if clock else None


def number(value: float) -> str:
    """The shortest decimal text that reads back as the same double; a whole number has no point. Raises ValueError when
    it is not finite.
    """
    if not math.isfinite(value):
        raise ValueError("a number that is none")
    return repr(value).removesuffix(".0")


def text(value: float, kind: Kind, *, since_1904: bool = False) -> str:
    """The day (ISO 8601) or time that a number of days stands for, to the millisecond, which is all that Excel has of
    it. The number itself where Excel shows no day for it. Raises ValueError when it is not finite.

    1900-02-29, which Excel has and the calendar has not, is told as Excel shows it, for the contract to reject.
    """
    shifted = value + 1462 if since_1904 else value
    if not math.isfinite(value) or value < 0 or shifted >= _END:
        return number(value)
    days, milliseconds = divmod(round(value * _MILLISECONDS), _MILLISECONDS)
    clock = (datetime.min + timedelta(milliseconds=milliseconds)).time()
    precision = "milliseconds" if milliseconds % 1000 else "seconds"
    if kind == "elapsed":
        return f"{days * 24 + clock.hour:02d}{clock.isoformat(precision)[2:]}"
    if kind == "time" and days == 0:
        return clock.isoformat(precision)
    day = _day(days + 1462 if since_1904 else days)
    if day is None:
        return number(value)
    if kind == "date" and not milliseconds:
        return day
    return f"{day}T{clock.isoformat(precision)}"


def _day(days: int) -> str | None:
    """A day counted as Excel does, 1900-01-01 being 1; None before that and after the year 9999."""
    if days == _NEVER:
        return "1900-02-29"
    if not 1 <= days < _END:
        return None
    return (date(1899, 12, 30 if days >= _MARCH_1900 else 31) + timedelta(days=days)).isoformat()
