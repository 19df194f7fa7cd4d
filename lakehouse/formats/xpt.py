"""SAS transport files, versions 5 and 8, as SAS Technical Support document TS-140 lays them out.

Read here and not by a library: numbers come out as they are written, a file may hold several data sets, and no damaged
byte can take the process with it.
"""

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from lakehouse.dialect import codec
from lakehouse.errors import RefusalError, SourceError
from lakehouse.formats import Format, Table, of_texts
from lakehouse.formats.sas import kind_of, text

_CARD = 80
_HEADER = b"HEADER RECORD*******"
_NAMESTR = struct.Struct(">hhhh8s40s8shhh2s8shhi")
_LONG_NAME = slice(88, 120)
_RULE = "file:format"
_MISSING = frozenset(b"._ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True)
class _Variable:
    """name, kind of number (see `sas.kind_of`), and where its bytes are in a row."""

    name: str
    numeric: bool
    kind: str | None
    begin: int
    size: int


@dataclass(frozen=True)
class _Member:
    """A data set: its name, variables, and the bytes of its rows; how many rows, where the file says."""

    name: str
    variables: list[_Variable]
    data: bytes
    count: int | None


@dataclass(frozen=True, kw_only=True)
class Xpt(Format):
    """A SAS transport file. Raises SourceError when made in a way that cannot work.

    member: the data set to read; None where the file holds one. encoding: what character values are written in, which
        the file does not say.
    Numbers become the shortest decimal text that reads back as the same double; SAS dates, times and datetimes, told by
    the column's format, ISO 8601. Missing values (`.`, `._`, `.A` to `.Z`) are null, and blank texts are. Texts lose
    their trailing blanks. Labels are not read. `_line` is the number of the row.
    """

    member: str | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        super().__post_init__()
        if codec(self.encoding) is None:
            raise SourceError(f"xpt: encoding {self.encoding!r} is not known; try 'cp1252'")

    def table(self, data: bytes, _asked: Collection[str] = ()) -> Table:
        """The rows of the data set; raises RefusalError when the file is damaged or has no such data set."""
        if not data.startswith((_HEADER + b"LIBRARY ", _HEADER + b"LIBV8   ")):
            raise RefusalError(_RULE, "the file is no SAS transport file (XPT); export it so and send it again")
        try:
            members = list(_members(data))
        except (struct.error, ValueError, UnicodeDecodeError) as error:
            raise _damaged() from error
        return _table(self._chosen(members), self.encoding)

    def _chosen(self, members: list[_Member]) -> _Member:
        names = ", ".join(member.name for member in members[:10])
        if self.member is None:
            if len(members) == 1:
                return members[0]
            raise RefusalError(_RULE, f"the file holds {len(members)} data sets ({names}); send one in each file")
        found = [member for member in members if member.name.upper() == self.member.upper()]
        if len(found) == 1:
            return found[0]
        often = f"{len(found)} data sets" if found else "no data set"
        raise RefusalError(_RULE, f"the file holds {often} of the name {self.member}; it has {names or 'none'}")


def _damaged() -> RefusalError:
    return RefusalError(_RULE, "the SAS transport file is damaged or not complete; send it again")


def _members(data: bytes) -> Iterator[_Member]:
    """Every data set in a file. Raises ValueError, struct.error or UnicodeDecodeError where it is damaged."""
    at = 3 * _CARD
    starts = tuple(_HEADER + kind for kind in (b"MEMBER  ", b"MEMBV8  "))
    while at < len(data):
        if not data.startswith(starts, at):
            if data[at:].strip(b" \0"):
                raise ValueError("bytes between data sets")
            return
        size = int(data[at + 74 : at + 78])
        if size not in (136, 140):
            raise ValueError("a variable is described in 136 or 140 bytes")
        long = data.startswith(starts[1], at)
        name = data[at + 168 : at + (200 if long else 176)].rstrip(b" \0").decode("ascii")
        _expect(data, at + _CARD, b"DSCRPTR ", b"DSCPTV8 ")
        at += 4 * _CARD
        _expect(data, at, b"NAMESTR ", b"NAMSTV8 ")
        count = int(data[at + 48 : at + 58])
        at += _CARD
        variables = [_variable(data[at + n * size : at + (n + 1) * size], long=long) for n in range(count)]
        at += -(-count * size // _CARD) * _CARD
        if data.startswith(_HEADER + b"LABELV", at):
            # Long labels, up to the header of the rows.
            at = data.index(_HEADER + b"OBSV8   ", at)
        _expect(data, at, b"OBS     ", b"OBSV8   ")
        rows = int(data[at + 48 : at + 63]) if long else None
        at += _CARD
        end = min((_next(data, start, at) for start in starts), default=len(data))
        yield _Member(name, variables, data[at:end], rows)
        at = end


def _expect(data: bytes, at: int, *kinds: bytes) -> None:
    if not data.startswith(tuple(_HEADER + kind for kind in kinds), at):
        raise ValueError("a header is missing")


def _next(data: bytes, start: bytes, at: int) -> int:
    """Where the next data set begins, on a card of its own; the end of the data when there is none."""
    found = data.find(start, at)
    while found >= 0 and found % _CARD:
        found = data.find(start, found + 1)
    return found if found >= 0 else len(data)


def _variable(namestr: bytes, *, long: bool) -> _Variable:
    fields = _NAMESTR.unpack_from(namestr)
    kind, size, name, form, begin = fields[0], fields[2], fields[4], fields[6], fields[14]
    if long and (longer := namestr[_LONG_NAME].rstrip(b" \0")):
        name = longer
    numeric = kind == 1
    if kind not in (1, 2) or begin < 0 or size < 1 or (numeric and not 2 <= size <= 8):
        raise ValueError("a variable is not described")
    said = name.rstrip(b" \0").decode("ascii")
    if not said:
        raise ValueError("a variable has no name")
    return _Variable(said, numeric, kind_of(form.decode("ascii").strip(" \0")) if numeric else None, begin, size)


def _table(member: _Member, encoding: str) -> Table:
    names = tuple(variable.name for variable in member.variables)
    rows = _rows(member)
    if len(set(names)) < len(names) or not names:
        raise RefusalError("file:header", "the data set names a variable twice, or has none; export it again")
    columns = {}
    for variable in member.variables:
        cells = np.ascontiguousarray(rows[:, variable.begin : variable.begin + variable.size])
        found = _numbers(cells, variable.kind) if variable.numeric else _texts(cells, variable.name, encoding)
        columns[variable.name] = pl.Series(found, dtype=pl.String)
    return of_texts(pl.DataFrame(columns))


def _rows(member: _Member) -> np.ndarray:
    """The bytes of the rows, one row of the array each; raises RefusalError when some are missing."""
    width = max((variable.begin + variable.size for variable in member.variables), default=0)
    if not width:
        return np.empty((0, 0), np.uint8)
    count, rest = divmod(len(member.data), width)
    tail = member.data[count * width :]
    if member.count is not None:
        if member.count * width > len(member.data) or member.data[member.count * width :].strip(b" \0"):
            raise _damaged()
        count = member.count
    else:
        # The last card is filled up with blanks, which may look like rows of blanks.
        if len(member.data) % _CARD or tail.strip(b" \0") or rest >= _CARD:
            raise _damaged()
        # What is in the last card only, the first byte of which is a row's.
        filled = len(member.data.rstrip(b" "))
        count = min(count, max(-(-filled // width), -(-(len(member.data) - _CARD + 1) // width), 0))
    return np.frombuffer(member.data, np.uint8, count * width).reshape(count, width)


def _numbers(cells: np.ndarray, kind: str | None) -> list[str | None]:
    """IBM's floating point, perhaps cut short: a sign, an exponent of 16 in excess of 64, and 56 bits of fraction."""
    count, size = cells.shape
    full = np.zeros((count, 8), np.uint8)
    full[:, :size] = cells
    words = full.view(">u8").ravel().astype(np.uint64)
    fraction = words & np.uint64((1 << 56) - 1)
    exponents = ((words >> np.uint64(56)) & np.uint64(0x7F)).astype(np.int64) - 64
    values = np.ldexp(fraction.astype(np.float64), (4 * exponents - 56).astype(np.int32))
    values = np.where(words >> np.uint64(63), -values, values)
    missing = (fraction == 0) & np.isin(full[:, 0], list(_MISSING))
    known: dict[float, str] = {}
    found: list[str | None] = []
    for value, gone in zip(values.tolist(), missing.tolist(), strict=True):
        if not gone and value not in known:
            known[value] = text(value, kind)
        found.append(None if gone else known[value])
    return found


def _texts(cells: np.ndarray, name: str, encoding: str) -> list[str | None]:
    size = cells.shape[1]
    known: dict[bytes, str | None] = {}
    found = []
    for value in cells.view(f"S{size}").ravel().tolist():
        if value not in known:
            try:
                known[value] = value.decode(encoding).rstrip(" ") or None
            except UnicodeDecodeError as error:
                words = f"a text in {name} is not {encoding.upper()}; agree on the file's encoding and send it again"
                raise RefusalError("file:encoding", words) from error
        found.append(known[value])
    return found
