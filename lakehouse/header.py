"""What is wrong with a file's header, in words for the site that wrote it."""

from collections import Counter
from collections.abc import Iterator, Sequence


def problem(names: Sequence[str], required: Sequence[str], optional: Sequence[str] = ()) -> tuple[str, str] | None:
    """The rule that a header breaks and what to do about it; None when it has what is required, once each.

    names: of its columns, none when it cannot be read. optional: columns that may be missing, but not misspelt.
    """
    words = next(_faults(names, required, optional), None)
    return ("file:header", words) if words else None


def _faults(names: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> Iterator[str]:
    """What is wrong with a header, the first thing first, in words for the site."""
    if not names:
        yield "the header's quotes do not match; mend the first line and send the file again"
        return
    counts = Counter(names)
    if counts[""] == len(names):
        yield f"the first line is no header; send the file again with one that names {_some(required)}"
    # First, because the first line of a file without a header holds values, which are not to be told.
    if missing := [name for name in required if name not in counts]:
        yield f"the header lacks {_some(missing)}{_almost(missing, names)}; add what is missing and send the file again"
    if twice := sorted(name for name, count in counts.items() if name and count > 1):
        yield f"the header names {_some(twice)} more than once; name each column once and send it again"
    # Taken as a column nobody knows it would leave the one that is meant empty, and nobody would see.
    if almost := _almost([name for name in optional if name not in counts], names):
        yield f"the header is not written as agreed{almost}; mend the header and send the file again"
    if blank := [str(number) for number, name in enumerate(names, start=1) if not name]:
        yield f"the header gives column {_some(blank)} no name; name each column and send it again"


def _almost(missing: Sequence[str], names: Sequence[str]) -> str:
    """Names that differ from missing ones in blanks or case only, in words; they are never taken for them."""
    meant = {name.casefold(): name for name in missing}
    pairs = ((name, meant.get(name.strip().casefold())) for name in names)
    return "".join([f", and has {name!r} where {want!r} is meant" for name, want in pairs if want][:10])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
