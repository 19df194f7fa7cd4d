"""What a broken rule comes to: a flag, a rejected record, a rejected file, or curated tables that wait for a person."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER, Reading

from lakehouse import manifest
from lakehouse.curate import curate
from lakehouse.errors import HeldError
from lakehouse.lake import Lake
from lakehouse.quality import REJECTIONS
from lakehouse.release import release
from lakehouse.source import Source, SourceError

FIRST, SECOND = "A/thermometer_2020-01-01.csv", "A/thermometer_2020-01-02.csv"


class Named(Reading):
    """Readings of sensors whose names are short."""

    sensor = dy.String(max_length=3)

    @dy.rule()
    def noon_is_warm(cls) -> pl.Expr:
        """It is not freezing at noon."""
        return (pl.col("hour") != 12) | (pl.col("celsius") > 0)


def source(severities: dict[str, str], **more: Any) -> Source:
    return replace(THERMOMETER, contract=Named, severities=severities, **more)


def open_lines(house: House) -> list[tuple[object, ...]]:
    found = house.table("quarantine").sort("_file", "_line", "_received_at")
    return found.select("_file", "_line", pl.col("reasons").list.join(" ")).rows()


def test_what_only_warns_is_kept_flagged_and_in_its_place(house: House) -> None:
    house.source = source({"noon_is_warm": "warn", "sensor|max_length": "warn"})
    house.land(FIRST, "a,1,5\nlong,12,-5\nb,12,-1\nlonger,1,hot\nc,3,1\n")
    house.run()
    assert house.table("processed").sort("_line").select("sensor", "celsius", "_warnings").rows() == [
        ("a", 5.0, None),
        ("long", -5.0, "noon_is_warm sensor|max_length"),
        ("b", -1.0, "noon_is_warm"),
        ("c", 1.0, None),
    ]
    # A line that is rejected tells all that is wrong with it.
    assert open_lines(house) == [(FIRST, 5, "temperature_is_a_number sensor|max_length")]
    assert house.unbalanced().is_empty()
    assert house.table("account").select("accepted", "quarantined").rows() == [(4, 1)]
    assert dict(house.source.row.create_empty().schema) == dict(house.table("processed").schema)
    assert "_warnings" not in source({}).row.column_names()


def test_a_rule_of_the_file_refuses_all_of_it_and_the_version_before_stays(house: House) -> None:
    house.source = source({"noon_is_warm": "file"})
    house.land(FIRST, "a,1,5\nb,12,5\n")
    house.run()
    before = house.tables()["processed"]
    house.land(FIRST, "a,1,6\nb,12,-5\nc,1,hot\nd,1\n")
    house.run()
    assert house.tables()["processed"] == before
    assert open_lines(house) == [
        (FIRST, 0, "file:rule"),
        (FIRST, 2, "file:rule"),
        (FIRST, 3, "noon_is_warm"),
        (FIRST, 4, "temperature_is_a_number"),
        (FIRST, 5, "record:short"),
    ]
    account = house.table("account").sort("_observation")
    assert account.select("state", "records", "accepted", "quarantined").rows() == [
        ("in effect", 2, 2, 0),
        ("rejected", 4, 0, 4),
    ]
    assert account["reason"][1] == (
        "1 of its records break what the whole file is refused for (must hold: It is not freezing at noon); "
        "mend them and send the file again"
    )
    texts = house.table("quarantine").sort("_line")["_text"].to_list()
    assert texts == [None, "a,1,6", "b,12,-5", "c,1,hot", "d,1"]
    house.land(FIRST, "a,1,6\nb,12,5\nc,1,hot\n")
    house.run()
    assert open_lines(house) == [(FIRST, 4, "temperature_is_a_number")]
    assert house.table("processed").height == 2
    assert house.unbalanced().is_empty()


@pytest.mark.parametrize(("limit", "whole"), [(None, False), (0.5, False), (0.49, True), (0.0, True)])
def test_a_file_past_its_limit_is_quarantined_whole(house: House, limit: float | None, whole: bool) -> None:
    house.source = source({}, file_limit=limit)
    house.land(FIRST, "a,1,5\nb,1,hot\nc,1\nd,1,5\n")
    house.land(SECOND, "e,1,1\n")
    house.run()
    assert house.table("processed")["sensor"].sort().to_list() == (["e"] if whole else ["a", "d", "e"])
    assert (FIRST, 0, "file:limit") in open_lines(house) if whole else len(open_lines(house)) == 2
    assert house.unbalanced().is_empty()
    reason = house.table("account").filter(_file=FIRST)["reason"].item()
    assert reason is None or reason.startswith("2 of its 4 records are rejected, more than ")


@pytest.mark.parametrize("severities", [{}, {"noon_is_warm": "file", "sensor|max_length": "warn"}])
@pytest.mark.parametrize("body", ["a,1,5\nb,1,hot\nlong,1\nd,1,5\n", "a,1,5\nb,12,-5\nlong,2,5\nd,1,5\n", "a,1,5\n"])
def test_a_file_read_in_pieces_comes_to_what_it_would_at_once(
    tmp_path: Path, severities: dict[str, str], body: str
) -> None:
    found = []
    for name, batch_bytes in (("whole", 10**8), ("pieces", 30)):
        (tmp_path / name).mkdir()
        one = House(tmp_path / name, Lake(str(tmp_path / f"{name}-lake")), source(severities, file_limit=0.4))
        one.batch_bytes = batch_bytes
        for correction in ("x,1,1\n", body, "d,2,1\n"):
            one.land(FIRST, correction)
            one.run()
            assert one.unbalanced().is_empty()
            found.append(one.tables())
    assert found[:3] == found[3:]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"severities": {"celsius|maximum": "warn"}}, "has no rules ['celsius|maximum']; it has _checksum|nullability"),
        ({"severities": {"celsius|max": "fatal"}}, "no severity fatal; there are warn, reject, file, block"),
        ({"severities": {"sensor|nullability": "warn"}}, "['sensor|nullability'] cannot warn"),
        ({"file_limit": 1.0}, "file_limit is a share"),
        ({"file_limit": -0.1}, "file_limit is a share"),
    ],
)
def test_a_severity_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError) as raised:
        replace(THERMOMETER, **changes)
    assert words in str(raised.value)


def test_another_severity_is_another_contract(house: House) -> None:
    sources = [
        source({}),
        source({"noon_is_warm": "warn"}),
        source({"noon_is_warm": "file"}),
        source({}, file_limit=0.1),
    ]
    assert len({item.contract_version for item in sources}) == 4
    house.land(FIRST, "a,1,5\nb,12,-5\n")
    kept = []
    for item in [*sources, sources[0]]:
        house.source = item
        house.run()
        kept.append(house.table("processed").height)
        assert house.unbalanced().is_empty()
    assert kept == [1, 2, 0, 0, 1]


def test_lines_are_counted_by_rule_and_severity_whether_they_are_kept_or_not(house: House) -> None:
    house.source = source({"noon_is_warm": "warn", "celsius|max": "block"}, file_limit=0.9)
    house.land(FIRST, "a,12,-5\nb,12,-5\nc,1,hot\nd,1,500\n")
    house.land(SECOND, "c,1,hot\n")
    house.run()
    release(house.lake, house.source, "someone", "a test")
    curate(house.lake, [REJECTIONS], [house.source], house.clock)
    found = house.lake.scan("quality/rejections").sort("_delivered", "rule").collect()
    assert found.select(pl.col("_delivered").dt.day(), "rule", "severity", "lines", "files").rows() == [
        (1, "celsius|max", "block", 1, 1),
        (1, "noon_is_warm", "warn", 2, 1),
        (1, "temperature_is_a_number", "reject", 1, 1),
        (2, "file:limit", "file", 0, 1),
        (2, "temperature_is_a_number", "reject", 1, 1),
    ]


def test_what_blocks_holds_curated_tables_back_until_a_person_releases_it(house: House) -> None:
    house.source = source({"celsius|max": "block"})

    def shown() -> int:
        curate(house.lake, [REJECTIONS], [house.source], house.clock)
        table = "quality/rejections"
        return house.lake.scan(table, manifest.versions(house.lake)[table]).collect().height

    house.land(FIRST, "a,1,hot\nz,1,1\n")
    house.run()
    assert shown() == 1
    house.land(SECOND, "b,1,500\nc,1,1\n")
    house.run()
    # Ingestion goes on; only what is made of it waits.
    assert house.table("processed")["sensor"].sort().to_list() == ["c", "z"]
    with pytest.raises(
        HeldError, match=r"1 records in 1 files of thermometer break celsius\|max.*lakehouse release"
    ) as told:
        shown()
    assert "500" not in str(told.value)
    table = "quality/rejections"
    assert house.lake.scan(table, manifest.versions(house.lake)[table]).collect().height == 1
    assert release(house.lake, house.source, "someone", "the sensor is a furnace").height == 1
    assert release(house.lake, house.source, "someone", "again").is_empty()
    assert shown() == 2
    acts = house.lake.scan("released/thermometer").select("_file", "rule", "who", "why").collect().rows()
    assert acts == [(SECOND, "celsius|max", "someone", "the sensor is a furnace")]
    # What comes later is held back again, until it is released or mended.
    house.land(FIRST, "a,1,700\nz,1,1\n")
    house.run()
    with pytest.raises(HeldError):
        shown()
    house.land(FIRST, "a,1,7\nz,1,1\n")
    house.run()
    assert shown() == 1
