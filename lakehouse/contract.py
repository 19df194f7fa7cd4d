"""What a processed row must be. A source's contract is a dataframely schema over the columns its `tidy` produces.

Column constraints and `@dy.rule` methods are the only judges of a row; the engine adds the provenance columns and turns
a broken rule into words a site can act on. A rule that yields null counts as kept (dataframely's convention): a rule
about a missing value must say so with `is_not_null`.
"""

import inspect

import dataframely as dy
import polars as pl

PROVENANCE: dict[str, pl.DataType] = {
    "_file": pl.String(),
    "_line": pl.Int64(),
    "_checksum": pl.String(),
    "_delivered": pl.Date(),
    "_site": pl.String(),
    "_received_at": pl.Datetime("us", "UTC"),
}


class Contract(dy.Schema):
    """Base of every source's contract: the provenance columns every processed row carries."""

    provenance_file = dy.String(alias="_file", description="Path of the delivery below the landing folder.")
    provenance_line = dy.Int64(alias="_line", description="Line of the file on which the record starts (header: 1).")
    provenance_checksum = dy.String(alias="_checksum", description="SHA-256 of the delivered bytes, hexadecimal.")
    provenance_delivered = dy.Date(alias="_delivered", description="Delivery day, from the file's path.")
    provenance_site = dy.String(alias="_site", description="Delivering site, from the file's path.")
    provenance_received_at = dy.Datetime(
        alias="_received_at",
        time_unit="us",
        time_zone="UTC",
        description="When the lakehouse first saw this version of the file (UTC).",
    )


def rule_names(contract: type[dy.Schema]) -> list[str]:
    """Every rule of a contract by the name dataframely reports it under: `column|constraint`, or the rule method's."""
    _, failure = contract.filter(contract.create_empty(), cast=False)
    return sorted(set(failure.details().columns) - set(contract.column_names()))


_COLUMN_RULES = {
    "nullability": "is missing",
    "min_length": "is too short",
    "max_length": "is too long",
    "regex": "is not written as it must be",
    "min": "is below its minimum",
    "min_exclusive": "is not above its minimum",
    "max": "is above its maximum",
    "max_exclusive": "is not below its maximum",
    "inf": "is infinite",
    "nan": "is not a number",
}


def explain(contract: type[dy.Schema], rule: str) -> str:
    """Say in words what it means that `rule` is broken, for example `vsstresn is above its maximum`.

    `rule` is a name as dataframely reports it: `column|constraint`, or the name of a `@dy.rule` method, whose docstring
    (one line, what must hold) is quoted.
    """
    column, bar, constraint = rule.partition("|")
    if bar:
        return f"{column} {_COLUMN_RULES.get(constraint, f'breaks {constraint}')}"
    method = getattr(getattr(contract, rule, None), "validation_fn", None)
    must = inspect.getdoc(method) if method else None
    return f"must hold: {must.rstrip('.')}" if must else f"breaks {rule}"
