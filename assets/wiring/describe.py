"""What an asset shows of itself: schema, column lineage, counts, and small plots. Aggregates only, never a row's
values: metadata outlives an erasure."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import dataframely as dy
import polars as pl

from lakehouse import history, lineage
from lakehouse.curated import Curated
from lakehouse.ingest import schemas
from lakehouse.inputs import GIVEN
from lakehouse.records import schema
from lakehouse.sent import record_of
from lakehouse.source import Source

COLUMN_LINEAGE = "dagster/column_lineage"
_BAR = 24
# Layers of a source that are part of its processed asset, and none of their own.
_WITHIN = ("superseded", "account")


def contract_schema(contract: type[dy.Schema]) -> dg.TableSchema:
    """A contract as the table schema that the UI shows, with its columns' descriptions and whether they may be null."""
    types = contract.create_empty().schema
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                type=str(types[name]),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for name, column in contract.columns().items()
        ]
    )


def plain_schema(columns: Mapping[str, pl.DataType]) -> dg.TableSchema:
    """A table's columns and types, for tables that have no contract."""
    return dg.TableSchema([dg.TableColumn(name, type=str(kind)) for name, kind in columns.items()])


def source_lineage(source: Source) -> dg.TableColumnLineage:
    """From which raw column each processed column of a source comes."""
    raw = {name: kind for name, kind in schema(source.header).items() if name not in {"_problem", "_text"}}
    return _lineage(lineage.columns(source.tidy, {f"raw/{source.name}": raw}))


def curated_lineage(table: Curated, tables: Mapping[str, Mapping[str, pl.DataType]]) -> dg.TableColumnLineage:
    """From which column of which input each column of a curated table comes."""
    return _lineage(lineage.columns(table.transform, {name: tables[name] for name in table.inputs}))


def published_lineage(table: str, contract: type[dy.Schema]) -> dg.TableColumnLineage:
    """A loaded table's columns come from the columns of the same names in the lake."""
    return _lineage({name: [(table, name)] for name in contract.column_names()})


def shown_before(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey], code: str
) -> dict[dg.AssetKey, dict[str, Any]]:
    """The column lineage that assets were last shown with, as metadata, of those that this very code has made.

    To work it out takes longer than to make a small table, and it hangs on nothing but the code.
    """
    found = {}
    for record in instance.get_asset_records(list(keys)):
        event = record.asset_entry.last_materialization
        told = event.asset_materialization.metadata if event and event.asset_materialization else {}
        if COLUMN_LINEAGE in told and told["code_version"].value == code:
            found[record.asset_entry.asset_key] = {COLUMN_LINEAGE: told[COLUMN_LINEAGE]}
    return found


def known_tables(sources: tuple[Source, ...], curated: tuple[Curated, ...]) -> dict[str, dict[str, pl.DataType]]:
    """Schema of everything a curated table may be made from, by the name it is asked for."""
    tables = dict(GIVEN)
    for source in sources:
        tables.update({f"{layer}/{source.name}": columns for layer, columns in schemas(source).items()})
        tables[f"history/{source.name}"] = history.schema(source)
    for table in curated:
        tables[table.table] = dict(table.contract.create_empty().schema)
        if name := record_of(table):
            tables[name] = tables[table.table]
    return tables


def bars(title: str, counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    """Counts as a small plot of text bars, the largest first."""
    largest = max(counts.values(), default=0)
    rows = [
        f"| {name} | {count:,} | `{'█' * max(1, round(_BAR * count / largest))}` |"
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if count
    ]
    return dg.MetadataValue.md(
        "\n".join([f"| {title} | lines | |", "| --- | ---: | --- |", *(rows or ["| none | 0 | |"])])
    )


def _lineage(origins: Mapping[str, list[tuple[str, str]]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(dg.AssetKey(history.shown_as(table).split("/")), name)
                for table, name in deps
                if _is_asset(table) and name not in history.DAYS
            ]
            for column, deps in origins.items()
        }
    )


def asset_of(table: str) -> str:
    """The asset that stands for an input of a curated table."""
    layer, _, name = table.partition("/")
    return f"processed/{name}" if layer in _WITHIN else history.shown_as(table)


def _is_asset(table: str) -> bool:
    layer, _, name = table.partition("/")
    return bool(name) and layer not in (*_WITHIN, "sent")
