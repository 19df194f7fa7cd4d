"""What a batch of deliveries changes in each of a source's tables, worked out before anything is written.

The tables after the batch are a pure function of the tables before it and the deliveries, so an attempt that crashed
half-way is completed by working the same plan out again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from lakehouse import account
from lakehouse.contract import PROVENANCE
from lakehouse.errors import DefinitionError
from lakehouse.evaluate import Judged
from lakehouse.lake import DELIVERY, RECORD, Change, Lake
from lakehouse.ledger import DELIVERED, WITHDRAWN
from lakehouse.near import near
from lakehouse.source import Source
from lakehouse.winners import NO_SNAPSHOTS, WINNER, rivalled, settle

CONTESTED = "key:two_sites"
_CONTESTED_WORDS = "two sites deliver this key; the site it does not belong to must withdraw it"
ORIGIN = list(PROVENANCE)
# Judges the records of its second argument (RECORD) anew, of the deliveries of its first.
Again = Callable[[pl.DataFrame, pl.DataFrame], Judged]
# States of deliveries that count; what was replaced or withdrawn does not come back.
STANDING = ("in effect", "rejected")


@dataclass(frozen=True)
class Base:
    """The source's tables as the batch finds them: a version per layer, None before the first write."""

    lake: Lake
    source: Source
    versions: dict[str, int | None]
    schemas: dict[str, dict[str, pl.DataType]]
    _opened: dict[str, pl.LazyFrame] = field(default_factory=dict, repr=False, compare=False)

    def scan(self, layer: str) -> pl.LazyFrame:
        """A layer's rows at the version of this base; its log is read once."""
        if self.versions[layer] is None:
            return pl.LazyFrame(schema=self.schemas[layer])
        if layer not in self._opened:
            self._opened[layer] = self.lake.scan(f"{layer}/{self.source.name}", self.versions[layer])
        return self._opened[layer]


@dataclass(frozen=True)
class Plan:
    """What a batch does, in short.

    deliveries: the account rows it writes, new and re-balanced. rules: `_delivered`, `_site`, `rule`, `lines`: newly
    quarantined lines by the rule they break. warned: `rule`, `lines`: newly accepted ones by the rules that only warn.
    """

    deliveries: pl.DataFrame
    rules: pl.DataFrame
    warned: pl.DataFrame


def plan(base: Base, batch: pl.DataFrame, judged: Judged, again: Again) -> tuple[dict[str, Change], Plan]:
    """The changes that bring the tables from `base` to where the batch is part of them, by layer, in the order of their
    commits; and what they come to.

    batch: ledger rows. judged: what became of their records, or of some more records of the one delivery in the batch.
    again: judges some records of earlier deliveries anew, those that a change brings back.
    """
    states = _states(base, batch, judged)
    mine = states.join(judged.deliveries, on=DELIVERY, how="semi")
    gone = states.filter(~pl.col("state").is_in(STANDING))
    standing = mine.filter(pl.col("state") == "in effect").select(DELIVERY)
    some = standing.height < judged.deliveries.height
    fresh = those(judged.accepted, standing) if some else judged.accepted
    snapshots = _snapshots(base, states)
    old, losers = rivals(base, fresh, gone, states.select("_site").unique())
    key = list(base.source.key)
    light = [*key, *ORIGIN]
    others = [
        _without(old, gone).select(light, _tag=pl.lit("old"), _was=pl.lit("wins")),
        _without(losers, gone).select(light, _tag=pl.lit("loser"), _was="_kind"),
    ]
    # Most keys are new and come once: such a row wins, and nothing more is to be worked out for it.
    keys = pl.concat([fresh.select(key), *(frame.select(key) for frame in others)])
    doubtful = rivalled(keys).head(fresh.height) | (base.source.mode == "snapshot")
    new, fresh = fresh.filter(~doubtful), fresh.filter(doubtful)
    candidates = pl.concat([fresh.select(light, _tag=pl.lit("fresh"), _was=pl.lit(None, pl.String)), *others])
    settled = settle(candidates, base.source.key, snapshots)
    beaten = pl.col("_standing").is_in(["key", "vanished"])
    moved = settled.filter((pl.col("_standing") != pl.col("_was")).fill_null(True) | beaten)
    recalled = _recalled(base, moved, again)
    wins = pl.col("_standing") == "wins"
    tag = pl.col("_tag")
    back = moved.filter(wins, tag == "loser")
    returned = those(recalled.accepted, back, RECORD)
    if returned.height < back.height:
        raise DefinitionError(
            f"source {base.source.name} judges records otherwise than when they came, and its contract is the same; "
            f"lakehouse rebuild --source {base.source.name} judges all of them anew"
        )
    processed = Change(
        add=pl.concat([new, those(fresh, settled.filter(wins, tag == "fresh"), RECORD), returned]),
        remove=pl.concat(
            [
                those(old, gone).select(ORIGIN),
                moved.filter(~wins, tag == "old").select(ORIGIN),
            ]
        ),
    )
    replaced = _taken_back(base, judged, gone, old)
    lost = moved.filter(~wins).select([*light, pl.col("_standing").alias("_kind"), *WINNER])
    layout = list(base.schemas["superseded"])
    superseded = Change(
        add=pl.concat([lost, replaced], how="diagonal").select(layout),
        remove=pl.concat(
            [
                those(losers, gone).select(ORIGIN),
                moved.filter(tag == "loser").select(ORIGIN),
            ]
        ),
    )
    quarantine = _quarantine(base, judged, recalled, mine, gone, moved)
    changes = {"raw": Change(judged.raw), "processed": processed, "quarantine": quarantine, "superseded": superseded}
    changes["account"] = _account(base, batch, judged, states, changes)
    return changes, Plan(changes["account"].add, rules_broken(quarantine.add), warned_of(changes["processed"].add))


def _states(base: Base, batch: pl.DataFrame, judged: Judged) -> pl.DataFrame:
    """Every delivery of the batch's paths that still counted: `DELIVERY`, `_delivered`, `_site`, `sound`, `was` and
    `state`; for a replaced one `by_checksum`, the bytes that took its place; for a withdrawn one `why`; for both
    `ended_at`, when that was put on record.
    """
    columns = [*DELIVERY, "_observation", "_delivered", "_site"]
    earlier = (
        base.scan("account")
        .filter(near(batch.select("_file")))
        .join(batch.lazy().select("_file").unique(), on="_file", how="semi")
        .filter(pl.col("state").is_in(STANDING))
        .select(*columns, "sound", was="state", whole=pl.col("state") == "rejected")
        .collect()
    )
    new = (
        batch.filter(pl.col("act") == DELIVERED)
        .join(judged.deliveries, on=DELIVERY)
        .join(earlier, on=DELIVERY, how="anti")
        .select(*columns, "sound", was=pl.lit("new"), whole="whole")
    )
    withdrawn = batch.filter(pl.col("act") == WITHDRAWN).select(
        "_file", "why", until="_observation", act_at="_received_at"
    )
    after = (pl.col("until") < pl.col("_observation")).sum()
    ends = pl.col("why", "act_at").filter(pl.col("until") >= pl.col("_observation")).first()
    order = (
        pl.concat([earlier, new])
        .join(withdrawn, on="_file", how="left")
        .group_by([*columns, "sound", "was", "whole"])
        .agg(ends, _era=after)
        .sort("_file", "_observation")
    )
    # What was delivered after a withdrawal has nothing to do with what was delivered before it.
    era = ["_file", "_era"]
    # The newest delivery that can be used governs its path; a newer one that cannot be used stands beside it, rejected.
    good = pl.when(~pl.col("whole")).then("_observation")
    governs = (pl.col("_observation") == good.max().over(era)).fill_null(False)
    last = pl.col("_observation") == pl.col("_observation").max().over(era)
    state = pl.when(governs).then(pl.lit("in effect")).when(last).then(pl.lit("rejected")).otherwise(pl.lit("replaced"))
    # What took a replaced delivery's place: the next that could be used; for an unusable one, the next.
    heir = {}
    for name, told in (("by_checksum", "_checksum"), ("ended_at", "_received_at")):
        usable = pl.when(~pl.col("whole")).then(told).shift(-1).backward_fill().over(era)
        heir[name] = pl.when(pl.col("whole")).then(pl.col(told).shift(-1).over(era)).otherwise(usable)
    closed = pl.when(pl.col("why").is_not_null(), pl.col("state") != "replaced")
    return order.with_columns(state=state, **heir).with_columns(
        state=closed.then(pl.lit("withdrawn")).otherwise("state"),
        why=closed.then("why"),
        by_checksum=closed.then(None).otherwise("by_checksum"),
        ended_at=closed.then("act_at").otherwise("ended_at"),
    )


def _snapshots(base: Base, states: pl.DataFrame) -> pl.DataFrame:
    """For each site the newest snapshot that may let rows vanish: every record of it is acceptable."""
    columns = ["_site", "_delivered", "_file", "_checksum"]
    if base.source.mode == "rows":
        return NO_SNAPSHOTS
    known = (
        base.scan("account").join(states.lazy(), on=DELIVERY, how="anti").select(*columns, "sound", "state").collect()
    )
    sound = pl.concat([known, states.select(*columns, "sound", "state")]).filter("sound", state="in effect")
    newest = sound.sort("_delivered", "_file").group_by("_site", maintain_order=True).last()
    return newest.select("_site", _day="_delivered", _path="_file", _bytes="_checksum")


def rivals(
    base: Base, fresh: pl.DataFrame, gone: pl.DataFrame, sites: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of processed and of superseded whose standing the batch may change: of its keys, of keys it gives up, and,
    where files are snapshots, of keys its sites have or had.
    """
    key = list(base.source.key)
    light = [*key, *ORIGIN]
    processed, superseded = base.scan("processed").select(light), base.scan("superseded")
    contenders = superseded.filter(pl.col("_kind").is_in(["key", "contested", "vanished"]))
    keys = [fresh.select(key).lazy()]
    if not gone.is_empty():
        keys += [_of(gone, frame).select(key) for frame in (processed, contenders)]
    if base.source.mode == "snapshot":
        # What its site no longer delivers is contested no longer, and what it delivers again comes back.
        of_site = [processed, contenders.filter(pl.col("_kind").is_in(["vanished", "contested"]))]
        keys += [frame.join(sites.lazy(), on="_site", how="semi").select(key) for frame in of_site]
    touched = pl.concat(keys).collect()
    found = [
        frame.filter(near(touched)).join(touched.lazy(), on=key, how="semi", nulls_equal=True)
        for frame in (processed, contenders)
    ]
    # A table that is larger than memory passes through it.
    old, losers = pl.collect_all(found, engine="streaming")
    return old, losers


def _of(deliveries: pl.DataFrame, frame: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of `frame` that came with some deliveries."""
    candidates = frame.filter(near(deliveries.select("_delivered", "_file")))
    return candidates.join(deliveries.lazy(), on=DELIVERY, how="semi")


def those(rows: pl.DataFrame, wanted: pl.DataFrame, on: tuple[str, ...] = DELIVERY) -> pl.DataFrame:
    """The rows that are of some deliveries, or are some records."""
    # Nothing is often wanted, and a join would go through all rows for that.
    return rows.clear() if wanted.is_empty() else rows.join(wanted, on=on, how="semi")


def _without(rows: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """The rows of all other deliveries."""
    return rows if gone.is_empty() else rows.join(gone, on=DELIVERY, how="anti")


def _recalled(base: Base, moved: pl.DataFrame, again: Again) -> Judged:
    """Records of earlier deliveries judged again, those that come back or become contested."""
    tag, standing = pl.col("_tag"), pl.col("_standing")
    back = moved.filter((tag == "loser") & (standing == "wins") | (tag != "fresh") & (standing == "contested"))
    sizes = base.scan("account").select(*DELIVERY, "bytes")
    origins = back.select(*DELIVERY, "_delivered", "_site").unique()
    wanted = sizes.filter(near(origins.select("_file"))).join(origins.lazy(), on=DELIVERY).collect()
    return again(wanted, back.select(RECORD))


def _taken_back(base: Base, judged: Judged, gone: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """A row of superseded for every record of the deliveries that were replaced or withdrawn, its key if it has one."""
    light = [*base.source.key, *ORIGIN]
    beaten = _of(gone, base.scan("superseded")).select(light).collect()
    good = pl.concat([beaten, *(those(rows.select(light), gone) for rows in (old, judged.accepted))]).unique(RECORD)
    quarantined = _of(gone, base.scan("quarantine").filter(pl.col("_line") > 0)).select(ORIGIN).collect()
    others = pl.concat([quarantined, those(judged.raw.select(ORIGIN), gone)]).unique(RECORD)
    records = pl.concat([good, others.join(good, on=RECORD, how="anti")], how="diagonal")
    by = pl.col("by_checksum")
    winner = gone.select(
        *DELIVERY,
        _kind="state",
        _winner_file=pl.when(by.is_not_null()).then("_file"),
        _winner_checksum=by,
        _ended_at="ended_at",
    )
    return records.join(winner, on=DELIVERY).with_columns(_winner_line=pl.lit(None, pl.Int64))


def _quarantine(
    base: Base, judged: Judged, recalled: Judged, mine: pl.DataFrame, gone: pl.DataFrame, moved: pl.DataFrame
) -> Change:
    current = mine.filter(pl.col("state").is_in(STANDING))
    contested = moved.filter(pl.col("_standing") == "contested").select(ORIGIN)
    texts = pl.concat([those(some.texts, contested, RECORD) for some in (judged, recalled)]).unique(RECORD)
    contested = contested.join(texts, on=RECORD, how="left").with_columns(
        reasons=pl.concat_list(pl.lit(CONTESTED)), explanation=pl.lit(_CONTESTED_WORDS)
    )
    add = [those(judged.rejected, current), contested.select(judged.rejected.columns)]
    settled = moved.filter(pl.col("_was") == "contested").select(ORIGIN)
    quarantined = _of(gone, base.scan("quarantine")).select(ORIGIN).collect()
    return Change(pl.concat(add), pl.concat([settled, quarantined]).unique(RECORD))


def _account(
    base: Base, batch: pl.DataFrame, judged: Judged, states: pl.DataFrame, changes: dict[str, Change]
) -> Change:
    """Account rows of the batch's deliveries and of every earlier one whose records moved between the tables."""
    counted = {
        "accepted": ("processed", pl.lit(True)),
        "quarantined": ("quarantine", pl.col("_line") > 0),
        "superseded": ("superseded", pl.lit(True)),
    }
    parts = []
    for column, (layer, which) in counted.items():
        change = changes[layer]
        assert change.remove is not None
        for rows, sign in ((change.add, 1), (_with_kind(base, change.remove, layer), -1)):
            kept = (
                rows.filter(which & (pl.col("_kind") != "contested")) if layer == "superseded" else rows.filter(which)
            )
            parts.append(kept.group_by(DELIVERY).agg((sign * pl.len().cast(pl.Int64)).alias(column)))
    moves = pl.concat(parts, how="diagonal").group_by(DELIVERY).agg(pl.col(account.COUNTS).sum())
    touched = pl.concat([moves.select(DELIVERY), states.select(DELIVERY)]).unique()
    known = base.scan("account").filter(near(touched.select("_file")))
    earlier = known.join(touched.lazy(), on=DELIVERY, how="semi").collect()
    more = judged.deliveries.select(*DELIVERY, _records="records", _sound="sound")
    grown = earlier.join(more, on=DELIVERY, how="left", maintain_order="left").with_columns(
        records=pl.col("records") + pl.col("_records").fill_null(0),
        sound=pl.col("sound") & pl.col("_sound").fill_null(True),
    )
    new = batch.join(judged.deliveries, on=DELIVERY).join(earlier, on=DELIVERY, how="anti")
    new = account.opened(base.source.name, new)
    renewed = (
        pl.concat([grown.drop("_records", "_sound"), new])
        .join(moves, on=DELIVERY, how="left", suffix="_moved")
        .with_columns(pl.col(name) + pl.col(f"{name}_moved").fill_null(0) for name in account.COUNTS)
        .join(states.select(*DELIVERY, "why", now="state"), on=DELIVERY, how="left")
        .with_columns(state=pl.coalesce("now", "state"), reason=pl.coalesce("why", "reason"))
        .select(list(account.SCHEMA))
    )
    return Change(renewed, earlier.select(*DELIVERY, "_delivered"), row=DELIVERY)


def _with_kind(base: Base, remove: pl.DataFrame, layer: str) -> pl.DataFrame:
    if layer != "superseded" or remove.is_empty():
        return remove.with_columns(_kind=pl.lit(None, pl.String)) if layer == "superseded" else remove
    kinds = base.scan("superseded").select(*RECORD, "_kind").join(remove.lazy(), on=RECORD, how="semi").collect()
    return remove.join(kinds, on=RECORD, how="left")


def rules_broken(quarantined: pl.DataFrame) -> pl.DataFrame:
    """How many lines break each rule, as `Plan.rules` has it."""
    lines = quarantined.explode("reasons").group_by("_delivered", "_site", rule="reasons")
    return lines.agg(pl.len().cast(pl.Int64).alias("lines"))


def warned_of(accepted: pl.DataFrame) -> pl.DataFrame:
    """How many lines each rule that only warns has flagged, as `Plan.warned` has it."""
    flags = accepted["_warnings"] if "_warnings" in accepted.columns else pl.Series([], dtype=pl.String)
    rules = pl.select(rule=flags.drop_nulls().str.split(" ").explode())
    return rules.group_by("rule").agg(pl.len().cast(pl.Int64).alias("lines"))
