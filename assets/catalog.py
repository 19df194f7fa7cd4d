"""Everything this lakehouse holds, found by looking: modules here hold a `Source`, those in `curated` a `Curated`."""

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import TypeVar

import assets
from assets import curated as curated_package
from lakehouse.curated import Curated, Through
from lakehouse.errors import DefinitionError, SourceError
from lakehouse.quality import QUALITY
from lakehouse.source import Source
from lakehouse.streaming import AlertRow, Stream
from lakehouse.warehouse import Table

T = TypeVar("T", Source, Curated, Stream)


@cache
def sources() -> tuple[Source, ...]:
    """Every source, by name. Raises DefinitionError when two have one name."""
    found = [value for module in _modules(assets) for value in vars(module).values() if isinstance(value, Source)]
    return tuple(_named_once("sources", found))


@cache
def curated() -> tuple[Curated, ...]:
    """Every curated table, and the engine's quality tables. Raises DefinitionError when two have one name."""
    modules = _modules(curated_package)
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Curated)]
    return tuple(_named_once("curated tables", [*found, *QUALITY]))


@cache
def streams() -> tuple[Stream, ...]:
    """Every stream whose events are judged as they come, by name. Raises DefinitionError when two have one name."""
    found = [value for module in _modules(assets) for value in vars(module).values() if isinstance(value, Stream)]
    return tuple(_named_once("streams", found))


def through() -> dict[str, Through]:
    """By table as SQL names it, what the rows of a curated table are made of, where a row is made of many."""
    alerts = {stream.table.replace("/", "."): stream for stream in streams()}
    return {
        **{f"{item.layer}.{item.name}": item.through for item in curated() if item.through},
        **{table: stream.through for table, stream in alerts.items()},
        **{f"lake.{stream.name}_alerts": Through(table, "behind.id = this.id") for table, stream in alerts.items()},
    }


@cache
def published() -> tuple[Table, ...]:
    """What PostgreSQL is loaded with: the curated and quality tables, and the sources that ask for it."""
    tables = [
        Table(item.table, item.warehouse, item.name, item.contract, item.key, item.description, item.by)
        for item in curated()
        if item.warehouse
    ]
    names = {(table.schema, table.name) for table in tables}
    for source in sources():
        if not source.publish:
            continue
        if ("lake", source.name) in names:
            raise DefinitionError(
                f"source {source.name} and a curated table both load lake.{source.name}; name one anew"
            )
        processed = f"processed/{source.name}"
        tables.append(Table(processed, "lake", source.name, source.row, source.key, source.description))
    for stream in streams():
        tables.append(Table(stream.table, "lake", f"{stream.name}_alerts", AlertRow, ("id",), stream.description))
    return tuple(tables)


def source(name: str) -> Source:
    """The source of this name. Raises DefinitionError naming the sources there are."""
    by_name = {item.name: item for item in sources()}
    if name not in by_name:
        raise DefinitionError(f"there is no source {name!r}; there are {', '.join(sorted(by_name))}")
    return by_name[name]


def _modules(package: ModuleType) -> list[ModuleType]:
    names = sorted(item.name for item in pkgutil.iter_modules(package.__path__) if not item.ispkg)
    return [_module(f"{package.__name__}.{name}") for name in names if name != "catalog"]


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SourceError as error:
        raise DefinitionError(f"{name.replace('.', '/')}.py: {error}") from error


def _named_once(what: str, found: Sequence[T]) -> list[T]:
    by_name: dict[str, T] = {}
    for item in found:
        if by_name.setdefault(item.name, item) is not item:
            raise DefinitionError(f"two {what} are named {item.name}; every name stands for one table")
    return [by_name[name] for name in sorted(by_name)]
