"""Versions of code: a name for what some modules do, which comments and layout do not change."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator

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
            tree = ast.parse(inspect.getsource(sys.modules[name]))
            seen[name] = ast.dump(tree)
            root = name.partition(".")[0]
            waiting.extend(
                found for found in _imported(tree) if found.partition(".")[0] == root and root != "lakehouse"
            )
    return hashlib.sha256("\n".join(seen[name] for name in sorted(seen)).encode()).hexdigest()[:12]


def _imported(tree: ast.Module) -> Iterator[str]:
    """Names of the imported modules a tree names; `from package import name` may name a module or what is in one."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{name}" for name in names)]
        yield from (name for name in names if name in sys.modules)
