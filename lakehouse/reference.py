"""Reference files: small tables from elsewhere that curated tables are joined with, each one versioned CSV file.

A module declares the file it uses as a `Reference`. Its bytes are then part of that module's code version, so that what
was made from another version of the file is made anew.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from lakehouse.errors import DefinitionError


@dataclass(frozen=True, eq=False)
class Reference:
    """One reference file, UTF-8 CSV with a header line; an empty field is null.

    path: where it is. columns: the types of its columns, in their order. key: the columns that name one row. version:
    of the source, as that names it. source: who publishes it, and under which terms.
    """

    path: Path
    columns: Mapping[str, pl.DataType]
    key: tuple[str, ...]
    version: str
    source: str

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @cached_property
    def data(self) -> bytes:
        """The file's bytes, read once: rows and checksum are of the same. Raises DefinitionError when it is missing."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DefinitionError(f"reference file {self.path.name} cannot be read ({error.strerror})") from None

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, hexadecimal, of its lines however they end."""
        return hashlib.sha256(self.data.replace(b"\r\n", b"\n")).hexdigest()

    def rows(self) -> pl.LazyFrame:
        """The file's rows.

        Raises DefinitionError when its columns are others than declared, a field is not of its column's type, or a key
        comes twice or is incomplete.
        """
        return self._read.lazy()

    @cached_property
    def _read(self) -> pl.DataFrame:
        told = f"reference file {self.path.name}"
        try:
            texts = pl.read_csv(self.data, infer_schema=False)
            if texts.columns != list(self.columns):
                raise DefinitionError(f"{told} has the columns {texts.columns}, not {list(self.columns)}")
            rows = texts.cast(pl.Schema(self.columns))
        except pl.exceptions.PolarsError as error:
            raise DefinitionError(f"{told} cannot be read as declared: {error}") from None
        if rows.select(self.key).is_duplicated().any() or any(rows.select(self.key).null_count().row(0)):
            raise DefinitionError(f"{told}: {', '.join(self.key)} must be given, and name one row")
        return rows
