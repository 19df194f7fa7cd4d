"""A reader that polls through the manifest, and PostgreSQL, all the while, and complains of anything half done.

It looks at every state the manifest ever named, at the versions it named, and compares all of it with what the rules
make of the deliveries on record up to there (`model.py`, plain Python). Of PostgreSQL it reads all tables in one
transaction and compares them with the lake's tables of one state.
"""

import json
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

import polars as pl
from adbc_driver_postgresql import dbapi
from house import House
from model import Model
from station import CURATED, LOADED, Place, files, temperatures
from test_ingest import shown

from lakehouse import ingest, ledger, manifest
from lakehouse.lake import DELIVERY, Lake

Rows = list[tuple[object, ...]]
# Ledger positions that name a whole row, as `lakehouse.ingest` counts them.
PARTS = 1 << 20


@dataclass
class Moment(House):
    """The house as it was at one state of the manifest."""

    versions: dict[str, int] = field(default_factory=dict)

    def read(self, *layers: str) -> dict[str, pl.DataFrame]:
        names = {layer: f"{layer}/{self.source.name}" for layer in layers or ingest.LAYERS}
        scans = [self.lake.scan(name, self.versions[name]) for name in names.values()]
        return dict(zip(names, pl.collect_all(scans), strict=True))


def complaints(moment: Moment) -> Iterator[str]:
    """What is wrong with a source's tables by themselves, counted from the tables and not believed from the account."""
    layers = moment.read()
    account, processed = layers["account"], layers["processed"]
    key = list(moment.source.key)
    if processed.select(key).is_duplicated().any():
        yield "processed has a key twice"
    for layer in ("raw", "processed", "quarantine", "superseded"):
        if not layers[layer].join(account, on=DELIVERY, how="anti").is_empty():
            yield f"{layer} holds a delivery that the account lacks"
    counted = account
    for column, rows in (
        ("in_raw", layers["raw"]),
        ("in_processed", processed),
        ("in_quarantine", layers["quarantine"].filter(pl.col("_line") > 0)),
        ("in_superseded", layers["superseded"].filter(pl.col("_kind") != "contested")),
    ):
        counted = counted.join(rows.group_by(DELIVERY).agg(pl.len().alias(column)), on=DELIVERY, how="left")
    counted = counted.with_columns(pl.col("^in_.*$").fill_null(0))
    balanced = (
        (pl.col("records") == pl.col("in_raw"))
        & (pl.col("accepted") == pl.col("in_processed"))
        & (pl.col("quarantined") == pl.col("in_quarantine"))
        & (pl.col("superseded") == pl.col("in_superseded"))
        & (pl.col("records") == pl.sum_horizontal("in_processed", "in_quarantine", "in_superseded"))
    )
    if (off := counted.filter(~balanced).height) > 0:
        yield f"{off} deliveries whose records do not add up"


def unlike_the_rules(moment: Moment, model: Model) -> Iterator[str]:
    """Where the tables are not what the deliveries on record make them."""
    got = shown(moment)
    for layer, rows in model.tables().items():
        more, less = got[layer] - rows, rows - got[layer]
        if more or less:
            yield f"{layer} has {more.total()} rows too many and lacks {less.total()}"


def listed(rows: pl.DataFrame) -> Rows:
    return sorted(rows.rows(), key=repr)


class Reader:
    """Remembers which states it has seen, so that each is looked at once."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.house = place.house
        self.lake: Lake = self.house.lake
        self.seen = -1
        self.polls = 0
        self.states = 0
        self.loads: set[tuple[int, ...]] = set()
        self.shown: dict[str, int] = {}
        self.model = Model()
        self.told = 0
        self.moments: dict[int, Moment] = {}
        # Versions of the loaded tables, as each state of the manifest named them.
        self.named: set[tuple[int, ...]] = set()
        self.source_seq = self.curated_seq = 0

    def poll(self) -> Iterator[str]:
        """Look at the warehouse and at every state since the last poll; what is wrong with them."""
        self.polls += 1
        # First PostgreSQL: whatever it shows has been in the manifest by then.
        warehouse = self._warehouse()
        delta = self.lake.open(manifest.TABLE)
        for version in range(self.seen + 1, (delta.version() if delta else -1) + 1):
            for complaint in self._state(version):
                yield f"manifest {version}: {complaint}"
            self.seen = version
        if warehouse:
            yield from self._loaded(*warehouse)

    def _state(self, version: int) -> Iterator[str]:
        rows = self.lake.scan(manifest.TABLE, version).collect()
        if rows["name"].is_duplicated().any():
            yield "a group of tables has two states"
        states = {row["name"]: row for row in rows.iter_rows(named=True)}
        source, curated = states.get("thermometer"), states.get("curated")
        shown = [row for name, row in states.items() if not name.startswith(manifest.UNFINISHED)]
        versions = {table: at for row in shown for table, at in json.loads(row["versions"]).items()}
        if source and source["seq"] != self.source_seq:
            if source["seq"] < self.source_seq:
                yield "the source's tables went back"
            self.source_seq = source["seq"]
            yield from self._source(source["seq"], versions)
        if source and curated and curated["seq"] != self.curated_seq:
            if curated["seq"] < self.curated_seq:
                yield "the curated tables went back"
            self.curated_seq = curated["seq"]
            yield from self._curated(json.loads(curated["inputs"]), versions)
        self.named.add(tuple(versions.get(table.source, -1) for table in LOADED))

    def _source(self, position: int, versions: dict[str, int]) -> Iterator[str]:
        self.states += 1
        moment = self.moments[position] = Moment(self.house.landing, self.lake, versions=versions)
        if position % PARTS:
            yield "a part of a batch is shown"
        on_record = ledger.read(self.lake, self.house.source).filter(pl.col("seq") <= position // PARTS)
        for row in on_record.filter(pl.col("seq") > self.told).iter_rows(named=True):
            if row["act"] == ledger.DELIVERED:
                self.model.see(row["_file"], self.lake.kept(row["_checksum"]))
        self.told = position // PARTS
        yield from complaints(moment)
        yield from unlike_the_rules(moment, self.model)

    def _curated(self, inputs: dict[str, int], versions: dict[str, int]) -> Iterator[str]:
        self.states += 1
        layers = self.moments[inputs["thermometer"]].read("processed", "account")
        made = temperatures(layers["processed"].lazy())
        expected = {"temperatures": made, "files": files(layers["account"].lazy(), made)}
        for table in CURATED:
            got = self.lake.scan(table.table, versions[table.table]).collect()
            if listed(got) != listed(expected[table.name].select(got.columns).collect()):
                yield f"{table.table} is not what its inputs make it"
        off = self.lake.scan("curated/files", versions["curated/files"]).filter(pl.col("accepted") != pl.col("found"))
        if not off.collect().is_empty():
            yield "the curated tables do not fit together"

    def _warehouse(self) -> tuple[dict[str, int], dict[str, Rows]] | None:
        """The versions PostgreSQL says it shows, and its rows, from one snapshot; None before the first load."""
        with dbapi.connect(self.place.url) as connection, connection.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read")
            cursor.execute("select to_regclass('lake.loads') is not null")
            if cursor.fetchone() != (True,):
                return None
            cursor.execute("select table_name, delta_version from lake.loads")
            versions = dict(cursor.fetchall())
            rows = {}
            for table in LOADED:
                names = ", ".join(f'"{name}"' for name in table.contract.column_names())
                cursor.execute(f"select {names} from {table.qualified}")
                rows[table.source] = listed(pl.DataFrame(cursor.fetch_arrow_table()))
            if not versions and not any(rows.values()):
                # Names are looked up in the catalog as it is, rows as of the snapshot: the tables came in between.
                return None
            return {table.source: versions[f"lake.{table.name}"] for table in LOADED}, rows

    def _loaded(self, versions: dict[str, int], rows: dict[str, Rows]) -> Iterator[str]:
        if any(version < self.shown.get(name, -1) for name, version in versions.items()):
            yield f"PostgreSQL went back from {self.shown} to {versions}"
        self.shown = versions
        self.loads.add(tuple(versions.values()))
        if tuple(versions.values()) not in self.named:
            yield f"PostgreSQL shows {versions}, which no state of the manifest names together"
        for table in LOADED:
            wanted = self.lake.scan(table.source, versions[table.source]).select(table.contract.column_names())
            if rows[table.source] != listed(wanted.collect()):
                yield f"PostgreSQL's {table.name} is not the lake's at version {versions[table.source]}"


def read_on(place: Place, stop: Event, told: Connection) -> None:
    """Poll until told to stop, and once more; then tell of the first complaints and of how much was seen."""
    reader = Reader(place)
    found: Counter[str] = Counter()
    last = False
    try:
        while not last and not found:
            last = stop.is_set()
            found.update(reader.poll())
            time.sleep(0.01)
    except Exception:  # noqa: BLE001 (handed to the test)
        found[traceback.format_exc()] += 1
    told.send((list(found)[:10], reader.polls, reader.states, len(reader.loads)))
