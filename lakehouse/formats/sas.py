"""SAS numbers as text: what a double means under the format that its column has."""

import math
import re
from datetime import date, datetime, timedelta

_EPOCH = datetime(1960, 1, 1)
_LAST = (datetime(9999, 12, 31, 23, 59, 59, 999_999) - _EPOCH).total_seconds()
_FIRST = (datetime(1, 1, 1) - _EPOCH).total_seconds()
_DAY = 86_400

# By the beginning of a format's name; the longer ones are tried first, as DATEAMPM is a datetime and DATE a date.
_KINDS = {
    "date": "DATE DAY DDMMYY DOWNAME E8601DA B8601DA EURDFDD EURDFDE JULDAY JULIAN MINGUO MMDDYY MMYY MONNAME MONTH "
    "MONYY NENGO QTR WEEKDATE WEEKDATX WEEKDAY WORDDATE WORDDATX YEAR YYMM YYMMDD YYMON YYQ IS8601DA",
    "datetime": "DATETIME DATEAMPM DTDATE DTMONYY DTWKDATX DTYEAR DTYYQC E8601DT E8601DN E8601DZ E8601DX B8601DT "
    "B8601DN B8601DZ MDYAMPM EURDFDT IS8601DT TOD_DT",
    "time": "TIME TIMEAMPM TOD HHMM HOUR MMSS E8601TM E8601TZ E8601TX B8601TM B8601TZ IS8601TM",
}
_NAMES = sorted(
    ((name, kind) for kind, names in _KINDS.items() for name in names.split()), key=lambda pair: -len(pair[0])
)


def kind_of(name: str) -> str | None:
    """What a number is under a SAS format of this name: `date`, `datetime`, `time`, or None for a number."""
    name = name.strip().upper()
    for known, kind in _NAMES:
        # What may follow a name is the mark that stands between the parts: YYMMDDN, DDMMYYP, MMDDYYS.
        if re.fullmatch(f"{known}[BCDNPS]?[0-9.]*", name):
            return kind
    return None


def number(value: float) -> str:
    """The shortest decimal text that reads back as the same double; a whole number has no point."""
    return repr(value).removesuffix(".0")


def text(value: float, kind: str | None) -> str:
    """A number, or the date, time or datetime (ISO 8601) that it stands for; a number where it stands for none."""
    if kind == "date" and value.is_integer() and _FIRST <= value * _DAY <= _LAST:
        return (date(1960, 1, 1) + timedelta(days=value)).isoformat()
    if kind == "datetime" and _FIRST <= value <= _LAST:
        whole = math.floor(value)
        return (_EPOCH + timedelta(seconds=whole)).isoformat() + _fraction(value)
    if kind == "time" and 0 <= value < 1e9:
        whole = math.floor(value)
        return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{_fraction(value)}"
    return number(value)


def _fraction(value: float) -> str:
    """The fraction of a second as its shortest text has it: `.25`, or nothing."""
    written = f"{value:.17f}" if "e" in repr(value) else repr(value)
    if value < 0:
        # Below zero the fraction counts up from the whole second before.
        written = repr(round(value - math.floor(value), 9))
    fraction = written.partition(".")[2].rstrip("0")
    return f".{fraction}" if fraction else ""
