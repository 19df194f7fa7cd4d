"""What changes the name of some code, and what does not."""

import ast
import gc
import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakehouse.code import fingerprint

Made = Callable[..., str]
NUMBERS = itertools.count()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Writes a package of some files, imports its module `top`, and names its code."""
    monkeypatch.syspath_prepend(tmp_path)
    packages = []

    def make(**files: str) -> str:
        packages.append(package := f"made_{next(NUMBERS)}")
        folder = tmp_path / package / "inner"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        for name, text in files.items():
            (tmp_path / package / f"{name.replace('__', '/')}.py").write_text(text.replace("PACKAGE", package))
        importlib.import_module(f"{package}.inner.top")
        return fingerprint([f"{package}.inner.top"])

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "line",
    [
        "from ..other import value",
        "from .. import other",
        "from . import beside",
        "from .beside import value",
        "from .beside import value as another",
    ],
)
def test_what_a_module_imports_is_part_of_it_however_it_is_named(made: Made, line: str) -> None:
    same = {"inner__top": line, "other": "value = 1", "inner__beside": "value = 1"}
    assert made(**same) == made(**same)
    changed = "other" if "other" in line and "beside" not in line else "inner__beside"
    assert made(**same) != made(**{**same, changed: "value = 2"})
    assert made(**same) == made(**{**same, changed: "value  =  1  # the same"})


def test_what_is_parsed_meanwhile_does_not_disturb(made: Made) -> None:
    def parse(_: str, __: dict[str, int], depth: int = 5) -> None:
        if depth:
            parse(_, __, depth - 1)
        else:
            ast.parse("value")

    threshold = gc.get_threshold()
    gc.callbacks.append(parse)
    gc.set_threshold(1, 10**6)
    try:
        assert len(made(inner__top="value = 1 + 2\n" * 10)) == 12
        assert gc.isenabled()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(parse)


def test_files_are_part_of_it(tmp_path: Path) -> None:
    template = tmp_path / "page.html"
    template.write_text("one")
    with_file = fingerprint(["lakehouse.code"], [template])
    assert with_file not in (fingerprint(["lakehouse.code"]), fingerprint([]))
    template.write_text("another")
    assert fingerprint(["lakehouse.code"], [template]) != with_file


def test_what_is_imported_by_what_is_imported_is_part_of_it(made: Made) -> None:
    far = {"inner__top": "from ..other import value", "other": "from .last import value", "last": "value = 1"}
    assert made(**far) != made(**{**far, "last": "value = 2"})


def test_the_engine_and_other_packages_are_no_part_of_it(made: Made) -> None:
    assert made(inner__top="import json") == made(inner__top="import json")
    assert made(inner__top="import lakehouse.code") == made(inner__top="import lakehouse.code")


def test_an_import_that_cannot_be_is_passed_over(made: Made) -> None:
    guarded = "try:\n    from ....far import value\nexcept ImportError:\n    from PACKAGE.other import value\n"
    files = {"inner__top": guarded, "other": "value = 1"}
    assert len(made(**files)) == 12
