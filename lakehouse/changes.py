"""What a log of changes comes to: the rows there are now, and every version of each row with the time it held.

Takes rows of a source that a feed of changes lands (see `lakehouse.feeds.changes`), in any order, any of them twice:
`cdc_starts` (whole number, the feed's `starts` by then; without it all are of one start), `cdc_lsn` (text, ordered as
transactions committed), `cdc_seq` (whole number, ordered within one), `cdc_op` (`insert`, `update`, `delete`,
`truncate`, `snapshot`, `complete` after a snapshot's end), `cdc_at` (when it was committed) and, where large values may
be left out, `cdc_unchanged` (names of the columns left out, by spaces).

Starts come first in the order: after one the database may be another server's, whose positions tell nothing of those
before.

Snapshots. One that did not come to its end counts for nothing: which rows it has of all is not known. A whole one says
what there was at its position: a row that it lacks is gone from then on, one that it tells alike has held on.
"""

import polars as pl

_STARTS = "cdc_starts"
_COMMIT = [_STARTS, "cdc_lsn"]
_PLACE = [*_COMMIT, "cdc_seq"]
_UNCHANGED = "cdc_unchanged"
_NUMBER, _RESET = "_number", "_reset"
# What tells the end of a version: from the change that ends it, or from what did away with all rows.
_UNTIL = {
    "valid_to": ("cdc_at", "_reset_at"),
    "until_starts": (_STARTS, "_reset_starts"),
    "until_lsn": ("cdc_lsn", "_reset_lsn"),
}


def typed(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Raw changes with `cdc_starts`, `cdc_seq` and `cdc_at` in their types; null where they cannot be read.

    What landed before a feed wrote `cdc_starts` tells it by its file's name, and is of the first start if it does not.
    """
    named = pl.col("_file").str.extract(r"(?:^|[^A-Za-z0-9])s([0-9]+)_[0-9]+@[^/]+$").fill_null("1")
    return raw.with_columns(
        pl.col(_STARTS).fill_null(named).cast(pl.Int64, strict=False),
        pl.col("cdc_seq").cast(pl.Int64, strict=False),
        pl.col("cdc_at")
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
        .dt.replace_time_zone("UTC"),
    )


def current(changes: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    """The newest row of each key that was not deleted since: a dimension of type 1.

    Its columns are those of `changes`; `cdc_lsn`, `cdc_seq`, `cdc_op` and `cdc_at` tell the change that made it.
    """
    return (
        _log(changes, key)
        .group_by(key)
        .agg(pl.all().sort_by(_NUMBER).last())
        .filter(pl.col("cdc_op").is_in(["insert", "update", "snapshot"]) & pl.col(_RESET).is_null())
        .select(changes.collect_schema().names())
    )


def history(changes: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    """Each version of each key's row with the time it held: a dimension of type 2.

    A version is what a transaction left: of several changes in one transaction the last counts, for nobody outside saw
    the others, and a row that came and went in one has no version. `valid_from`: its commit's time, or that
    of the snapshot that told it first. `valid_to`: of another version, a delete, a truncation or a snapshot without it;
    null while it holds. Versions follow each other by `cdc_starts`, `cdc_lsn` and `until_starts` (of a log that has
    starts), `until_lsn`: a clock may be set back, and two transactions may have one time. What holds at a time:
    `valid_from <= time and (valid_to is null or time < valid_to)`.
    """
    names = changes.collect_schema().names()
    told = [name for name in names if name not in key and not name.startswith(("cdc_", "_"))]
    rows = _log(changes, key).group_by(*key, *_COMMIT).agg(pl.all().sort_by(_NUMBER).last()).sort(*key, _NUMBER)
    following = pl.col(_NUMBER).shift(-1).over(key)
    # A snapshot resets what was before its rows: a row it tells follows at once and keeps the time of the snapshot.
    by_row = following.is_not_null() & (pl.col(_RESET).is_null() | (following < pl.col(_RESET)))
    commit, until = pl.struct(_COMMIT), pl.struct("until_starts", "until_lsn").struct.rename_fields(_COMMIT)
    ends = rows.with_columns(
        pl.when(by_row).then(pl.col(told).shift(-1).over(key)).otherwise(reset).alias(name)
        for name, (told, reset) in _UNTIL.items()
    ).filter(pl.col("cdc_op").is_in(["insert", "update", "snapshot"]) & until.ne_missing(commit))
    alike = pl.all_horizontal(
        until.shift().over(key).eq_missing(commit),
        *(pl.col(name).eq_missing(pl.col(name).shift().over(key)) for name in told),
    )
    holds_on = ((pl.col("cdc_op") == "snapshot") & alike).fill_null(False)
    return (
        ends.with_columns(_version=(~holds_on).cum_sum().over(key))
        .group_by(*key, "_version", maintain_order=True)
        .agg(
            pl.exclude(*key, "_version", *_UNTIL).first(),
            pl.col(*_UNTIL).last(),
            valid_from=pl.col("cdc_at").first(),
        )
        .select(
            *(name for name in (*names, "valid_from", *_UNTIL) if name != "until_starts" or _STARTS in names),
            is_current=pl.col("until_lsn").is_null(),
        )
    )


def left_out(name: str) -> pl.Expr:
    """Whether a change did not tell the value of a column because it had not changed."""
    words = pl.concat_str(pl.lit(" "), _UNCHANGED, pl.lit(" "))
    return words.str.contains(f" {name} ", literal=True).fill_null(False)


def _log(changes: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    """Changes of rows that count, once each, with what was left out filled in.

    Adds `_number` (the order of all) and, of the first truncation or whole snapshot after it that did away with what
    was before, `_reset` (its number), `_reset_at`, `_reset_starts` and `_reset_lsn`.
    """
    if _STARTS not in changes.collect_schema().names():
        changes = changes.with_columns(pl.lit(1, pl.Int64).alias(_STARTS))
    op, reset = pl.col("cdc_op"), pl.col("cdc_op").is_in(["truncate", "complete"])
    whole = changes.filter(op == "complete").select(_COMMIT)
    counted = pl.concat(
        [changes.filter(op != "snapshot"), changes.filter(op == "snapshot").join(whole, on=_COMMIT, how="semi")]
    )
    numbered = (
        counted.unique([*key, *_PLACE], keep="any")
        # A whole snapshot does away with what was before, then its own rows are told.
        .sort(*_COMMIT, op != "complete", "cdc_seq")
        .with_row_index(_NUMBER)
    )
    after = {_RESET: _NUMBER, **{reset: told for told, reset in _UNTIL.values()}}
    ordered = numbered.with_columns(
        pl.when(reset).then(pl.col(name)).backward_fill().alias(added) for added, name in after.items()
    ).filter(~reset)
    if _UNCHANGED not in changes.collect_schema().names():
        return ordered
    return ordered.map_batches(lambda rows: _filled(rows, key), schema=ordered.collect_schema())


def _filled(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Values that were left out because they had not changed, from the change that told them last.

    A row is followed back to its key's row before, and an insert to the delete that stands just before it in its
    transaction: the two are one update of a key. The way back is halved each time, however long it is.
    """
    if rows[_UNCHANGED].drop_nulls().is_empty():
        return rows
    rows = rows.sort(_NUMBER).with_row_index("_row")
    before = pl.col("_row").shift().over(key)
    moved = rows.filter(cdc_op="delete").select(*_COMMIT, pl.col("cdc_seq") + 1, _moved="_row")
    back = (
        rows.with_columns(_before=before)
        .join(moved, on=_PLACE, how="left", maintain_order="left")
        .select(pl.when(cdc_op="insert").then("_moved").otherwise("_before").fill_null(pl.col("_row")))
        .to_series()
    )
    for name in rows.columns:
        gap = rows.select(left_out(name)).to_series()
        if not gap.any():
            continue
        source = pl.select(pl.when(gap).then(back).otherwise(rows["_row"])).to_series()
        while not (further := source.gather(source)).equals(source):
            source = further
        rows = rows.with_columns(rows[name].gather(source))
    return rows.drop("_row")
