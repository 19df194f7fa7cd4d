"""Schema drift: columns that sites deliver and a source does not know.

Raw keeps them, with every value, so that one can be promoted into the contract later and be filled in for all that came
before.
"""

import json
from collections.abc import Sequence

import polars as pl

from lakehouse import account, manifest
from lakehouse.lake import DELIVERY, Lake
from lakehouse.marked import REASONS
from lakehouse.source import Source

# What all but a few of a column's values must look like for it to be taken for one; the first that fits is told. A
# number with a leading zero is somebody's identifier.
_KINDS = {
    "whole number": r"^[+-]?(0|[1-9][0-9]{0,17})$",
    "number": r"^[+-]?(0|[1-9][0-9]*)?\.?[0-9]+([eE][+-]?[0-9]+)?$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+.*)?$",
}
_IDENTIFIER = r"^[+-]?0[0-9]"
_FITS = 0.95
SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(),
    "column": pl.String(),
    "first_day": pl.Date(),
    "first_file": pl.String(),
    "sites": pl.String(),
    "files": pl.Int64(),
    "records": pl.Int64(),
    "filled": pl.Float64(),
    "type": pl.String(),
    "share": pl.Float64(),
}


def unknown_columns(lake: Lake, sources: Sequence[Source], versions: dict[str, int] | None = None) -> pl.DataFrame:
    """Every column that was delivered and is not in its source's header, one row each.

    first_day, first_file: where it came first, by delivery day. records: of the files that have it. filled: share of
    them with a value. type: `whole number`, `number`, `date`, `text` or `empty`, guessed from the values, of which
    `share` are of it. Files refused whole are left out: where the header is missing, a patient's values stand in its
    place. Holds names and counts, no values. Costs a reading of the unknown columns alone. versions: of the tables,
    where the manifest has been read already.
    """
    versions = manifest.versions(lake) if versions is None else versions
    found = [row for source in sources for row in _of(lake, source, versions)]
    return pl.DataFrame(found, schema=SCHEMA).sort("source", "first_day", "column")


def _of(lake: Lake, source: Source, versions: dict[str, int]) -> list[dict[str, object]]:
    if f"raw/{source.name}" not in versions:
        return []
    deliveries = account.deliveries(lake, [source.name], versions).filter(pl.col("reason").is_null())
    rows = (
        lake.scan(f"raw/{source.name}", versions[f"raw/{source.name}"])
        .filter(pl.col("_extra").is_not_null())
        .select(*DELIVERY, "_delivered", "_site", "_extra")
        .join(deliveries.select(DELIVERY), on=DELIVERY, how="semi")
    )
    # All records of a file have the columns of its header.
    files = rows.group_by(*DELIVERY, "_delivered", "_site").agg(pl.col("_extra").first(), records=pl.len()).collect()
    if files.is_empty():
        return []
    named = files.with_columns(
        column=pl.col("_extra").map_elements(lambda text: list(json.loads(text)), return_dtype=pl.List(pl.String))
    ).explode("column")
    named = named.filter(~pl.col("column").is_in(list(source.header)) & ~pl.col("column").str.starts_with(REASONS))
    names = named["column"].unique().to_list()
    if not names:
        return []
    values = pl.col("_extra").str.json_decode(pl.Struct(dict.fromkeys(names, pl.String())))
    counts = rows.select(_of_column(values.struct.field(name), name) for name in names).collect()
    first = named.sort("_delivered", "_file", "_received_at").group_by("column")
    told = first.agg(
        first_day=pl.col("_delivered").first(),
        first_file=pl.col("_file").first(),
        sites=pl.col("_site").unique().sort().str.join(" "),
        files=pl.struct(DELIVERY).n_unique(),
        records=pl.col("records").sum(),
    )
    found = []
    for row in told.iter_rows(named=True):
        of = counts[row["column"]][0]
        fits = [kind for kind in _KINDS if of["filled"] and of[kind] >= _FITS * of["filled"]]
        kind = fits[0] if fits else "text" if of["filled"] else "empty"
        share = of[kind] / of["filled"] if fits else 1.0
        found.append(
            {**row, "source": source.name, "filled": of["filled"] / row["records"], "type": kind, "share": share}
        )
    return found


def _of_column(value: pl.Expr, name: str) -> pl.Expr:
    """How many records have a value, and how many of those are of each kind."""
    number = ~value.str.contains(_IDENTIFIER)
    kinds = {kind: value.str.contains(pattern) for kind, pattern in _KINDS.items()}
    kinds["number"] &= number
    counted = [fits.sum().alias(kind) for kind, fits in kinds.items()]
    return pl.struct(value.is_not_null().sum().alias("filled"), *counted).alias(name)
