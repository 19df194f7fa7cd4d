"""The trial's EDC system (electronic data capture), as its database: PostgreSQL whose log tells changes, filled from
the pilot study, and what site coordinators do in it.

`python -m assets.pilot.edc FOLDER --steps 100` serves it and has coordinators work in it. Not for anything but trying
out and tests: the server loses its last moments when the machine dies.
"""

import io
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import typer

from lakehouse import postgres
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

DATABASE = "edc"
# Booleans, times and free text are as such a system has them; the texts of one event in three are longer than a page.
_TABLES = """
create table subjects (
    usubjid text primary key, siteid text not null, sex text, age integer, race text, entered_by text not null,
    entered_at timestamptz not null
);
create table visits (
    usubjid text not null, visitnum numeric(6, 2) not null, visit text, svstdtc text, svendtc text, svupdes text,
    entered_by text not null, entered_at timestamptz not null, primary key (usubjid, visitnum)
);
create table adverse_events (
    aeid integer primary key, usubjid text not null, aeseq integer not null, aeterm text not null, aesev text not null,
    aeser boolean not null, aerel text, aeout text, aestdtc text, aeendtc text, narrative text,
    entered_by text not null, entered_at timestamptz not null
);
alter table adverse_events alter narrative set storage external
"""
_BEGAN = datetime(2015, 3, 5, 8, tzinfo=UTC)
_SEVERITIES = ("MILD", "MODERATE", "SEVERE")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """URL of the EDC's database, kept in `folder`, while the block runs; made and filled when it is not there.

    It is reached by a socket, and not from other machines. Raises UnavailableError when it cannot be started.
    """
    settings = Settings(home=folder)
    with postgres.serving(settings) as url:
        if _logical(url):
            yield _filled(url)
            return
        _execute(url, "alter system set wal_level = 'logical'", "alter system set fsync = off")
    # It is read when the server starts.
    with postgres.serving(settings) as url:
        yield _filled(url)


def events() -> pl.DataFrame:
    """The study's adverse events as the EDC has them, in the order they were recorded; one in three has a narrative.

    What happened is one row for each look at an event, as in the sites' files: AESEQ tells a subject's rows apart.
    """
    from assets.pilot.land import EXPORTS, published

    rows = published(EXPORTS["adverse_events"]).sort("AEDTC", "USUBJID", "AESEQ").with_row_index("aeid", 1)
    return rows.select(
        "aeid",
        usubjid="USUBJID",
        aeseq=pl.col("AESEQ").cast(pl.Int64),
        aeterm="AETERM",
        aesev="AESEV",
        aeser=pl.col("AESER") == "Y",
        aerel="AEREL",
        aeout="AEOUT",
        aestdtc="AESTDTC",
        aeendtc="AEENDTC",
        narrative=pl.when(pl.col("aeid") % 3 == 0).then(_narrative(pl.col("AETERM"), pl.col("AESEV"), pl.col("AEDTC"))),
        entered_by=_coordinator(pl.col("USUBJID")),
        entered_at=pl.col("AEDTC").str.head(10) + "T09:00:00Z",
    )


def coordinate(url: str, seed: int, steps: int) -> Counter[str]:
    """Let coordinators work: `steps` transactions, of each kind some; how many of each.

    The same seed does the same to the same database. Of eleven steps in a row, begun at a multiple of eleven, each is
    of another kind.
    """
    chance = random.Random(seed)
    acts = (*_ACTS, _undone)
    done: Counter[str] = Counter()
    order: list[Any] = []
    with closing(_connect(url)) as connection:
        for number in range(steps):
            if not order:
                order = chance.sample(acts, len(acts))
            act = order.pop()
            with connection.cursor() as cursor:
                act(cursor, chance, _BEGAN + timedelta(minutes=7 * number))
            if act is _undone:
                connection.rollback()
            else:
                connection.commit()
            done[act.__name__.strip("_")] += 1
    return done


def _enter_event(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    subject, site = _subject(cursor, chance)
    cursor.execute(
        "insert into adverse_events select coalesce(max(aeid), 0) + 1, %(subject)s, "
        "coalesce(max(aeseq) filter (where usubjid = %(subject)s), 0) + 1, %(term)s, %(severity)s, false, 'POSSIBLE', "
        "'NOT RECOVERED/NOT RESOLVED', %(day)s, null, null, %(who)s, %(at)s from adverse_events",
        {
            "subject": subject,
            "term": chance.choice(("HEADACHE", "DIZZINESS", "PRURITUS", "NAUSEA")),
            "severity": chance.choice(_SEVERITIES),
            "day": at.date().isoformat(),
            "who": f"coordinator-{site}",
            "at": at,
        },
    )


def _enter_visit(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    subject, site = _subject(cursor, chance)
    cursor.execute(
        "insert into visits select %(subject)s, coalesce(max(visitnum), 0) + 0.1, 'UNSCHEDULED', %(day)s, %(day)s, "
        "'ADVERSE EVENT', %(who)s, %(at)s from visits where usubjid = %(subject)s",
        {"subject": subject, "day": at.date().isoformat(), "who": f"coordinator-{site}", "at": at},
    )


def _correct_severity(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    event = _event(cursor, chance)
    # The narrative is not sent along with a change of something else.
    cursor.execute(
        "update adverse_events set aesev = case aesev when 'MILD' then 'MODERATE' when 'MODERATE' then 'SEVERE' else "
        "'MILD' end, entered_at = %s where aeid = %s",
        (at, event),
    )


def _make_serious(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    event = _event(cursor, chance)
    cursor.execute("update adverse_events set aeser = not aeser, entered_at = %s where aeid = %s", (at, event))


def _write_narrative(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    event = _event(cursor, chance)
    lines = "\n".join(f"{at:%Y-%m-%d} call {number}: {chance.random():.12f}" for number in range(120))
    cursor.execute("update adverse_events set narrative = %s, entered_at = %s where aeid = %s", (lines, at, event))


def _end_event(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    event = _event(cursor, chance)
    # Two changes of one row in one transaction: of the first nobody outside knows.
    cursor.execute("update adverse_events set aeendtc = %s where aeid = %s", (at.date().isoformat()[:4], event))
    cursor.execute(
        "update adverse_events set aeendtc = %s, aeout = 'RECOVERED/RESOLVED', entered_at = %s where aeid = %s",
        (at.date().isoformat(), at, event),
    )


def _enter_twice(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    cursor.execute(
        "insert into adverse_events select (select max(aeid) from adverse_events) + 1, usubjid, aeseq, aeterm, aesev, "
        "aeser, aerel, aeout, aestdtc, aeendtc, narrative, entered_by, %s from adverse_events where aeid = %s",
        (at, _event(cursor, chance)),
    )


def _delete_duplicate(cursor: "Cursor", _chance: random.Random, _at: datetime) -> None:
    """Delete the later of two rows of one event; without one, the newest event, entered for the wrong subject."""
    cursor.execute(
        "delete from adverse_events where aeid = (select coalesce(max(aeid) filter (where place > 1), max(aeid)) from "
        "(select aeid, row_number() over (partition by usubjid, aeseq order by aeid) as place from adverse_events) as "
        "numbered)"
    )


def _change_key(cursor: "Cursor", chance: random.Random, _at: datetime) -> None:
    """An event gets another number, with a narrative that is not sent; a visit the number of another visit."""
    cursor.execute(
        "update adverse_events set aeid = (select max(aeid) from adverse_events) + 1000 where aeid = %s",
        (_event(cursor, chance),),
    )
    subject, _ = _subject(cursor, chance)
    cursor.execute(
        "update visits set visitnum = visitnum + 500 where (usubjid, visitnum) = "
        "(select usubjid, max(visitnum) from visits where usubjid = %s and visitnum < 500 group by usubjid)",
        (subject,),
    )


def _load(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    """A site that wrote on paper for a while sends all of it at once."""
    for _ in range(60):
        _enter_event(cursor, chance, at)


def _undone(cursor: "Cursor", chance: random.Random, at: datetime) -> None:
    """The last statement of this one was not meant: none of it is kept."""
    _enter_event(cursor, chance, at)
    cursor.execute("delete from adverse_events where usubjid = %s", (_subject(cursor, chance)[0],))


_ACTS = (
    _enter_event,
    _enter_visit,
    _correct_severity,
    _make_serious,
    _write_narrative,
    _end_event,
    _enter_twice,
    _delete_duplicate,
    _change_key,
    _load,
)


def _subject(cursor: "Cursor", chance: random.Random) -> tuple[str, str]:
    cursor.execute("select usubjid, siteid from subjects order by usubjid")
    return cast("tuple[str, str]", chance.choice(cursor.fetchall()))


def _event(cursor: "Cursor", chance: random.Random) -> int:
    cursor.execute("select aeid from adverse_events order by aeid")
    return int(chance.choice(cursor.fetchall())[0])


def _filled(url: str) -> str:
    """URL of the EDC's database on the server at `url`, with its tables."""
    mine = url.replace(f"/{postgres.DATABASE}?", f"/{DATABASE}?")
    if not _rows(url, "select 1 from pg_database where datname = %s", DATABASE):
        _execute(url, f"create database {DATABASE} template template0 encoding utf8")
    if not _rows(mine, "select 1 from pg_tables where tablename = 'adverse_events'"):
        _fill(mine)
    return mine


def _fill(url: str) -> None:
    """Make the tables and fill them, in one transaction."""
    from assets.pilot.land import EXPORTS, published

    subjects = published(EXPORTS["subjects"]).sort("USUBJID")
    visits = published(EXPORTS["visits"]).sort("USUBJID", "VISITNUM")
    filled = {
        "subjects": subjects.select(
            "USUBJID",
            "SITEID",
            "SEX",
            pl.col("AGE").cast(pl.Int64),
            "RACE",
            _coordinator(pl.col("USUBJID")).alias("who"),
            (pl.col("DMDTC") + "T08:00:00Z").alias("at"),
        ),
        "visits": visits.select(
            "USUBJID",
            pl.col("VISITNUM").round(2),
            "VISIT",
            "SVSTDTC",
            "SVENDTC",
            "SVUPDES",
            _coordinator(pl.col("USUBJID")).alias("who"),
            (pl.col("SVENDTC").str.head(10) + "T16:00:00Z").alias("at"),
        ),
        "adverse_events": events(),
    }
    with closing(_connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_TABLES)
        for name, rows in filled.items():
            cursor.copy_expert(f"copy {name} from stdin (format csv)", io.BytesIO(_csv(rows)))
        connection.commit()


def _csv(rows: pl.DataFrame) -> bytes:
    return rows.write_csv(include_header=False).encode()


def _narrative(term: pl.Expr, severity: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Notes of some 4,000 characters."""
    words = severity.str.to_lowercase()
    notes = [pl.format("{} note {}: {}, {}.", day, pl.lit(number), term, words) for number in range(100)]
    return pl.concat_str(notes, separator="\n")


def _coordinator(subject: pl.Expr) -> pl.Expr:
    return pl.format("coordinator-{}", subject.str.split("-").list.get(1))


def _logical(url: str) -> bool:
    return _rows(url, "show wal_level") == [("logical",)]


def _connect(url: str) -> Any:
    import psycopg2

    return psycopg2.connect(url)


def _rows(url: str, query: str, *given: object) -> list[tuple[Any, ...]]:
    with closing(_connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query, given)
        return cast("list[tuple[Any, ...]]", cursor.fetchall())


def _execute(url: str, *statements: str) -> None:
    with closing(_connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def main(folder: Path, steps: int = 0, pause: float = 1.0, seed: int = 0) -> None:
    """Serve the EDC's database from a folder, and do some steps of work in it, with a pause of seconds after each."""
    folder.mkdir(parents=True, exist_ok=True)
    # So that the database is stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with serving(folder) as url:
        print(f"LAKEHOUSE_SYSTEM_EDC={url}", flush=True)
        for number in range(steps):
            print(*coordinate(url, seed + number, 1), flush=True)
            time.sleep(pause)
        input("Enter ends it. ")


if __name__ == "__main__":
    typer.run(main)
