"""What a log of changes comes to: the rows there are now, and every version of each row with the time it held.

Takes rows of a source that a feed of changes lands (see `lakehouse.feeds.changes`), in any order, any of them twice:
`cdc_starts` (whole number, the feed's `starts` by then; without it all are of one start), `cdc_lsn` (text, ordered as
transactions committed), `cdc_seq` (whole number, ordered within one), `cdc_op` (`insert`, `update`, `delete`,
`truncate`, `snapshot`, `complete` after a snapshot's end), `cdc_at` (when it was committed) and, where large values may
be left out, `cdc_unchanged` (names of the columns left out, a JSON list; by spaces in what landed before they were).

Starts come first in the order: after one the database may be another server's, whose positions tell nothing of those
before.

Snapshots. One that did not come to its end counts for nothing: which rows it has of all is not known. A whole one says
what there was at its position: a row that it lacks is gone from then on, one that it tells alike has held on.

What `current` and `history` make holds all that is needed to go on from it, see `onward`: what comes after all that was
read need not be read together with that again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import polars as pl

from lakehouse.errors import DefinitionError

_STARTS = "cdc_starts"
_COMMIT = [_STARTS, "cdc_lsn"]
_PLACE = [*_COMMIT, "cdc_seq"]
_UNCHANGED = "cdc_unchanged"
_NUMBER, _RESET, _HELD, _ENDED = "_number", "_reset", "_held", "_ended"
# When a version ended of which no clock tells.
_NEVER = datetime(1, 1, 1, tzinfo=UTC)
# What leaves a row behind; what does away with all rows there were.
_ROWS, _RESETS = ("insert", "update", "snapshot"), ("truncate", "complete")
# A text in JSON, with its quotes.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
# What tells the end of a version: from the change that ends it, or from what did away with all rows.
_UNTIL = {
    "valid_to": ("cdc_at", "_reset_at"),
    "until_starts": (_STARTS, "_reset_starts"),
    "until_lsn": ("cdc_lsn", "_reset_lsn"),
}


def typed(raw: pl.LazyFrame, names: Mapping[str, str | None] | None = None) -> pl.LazyFrame:
    """Raw changes with `cdc_starts`, `cdc_seq` and `cdc_at` in their types; null where they cannot be read.

    names: what columns of the table are called from here on, where that is another name; None for one that is not
        taken. `cdc_unchanged` then has those names, by which large values that were left out are filled in, and none
        of columns that the source does not know.

    What landed before a feed wrote `cdc_starts` tells it by its file's name, and is of the first start if it does not.
    """
    columns = raw.collect_schema().names()
    named = pl.col("_file").str.extract(r"(?:^|[^A-Za-z0-9])s([0-9]+)_[0-9]+(?:_[a-z]+)?@[^/]+$").fill_null("1")
    return raw.with_columns(
        *([_known(columns, names or {})] if _UNCHANGED in columns else []),
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
        .filter(pl.col("cdc_op").is_in(_ROWS) & pl.col(_RESET).is_null())
        .select(changes.collect_schema().names())
    )


def history(changes: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    """Each version of each key's row with the time it held: a dimension of type 2.

    A version is what a transaction left: of several changes in one transaction the last counts, for nobody outside saw
    the others, and a row that came and went in one has no version. `valid_from`: its commit's time, or that
    of the snapshot that told it first. `valid_to`: of another version, a delete, a truncation or a snapshot without it;
    null while it holds. Versions follow each other by `cdc_starts`, `cdc_lsn` and `until_starts` (of a log that has
    starts), `until_lsn`: a clock may be set back, and two transactions may have one time. Where it was, a version is
    held to begin no sooner than the one before it ended, and to end no sooner than it begins; `cdc_at` tells what the
    clock said. So at any time at most one version of a key holds:
    `valid_from <= time and (valid_to is null or time < valid_to)`.
    """
    names = changes.collect_schema().names()
    ended = changes.select(*key, _ENDED).drop_nulls(_ENDED) if _ENDED in names else None
    if ended is not None:
        changes = changes.filter(pl.col(_ENDED).is_null())
    told = [name for name in names if name not in key and not name.startswith(("cdc_", "_"))]
    rows = _log(changes, key).group_by(*key, *_COMMIT).agg(pl.all().sort_by(_NUMBER).last()).sort(*key, _NUMBER)
    following = pl.col(_NUMBER).shift(-1).over(key)
    # A snapshot resets what was before its rows: a row it tells follows at once and keeps the time of the snapshot.
    by_row = following.is_not_null() & (pl.col(_RESET).is_null() | (following < pl.col(_RESET)))
    commit, until = pl.struct(_COMMIT), pl.struct("until_starts", "until_lsn").struct.rename_fields(_COMMIT)
    ends = rows.with_columns(
        pl.when(by_row).then(pl.col(told).shift(-1).over(key)).otherwise(reset).alias(name)
        for name, (told, reset) in _UNTIL.items()
    ).filter(pl.col("cdc_op").is_in(_ROWS) & until.ne_missing(commit))
    alike = pl.all_horizontal(
        until.shift().over(key).eq_missing(commit),
        *(pl.col(name).eq_missing(pl.col(name).shift().over(key)) for name in told),
    )
    holds_on = ((pl.col("cdc_op") == "snapshot") & alike).fill_null(False)
    versions = (
        ends.with_columns(_version=(~holds_on).cum_sum().over(key))
        .group_by(*key, "_version", maintain_order=True)
        .agg(
            pl.exclude(*key, "_version", *_UNTIL).first(),
            pl.col(*_UNTIL).last(),
            valid_from=pl.col("cdc_at").first(),
        )
    )
    return _in_order(versions, key, ended).select(
        *(name for name in (*names, "valid_from", *_UNTIL) if name != "until_starts" or _STARTS in names),
        is_current=pl.col("until_lsn").is_null(),
    )


def _in_order(versions: pl.LazyFrame, key: list[str], ended: pl.LazyFrame | None) -> pl.LazyFrame:
    """Versions, in the order of the log, whose times follow each other in that order, whatever the clocks said.

    ended: by key, when versions before these ended.
    """
    begin, end = pl.col("valid_from"), pl.col("valid_to")
    before = pl.max_horizontal(begin, end).cum_max().shift().over(key)
    if ended is not None:
        last = ended.group_by(key).agg(pl.col(_ENDED).max())
        versions = versions.drop(_ENDED, strict=False).join(last, on=key, how="left", maintain_order="left")
        before = pl.max_horizontal(before, _ENDED)
    return versions.with_columns(valid_from=pl.max_horizontal(begin, before)).with_columns(
        valid_to=pl.when(end.is_not_null()).then(pl.max_horizontal(begin, end))
    )


def left_out(name: str) -> pl.Expr:
    """Whether a change did not tell the value of a column because it had not changed."""
    return _names_left_out().list.contains(_written(name)).fill_null(False)


def follows(before: pl.LazyFrame, came: pl.LazyFrame) -> bool:
    """Whether changes that came stand after all there were before. Reads of those what may stand after the first."""
    names = came.collect_schema().names()
    place = [name for name in _PLACE if name in names]
    if _UNCHANGED in names:
        # Where a key changed, its delete tells what the insert after it left out.
        some = came.filter(pl.col(_UNCHANGED).is_not_null())
        gone = some.filter(cdc_op="delete").with_columns(pl.col("cdc_seq") + 1)
        if not some.filter(cdc_op="insert").join(gone, on=place, how="anti").head(1).collect().is_empty():
            return False
    first = came.select(place).sort(place, nulls_last=False).head(1).collect()
    later, equal = pl.lit(False), pl.lit(True)
    for name, value in first.row(0, named=True).items() if len(first) else ():
        if value is None:
            return False
        later, equal = later | (equal & (pl.col(name) > value)), equal & (pl.col(name) == value)
    return before.filter(later | equal).head(1).collect().is_empty()


def resets(came: pl.LazyFrame) -> bool:
    """Whether any of the changes does away with rows that it does not name."""
    return not came.filter(pl.col("cdc_op").is_in(_RESETS)).head(1).collect().is_empty()


def since(before: pl.LazyFrame, came: pl.LazyFrame) -> pl.LazyFrame:
    """The changes that came, and the rows told before of snapshots that are whole only now."""
    commit = [name for name in _COMMIT if name in came.collect_schema().names()]
    whole = came.filter(cdc_op="complete").select(commit)
    return pl.concat([came, before.filter(cdc_op="snapshot").join(whole, on=commit, how="semi")])


def onward(transform: Callable[[pl.LazyFrame], pl.LazyFrame], made: pl.LazyFrame, came: pl.LazyFrame) -> pl.LazyFrame:
    """What `transform` makes of a whole log, from what it made before and the changes `since`, if they are such that
    `follows` them.

    transform: `current` or `history`, and a choice of its columns that has all that are neither `cdc_…` nor `_…`, and
        `cdc_starts`, `cdc_lsn`, `cdc_seq`, `cdc_op` and `cdc_at`. made: its rows of the keys that came, whoever else's
        besides; all of them where `resets` says so.
    """
    names = made.collect_schema().names()
    added = ["valid_from", *_UNTIL, "is_current"]
    past = made.filter(~pl.col("is_current")) if "is_current" in names else None
    stands = made if past is None else made.filter("is_current")
    stands = stands.drop(added, strict=False).with_columns(pl.lit(True).alias(_HELD))
    told = stands.collect_schema()
    taken = [name for name in came.collect_schema().names() if name in told or name == _UNCHANGED]
    both = [stands, came.select(taken)]
    if past is None:
        return transform(pl.concat(both, how="diagonal")).select(names)
    ended = pl.coalesce(pl.max_horizontal("valid_from", "valid_to"), pl.lit(_NEVER, pl.Datetime("us", "UTC")))
    both.append(past.with_columns(ended.alias(_ENDED)).drop(added, strict=False))
    return pl.concat([past, transform(pl.concat(both, how="diagonal")).select(names)])


def moved(changes: pl.LazyFrame, column: str) -> pl.LazyFrame:
    """Where a key changed with a large value left out: `column` of the key, and `_from`, what it was before."""
    names = changes.collect_schema().names()
    some = changes.filter(pl.col(_UNCHANGED).is_not_null() if _UNCHANGED in names else pl.lit(False))
    place = [name for name in _PLACE if name in names]
    gone = some.filter(cdc_op="delete").select(*place[:-1], pl.col("cdc_seq") + 1, pl.col(column).alias("_from"))
    pairs = some.filter(cdc_op="insert").join(gone, on=place).select(column, "_from").unique()
    return pairs.filter(pl.col(column) != pl.col("_from"))


def _written(name: str) -> str:
    """A name as a JSON list has it."""
    return json.dumps(name, ensure_ascii=False)


def _names_left_out() -> pl.Expr:
    """Of each change the names that it left out, each as JSON has it; null when there are none."""
    told = pl.col(_UNCHANGED)
    bare = told.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    spaced = bare.str.split(" ").list.eval(pl.format('"{}"', pl.element()))
    return pl.when(told.str.starts_with("[")).then(told.str.extract_all(_QUOTED)).otherwise(spaced)


def _known(columns: Sequence[str], names: Mapping[str, str | None]) -> pl.Expr:
    """`cdc_unchanged` of these columns alone, by other names."""
    ours = {name: names.get(name, name) for name in columns}
    told = {_written(theirs): _written(name) for theirs, name in ours.items() if name is not None}
    found = _names_left_out().list.eval(pl.element().replace_strict(told, default=None)).list.drop_nulls()
    listed = pl.format("[{}]", found.list.join(","))
    return pl.when(found.list.len() > 0).then(listed).alias(_UNCHANGED)


def _log(changes: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    """Changes of rows that count, once each, with what was left out filled in.

    Adds `_number` (the order of all) and, of the first truncation or whole snapshot after it that did away with what
    was before, `_reset` (its number), `_reset_at`, `_reset_starts` and `_reset_lsn`.
    """
    names = changes.collect_schema().names()
    if _STARTS not in names:
        changes = changes.with_columns(pl.lit(1, pl.Int64).alias(_STARTS))
    op, reset = pl.col("cdc_op"), pl.col("cdc_op").is_in(_RESETS)
    whole = changes.filter(op == "complete").select(_COMMIT)
    # A row that stands was told by a snapshot that is known to be whole.
    stands = pl.col(_HELD).fill_null(False) if _HELD in names else pl.lit(False)
    loose = (op == "snapshot") & ~stands
    counted = pl.concat([changes.filter(~loose), changes.filter(loose).join(whole, on=_COMMIT, how="semi")])
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
    if _UNCHANGED not in names:
        return ordered
    return ordered.map_batches(lambda rows: _filled(rows, key), schema=ordered.collect_schema())


def _filled(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Values that were left out because they had not changed, from the change that told them last.

    A row is followed back to its key's row before, if that still stood, and an insert to the delete that stands just
    before it in its transaction: the two are one update of a key. The way back is halved each time, however long it is.
    Raises DefinitionError when a column was left out that the rows do not have.
    """
    if rows[_UNCHANGED].drop_nulls().is_empty():
        return rows
    named = rows.select(_names_left_out().explode().drop_nulls().unique()).to_series()
    if unknown := sorted({json.loads(name) for name in named} - set(rows.columns)):
        raise DefinitionError(
            f"changes left out large values of {unknown}, which are no columns of theirs: in the source's tidy, give "
            "`typed` the names that they have here, or None for one that is not taken"
        )
    rows = rows.sort(_NUMBER).with_row_index("_row")
    before, number = (pl.col(name).shift().over(key) for name in ("_row", _RESET))
    stood = pl.col("cdc_op").shift().over(key).is_in(_ROWS) & (number.is_null() | (number > pl.col(_NUMBER)))
    deletes = rows.filter(cdc_op="delete").select(*_COMMIT, pl.col("cdc_seq") + 1, _moved="_row")
    back = (
        rows.with_columns(_before=pl.when(stood).then(before))
        .join(deletes, on=_PLACE, how="left", maintain_order="left")
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
