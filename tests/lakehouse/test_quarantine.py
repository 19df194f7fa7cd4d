"""Quarantine as a queue: what is open, what a site gets to mend, and what was mended by what."""

import gzip
import io
import zipfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER, Reading

from lakehouse import quarantine
from lakehouse.dialect import PLAIN, Dialect
from lakehouse.marked import first_field
from lakehouse.quarantine import By

FIRST, SECOND = "A/thermometer_2020-01-01.csv", "A/thermometer_2020-01-02.csv"


class Warmer(Reading):
    """The same readings, of which more can be."""

    celsius = dy.Float64(nullable=True, max=1000)


@pytest.fixture
def faulty(house: House) -> House:
    """Two sites with six rejected lines in three files, and a file that cannot be read."""
    house.land(FIRST, "a,1,50\nb,1,hot\n,2,hot\nc,1\n")
    house.land(SECOND, "a,2,500\nb,2,5\n")
    house.land("B/thermometer_2020-01-02.csv", "x,1,hot\ny,99,1\n")
    house.land("B/thermometer_2020-01-03.csv", b"SENSOR,HOUR,CELSIUS\n\xff,1,1\n")
    house.run()
    return house


def zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("export.csv", data)
    return packed.getvalue()


def exported(house: House, to: Path, site: str = "A") -> list[tuple[object, ...]]:
    return quarantine.export(house.lake, [house.source], site, to).rows()


def resolved(house: House) -> pl.DataFrame:
    return quarantine.resolved(house.lake, house.source, house.batch_bytes)


def open_lines(house: House) -> list[tuple[str, int]]:
    found = house.table("quarantine").sort("_file", "_line")
    return found.select("_file", "_line").rows()


def test_open_lines_are_counted_by_reason_site_and_file(faulty: House) -> None:
    rows = quarantine.waiting(faulty.lake, [faulty.source])
    first, second, third = date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3)
    by_reason = quarantine.grouped(rows, By.reason).select("reason", "lines", "files", "sites", "oldest").rows()
    assert by_reason == [
        ("temperature_is_a_number", 3, 2, 2, first),
        ("celsius|max", 1, 1, 1, second),
        ("hour|max", 1, 1, 1, second),
        ("record:short", 1, 1, 1, first),
        ("sensor|nullability", 1, 1, 1, first),
        ("file:encoding", 0, 1, 1, third),
    ]
    # A line with two reasons is one line of its site and file.
    by_site = quarantine.grouped(rows, By.site).select("site", "lines", "files", "oldest").rows()
    assert by_site == [("A", 4, 2, first), ("B", 2, 2, second)]
    by_file = quarantine.grouped(rows, By.file).select("file", "lines", "reasons").rows()
    assert by_file == [
        (FIRST, 3, "record:short sensor|nullability temperature_is_a_number"),
        ("B/thermometer_2020-01-02.csv", 2, "hour|max temperature_is_a_number"),
        (SECOND, 1, "celsius|max"),
        ("B/thermometer_2020-01-03.csv", 0, "file:encoding"),
    ]


def test_nothing_ingested_is_nothing_open(house: House, tmp_path: Path) -> None:
    assert quarantine.waiting(house.lake, [house.source]).collect().is_empty()
    assert resolved(house).is_empty()
    assert exported(house, tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_an_exported_file_is_the_whole_file_with_reasons_before_each_record(faulty: House, tmp_path: Path) -> None:
    assert exported(faulty, tmp_path) == [(FIRST, 3, None), (SECOND, 1, None)]
    number = "must hold: The temperature is a number"
    assert (tmp_path / FIRST).read_text() == (
        "_reasons,SENSOR,HOUR,CELSIUS\n"
        ",a,1,50\n"
        f'"{number}",b,1,hot\n'
        f'"{number}; sensor is missing",,2,hot\n'
        '"the record has fewer fields than the header",c,1\n'
    )
    told = pl.read_csv(tmp_path / "reasons.csv").select("file", "line").rows()
    assert told == [(FIRST, 3), (FIRST, 4), (FIRST, 5), (SECOND, 2)]


def test_a_file_that_cannot_be_read_is_exported_as_it_came(faulty: House, tmp_path: Path) -> None:
    told = exported(faulty, tmp_path, "B")
    assert [(file, lines) for file, lines, _ in told] == [
        ("B/thermometer_2020-01-02.csv", 2),
        ("B/thermometer_2020-01-03.csv", 0),
    ]
    assert "not UTF-8" in str(told[1][2])
    assert (tmp_path / "B/thermometer_2020-01-03.csv").read_bytes() == b"SENSOR,HOUR,CELSIUS\n\xff,1,1\n"


BODY = "SENSOR,HOUR,CELSIUS\na,1,hot\nb,1,1\n"


@pytest.mark.parametrize(
    ("dialect", "data"),
    [
        (PLAIN, b"\xef\xbb\xbfSENSOR,HOUR,CELSIUS\r\na,1,hot\r\n\r\nb,1,1"),
        (PLAIN, b'SENSOR,HOUR,CELSIUS\n"a\nb",1,hot\n"q""q",2,warm\n'),
        (PLAIN, b'"SENSOR","HOUR",CELSIUS\ra,1,hot\rb,1,1\r'),
        (PLAIN, b"HOUR,SENSOR\n1,a\n"),
        (PLAIN, b'SENSOR,HOUR,CELSIUS\na,1,hot\nb"b,1,1\n"c,1,1\n'),
        (Dialect(delimiter=";", encoding="cp1252"), b"SENSOR;HOUR;CELSIUS\n\xe4;1;hot\nb;1\n"),
        (Dialect(delimiter="|", quote=None), b"SENSOR|HOUR|CELSIUS\na|1|hot\n"),
        (Dialect(encoding="utf-16"), BODY.encode("utf-16")),
        (Dialect(compression="gzip"), gzip.compress(BODY.encode(), mtime=0)),
        (Dialect(compression="zip"), zipped(BODY.encode())),
    ],
)
def test_but_for_its_reasons_an_exported_file_is_the_delivered_one(
    house: House, tmp_path: Path, dialect: Dialect, data: bytes
) -> None:
    house.source = replace(THERMOMETER, dialect=dialect)
    path = FIRST + {"gzip": ".gz", "zip": ".zip"}.get(dialect.compression or "", "")
    house.land(path, data)
    house.run()
    waiting = open_lines(house)
    assert waiting
    exported(house, tmp_path)
    back = (tmp_path / path).read_bytes()
    assert back != data
    unpacked = dialect.unpacked(back)
    mark, codec = dialect.mark(unpacked)
    assert (mark, codec) == dialect.mark(dialect.unpacked(data))
    lines = io.StringIO(unpacked.removeprefix(mark).decode(codec), newline="").readlines()
    for line in [1, *house.table("raw")["_line"].to_list()]:
        first = first_field(dialect).match(lines[line - 1])
        assert first
        lines[line - 1] = lines[line - 1][first.end() :]
    assert mark + "".join(lines).encode(codec) == dialect.unpacked(data)
    # The site's own dialect reads it for what it was.
    house.land(path, back)
    house.run()
    assert open_lines(house) == waiting


def test_a_file_without_a_header_line_is_exported_as_it_came_beside_its_reasons(house: House, tmp_path: Path) -> None:
    house.source = replace(THERMOMETER, dialect=Dialect(header=("SENSOR", "HOUR", "CELSIUS")))
    house.land(FIRST, b"a,1,hot\nb,1,1\n")
    house.run()
    assert exported(house, tmp_path) == [(FIRST, 1, None)]
    assert (tmp_path / FIRST).read_bytes() == b"a,1,hot\nb,1,1\n"
    told = pl.read_csv(tmp_path / "reasons.csv").rows()
    assert told == [(FIRST, 1, "must hold: The temperature is a number")]


def test_sent_back_as_it_is_an_exported_file_changes_nothing_and_mends_nothing(faulty: House, tmp_path: Path) -> None:
    before, processed = open_lines(faulty), faulty.table("processed").drop("_checksum", "_received_at")
    for _ in range(2):
        exported(faulty, tmp_path)
        faulty.land(FIRST, (tmp_path / FIRST).read_bytes())
        faulty.run()
        assert open_lines(faulty) == before
        assert (
            faulty.table("processed")
            .drop("_checksum", "_received_at")
            .sort("sensor", "hour")
            .equals(processed.sort("sensor", "hour"))
        )
        assert resolved(faulty).is_empty()
        assert (tmp_path / FIRST).read_text().splitlines()[0] == "_reasons,SENSOR,HOUR,CELSIUS"
    # However often it comes back, it counts from its delivery day.
    since = quarantine.waiting(faulty.lake, [faulty.source], "A").select(pl.col("since").min()).collect().item()
    assert since == date(2020, 1, 1)


def test_mended_in_place_and_sent_back_it_takes_the_place_of_the_first(faulty: House, tmp_path: Path) -> None:
    exported(faulty, tmp_path)
    mended = (tmp_path / FIRST).read_text().replace("b,1,hot", "b,1,7").replace(",c,1\n", ",c,1,8\n")
    faulty.land(FIRST, mended.encode())
    faulty.run()
    assert faulty.unbalanced().is_empty()
    assert open_lines(faulty)[:2] == [(FIRST, 4), (SECOND, 2)]
    values = faulty.table("processed").filter(_file=FIRST).sort("_line").select("sensor", "celsius", "_line").rows()
    assert values == [("a", 50.0, 2), ("b", 7.0, 3), ("c", 8.0, 5)]
    found = resolved(faulty)
    assert found.select("file", "line", "reasons").rows() == [
        (FIRST, 3, "temperature_is_a_number"),
        (FIRST, 5, "record:short"),
    ]
    now = faulty.table("account").filter(_file=FIRST, state="in effect")
    assert found["by"].unique().to_list() == now["_checksum"].to_list()
    assert found["mended"].unique().to_list() == now["_received_at"].to_list()
    assert (found["rejected"] < found["mended"]).all()


def test_each_line_is_resolved_by_the_delivery_that_mended_it(house: House) -> None:
    bodies = ["a,1,hot\nb,1,hot\n", "a,1,1\nb,1,hot\n", "a,1,hot\nb,1,2\n", "a,1,1\nb,1,hot\n"]
    for body in bodies:
        house.land(FIRST, body)
        house.run()
    sums = house.table("account").sort("_observation")["_checksum"].to_list()
    found = resolved(house).sort("rejected", "line")
    assert found.select("line", "by").rows() == [(2, sums[1]), (3, sums[2]), (2, sums[3])]
    assert found["mended"].to_list() == house.table("account").sort("_observation")["_received_at"].to_list()[1:]


def test_a_line_is_overdue_after_the_limit_and_not_on_it(faulty: House) -> None:
    source = replace(faulty.source, quarantine_limit=timedelta(days=10))
    first = date(2020, 1, 1)
    assert quarantine.overdue(faulty.lake, source, first + timedelta(days=10)).is_empty()
    late = quarantine.overdue(faulty.lake, source, first + timedelta(days=11))
    assert dict(late.select("reason", "lines").iter_rows()) == {
        "record:short": 1,
        "sensor|nullability": 1,
        "temperature_is_a_number": 2,
    }


def test_a_mended_contract_replays_quarantine_with_no_new_delivery(faulty: House) -> None:
    deliveries = faulty.table("account").height
    faulty.source = replace(THERMOMETER, contract=Warmer)
    assert not faulty.idle()
    faulty.run()
    assert faulty.table("account").height == deliveries
    assert (SECOND, 2) not in open_lines(faulty)
    assert faulty.table("processed").filter(_file=SECOND).sort("_line")["celsius"].to_list() == [500.0, 5.0]
