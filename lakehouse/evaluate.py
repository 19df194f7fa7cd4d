"""Deliveries to judged rows: parse, tidy, contract. A pure function of the bytes and the source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl

from lakehouse.contract import PROVENANCE, Contract, explain
from lakehouse.dialect import doubtful, reading
from lakehouse.errors import DefinitionError
from lakehouse.formats import Format, Table
from lakehouse.lake import DELIVERY, RECORD
from lakehouse.records import PROBLEMS, Delivery, parse, tabled
from lakehouse.source import Source

QUARANTINE: dict[str, pl.DataType] = {
    **PROVENANCE,
    # Names of the broken rules, the same in words, and the record as delivered (null on line 0: the file itself).
    "reasons": pl.List(pl.String()),
    "explanation": pl.String(),
    "_text": pl.String(),
}
_DECIMAL = "{name} has a point, and numbers of this site have decimal commas: 1.500 could be 1,5 or 1500"
_LABELS = ["_rule", "_words"]


@dataclass(frozen=True)
class Judged:
    """What became of some deliveries, before anything is known of other deliveries' keys.

    raw: every record as `raw/name` stores it. accepted: rows that keep the contract, typed.
    rejected: rows of `quarantine/name`; a file refused whole has a row of its own on line 0.
    texts: `RECORD` and `_text` of every record.
    deliveries: one row per delivery: `DELIVERY`, `records`, `whole` (true when nothing of it can govern its path: it
        was refused whole, or it has records and none is acceptable), `sound` (it has records and all are acceptable)
        and `reason` (the words, for a file refused).
    """

    raw: pl.DataFrame
    accepted: pl.DataFrame
    rejected: pl.DataFrame
    texts: pl.DataFrame
    deliveries: pl.DataFrame


def processed_schema(source: Source) -> dict[str, pl.DataType]:
    """Columns and types of `processed/name`: its contract's, and `_warnings` where a rule only warns."""
    return dict(source.row.create_empty().schema)


def judge(source: Source, deliveries: Sequence[Delivery]) -> Judged:
    """Judge every record of some deliveries.

    Raises DefinitionError when the source's tidy drops, adds or reorders rows, or yields other columns or types than
    its contract names.
    """
    dialects = [source.dialect_of(delivery.provenance["_site"]) for delivery in deliveries]
    records = parse(deliveries, source.columns, source.optional, dialects)
    rows = records.rows
    origin = pl.DataFrame(
        [delivery.provenance for delivery in deliveries],
        schema={name: kind for name, kind in PROVENANCE.items() if name != "_line"},
    )
    words = {index: (rule, text) for index, (rule, text) in records.refused.items()}
    labels = pl.DataFrame(
        [words.get(index, (None, None)) for index in range(len(deliveries))],
        schema=dict.fromkeys(_LABELS, pl.String()),
        orient="row",
    )
    files = pl.concat([origin, labels], how="horizontal")
    problem = pl.col("_problem").is_not_null()
    # Where no file is refused whole, the rows without a problem, which are many, need no label.
    labelled = (rows if words else rows.filter(problem)).join(
        files.select(*DELIVERY, *_LABELS), on=DELIVERY, how="left", maintain_order="left"
    )
    out = problem | pl.col("_rule").is_not_null()
    refused = labelled.filter(out).with_columns(
        reasons=pl.concat_list(pl.coalesce("_rule", "_problem")),
        explanation=pl.coalesce("_words", pl.col("_problem").replace_strict(PROBLEMS, default=None)),
    )
    # Nothing is copied to leave none out.
    sound = rows if refused.is_empty() else rows.filter(~problem)
    sound = (labelled.filter(~out).drop(_LABELS) if words else sound).drop("_problem")
    sound, ambiguous = _read(source, sound)
    accepted, broken = _filter(source, sound)
    alone = [frame.select(list(QUARANTINE)) for frame in (refused, ambiguous, broken)]
    spoiled = _spoiled(source, deliveries, files, _count(rows, files, "records"), pl.concat(alone))
    if not spoiled.is_empty():
        # The records that are good for themselves go with their file.
        files = files.update(spoiled, on=DELIVERY)
        along = accepted.join(spoiled, on=DELIVERY, maintain_order="left").select(*PROVENANCE, *_LABELS)
        accepted = accepted.join(spoiled, on=DELIVERY, how="anti", maintain_order="left")
        texts = sound.select(*RECORD, "_text")
        along = along.with_columns(reasons=pl.concat_list("_rule"), explanation="_words").join(
            texts, on=RECORD, how="left", maintain_order="left"
        )
        alone.append(along.select(list(QUARANTINE)))
    whole_files = files.filter(pl.col("_rule").is_not_null()).with_columns(
        _line=pl.lit(0, pl.Int64), reasons=pl.concat_list("_rule"), explanation="_words", _text=pl.lit(None, pl.String)
    )
    rejected = pl.concat([frame.select(list(QUARANTINE)) for frame in (whole_files, *alone)])
    counts = (
        files.select(*DELIVERY, reason="_words")
        .join(_count(rows, files, "records"), on=DELIVERY, how="left", maintain_order="left")
        .join(_count(accepted, files, "accepted"), on=DELIVERY, how="left", maintain_order="left")
        .with_columns(pl.col("records", "accepted").fill_null(0).cast(pl.Int64))
    )
    nothing_good = (pl.col("records") > 0) & (pl.col("accepted") == 0)
    return Judged(
        raw=rows.with_columns(_text=pl.when(pl.col("_problem").is_not_null()).then("_text")),
        accepted=accepted,
        rejected=rejected,
        texts=rows.select(*RECORD, "_text"),
        deliveries=counts.with_columns(
            whole=pl.col("reason").is_not_null() | nothing_good,
            sound=(pl.col("records") > 0) & (pl.col("accepted") == pl.col("records")),
        ).drop("accepted"),
    )


def judge_each(source: Source, table: Table, provenance: Mapping[str, object]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judge records that are no delivery, each by itself: rows that keep the contract, and `_line` and `reasons` of the
    others. What can be said of a whole file only (its header, `file_limit`, severity `file`) is not asked.

    provenance: of all of them, but `_line`. Raises DefinitionError, as `judge` does.
    """
    form = source.dialect_of(provenance["_site"])
    assert isinstance(form, Format)
    rows, _ = tabled(table, source.header, form)
    origin = [pl.lit(value, PROVENANCE[name]).alias(name) for name, value in provenance.items()]
    lacking = [pl.lit(None, pl.String).alias(name) for name in (*source.header, "_extra") if name not in rows.columns]
    rows = rows.with_columns(*lacking, *origin)
    sound = rows.filter(pl.col("_problem").is_null()).select(*source.header, "_extra", *PROVENANCE, "_text")
    sound, ambiguous = _read(source, sound)
    accepted, broken = _filter(source, sound)
    refused = rows.filter(pl.col("_problem").is_not_null()).select("_line", reasons=pl.concat_list("_problem"))
    return accepted, pl.concat([refused, *(frame.select("_line", "reasons") for frame in (ambiguous, broken))])


def _count(rows: pl.DataFrame, files: pl.DataFrame, name: str) -> pl.DataFrame:
    """How many rows came with each delivery that has any; files: the deliveries, a row for each."""
    if len(files) == 1:
        # A piece of a large one is not grouped to learn that.
        return files.head(len(rows)).select(*DELIVERY, pl.lit(len(rows), pl.Int64).alias(name))
    return rows.group_by(DELIVERY).agg(pl.len().cast(pl.Int64).alias(name))


def _read(source: Source, sound: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records as tidy is to read them, and as quarantine rows those with a number that their dialect cannot read."""
    ambiguous = []
    for site, dialect in source.dialects():
        if not dialect.nulls and dialect.decimal == ".":
            continue
        others = list(source.site_dialects)
        where = pl.col("_site") == site if site is not None else ~pl.col("_site").is_in(others)
        if dialect.decimal == ",":
            faults = [pl.when(doubtful(dialect, name)).then(pl.lit(f"{name}|decimal")) for name in source.numbers]
            found = sound.filter(where).with_columns(reasons=pl.concat_list(faults).list.drop_nulls())
            words = {f"{name}|decimal": _DECIMAL.format(name=name) for name in source.numbers}
            explanation = pl.col("reasons").list.eval(pl.element().replace_strict(words)).list.join("; ")
            found = found.filter(pl.col("reasons").list.len() > 0).with_columns(explanation=explanation)
            ambiguous.append(found.select(list(QUARANTINE)))
            sound = sound.join(found, on=RECORD, how="anti", maintain_order="left")
        sound = reading(sound, where, dialect, source.header, source.numbers)
    return sound, pl.concat(ambiguous) if ambiguous else pl.DataFrame(schema=QUARANTINE)


@dataclass(frozen=True)
class Tally:
    """Of a delivery, or some of it: records, those rejected for themselves, and those of them that break `rules`, which
    refuse a whole file.
    """

    records: int = 0
    rejected: int = 0
    fatal: int = 0
    rules: frozenset[str] = frozenset()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.records + other.records,
            self.rejected + other.rejected,
            self.fatal + other.fatal,
            self.rules | other.rules,
        )

    @classmethod
    def of(cls, source: Source, judged: Judged) -> "Tally":
        """The tally of a single piece, which was judged alone."""
        lines = judged.rejected.filter(pl.col("_line") > 0)
        records = int(judged.deliveries["records"].sum())
        return next((cls(records, *row[3:]) for row in _tallies(source, lines)), cls(records))


def verdict(source: Source, tally: Tally) -> tuple[str, str] | None:
    """Why a delivery is refused whole for its records, as a name and in words that tell counts and rules; or None."""
    again = "; mend them and send the file again"
    if tally.fatal:
        why = "; ".join(explain(source.contract, rule) for rule in sorted(tally.rules))
        return "file:rule", f"{tally.fatal} of its records break what the whole file is refused for ({why}){again}"
    limit = source.file_limit
    if limit is not None and tally.rejected > limit * tally.records:
        told = f"{tally.rejected} of its {tally.records} records are rejected, more than {limit:.0%}"
        return "file:limit", f"{told}{again}"
    return None


def _tallies(source: Source, rejected: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Of each delivery with rejected records: DELIVERY, how many, how many are fatal, and by which rules."""
    ends = pl.element().filter(pl.element().is_in(source.rules("file")))
    fatal = rejected.select(*DELIVERY, pl.col("reasons").list.eval(ends))
    names = pl.col("reasons").explode().drop_nulls().unique()
    counted = fatal.group_by(DELIVERY).agg(pl.len(), (pl.col("reasons").list.len() > 0).sum().alias("fatal"), names)
    for row in counted.iter_rows():
        yield *row[:-1], frozenset(row[-1])


def _spoiled(
    source: Source,
    deliveries: Sequence[Delivery],
    files: pl.DataFrame,
    records: pl.DataFrame,
    rejected: pl.DataFrame,
) -> pl.DataFrame:
    """Deliveries that are sound as files and refused whole for their records: `DELIVERY` and the labels.

    rejected: the records that are rejected for themselves.
    """
    found: list[tuple[object, ...]] = []
    sound = files.filter(pl.col("_rule").is_null())
    if deliveries and deliveries[0].piece:
        assert len(deliveries) == 1, "a piece is judged alone"
        if deliveries[0].spoiled:
            found = [(*row, *deliveries[0].spoiled) for row in sound.select(DELIVERY).iter_rows()]
    elif source.judges_files:
        counts = sound.select(DELIVERY).join(records, on=DELIVERY, how="inner").select(*DELIVERY, "records").rows()
        bad = {row[:3]: row[3:] for row in _tallies(source, rejected)}
        for *delivery, total in counts:
            label = verdict(source, Tally(total, *bad.get(tuple(delivery), ())))
            found += [(*delivery, *label)] if label else []
    return pl.DataFrame(found, schema=files.select(*DELIVERY, *_LABELS).schema, orient="row")


def _filter(source: Source, sound: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that break nothing but what only warns, and the others as quarantine rows with every rule they break."""
    tidied = source.tidy(sound.lazy().drop("_text")).collect()
    expected = _expected(source.contract)
    if {name: tidied.schema.get(name) for name in expected} != expected:
        got = tidied.schema
        told = "; ".join(
            f"{name} is {got.get(name)}, not {kind}" for name, kind in expected.items() if got.get(name) != kind
        )
        raise DefinitionError(f"source {source.name}: tidy does not yield what its contract names: {told}")
    if not tidied.select(RECORD).equals(sound.select(RECORD)):
        raise DefinitionError(f"source {source.name}: tidy must yield one row for each row it is given, in their order")
    kept, failure = source.contract.filter(tidied, cast=False)
    accepted: pl.DataFrame = kept
    if accepted.height == tidied.height:
        unflagged = [pl.lit(None, pl.String).alias("_warnings")] if source.rules("warn") else []
        return accepted.with_columns(unflagged), pl.DataFrame(schema=QUARANTINE)
    rules, details = list(failure.counts()), failure.details()
    if soft := source.rules("warn"):
        flags = _broken([rule for rule in rules if rule in soft]).list.join(" ")
        hard = _broken([rule for rule in rules if rule not in soft]).list.len() > 0
        flagged = details.filter(~hard).select(*expected, _warnings=flags)
        details = details.filter(hard)
        accepted = pl.concat([accepted.with_columns(_warnings=pl.lit(None, pl.String)), flagged])
        # Flagged or not, in the order they were delivered in.
        accepted = sound.select(RECORD).join(accepted, on=RECORD, maintain_order="left").select(accepted.columns)
    if details.is_empty():
        return accepted, pl.DataFrame(schema=QUARANTINE)
    words = {rule: explain(source.contract, rule) for rule in rules}
    broken = (
        details.select(*PROVENANCE, reasons=_broken(rules))
        .with_columns(
            explanation=pl.col("reasons").list.eval(pl.element().replace_strict(words)).list.join("; "),
        )
        .join(_texts(sound, details), on=RECORD, how="left", maintain_order="left")
    )
    return accepted, broken.select(list(QUARANTINE))


@cache
def _expected(contract: type[Contract]) -> dict[str, pl.DataType]:
    """Columns and types of what tidy has to yield."""
    return dict(contract.create_empty().schema)


def _texts(sound: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """RECORD and `_text` of the rows wanted, and perhaps of others."""
    # A number is quickly compared, and leaves few of a large file for the join.
    return sound.filter(pl.col("_line").is_in(wanted["_line"].unique().implode())).select(*RECORD, "_text")


def _broken(rules: Sequence[str]) -> pl.Expr:
    """Of `rules`, those that a row of dataframely's details breaks, as a list."""
    names = [pl.when(pl.col(rule) == "invalid").then(pl.lit(rule)) for rule in rules]
    # Several times as quick as a list with nulls that are dropped.
    text = pl.concat_str(names, separator="\n", ignore_nulls=True) if names else pl.lit("")
    return text.str.extract_all(r"[^\n]+")
