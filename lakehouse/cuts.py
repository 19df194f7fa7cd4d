"""Data cuts: the lake as it was at one moment, under a name, for as long as somebody needs it.

A cut pins one consistent state: the version of every table that the manifest names, with the contract and code that
made it, and for each table a checksum of its rows that proves later that they are the same. Housekeeping spares what a
cut pins until the cut is dropped.

What was done to cuts is itself a table of the lake, to which rows are only ever added: an act is one commit, so that it
is there whole or not at all, and of two people who do the same at once the second is told.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime

import polars as pl
from deltalake import DeltaTable

from lakehouse import manifest, past
from lakehouse.checksum import checksum
from lakehouse.code import JUDGEMENT
from lakehouse.curated import Curated
from lakehouse.errors import CutError, SupersededError, UnavailableError
from lakehouse.ingest import tables
from lakehouse.lake import DELIVERY, RECORD, Change, Lake
from lakehouse.lake import rows as stored
from lakehouse.source import Source

TABLE = "cuts"
CREATED, DROPPED = "created", "dropped"
SCHEMA: dict[str, pl.DataType] = {
    "seq": pl.Int64(),
    "act": pl.String(),
    "name": pl.String(),
    "who": pl.String(),
    "why": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    # The rest is null for a cut that is dropped.
    "as_of": pl.Date(),
    "state_at": pl.Datetime("us", "UTC"),
    "judgement": pl.Int64(),
    "models": pl.String(),
    "tables": pl.String(),
}
# Two underscores in a row set a name apart from what stands around it in the names of PostgreSQL's schemas, which may
# have 63 characters: `dbt_anna__cut_interim_1__unblinded`.
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 30


@dataclass(frozen=True)
class Pin:
    """A table in a cut.

    version: of the Delta table whose id is `delta_id`. key: the columns that name a row. made_by: version of the
    contract or transforms that made it. rows, checksum: see `checksum`.
    """

    table: str
    version: int
    delta_id: str
    key: tuple[str, ...]
    made_by: str
    rows: int
    checksum: str


@dataclass(frozen=True)
class Act:
    """What a person did to a cut."""

    who: str
    why: str
    at: datetime


@dataclass(frozen=True)
class Cut:
    """A cut on record.

    as_of: the day it was asked for; None for a cut of the moment it was made. state_at: when the state it holds was
    recorded. judgement: version of the way the engine judges records. models: version of the dbt project.
    """

    name: str
    created: Act
    as_of: date | None
    state_at: datetime
    judgement: int
    models: str
    pins: tuple[Pin, ...]
    dropped: Act | None = None

    @property
    def versions(self) -> dict[str, int]:
        """The version of every table."""
        return {pin.table: pin.version for pin in self.pins}

    @property
    def day(self) -> date:
        """The day it shows the lake at the end of, in UTC."""
        return self.as_of or self.state_at.date()

    def pin(self, table: str) -> Pin:
        """A table in it. Raises CutError naming those there are."""
        for pin in self.pins:
            if pin.table == table:
                return pin
        raise CutError(f"cut {self.name} holds no table {table}; it holds {', '.join(pin.table for pin in self.pins)}")


def keys(sources: Sequence[Source], curated: Sequence[Curated]) -> dict[str, tuple[str, ...]]:
    """By table, the columns that name one of its rows, null equal to null."""
    of_layer = {"account": ("source", *DELIVERY), "raw": RECORD, "quarantine": RECORD, "superseded": RECORD}
    return {
        **{
            table: source.key if layer == "processed" else of_layer[layer]
            for source in sources
            for layer, table in tables(source).items()
        },
        **{table.table: table.key for table in curated},
    }


def create(
    lake: Lake,
    name: str,
    who: str,
    why: str,
    sources: Sequence[Source],
    curated: Sequence[Curated],
    models: str = "",
    as_of: date | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Cut, tuple[str, ...]]:
    """Put a cut on record; it, and the names of sources whose newest rows it leaves out (see `past.Settled`).

    as_of: a day that is over, at the end of which the lake was as the cut shows it; None for now. progress: is told
    tables read, and of how many. Every table is read once, for its checksum; an attempt that dies leaves nothing.
    Raises CutError when the name is taken or not a name, or the state cannot be read any more.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise CutError(
            f"{name!r} is no name for a cut: up to {_LONGEST} small letters and digits, words joined by one "
            "underscore, as in interim_1; nothing was recorded"
        )
    if as_of is not None and past.end_of(as_of) > datetime.now(UTC):
        raise CutError(
            f"{as_of} is not over (days are UTC's), so nobody knows yet how it ends; nothing was recorded; leave out "
            "--as-of for a cut of now"
        )
    _is_free(every(lake), name)
    found = past.settled(lake, sources, as_of)
    versions, made_by = manifest.readable(found.shown.states), manifest.codes(found.shown.states)
    named = keys(sources, curated)
    pins = []
    for number, (table, version) in enumerate(sorted(versions.items()), 1):
        pins.append(_pin(lake, table, version, named.get(table, ()), made_by[table]))
        if progress:
            progress(number, len(versions))
    state_at = found.shown.at
    assert state_at is not None, "a state that was found was recorded some time"
    cut = Cut(name, Act(who, why, datetime.now(UTC)), as_of, state_at, JUDGEMENT, models, tuple(pins))
    told = {
        "as_of": as_of,
        "state_at": state_at,
        "judgement": JUDGEMENT,
        "models": models,
        "tables": json.dumps([asdict(pin) for pin in pins]),
    }
    _record(lake, CREATED, name, cut.created, told, _is_free)
    if gone := past.unreadable(lake, versions):
        # Housekeeping that had looked for cuts before this one was there.
        drop(lake, name, "lakehouse", "housekeeping removed a version while the cut was made")
        raise CutError(f"{', '.join(gone)}: housekeeping removed it meanwhile; cut {name} is void; make one anew")
    return cut, found.ahead


def every(lake: Lake) -> list[Cut]:
    """Every cut on record in the order they were made, those dropped as well."""
    return _cuts(lake.scan(TABLE, schema=SCHEMA))


def get(lake: Lake, name: str) -> Cut:
    """The cut of this name. Raises CutError, with the cuts there are, when there is none or it was dropped."""
    return _standing(every(lake), name)


def opened(lake: Lake, pin: Pin) -> DeltaTable:
    """A table as a cut pins it. Raises UnavailableError when it is gone."""
    delta = lake.open(pin.table, pin.version)
    if delta is None or str(delta.metadata().id) != pin.delta_id:
        raise UnavailableError(
            f"{pin.table} is not the table that was cut: somebody removed it; restore the lake from a backup, or drop "
            "the cut"
        )
    return delta


def scan(lake: Lake, name: str, table: str) -> pl.LazyFrame:
    """A table's rows as a cut has them, lazily: `scan(lake, "interim_1", "curated/vital_signs")`.

    Raises CutError when there is no such cut or table in it, UnavailableError when its files are gone.
    """
    return stored(opened(lake, get(lake, name).pin(table.replace(".", "/", 1))))


def verify(lake: Lake, name: str) -> pl.DataFrame:
    """Every table of a cut read again: `table`, `rows` and `checksum` as they are now, and whether they are the `same`.

    A table that cannot be read has neither rows nor checksum.
    """
    read = []
    for pin in get(lake, name).pins:
        count, found = _read_again(lake, pin)
        read.append((pin.table, count, found, (count, found) == (pin.rows, pin.checksum)))
    schema = {"table": pl.String(), "rows": pl.Int64(), "checksum": pl.String(), "same": pl.Boolean()}
    return pl.DataFrame(read, schema=schema, orient="row")


def drop(lake: Lake, name: str, who: str, why: str) -> None:
    """Put on record that a cut is no longer needed: housekeeping may remove its versions, and its name stays taken.

    Raises CutError when there is no such cut.
    """
    _record(lake, DROPPED, name, Act(who, why, datetime.now(UTC)), {}, _standing)


def pinned(lake: Lake) -> dict[str, set[int]]:
    """By table, the versions that cuts pin."""
    found: dict[str, set[int]] = {}
    for cut in every(lake):
        for pin in () if cut.dropped else cut.pins:
            found.setdefault(pin.table, set()).add(pin.version)
    return found


def _pin(lake: Lake, table: str, version: int, key: tuple[str, ...], made_by: str) -> Pin:
    delta = lake.open(table, version)
    assert delta is not None
    try:
        count, found = checksum(stored(delta))
    except (OSError, pl.exceptions.ComputeError) as error:
        raise UnavailableError(f"{table} cannot be read ({type(error).__name__}); nothing was recorded") from error
    return Pin(table, version, str(delta.metadata().id), key, made_by, count, found)


def _read_again(lake: Lake, pin: Pin) -> tuple[int | None, str | None]:
    try:
        return checksum(stored(opened(lake, pin)))
    except (UnavailableError, OSError, pl.exceptions.ComputeError):
        return None, None


def _record(
    lake: Lake,
    act: str,
    name: str,
    done: Act,
    told: Mapping[str, object],
    check: Callable[[Sequence[Cut], str], object],
) -> None:
    """Add an act, unless `check` raises at what is on record at that very moment."""
    while True:
        delta = lake.create(TABLE, SCHEMA)
        check(_cuts(stored(delta)), name)
        seq = (delta.transaction_version(TABLE) or 0) + 1
        row = {**dict.fromkeys(SCHEMA), **told, "seq": seq, "act": act, "name": name, **asdict(done)}
        try:
            lake.commit(delta, Change(pl.DataFrame([row], schema=SCHEMA)), TABLE, seq)
            return
        except SupersededError:
            # Somebody else did something at the same moment: it is looked at again.
            continue


def _cuts(acts: pl.LazyFrame) -> list[Cut]:
    found: dict[str, Cut] = {}
    for row in acts.sort("seq").collect().iter_rows(named=True):
        done = Act(row["who"], row["why"], row["at"])
        if row["act"] == DROPPED:
            found[row["name"]] = replace(found[row["name"]], dropped=done)
            continue
        pins = tuple(Pin(**{**pin, "key": tuple(pin["key"])}) for pin in json.loads(row["tables"]))
        versions = row["judgement"], row["models"]
        found[row["name"]] = Cut(row["name"], done, row["as_of"], row["state_at"], *versions, pins)
    return list(found.values())


def _is_free(found: Sequence[Cut], name: str) -> None:
    for cut in found:
        if cut.name == name:
            by = cut.dropped or cut.created
            what = "was dropped, and a name stands for one cut for ever" if cut.dropped else "exists already"
            raise CutError(
                f"cut {name} {what} ({by.who}, {by.at:%Y-%m-%d %H:%M} UTC); nothing was recorded; choose another name"
            )


def _standing(found: Sequence[Cut], name: str) -> Cut:
    there = ", ".join(cut.name for cut in found if cut.dropped is None) or "none"
    for cut in found:
        if cut.name == name and (by := cut.dropped):
            raise CutError(f"cut {name} was dropped by {by.who} on {by.at:%Y-%m-%d} ({by.why}); there are: {there}")
        if cut.name == name:
            return cut
    raise CutError(f"there is no cut {name}; there are: {there}")
