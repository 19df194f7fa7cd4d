"""From a real EDC database to curated tables: they are what the database has, and what a trigger saw happen to it."""

from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import pytest

from assets.curated.edc_adverse_event_history import EDC_ADVERSE_EVENT_HISTORY
from assets.curated.edc_adverse_events import EDC_ADVERSE_EVENTS_NOW
from assets.curated.edc_subjects import EDC_SUBJECTS_NOW
from assets.curated.edc_visits import EDC_VISITS_NOW
from assets.edc_adverse_events import EDC_ADVERSE_EVENTS
from assets.edc_subjects import EDC_SUBJECTS
from assets.edc_visits import EDC_VISITS
from assets.pilot.edc import coordinate
from lakehouse import account, ingest, manifest
from lakehouse.clock import Clock
from lakehouse.curate import curate
from lakehouse.curated import Curated
from lakehouse.feeds import changes, pulling
from lakehouse.lake import Lake
from lakehouse.landing import listing
from lakehouse.source import Source

SOURCE = EDC_ADVERSE_EVENTS
CLOCK = Clock(None)
COLUMNS = (
    *("aeid", "usubjid", "aeseq", "aeterm", "aesev", "aeser", "aerel", "aeout", "aestdtc", "aeendtc", "narrative"),
    *("entered_by", "entered_at"),
)
AUDIT = """
create table audit (at bigserial, xid text, aeid integer, told jsonb);
create function tell() returns trigger language plpgsql as $$
begin
    if tg_op in ('DELETE', 'UPDATE') then
        insert into audit (xid, aeid) values (pg_current_xact_id()::text, old.aeid);
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        insert into audit (xid, aeid, told) values (pg_current_xact_id()::text, new.aeid, to_jsonb(new));
    end if;
    return null;
end $$;
create trigger rows after insert or update or delete on adverse_events for each row execute function tell()
"""
SEEN = (
    "select xid, audit.aeid, told is not null, row.* from audit, jsonb_populate_record(null::adverse_events, told) row"
)
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Trial:
    """The EDC's database, and a lakehouse that follows it."""

    url: str
    lake: Lake
    landing: Path

    def execute(self, *statements: str) -> None:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def query(self, query: str) -> list[Row]:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return [tuple("NY"[item] if isinstance(item, bool) else item for item in row) for row in cursor]

    def pull(self, most_bytes: int = 2**20, source: Source = SOURCE) -> int:
        pulled = pulling.pull(self.lake, source, self.landing, self.url, CLOCK, most_bytes)
        assert pulled.trouble is None
        return pulled.extracts

    def ingest(
        self, source: Source = SOURCE, made: tuple[Curated, ...] = (EDC_ADVERSE_EVENTS_NOW, EDC_ADVERSE_EVENT_HISTORY)
    ) -> None:
        files = listing(self.landing, [source]).claimed[source.name]
        unseen = ingest.pending(self.lake, source, files).unseen
        ingest.ingest(self.lake, source, self.landing, unseen, CLOCK, 2**20)
        curate(self.lake, made, [source], CLOCK)

    def table(self, name: str) -> pl.DataFrame:
        return self.lake.scan(name, manifest.versions(self.lake)[name]).collect()

    def now(self) -> list[Row]:
        return sorted(self.table("curated/edc_adverse_events").select(COLUMNS).rows())

    def there(self) -> list[Row]:
        """The EDC's own rows."""
        return sorted(self.query("select * from adverse_events"))

    def released(self) -> int:
        """The position to which the slot was released."""
        [(position,)] = self.query(
            "select (confirmed_flush_lsn - '0/0'::pg_lsn)::bigint from pg_replication_slots "
            "where slot_name = 'lakehouse_edc_adverse_events'"
        )
        return int(position)


@pytest.fixture
def trial(edc: str, tmp_path: Path) -> Trial:
    (tmp_path / "landing").mkdir()
    return Trial(edc, Lake(str(tmp_path / "lake")), tmp_path / "landing")


def versions(before: list[Row], seen: list[Row]) -> list[Row]:
    """What the trigger saw, as versions: a row, the transaction that left it, and the one that ended it.

    before: rows there were at first, left by no transaction we know. seen: what each transaction did, in the order in
    which they were committed, which is that of their statements where they do not overlap.
    """
    by_transaction = defaultdict(list)
    for xid, aeid, put, *row in seen:
        by_transaction[xid].append((aeid, tuple(row) if put == "Y" else None))
    now = {row[0]: (row, None) for row in before}
    found: list[Row] = []
    for xid, acts in by_transaction.items():
        # Of a row's changes in one transaction the last counts.
        for aeid, row in dict(acts).items():
            if aeid in now:
                told, made = now.pop(aeid)
                found.append((*told, made, xid))
            if row:
                now[aeid] = (row, xid)
    return sorted([*found, *((*row, made, None) for row, made in now.values())], key=repr)


def test_the_lake_is_what_coordinators_have_made_of_the_database(trial: Trial) -> None:
    began = trial.there()
    trial.execute(AUDIT)
    trial.pull(2**16)
    trial.ingest()
    assert len(began) == 1_191
    assert trial.now() == began == trial.there()

    for seed in range(2):
        done = coordinate(trial.url, seed, 33)
        assert set(done.values()) == {3}
        assert trial.pull(2**14) > 1
        trial.ingest()
        assert trial.now() == trial.there() != began

    assert trial.table("quarantine/edc_adverse_events").is_empty()
    processed = trial.table("processed/edc_adverse_events")
    assert processed["_warnings"].null_count() == processed.height
    assert processed["cdc_unchanged"].drop_nulls().unique().to_list() == ['["narrative"]']
    accounts = trial.table("account/edc_adverse_events")
    assert account.recount(trial.lake, SOURCE.name, manifest.versions(trial.lake), accounts).is_empty()
    # Every change is a row of its own.
    assert accounts["superseded"].sum() == 0

    past = trial.table("curated/edc_adverse_event_history")
    until = dict(processed.select("cdc_lsn", "cdc_xid").rows())
    ended = past.with_columns(until=pl.col("until_lsn").replace_strict(until, default=None, return_dtype=pl.String))
    told = sorted(ended.select(*COLUMNS, "cdc_xid", "until").rows(), key=repr)
    assert told == versions(began, trial.query(f"{SEEN} order by at"))
    assert sorted(past.filter("is_current").select(COLUMNS).rows()) == trial.there()


def test_subjects_and_visits_are_what_the_database_has(trial: Trial) -> None:
    """By their keys of text, of two columns, and with renumbered visits."""
    followed = (
        (EDC_SUBJECTS, EDC_SUBJECTS_NOW, "usubjid, siteid, sex, age, race, entered_by, entered_at"),
        (
            EDC_VISITS,
            EDC_VISITS_NOW,
            "usubjid, visitnum::float8, visit, svstdtc, svendtc, svupdes, entered_by, entered_at",
        ),
    )
    began = []
    for turn in range(2):
        for source, now, columns in followed:
            trial.pull(source=source)
            trial.ingest(source, (now,))
            names = columns.replace("::float8", "").split(", ")
            held = trial.table(f"curated/{source.name}").select(names).rows()
            there = trial.query(f"select {columns} from {source.name.removeprefix('edc_')}")
            assert sorted(held) == sorted(there)
            assert trial.table(f"quarantine/{source.name}").is_empty()
            assert trial.table(f"processed/{source.name}")["_warnings"].drop_nulls().is_empty()
            began.append(held)
        if not turn:
            coordinate(trial.url, 3, 33)
            trial.execute(
                "update subjects set age = age + 1, sex = null where usubjid = '01-701-1015'",
                "delete from subjects where usubjid = '01-701-1023'",
            )
    assert len(began[0]) == len(began[2]) + 1 == 306
    assert sorted(began[1]) != sorted(began[3])


def test_what_is_on_record_is_released_and_not_pulled_again(trial: Trial) -> None:
    trial.pull()
    trial.ingest()
    pulling.release(trial.lake, SOURCE, trial.url)
    begun = trial.released()
    coordinate(trial.url, 7, 11)
    assert trial.pull() == 1
    # Landed, and not yet on record.
    assert pulling.release(trial.lake, SOURCE, trial.url) is None
    assert trial.released() == begun
    trial.ingest()
    assert pulling.release(trial.lake, SOURCE, trial.url) is None
    assert trial.released() > begun
    tables = manifest.versions(trial.lake)
    assert trial.pull() == 0
    trial.ingest()
    assert manifest.versions(trial.lake) == tables


def test_a_delivery_without_records_is_on_record(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log told of other tables alone: a part without rows lets it go."""
    trial.pull()
    trial.ingest()
    pulling.release(trial.lake, SOURCE, trial.url)
    begun = trial.released()
    monkeypatch.setattr(changes, "_QUIET", 1)
    trial.execute("update visits set visit = lower(visit)")
    assert trial.pull() == 1
    trial.ingest()
    accounts = trial.table("account/edc_adverse_events").sort("_file")
    assert accounts["records"].to_list()[-1] == 0
    assert accounts["state"].unique().to_list() == ["in effect"]
    assert trial.now() == trial.there()
    assert pulling.release(trial.lake, SOURCE, trial.url) is None
    assert trial.released() > begun


def test_no_change_is_lost_for_being_wrong(trial: Trial) -> None:
    """What breaks a rule is flagged; empty text is no missing value; a truncation leaves nothing."""
    trial.pull()
    trial.execute("update adverse_events set aesev = 'BAD', narrative = '', aeendtc = null where aeid = 3")
    trial.pull()
    trial.ingest()
    assert trial.now() == trial.there()
    flagged = trial.table("processed/edc_adverse_events").drop_nulls("_warnings")
    assert flagged.select("aeid", "aesev", "narrative", "_warnings").rows() == [(3, "BAD", "", "severity_known")]
    trial.execute(
        "truncate adverse_events",
        "insert into adverse_events values (1, '01-701-1', 1, 'A', 'MILD', true, "
        "null, null, null, null, null, 'me', '2015-01-01')",
    )
    trial.pull()
    trial.ingest()
    assert [row[0] for row in trial.now()] == [1]
    assert trial.now() == trial.there()
