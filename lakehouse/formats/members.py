"""JSON objects to columns of text: what every format whose records are JSON shares.

A value stays as it was written: 1.10 is "1.10", an object or a list its own JSON text. A string is what it says, and
null is null.

Two ways that agree: records that name the same members in the same order are told apart all at once, their raw values
put in lines; the others one by one.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice

import msgspec
import polars as pl
from msgspec import Raw, defstruct
from msgspec.structs import astuple

from lakehouse.formats import ours

UNSOUND = "record:json"
NUL = "record:nul"
# Of those nobody asks for, so many get a column, and fewer in a long table. With more, names are data (a member for
# each patient), and a table of them would fill any memory.
MOST_NAMES, _MOST_CELLS = 1000, 20_000_000
# Decoders go down by recursion, and how far they get depends on who calls them.
DEEPEST = 100

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_STRING = msgspec.json.Decoder(str)
# In no JSON text, which has to escape it.
_BETWEEN = b"\x1f"
# Fewer alike are sooner read one by one.
_FEW = 50
# So many texts are looked at together, if they are not large: it takes a copy of them, and four times that to see
# that they are text.
_AT_ONCE, _LARGE = 1000, 16 << 20
# Where members come in another order than the struct's, each is looked for from its beginning.
_MOST_FIELDS = 200
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


def _decoded(text: bytes) -> dict[str, Raw] | None:
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
    found.take(texts)
    told = tuple(map(ours, found.names))
    wanted = {*asked}
    room = min(MOST_NAMES, _MOST_CELLS // max(1, len(texts)))
    others = list(islice((name for name in told if name not in wanted), room))
    wanted.update(others)
    frames: list[pl.DataFrame] = []
    places: list[list[int]] = []
    for names, alike in found.alike.items():
        if len(alike.rows) < _FEW or not names:
            split = (map(_value, row.split(_BETWEEN)) for row in alike.rows)
            few = (dict(zip(names, row, strict=False)) for row in split)
            found.single.update(zip(alike.numbers, few, strict=True))
        else:
            frames.append(_together(names, alike.rows, wanted))
            places.append(alike.numbers)
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


def named(texts: Sequence[bytes]) -> tuple[str, ...]:
    """The names that `columns` finds."""
    found = _Found()
    found.take(texts)
    return tuple(map(ours, found.names))


@dataclass
class _Alike:
    """Records that name the same members: their numbers, and lines of raw values, in the order of the names."""

    names: tuple[str, ...]
    numbers: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)

    @cached_property
    def row(self) -> Callable[[bytes], bytes | None]:
        """A text's line of raw values; None when that is for others to tell. Twice as quick as to ask for any names.

        The text is one in UTF-8, without line breaks and escapes by number, and not too deep.
        """
        fields = {f"m{number}": name for number, name in enumerate(self.names)}
        try:
            kind = defstruct("Record", [(name, Raw) for name in fields], rename=fields, forbid_unknown_fields=True)
        except ValueError:
            # A name with marks that msgspec does not take.
            return lambda _text: None
        decode, join, room = msgspec.json.Decoder(kind).decode, _BETWEEN.join, _room(self.names)
        # What the names and marks take in a text without blanks.
        size = 2 + sum(len(name.encode()) + 3 for name in self.names)

        def row(text: bytes) -> bytes | None:
            try:
                line = join(astuple(decode(text)))
            except msgspec.DecodeError:
                return None
            return line if len(text) - len(line) - size < room or _counted(text, self.names) else None

        return row


@dataclass
class _Found:
    """Texts by their number. alike: by names. single: members. names: in order of first appearance."""

    alike: dict[tuple[str, ...], _Alike] = field(default_factory=dict)
    single: dict[int, Members] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)

    def take(self, texts: Sequence[bytes]) -> None:
        """All of some texts. What is asked of a text one by one is asked of many at once first."""
        for begin in range(0, len(texts), _AT_ONCE):
            some = texts[begin : begin + _AT_ONCE]
            if sum(map(len, some)) > _LARGE:
                for number, text in enumerate(some, begin):
                    self.add(number, text)
                continue
            whole = _BETWEEN.join(some)
            marked = b"\n" in whole or (b"\\" in whole and b"\\u" in whole)
            if not marked and _is_text(whole):
                self._plain(begin, some)
            else:
                for number, text in enumerate(some, begin):
                    self.add(number, text)

    def _plain(self, begin: int, texts: Sequence[bytes]) -> None:
        """Texts without line breaks and escapes by number, the first `begin`; those like the last without more ado."""
        last = kind = None
        for number, text in enumerate(texts, begin):
            if kind is not None and not deeper(text, DEEPEST) and (row := kind.row(text)) is not None:
                kind.numbers.append(number)
                kind.rows.append(row)
            else:
                # Kinds that take turns would be tried in vain, and for a few records it is not worth to make a struct.
                last, before = self.add(number, text), last
                worth = last is not None and len(last.rows) >= _FEW and len(last.names) <= _MOST_FIELDS
                kind = last if worth and last is before else None

    def add(self, number: int, text: bytes) -> _Alike | None:
        """A text of which nothing is known; which others it is like, if any."""
        found = _decoded(text)
        if found is None:
            self.problems[number] = UNSOUND
            return None
        names = tuple(found)
        row = _BETWEEN.join(found.values())
        if not (b"\\u" in text or b"\n" in row) and once(text, found):
            if names not in self.alike:
                self.alike[names] = _Alike(names)
                self.names.update(dict.fromkeys(names))
            alike = self.alike[names]
            alike.numbers.append(number)
            alike.rows.append(row)
            return alike
        if (sound := members(text)) is None:
            self.problems[number] = UNSOUND
        elif any("\0" in part for part in chain(sound, filter(None, sound.values()))):
            self.problems[number] = NUL
        else:
            self.single[number] = sound
            self.names.update(dict.fromkeys(sound))
        return None


def _is_text(data: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


def once(text: bytes | Raw, found: Mapping[str, Raw]) -> bool:
    """Whether a JSON object in which these members were found names each of them once."""
    least = sum(len(name.encode()) + len(value) + 4 for name, value in found.items()) + 1
    if found and len(text) - least < _room(found):
        return True
    text = bytes(text)
    # Without an escape by number, a name that holds no marks is written in one way.
    if b"\\u" not in text and _counted(text, found):
        return True
    count = len(found)
    return bool(json.loads(text, object_pairs_hook=len, parse_int=str, parse_float=str) == count)


def _room(names: Collection[str]) -> int:
    """The fewest bytes that a text takes with one of these names once more: two quotes, a colon, a comma, a value."""
    return min(map(len, names), default=0) + 5


def _counted(text: bytes, names: Collection[str]) -> bool:
    """Whether counting tells that each of these names is in a text once; in one without escapes by number."""
    return not any(map(_MARKED.search, names)) and all(text.count(b'"%b"' % name.encode()) == 1 for name in names)


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
    lines = b"\n".join([*rows, b""])
    written = pl.read_csv(
        lines,
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
    for position, number in enumerate(numbered if b"\\" in lines else ()):
        if escaped[number].any():
            at = escaped[number].arg_true()
            plain = [_value(text.encode()) for text in written[number][at]]
            values.replace_column(position, values[number].scatter(at, pl.Series(plain, dtype=pl.String)))
    values.columns = [ours(name) for name in names]
    kept = {column.name: column for column in values if column.name in wanted}
    return pl.DataFrame({**kept, "_problem": pl.Series([None] * len(rows), dtype=pl.String)})
