"""A delivered file with a column of reasons before its first, written the way its site writes files."""

import gzip
import io
import re
import zipfile
from collections.abc import Iterable, Mapping

from lakehouse.dialect import Dialect
from lakehouse.formats import Format

# No source can declare a column of this name, and one that comes back with it is kept in raw like any column that the
# source does not know.
REASONS = "_reasons"


def marked(data: bytes, dialect: Dialect | Format, begin: Iterable[int], words: Mapping[int, str]) -> bytes | None:
    """The file with a field put before the header and before each record; all else is byte for byte as delivered.

    begin: lines on which records start. words: by such a line, why it is rejected. None for what is not CSV, and for a
    dialect without a header line, where one more column would not be known for one. Raises RefusalError when the file
    cannot be read.
    """
    if isinstance(dialect, Format) or dialect.header:
        return None
    text = dialect.decode(data).decode()
    lines = io.StringIO(text, newline="").readlines()
    old_field = first_field(dialect)
    # A file that was marked before gets fresh reasons in the column it has.
    again = lines[0].startswith(f"{REASONS}{dialect.delimiter}")
    fields = {1: REASONS + dialect.delimiter, **{line: field(words.get(line, ""), dialect) for line in begin}}
    for number, said in fields.items():
        line = lines[number - 1]
        old = old_field.match(line) if again else None
        lines[number - 1] = said + (line[old.end() :] if old else line)
    return _written(data, dialect, "".join(lines))


def field(words: str, dialect: Dialect | Format) -> str:
    """Words as a field of a dialect, with the delimiter after it; nothing for what is not CSV."""
    if isinstance(dialect, Format):
        return ""
    text = " ".join(words.split())
    if dialect.quote is None:
        text = text.replace(dialect.delimiter, " ")
    elif text:
        text = dialect.quote + text.replace(dialect.quote, dialect.quote * 2) + dialect.quote
    return text + dialect.delimiter


def first_field(dialect: Dialect) -> re.Pattern[str]:
    """Matches the first field of a line, with the delimiter after it."""
    delimiter = re.escape(dialect.delimiter)
    plain = rf"[^{delimiter}\r\n]*"
    if dialect.quote is None:
        return re.compile(f"{plain}{delimiter}")
    quote = re.escape(dialect.quote)
    return re.compile(f"(?:{quote}(?:[^{quote}]|{quote}{quote})*{quote}|{plain}){delimiter}")


def _written(data: bytes, dialect: Dialect, text: str) -> bytes:
    """Text in the encoding, with the mark and in the compression that the delivered bytes have."""
    mark, codec = dialect.mark(dialect.unpacked(data))
    # A rule may be told in letters that the site's encoding does not have.
    encoded = mark + text.encode(codec, errors="replace")
    if dialect.compression == "gzip":
        return gzip.compress(encoded, mtime=0)
    if dialect.compression == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            new.writestr(next(item.filename for item in old.infolist() if not item.is_dir()), encoded)
        return packed.getvalue()
    return encoded
