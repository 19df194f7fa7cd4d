"""Reference files: read as declared or refused, and part of the version of the code that uses them."""

import importlib
import sys
from pathlib import Path

import polars as pl
import pytest

from lakehouse.code import fingerprint
from lakehouse.errors import DefinitionError
from lakehouse.reference import Reference


def reference(path: Path, text: str | bytes | None) -> Reference:
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    columns = {"code": pl.String(), "factor": pl.Float64()}
    return Reference(path=path, columns=columns, key=("code",), version="1", source="us")


def test_a_file_is_read_as_declared_and_an_empty_field_is_null(tmp_path: Path) -> None:
    rows = reference(tmp_path / "codes.csv", "code,factor\n007,1.5\nµ,\n").rows().collect()

    assert rows.rows() == [("007", 1.5), ("µ", None)]
    assert rows.schema == {"code": pl.String, "factor": pl.Float64}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, r"codes\.csv cannot be read \(No such file"),
        ("code\na\n", r"codes\.csv has the columns \['code'\], not \['code', 'factor'\]"),
        ("factor,code\n1,a\n", "has the columns"),
        ("code,factor\na,one\n", "cannot be read as declared"),
        (b"code,factor\n\xb5,1\n", "cannot be read as declared"),
        ("code,factor\na,1\na,2\n", "code must be given, and name one row"),
        ("code,factor\n,1\n", "code must be given, and name one row"),
    ],
)
def test_what_is_not_as_declared_is_refused(tmp_path: Path, text: str | bytes | None, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        reference(tmp_path / "codes.csv", text).rows()


def test_the_checksum_is_of_the_lines_however_they_end(tmp_path: Path) -> None:
    one, same, other = (
        reference(tmp_path / f"{number}.csv", text).checksum
        for number, text in enumerate(("code,factor\na,1\n", "code,factor\r\na,1\r\n", "code,factor\na,2\n"))
    )
    assert one == same != other


def test_a_file_is_part_of_the_code_that_holds_or_imports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    held = (
        "from pathlib import Path\nfrom lakehouse.reference import Reference\n"
        "FILE = Reference(path=Path(__file__).with_name('codes.csv'), columns={}, key=(), version='1', source='us')\n"
    )

    def version(package: str, table: str) -> str:
        folder = tmp_path / package
        folder.mkdir()
        (folder / "codes.csv").write_text(table)
        (folder / "holder.py").write_text(held)
        (folder / "user.py").write_text("from .holder import FILE\n")
        (folder / "__init__.py").touch()
        importlib.import_module(f"{package}.user")
        found = fingerprint([f"{package}.user"])
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        return found

    assert version("first", "code\na\n") == version("second", "code\na\n")
    assert version("third", "code\na\n") != version("fourth", "code\nb\n")
