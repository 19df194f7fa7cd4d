"""Deliveries larger than a batch: read in pieces, they become what they would have become at once."""

import csv
import io
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from house import HEADER, House

from lakehouse import ledger, manifest
from lakehouse.dialect import Dialect
from lakehouse.lake import Lake
from lakehouse.pieces import Pieces

TEXTS = [
    b"a,b\n1,2\n3,4\n5,6\n",
    b"a,b\n1,2\n3,4",
    b"a,b\r\n1,2\r\n\r\n3,4\r\n",
    b"a,b\r1,2\r3,4\r",
    b'a,b\n"1\n1",2\n"3""\r\n",4\n5,6\n',
    b'"a\n1",b\n1,2\n3,4\n',
    b"a,b\n",
    b"a,b",
    b"",
    b'a,b\n1,"never closed\n2,3\n4,5\n',
    b'a,b\n5" of rain,1\n"x\ny",2\n3"c,3\n',
    b"\xef\xbb\xbfa,b\n\xc3\xa4,2\n",
]


def read(text: bytes) -> list[object]:
    """Records by the csv module; None for one that is none."""
    lines = io.StringIO(text.decode(), newline="").readlines()
    reader, found = csv.reader(lines, strict=True), []
    while reader.line_num < len(lines):
        try:
            found.append(next(reader))
        except csv.Error:
            found.append(None)
    return found


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
@pytest.mark.parametrize("size", [1, 4, 9, 100])
def test_pieces_are_the_whole_and_end_where_records_do(text: bytes, chunk: int, size: int) -> None:
    pieces = Pieces(text[at : at + chunk] for at in range(0, len(text), chunk))
    found = []
    while not pieces.done:
        place = pieces.offset, pieces.lines
        found.append(pieces.take(size))
        again = Pieces([text])
        again.skip(*place)
        assert again.take(size) == found[-1], "a reader that goes on there sees the same"
    assert pieces.head + b"".join(found) == text
    # Records are the same, read piece by piece.
    whole = [line for part in (pieces.head, *found) for line in read(part)]
    assert whole == read(text)
    for piece in [part for part in (pieces.head, *found) if part][:-1]:
        assert piece.endswith((b"\n", b"\r"))


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("size", [1, 6, 100])
def test_a_quote_may_be_a_character_of_several_bytes(chunk: int, size: int) -> None:
    text = "a,b\n1,2\n«3\n3»«,«\n\n4«\n5,6\n"
    pieces = Pieces((text[at : at + chunk].encode() for at in range(0, len(text), chunk)), Dialect(quote="«"))
    found = []
    while not pieces.done:
        found.append(pieces.take(size).decode())
    records = ["1,2\n", "«3\n3»«,«\n\n4«\n", "5,6\n"]
    assert "".join(found) == "".join(records)
    ends = ["".join(records[: number + 1]) for number in range(3)]
    assert {"".join(found[: number + 1]) for number in range(len(found))} <= {*ends}


def test_what_is_held_is_not_copied_for_a_small_piece() -> None:
    # As much is held after a long record as it took to see where that ends.
    pieces = Pieces([b"a,b\n", b"x" * 2_000_000, b"\n", *[b"1,2\n" * 250] * 4000])
    assert len(pieces.take(1)) == 2_000_001
    tracemalloc.start()
    assert pieces.take(1) == b"1,2\n"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100_000


def lines(random_: random.Random, site: str, count: int) -> str:
    sensors = [f"{site}{n}" for n in range(40)] + ["shared"]
    good = (f'"{random_.choice(sensors)}",{random_.randint(0, 23)},{random_.randint(0, 30)}' for _ in range(count))
    broken = iter(
        ['x,1,"a\nb"', "short,1", 'stray"quote,1,1', "long,1,2,3", ",1,1", "x,1,hot", 'x,1,"open', ""] * count
    )
    return "".join(f"{next(broken) if random_.random() < 0.1 else line}\n" for line in good)


def histories(house: House, seed: int) -> None:
    """Days of two sites, a late file, corrections, and files refused whole; each step ingested."""
    random_ = random.Random(seed)
    for day in (1, 3, 2):
        for site in "AB":
            house.land(f"{site}/thermometer_2020-01-0{day}.csv", lines(random_, site, 30))
        house.run()
    house.land("A/thermometer_2020-01-01.csv", lines(random_, "A", 30))
    house.land("A/thermometer_2020-01-02.csv", "x,1,hot\n" * 40)
    house.land("B/thermometer_2020-01-01.csv", (HEADER + lines(random_, "B", 30)).encode() + b"\xff,1,1\n")
    house.land("B/thermometer_2020-01-04.csv", b"SENSOR,HOUR\n" + b"B1,1\n" * 100)
    house.land("B/thermometer_2020-02-31.csv", lines(random_, "B", 30))
    house.run()
    (house.landing / "A/thermometer_2020-01-03.csv").unlink()
    house.run()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_dialect_is_read_in_pieces_as_at_once(house: House, tmp_path: Path, encoding: str) -> None:
    dialect = Dialect(delimiter=";", quote="'", encoding=encoding, decimal=",", header=("SENSOR", "HOUR", "CELSIUS"))
    house.source = replace(house.source, dialect=dialect, numbers=("CELSIUS",))
    text = "".join(f"'Tür;\n{n}';{n % 24};1,5\r\n" for n in range(40)) + "\n\nx;1\n"
    for batch_bytes in (100, 10**6):
        other = replace(house, lake=Lake(str(tmp_path / str(batch_bytes))), batch_bytes=batch_bytes)
        other.land("A/thermometer_2020-01-01.csv", text.encode(encoding))
        other.land("A/thermometer_2020-01-02.csv", text.encode(encoding) + b"\x81\xff\xd8")
        other.run()
        tables = other.tables()
        assert other.unbalanced().is_empty()
        assert len(tables["processed"]) == 40
        if batch_bytes == 100:
            in_pieces = tables
    assert in_pieces == tables


@pytest.mark.parametrize("mode", ["rows", "snapshot"])
def test_a_delivery_in_pieces_becomes_what_it_is_at_once(house: House, tmp_path: Path, mode: str) -> None:
    house.source = replace(house.source, mode=mode)  # type: ignore[arg-type]
    whole = replace(house, lake=Lake(str(tmp_path / "whole")))
    (tmp_path / "landing-2").mkdir()
    whole.landing = tmp_path / "landing-2"
    house.batch_bytes = 150
    histories(house, 1)
    histories(whole, 1)
    assert house.tables() == whole.tables()
    assert house.unbalanced().is_empty()
    assert house.idle()


def test_readers_see_a_large_delivery_all_at_once(house: House) -> None:
    house.batch_bytes = 40
    house.land("A/thermometer_2020-01-01.csv", "a,1,1\nb,1,1\n")
    house.run()
    seen = []
    # A key that is known already: it takes a batch for each piece.
    house.land("A/thermometer_2020-01-02.csv", "a,1,2\n" + "".join(f"s{n},1,1\n" for n in range(30)))
    record = manifest.record

    def recorded(lake: Lake, state: manifest.State) -> None:
        record(lake, state)
        seen.append(house.table("processed").height)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "record", recorded)
        house.run()
    assert len(seen) > 3
    assert seen == [2] * (len(seen) - 1) + [32]


def test_a_file_that_changes_while_it_is_kept_waits_for_the_next_run(house: House, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"now something else")
    assert not house.lake.keep_file(file, "0" * 64)
    assert not list(Path(house.lake.root).rglob("*.zst"))


def test_a_large_delivery_can_be_withdrawn(house: House) -> None:
    house.batch_bytes = 40
    house.land("A/thermometer_2020-01-01.csv", "".join(f"s{n},1,1\n" for n in range(20)))
    house.run()
    ledger.withdraw(house.lake, house.source, "A/thermometer_2020-01-01.csv", "someone", "a mistake")
    house.run()
    assert house.table("processed").is_empty()
    assert house.unbalanced().is_empty()
    assert house.idle()
