"""Whatever the sources' contracts accept, every curated table can be made from it, the same in any order of rows.

One record that a contract lets through and a curated table cannot take would stop all of them, for every site. So rows
are made up that are as odd as the contracts allow: numbers as large and as small as they are read, texts that are empty
or look like another column's, days at the ends, time points without a name and names without a number of their own.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from random import Random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets import catalog
from assets.adverse_events import ACTIONS, CRITERIA, OUTCOMES, RELATIONS, SEVERITIES
from assets.central_lab import UNITS as CENTRAL_UNITS
from assets.disposition import ENDINGS, LEFT
from assets.labs import IN_WORDS, known_units
from assets.study import TIME_POINTS
from assets.subjects import OLDEST, SEXES
from assets.vitals import LIMITS, TESTS, UNITS
from lakehouse import account
from lakehouse.clock import Clock
from lakehouse.contract import PROVENANCE
from lakehouse.curate import ordered
from lakehouse.inputs import GIVEN, declarations
from lakehouse.lake import RECORD
from lakehouse.remake import checked
from lakehouse.source import Source
from lakehouse.winners import superseded_schema

Row = Mapping[str, str | None]
CLOCK = Clock(date(2015, 3, 6))
TABLES = ordered(catalog.curated())

# The last one's demographics never come. All that is delivered of the first of the twins is also of the other.
PEOPLE = ["01-701-1", "01-701-1/x", "01-702-1", "01-703-9"]
TWINS = {"01-702-1": "01-704-8"}
TEXTS = [None, "", "-", " ", "A/B", "A/B/1.0", "%2F", "{}", "vital signs", "CHEMISTRY", "CHEM", "UNSCHEDULED", "é"]
# Also the day before another: who leaves before the first dose has been treated for no day.
DAYS = [*["2014-01-01", "2014-01-02T23:59"] * 3, "2012-01-01", "2014-01-02T08:30:00.5Z", "2014-02", "2014-06-30"]
# Days that only some columns may have: of a future that has not come, and of a time before the study.
LATE_DAYS = [*DAYS, None, "--02-14", "2014---15", "9999-12-31"]
ANY_DAY = [*LATE_DAYS, "0000-01-01", "1950"]
DELIVERED = [date(2014, 6, 30), date(2014, 7, 1), date(2015, 3, 5)]
# As large and as small as a number is read, and some written in two ways.
NUMBERS = ["0", "-0", "0.0", "99999999999999999", "90000000000000000", "0.00000000000000001", "1", "1.0", "27", "0.3"]
# Smaller than that, and smaller than any double: no contract takes them for a number.
TINY = ["0.000000000000000001", f"0.{0:0308}1", f"0.{0:0400}1"]
VISITS = [*["1", "3", "4"] * 4, "1.0", "03.0", "5", "8", "12", "13", "3.1", "-1", *NUMBERS]
POINTS = [None, None, "815", "816", "817", "899", "0", "-0", "0.00000000000000001", "99999999999999999"]


def subjects(draw: Random) -> Row:
    whose = draw.choice(PEOPLE[:-1])
    unit = draw.choice([None, *OLDEST])
    arm, actual = draw.choice([(None, None), ("Pbo", "Placebo"), ("Scrnfail", ""), ("Xan_Hi", "-")]), draw.random()
    return {
        "USUBJID": whose,
        "SUBJID": whose.split("-")[2],
        "SITEID": whose.split("-")[1],
        **{name: draw.choice(LATE_DAYS) for name in ("RFSTDTC", "RFXSTDTC", "RFICDTC")},
        "AGE": unit and draw.choice(["0", "-0", "70", "71", str(OLDEST[unit])]),
        "AGEU": unit,
        "SEX": draw.choice(SEXES),
        "RACE": draw.choice(TEXTS),
        "ETHNIC": draw.choice(TEXTS),
        **dict(zip(("ARMCD", "ARM"), arm, strict=True)),
        **dict.fromkeys(("ACTARMCD", "ACTARM"), "A" if actual < 0.5 else None),
        "COUNTRY": draw.choice(["USA", "ZZZ"]),
        "DMDTC": draw.choice([None, *DAYS]),
    }


def visits(draw: Random) -> Row:
    return {
        "USUBJID": draw.choice(PEOPLE),
        "VISITNUM": draw.choice(VISITS),
        "VISIT": draw.choice([text for text in TEXTS if text is not None]),
        "SVSTDTC": draw.choice(DAYS),
        "SVENDTC": draw.choice([None, *DAYS]),
        "SVUPDES": draw.choice(TEXTS),
    }


def exposure(draw: Random) -> Row:
    treatment, dose = draw.choice([("PLACEBO", "0"), ("PLACEBO", "-0"), ("XANOMELINE", "54"), ("XANOMELINE", "81.0")])
    return {
        "USUBJID": draw.choice(PEOPLE),
        "EXTRT": treatment,
        "EXDOSE": dose,
        "EXDOSU": "mg",
        "VISITNUM": draw.choice(VISITS),
        "VISIT": draw.choice(TEXTS),
        "EXSTDTC": draw.choice([*DAYS, *["2014-01-02"] * 9]),
        "EXENDTC": draw.choice([None, draw.choice(DAYS)]),
    }


def disposition(draw: Random) -> Row:
    category, term = draw.choice([(LEFT, draw.choice(ENDINGS)), ("OTHER EVENT", "FINAL LAB VISIT")])
    return {
        "USUBJID": draw.choice(PEOPLE),
        "DSSPID": draw.choice(TEXTS),
        "DSTERM": draw.choice(["", "PROTOCOL ENTRY CRITERIA NOT MET"]),
        "DSDECOD": term,
        "DSCAT": category,
        "VISITNUM": draw.choice([None, *VISITS]),
        "VISIT": draw.choice(TEXTS),
        "DSDTC": draw.choice(DAYS),
        "DSSTDTC": draw.choice([None, *DAYS, *["2014-01-01"] * 5]),
    }


def vitals(draw: Random) -> Row:
    unit = draw.choice([*UNITS, *UNITS[:1] * 6, *UNITS[-4:] * 3])
    low, high = (end / unit.factor + unit.zero for end in LIMITS[unit.test])
    usual = [(low + high) / 2 + step for step in range(5)]
    done = draw.random() < 0.9
    return {
        "USUBJID": draw.choice(PEOPLE),
        "VSTESTCD": unit.test,
        "VSTEST": TESTS[unit.test],
        "VSPOS": draw.choice(TEXTS),
        "VSORRES": f"+{draw.choice([low, high, *usual, *usual]):.2f}" if done else None,
        "VSORRESU": unit.unit if done else draw.choice(TEXTS),
        "VSSTAT": None if done else "NOT DONE",
        "VSLOC": draw.choice(TEXTS),
        "VISITNUM": draw.choice(VISITS),
        "VISIT": draw.choice(TEXTS),
        "VSDTC": draw.choice(DAYS),
        "VSTPT": draw.choice([None, *TIME_POINTS.values(), "", "TIME POINT 899", "-"]),
        "VSTPTNUM": draw.choice(POINTS),
    }


def labs(draw: Random) -> Row:
    # Of some tests many, so that something is usual of them.
    test, unit = draw.choice([(test, unit) for test, unit, _, _ in known_units()][:: draw.choice((1, 30, 30, 30))])
    words = TEXTS if test in IN_WORDS else []
    usual = ["27", "27.5", "28", "29", "30"] * 10
    beyond = [f"{sign}{number}" for sign in ("<", "<=", "> ", ">=") for number in ("0", "40", NUMBERS[3])]
    return {
        "USUBJID": draw.choice(PEOPLE),
        "LBTESTCD": test,
        "LBTEST": draw.choice(["", "A test"]),
        "LBCAT": draw.choice([*TEXTS, *["CHEMISTRY"] * 20]),
        "LBORRES": draw.choice([*NUMBERS, *NUMBERS, *TINY, *usual, *beyond, *words]),
        "LBORRESU": draw.choice([unit, None]) if unit == "NO UNITS" else unit,
        "LBORNRLO": draw.choice([None, "", "-5", "x", *TINY, *NUMBERS]),
        "LBORNRHI": draw.choice([None, "", "-5", "x", *TINY, *NUMBERS]),
        "VISITNUM": draw.choice(VISITS),
        "VISIT": draw.choice(TEXTS),
        "LBDTC": draw.choice(DAYS),
    }


def adverse_events(draw: Random) -> Row:
    serious, fatal = draw.random() < 0.5, draw.random() < 0.2
    return {
        "USUBJID": draw.choice(PEOPLE),
        "AESEQ": draw.choice(["1", "2", "3", "03", "4.0", NUMBERS[3], NUMBERS[4]]),
        "AETERM": draw.choice(["", "HEADACHE"]),
        "AESEV": draw.choice(SEVERITIES),
        "AESER": "Y" if serious else "N",
        "AEREL": draw.choice([None, *RELATIONS]),
        "AEOUT": "FATAL" if fatal else draw.choice([outcome for outcome in OUTCOMES if outcome != "FATAL"]),
        "AEDTC": draw.choice(DAYS),
        "AESTDTC": draw.choice(ANY_DAY),
        "AEENDTC": draw.choice(DAYS),
        "AESPID": draw.choice([None, "", "#1.0", "E01", "E02"]),
        **{name: draw.choice(TEXTS) for name in ("AELLT", "AEHLT", "AEHLGT", "AESOC")},
        "AEDECOD": draw.choice([None, "", "SITE REACTION", "ERYTHEMA"]),
        "AEBODSYS": draw.choice([None, "", "SKIN AND SUBCUTANEOUS TISSUE DISORDERS"]),
        "AEACN": draw.choice([None, *ACTIONS]),
        **{name.upper(): draw.choice([None, "N", "Y" if serious else "N"]) for name in CRITERIA},
        "AESDTH": "Y" if fatal else "N",
    }


def central_lab(draw: Random) -> Row:
    test = draw.choice(list(CENTRAL_UNITS))
    whose = draw.choice([name for name in PEOPLE if "/" not in name])
    texts = [text for text in TEXTS if text is not None]
    number = draw.choice([None, *(text for text in NUMBERS if text != "-0")])
    return {
        "id": str(draw.randrange(10_000)),
        "study": draw.choice(texts),
        "subject": json.dumps({"id": whose, "site": whose.split("-")[1]}),
        "visit": json.dumps({"number": draw.choice(VISITS), "name": draw.choice(TEXTS)}),
        "test": json.dumps({"code": test, "name": draw.choice(texts)}),
        "collected": draw.choice(DAYS),
        "result": json.dumps({"value": draw.choice([number or "0", f"<{number or 0}"]), "unit": CENTRAL_UNITS[test]}),
        "range": json.dumps({"low": number, "high": draw.choice([None, NUMBERS[3]])}),
        "updated": "2014-07-01T08:00:00Z",
    }


def wearable(draw: Random) -> Row:
    return {
        "usubjid": draw.choice([*PEOPLE, "", "-"]),
        "device": draw.choice(["", "w1", "w2"]),
        "reading_id": draw.choice(["0", "1", "2", "3", "999999999999999"]),
        "event_time": draw.choice(["2012-01-01T00:00:00Z", "2014-01-02T00:00:00Z", "2014-01-02T00:15:00.000001+00:00"]),
        "kafka_timestamp": draw.choice(["2014-01-02T00:15:00Z", "2014-06-30T00:00:00Z"]),
        "heart_rate": draw.choice([None, "20", "250"]),
        "steps": draw.choice(["0", "1", "20000"]),
    }


def _change(draw: Random, columns: Mapping[str, str | None]) -> Row:
    """A change of a table of the EDC. The feed gives every change a place of its own in the log."""
    kind = draw.choice(["insert", "update", "update", "delete", "truncate", "snapshot", "snapshot", "complete"])
    told = {} if kind in ("truncate", "complete") else columns
    return {
        **told,
        "entered_by": draw.choice(TEXTS),
        "entered_at": draw.choice(["2014-01-02 08:30:00+00", None]),
        "cdc_op": kind,
        "cdc_starts": draw.choice(["1", "2"]),
        "cdc_lsn": f"{draw.randrange(3):016X}",
        "cdc_seq": str(draw.randrange(10**9)),
        "cdc_at": draw.choice(["2014-01-02T08:30:00Z", "2014-01-02T08:30:00.000001Z"]),
        "cdc_unchanged": draw.choice([None, "", "sex", "visit narrative", "nobody"]),
    }


def edc_subjects(draw: Random) -> Row:
    named = {"usubjid": draw.choice(PEOPLE), "siteid": draw.choice(["701", "702"]), "sex": draw.choice(SEXES)}
    return _change(draw, {**named, "age": draw.choice([None, "70", "x"]), "race": draw.choice(TEXTS)})


def edc_visits(draw: Random) -> Row:
    named = {"usubjid": draw.choice(PEOPLE), "visitnum": draw.choice(VISITS), "visit": draw.choice(TEXTS)}
    return _change(draw, {**named, "svstdtc": draw.choice(ANY_DAY), "svendtc": draw.choice(ANY_DAY)})


def edc_adverse_events(draw: Random) -> Row:
    named = {"aeid": draw.choice(["1", "2", "-1"]), "usubjid": draw.choice(PEOPLE), "aeseq": draw.choice(["1", "x"])}
    words = {name: draw.choice(TEXTS) for name in ("aeterm", "aesev", "aeser", "aerel", "aeout", "narrative")}
    return _change(draw, {**named, **words, "aestdtc": draw.choice(ANY_DAY), "aeendtc": draw.choice(ANY_DAY)})


# What a source's records may be, and how many of them.
MADE: Mapping[str, tuple[Callable[[Random], Row], int]] = {
    "subjects": (subjects, 12),
    "visits": (visits, 25),
    "exposure": (exposure, 10),
    "disposition": (disposition, 8),
    "vitals": (vitals, 250),
    "labs": (labs, 300),
    "adverse_events": (adverse_events, 30),
    "central_lab": (central_lab, 15),
    "wearable": (wearable, 10),
    "edc_subjects": (edc_subjects, 15),
    "edc_visits": (edc_visits, 15),
    "edc_adverse_events": (edc_adverse_events, 15),
}


def raw(source: Source, draw: Random) -> pl.DataFrame:
    """Records of a source as they are delivered, in files of several days."""
    make, count = MADE[source.name]
    rows: list[dict[str, object]] = []
    for _ in range(count):
        row, day = make(draw), draw.choice(DELIVERED)
        rows.append({"STUDYID": "S", **row, "_delivered": day})
        if (whose := row.get("USUBJID")) in TWINS:
            twin = {"USUBJID": TWINS[whose], "SITEID": "704", "SUBJID": "8"}
            rows.append({**rows[-1], **{name: value for name, value in twin.items() if name in row}})
    origin = {"_checksum": "c0ffee", "_received_at": datetime(2015, 3, 6, tzinfo=UTC)}
    for line, row in enumerate(rows, start=2):
        site = source.name if source.feed else str(row["USUBJID"]).split("-")[1]
        row |= {**origin, "_site": site, "_file": f"{site}/{source.name}_{row['_delivered']}.csv", "_line": line}
    layout = {**dict.fromkeys((*source.header, "_extra"), pl.String()), **PROVENANCE}
    return pl.from_dicts([{name: row.get(name) for name in layout} for row in rows], schema=layout)


def accepted(source: Source, records: pl.DataFrame) -> pl.DataFrame:
    """Records that break no rule but those that only warn."""
    kept, failure = source.contract.filter(source.tidy(records.lazy()).collect(), cast=False)
    hard = [rule for rule in failure.counts() if rule not in source.rules("warn")]
    flagged = failure.details().filter(~pl.any_horizontal(pl.lit(False), *(pl.col(rule) == "invalid" for rule in hard)))
    return pl.concat([kept, flagged.select(kept.columns)])


def lake(draw: Random) -> dict[str, pl.DataFrame]:
    """Everything that curated tables are made from, by its name."""
    found = {name: pl.DataFrame(schema=layout) for name, layout in GIVEN.items()}
    found |= declarations(catalog.sources(), CLOCK)
    for source in catalog.sources():
        records = raw(source, draw)
        sound = accepted(source, records).sort("_delivered", "_file", "_line")
        rows = sound.unique(source.key, keep="last", maintain_order=True)
        lost = sound.join(rows, on=RECORD, how="anti").with_columns(_kind=pl.lit("key"))
        layout = superseded_schema(dict(rows.schema), source.key)
        lost = pl.concat([pl.DataFrame(schema=layout), lost], how="diagonal").select(list(layout))
        counts = {name: pl.lit(1, pl.Int64) for name in ("_observation", "bytes", "records", *account.COUNTS)}
        state = {"sound": pl.lit(True), "state": pl.lit("in effect"), "reason": pl.lit(None, pl.String)}
        files = records.select(name for name in PROVENANCE if name != "_line").unique()
        deliveries = files.with_columns(source=pl.lit(source.name), **counts, **state).select(list(account.SCHEMA))
        found["account"] = pl.concat([found["account"], deliveries])
        found |= {
            f"raw/{source.name}": records,
            f"processed/{source.name}": rows,
            f"history/{source.name}": sound.with_columns(
                _known="_delivered", _until=pl.when(pl.col("_line") % 5 == 0).then(pl.lit(date(2015, 3, 6)))
            ),
            f"superseded/{source.name}": lost,
            f"account/{source.name}": deliveries,
        }
    return found


def curated(given: Mapping[str, pl.DataFrame], order: Random | None = None) -> dict[str, pl.DataFrame]:
    """Every curated table, each made from tables whose rows are in some order."""
    found = dict(given)
    for table in TABLES:
        inputs = [found.get(name, table.contract.create_empty()) for name in table.inputs]
        if order is not None:
            inputs = [rows.sample(fraction=1, shuffle=True, seed=order.randrange(2**32)) for rows in inputs]
        rows = checked(table, table.transform(*(item.lazy() for item in inputs)).collect())
        for check in table.checks.values():
            check(rows.lazy(), *(item.lazy() for item in inputs)).select(pl.len()).collect()
        found[table.table] = rows
    return {table.table: found[table.table] for table in TABLES}


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_every_curated_table_can_be_made_and_is_the_same_in_any_order(seed: int) -> None:
    draw = Random(seed)
    given_ = lake(draw)
    tables = curated(given_)
    again = curated(given_, order=draw)
    assert [name for name, rows in tables.items() if not rows.equals(again[name])] == []


def test_most_of_what_is_made_up_is_accepted_and_tables_have_rows() -> None:
    given_ = [lake(Random(seed)) for seed in range(3)]
    for name, (_, count) in MADE.items():
        assert min(tables[f"history/{name}"].height for tables in given_) > count / 3, name
    empty = [{name for name, rows in curated(tables).items() if rows.is_empty()} for tables in given_]
    # Nothing is rejected here.
    assert set.intersection(*empty) == {"quality/rejections"}
