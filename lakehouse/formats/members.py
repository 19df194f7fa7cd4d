"""JSON objects to columns of text: what every format whose records are JSON shares.

A value stays as it was written: 1.10 is "1.10", an object or a list its own JSON text. A string is what it says, and
null is null.

Two ways that agree: records that name the same members in the same order are told apart all at once, their raw values
put in lines; the others one by one.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec
import polars as pl

from lakehouse.formats import ours

UNSOUND = "record:json"
NUL = "record:nul"
# Of those nobody asks for, so many get a column, and fewer in a long table. With more, names are data (a member for
# each patient), and a table of them would fill any memory.
MOST_NAMES, _MOST_CELLS = 1000, 20_000_000
# Decoders go down by recursion, and how far they get depends on who calls them.
DEEPEST = 100

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)
# In no JSON text, which has to escape it.
_BETWEEN = b"\x1f"
# Fewer alike are sooner read one by one.
_FEW = 50
_MARKED = re.compile(r'["\\/\x00-\x1f]')
_LEVELS = bytes.maketrans(b"{}", b"[]")
_NO_LEVELS = bytes(set(range(256)) - set(b'[]{}"'))

Members = dict[str, str | None]


def members(text: bytes | str) -> Members | None:
    """The members of a JSON object, each as text; None when it is no JSON object, or names a member twice or not."""
    try:
        data = text.encode() if isinstance(text, str) else text
        found = _decoded(data)
        if found is None or not once(data, found):
            return None
        return {name: _value(bytes(value)) for name, value in found.items()}
    except (UnicodeError, msgspec.DecodeError):
        return None


def _decoded(text: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of a JSON object, as they are written; None when it is no such object, or one has no name."""
    try:
        # The decoder does not look into values, and bytes that are no text could hide there.
        text.decode()
        found = None if deeper(text, DEEPEST) else _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if found is None or "" in found else found


def deeper(text: bytes, most: int) -> bool:
    """Whether JSON text has lists and objects in each other more than `most` deep; some text that is no JSON has, too.

    most: 1 or more. It follows from the text alone, wherever it is asked.
    """
    # A flat record, as most are, is looked through in no time; counting takes longer.
    if text.find(b"{", 1) < 0 and b"[" not in text:
        return False
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    # Without what is in quotes, of which few hold a mark; then, with each turn, without the innermost.
    levels = text.translate(_LEVELS, _NO_LEVELS).replace(b'""', b"")
    levels = b"".join(levels.split(b'"')[::2])
    for _ in range(most):
        outer = levels.replace(b"[]", b"")
        if len(outer) == len(levels):
            break
        levels = outer
    return bool(levels)


def columns(texts: Sequence[bytes], asked: Collection[str] = ()) -> tuple[tuple[str, ...], pl.DataFrame]:
    """The members of many JSON objects: names in order of first appearance, and a row for each text.

    Rows have a String column for each name that is asked for, and for others as far as there is room (1,000 of them, 20
    million values), null where a record lacks it, and `_problem` (String): `record:json` for a text that is no JSON
    object, goes more than 100 levels deep, or names a member twice or not at all; `record:nul` for one with NUL in it;
    null for others. A name that is the engine's (`_line`, `_text`, `_problem`) gets one more `_` in front.
    """
    found = _Found()
    for number, text in enumerate(texts):
        found.add(number, text)
    told = tuple(map(ours, found.names))
    wanted = {*asked}
    room = min(MOST_NAMES, _MOST_CELLS // max(1, len(texts)))
    others = list(islice((name for name in told if name not in wanted), room))
    wanted.update(others)
    frames: list[pl.DataFrame] = []
    places: list[list[int]] = []
    for names, (numbers, lines) in found.alike.items():
        if len(lines) < _FEW or not names:
            split = (map(_value, line.split(_BETWEEN)) for line in lines)
            found.single.update(zip(numbers, (dict(zip(names, line, strict=False)) for line in split), strict=True))
        else:
            frames.append(_together(names, lines, wanted))
            places.append(numbers)
    if found.single:
        frames.append(_apart(list(found.single.values()), wanted))
        places.append(list(found.single))
    if found.problems:
        frames.append(pl.DataFrame({"_problem": list(found.problems.values())}))
        places.append(list(found.problems))
    if not frames:
        frames.append(pl.DataFrame(schema={"_problem": pl.String}))
    rows = pl.concat(frames, how="diagonal") if len(frames) > 1 else frames[0]
    if len(frames) > 1 or found.single:
        rows = rows[pl.Series(list(chain.from_iterable(places)), dtype=pl.UInt32).arg_sort()]
    # One by one: among names, `*` and `^x$` stand for others.
    return told, pl.DataFrame([*(rows[name] for name in told if name in wanted), rows["_problem"]])


def named(texts: Iterable[bytes]) -> tuple[str, ...]:
    """The names that `columns` finds."""
    found = _Found()
    for number, text in enumerate(texts):
        found.add(number, text)
    return tuple(map(ours, found.names))


@dataclass
class _Found:
    """Texts by their number. alike: by names, numbers and lines of raw values. single: members. names: in order."""

    alike: dict[tuple[str, ...], tuple[list[int], list[bytes]]] = field(default_factory=dict)
    single: dict[int, Members] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)
    # What the names and marks take in a text without blanks.
    sizes: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, number: int, text: bytes) -> None:
        found = _decoded(text)
        if found is None:
            self.problems[number] = UNSOUND
            return
        names = tuple(found)
        if names not in self.sizes:
            self.sizes[names] = 2 + sum(len(name.encode()) + 3 for name in names)
        row = _BETWEEN.join(found.values())
        unusual = b"\\u" in text or b"\n" in row or b"\r" in row
        if not unusual and (len(text) == len(row) + self.sizes[names] or once(text, found)):
            if names not in self.alike:
                self.alike[names] = ([], [])
                self.names.update(dict.fromkeys(names))
            numbers, rows = self.alike[names]
            numbers.append(number)
            rows.append(row)
        elif (sound := members(text)) is None:
            self.problems[number] = UNSOUND
        elif any("\0" in part for part in chain(sound, filter(None, sound.values()))):
            self.problems[number] = NUL
        else:
            self.single[number] = sound
            self.names.update(dict.fromkeys(sound))


def once(text: bytes | msgspec.Raw, found: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a JSON object in which these members were found names each of them once."""
    least = sum(len(name.encode()) + len(value) + 4 for name, value in found.items()) + 1
    # A member that is named again takes its name, two quotes, a colon, a comma and a value more.
    if found and len(text) - least < min(map(len, found)) + 5:
        return True
    text, names = bytes(text), tuple(found)
    # Without an escape by number, a name that holds no marks is written in one way.
    plain = b"\\u" not in text and not any(map(_MARKED.search, names))
    if plain and all(text.count(b'"%b"' % name.encode()) == 1 for name in names):
        return True
    count = len(names)
    return bool(json.loads(text, object_pairs_hook=len, parse_int=str, parse_float=str) == count)


def _value(written: bytes) -> str | None:
    """A JSON value as text; raises msgspec.DecodeError for a string that is no text, such as half a character."""
    if written == b"null":
        return None
    return _STRING.decode(written) if written.startswith(b'"') else written.decode()


def _apart(rows: Sequence[Members], wanted: Collection[str]) -> pl.DataFrame:
    names = [name for name in dict.fromkeys(chain.from_iterable(rows)) if ours(name) in wanted]
    parts = {ours(name): pl.Series([row.get(name) for row in rows], dtype=pl.String) for name in names}
    return pl.DataFrame({"_problem": pl.Series([None] * len(rows), dtype=pl.String), **parts})


def _together(names: Sequence[str], rows: Sequence[bytes], wanted: Collection[str]) -> pl.DataFrame:
    """Lines of raw values, all of the same members; a column for those of them that are wanted."""
    numbered = [str(number) for number in range(len(names))]
    written = pl.read_csv(
        b"\n".join([*rows, b""]),
        has_header=False,
        separator=_BETWEEN.decode(),
        schema=dict.fromkeys(numbered, pl.String()),
        null_values=["null"],
        quote_char=None,
    )
    if written.height != len(rows):
        raise AssertionError(f"{len(rows)} records became {written.height} rows")
    values = written.select(pl.col(numbered).str.strip_prefix('"').str.strip_suffix('"'))
    escaped = written.select(pl.col(numbered).str.contains("\\", literal=True) & pl.col(numbered).str.starts_with('"'))
    for position, number in enumerate(numbered):
        if escaped[number].any():
            at = escaped[number].arg_true()
            plain = [_value(text.encode()) for text in written[number][at]]
            values.replace_column(position, values[number].scatter(at, pl.Series(plain, dtype=pl.String)))
    values.columns = [ours(name) for name in names]
    kept = {column.name: column for column in values if column.name in wanted}
    return pl.DataFrame({**kept, "_problem": pl.Series([None] * len(rows), dtype=pl.String)})
