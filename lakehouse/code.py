"""Versions of code: a name for what some modules do, which comments and layout do not change."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from importlib.util import resolve_name
from pathlib import Path

# Raise it when the engine comes to judge the same bytes by the same contract in another way: tables are made anew.
JUDGEMENT = 2


def fingerprint(modules: Iterable[str]) -> str:
    """Names the code of some modules and of those modules of their own package that they import, however far away.

    modules: names of modules that have been imported. The engine is not part of it: it has a version of its own.
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            # A folder without an `__init__.py` is a module without a file.
            file = getattr(sys.modules[name], "__file__", None)
            tree = ast.parse(Path(file).read_bytes() if file else b"")
            seen[name] = ast.dump(tree)
            root, package = name.partition(".")[0], sys.modules[name].__package__ or ""
            imported = _imported(tree, package)
            waiting.extend(found for found in imported if found.partition(".")[0] == root and root != "lakehouse")
    return hashlib.sha256("\n".join(seen[name] for name in sorted(seen)).encode()).hexdigest()[:12]


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of the imported modules a tree names; `from package import name` may name a module or what is in one.

    package: where the tree's own relative imports begin.
    """
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            names = [module, *(f"{module}.{name}" for name in names)]
        yield from (name for name in names if name in sys.modules)
