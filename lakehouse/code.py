"""Versions of code: a name for what some modules do, which comments and layout do not change."""

import ast
import gc
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from threading import Lock
from types import ModuleType

from lakehouse.reference import Reference

# Raise it when the engine comes to judge the same bytes by the same contract in another way: tables are made anew.
JUDGEMENT = 5

_PARSING = Lock()


def fingerprint(modules: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Names the code of some modules and of those modules of their own package that they import, however far away, with
    the reference files that these hold.

    modules: names of modules that have been imported. The engine is not part of it: it has a version of its own.
    files: what they are made of besides, such as a page's template.
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            code, imported = _read(sys.modules[name])
            seen[name] = "\n".join([code, *_references(sys.modules[name])])
            root = name.partition(".")[0]
            known = (found for found in imported if found in sys.modules and root != "lakehouse")
            waiting.extend(found for found in known if found.partition(".")[0] == root)
    parts = [*(seen[name] for name in sorted(seen)), *(file.read_text() for file in files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@cache
def _read(module: ModuleType) -> tuple[str, tuple[str, ...]]:
    """A module's code without comments and layout, and the names it imports. What a process has imported stays."""
    tree = _parsed(_source(module))
    return ast.dump(tree), tuple(_imported(tree, module.__package__ or ""))


def _parsed(text: str) -> ast.Module:
    """A text's tree. Python before 3.11.8 counts its depth in one place for all: a text parsed meanwhile, as when the
    collector's finalizers print tracebacks, makes it raise SystemError. Nothing comes in between without a collector.
    """
    with _PARSING:
        collecting = gc.isenabled()
        gc.disable()
        try:
            return ast.parse(text)
        finally:
            if collecting:
                gc.enable()


def _references(module: ModuleType) -> list[str]:
    """Which reference files a module holds, by name and what is in them."""
    held = [value for value in vars(module).values() if isinstance(value, Reference)]
    return sorted(f"{item.name} {item.checksum}" for item in held)


def _source(module: ModuleType) -> str:
    """A module's text; a folder without an `__init__.py` has none."""
    file = getattr(module, "__file__", None)
    if file:
        return Path(file).read_text()
    return "" if hasattr(module, "__path__") else inspect.getsource(module)


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of what a tree imports; `from package import name` may name a module or what is in one.

    package: where the tree's own relative imports begin.
    """
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            module = _resolved(node, package)
            names = [module, *(f"{module}.{name}" for name in names)]
        yield from names


def _resolved(node: ast.ImportFrom, package: str) -> str:
    try:
        return resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:
        # It would have failed, so the module has another way.
        return ""
