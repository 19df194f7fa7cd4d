"""Archives of many files: every member lands as a file of its own, or the archive is refused whole and stays."""

import io
import os
import stat
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from house import HEADER, House
from thermometer import THERMOMETER

from lakehouse import unpacking
from lakehouse.dialect import Dialect
from lakehouse.landing import listing
from lakehouse.source import Source
from lakehouse.unpacking import UNPACKED, Unpacked, look, refusals

OTHER = replace(THERMOMETER, name="cellar")
ONE, TWO = "thermometer_2020-01-01.csv", "thermometer_2020-01-02.csv"


def row(sensor: str, celsius: float = 20.5) -> str:
    return f"{HEADER}{sensor},0,{celsius}\n"


def packed(members: Iterable[tuple[str | zipfile.ZipInfo, str | bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in members:
            archive.writestr(name, body, method)
    return buffer.getvalue()


def unpack(house: House, sources: Iterable[Source] = (THERMOMETER, OTHER)) -> Unpacked:
    return look(house.landing, list(sources), 0)[1]


def everything(landing: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of every file, hidden ones included."""
    files = (path for path in landing.rglob("*") if path.is_file())
    return {str(path.relative_to(landing)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def landed(landing: Path) -> dict[str, bytes]:
    return {name: data for name, (data, _) in everything(landing).items() if not name.startswith(".")}


def test_many_files_go_to_their_sources_and_the_archive_is_kept_as_it_was(house: House) -> None:
    members = [(f"{name}_2020-01-{day:02}.csv", row(f"s{day}")) for name in ("thermometer", "cellar") for day in (1, 2)]
    data = packed([*members, ("more/notes.txt", "x")])
    house.land("A/all.zip", data)
    found, unpacked = look(house.landing, [THERMOMETER, OTHER], 0)
    assert unpacked == Unpacked({"A/all.zip": 5}, {})
    assert {name: [file.path for file in files] for name, files in found.claimed.items()} == {
        "thermometer": [f"A/{ONE}", f"A/{TWO}"],
        "cellar": ["A/cellar_2020-01-01.csv", "A/cellar_2020-01-02.csv"],
    }
    assert found.unclaimed == ["A/more/notes.txt"]
    [kept] = (house.landing / UNPACKED).rglob("*.zip")
    assert (kept.parent.name, kept.name.split(".")[0], kept.read_bytes()) == ("A", "all", data)
    house.run()
    assert sorted(house.table("processed")["sensor"]) == ["s1", "s2"]
    assert house.unbalanced().is_empty()


def test_an_archive_at_the_top_holds_the_sites_folders(house: House) -> None:
    house.land("all.ZIP", packed([("A/", ""), (f"A/{ONE}", row("s1")), (f"B/{ONE}", row("s2"))]))
    assert unpack(house) == Unpacked({"all.ZIP": 2}, {})
    assert set(landed(house.landing)) == {f"A/{ONE}", f"B/{ONE}"}


def test_unpacking_again_changes_nothing(house: House) -> None:
    data = packed([(ONE, row("s1")), (TWO, row("s2"))])
    archive = house.land("A/all.zip", data)
    mtime = archive.stat().st_mtime_ns
    unpack(house)
    house.run()
    before, inode = everything(house.landing), (house.landing / "A" / ONE).stat().st_ino
    assert unpack(house) == Unpacked()
    archive.write_bytes(data)
    os.utime(archive, ns=(mtime, mtime))
    assert unpack(house).landed == {"A/all.zip": 2}
    assert everything(house.landing) == before
    # Nor is what is there written again.
    assert (house.landing / "A" / ONE).stat().st_ino == inode
    assert house.idle()


def test_a_member_with_other_bytes_is_a_correction_also_within_one_second(house: House) -> None:
    for number, sensor in enumerate(("s1", "s2", "s3")):
        archive = house.land("A/all.zip", packed([(ONE, row(sensor))]))
        os.utime(archive, (1_600_000_000, 1_600_000_000))
        assert unpack(house).landed == {"A/all.zip": 1}
        house.run()
        assert house.table("processed")["sensor"].to_list() == [sensor]
        assert house.table("raw").height == number + 1
    assert len(list((house.landing / UNPACKED).rglob("*.zip"))) == 3


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def twice() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return packed([(ONE, row("s1")), (ONE, row("s2"))])


def locked() -> bytes:
    data = bytearray(packed([(ONE, row("s1")), (TWO, row("s2"))]))
    data[data.rfind(b"PK\1\2") + 8] |= 1
    return bytes(data)


def damaged() -> bytes:
    data = bytearray(packed([(ONE, row("s1")), (TWO, row("s2"))], zipfile.ZIP_STORED))
    data[data.rfind(b"s2,0") + 1] ^= 1
    return bytes(data)


SOUND = packed([(ONE, row("s1")), (TWO, row("s2"))])
REFUSED = {
    "outside": (packed([(ONE, row("s1")), (f"../B/{TWO}", row("s2"))]), "leads out of the folder"),
    "absolute": (packed([(ONE, row("s1")), ("/etc/x", "x")]), "leads out of the folder"),
    "doubled slash": (packed([(ONE, row("s1")), ("x//y", "x")]), "no plain path"),
    "control": (packed([(ONE, row("s1")), ("x\ny", "x")]), "characters that no path here has"),
    "backslash": (packed([(ONE, row("s1")), ("x\\y", "x")]), "put / between folders"),
    "long": (packed([(ONE, row("s1")), ("x" * 256, "x")]), "too long"),
    "link": (packed([(ONE, row("s1")), (link("x.csv"), "/etc/passwd")]), "is a link"),
    "hidden": (packed([(ONE, row("s1")), (".unpacked/x.csv", "x")]), "hidden or temporary"),
    "temporary": (packed([(ONE, row("s1")), ("x.csv.part", "x")]), "hidden or temporary"),
    "nested": (packed([(ONE, row("s1")), ("all.zip", SOUND)]), "holds the archive"),
    "file and folder": (packed([("x", "x"), ("x/y", "x")]), "is a file and a folder"),
    "empty": (packed([("A/", "")]), "holds no file"),
    "bomb": (packed([(ONE, bytes(1 << 25)), (TWO, bytes(1 << 25)), ("x", b"\0")]), "too much for its size"),
    "method": (packed([(ONE, row("s1"))], zipfile.ZIP_BZIP2), "unusual method"),
    "cut": (SOUND[:-10], "damaged or not complete"),
    "longer": (SOUND + b"x", "damaged or not complete"),
    "something before": (b"x" + SOUND, "damaged or not complete"),
    "no archive": (b"x", "damaged or not complete"),
    "nothing": (b"", "damaged or not complete"),
}
MADE = {"twice": (twice, "twice"), "locked": (locked, "password"), "damaged": (damaged, "damaged or not complete")}


@pytest.mark.parametrize("name", [*REFUSED, *MADE])
def test_an_archive_that_is_not_sound_is_refused_whole_and_stays(house: House, name: str) -> None:
    data, words = (MADE[name][0](), MADE[name][1]) if name in MADE else REFUSED[name]
    house.land("A/all.zip", data)
    house.land(f"B/{ONE}", "s9,0,20.5\n")
    before = everything(house.landing)
    found, unpacked = look(house.landing, [THERMOMETER, OTHER], 0)
    assert (unpacked.landed, list(unpacked.refused)) == ({}, ["A/all.zip"])
    assert words in unpacked.refused["A/all.zip"]
    assert words in str(unpacked.wrong)
    assert everything(house.landing) == before
    # What else has landed goes on.
    assert [file.path for file in found.claimed["thermometer"]] == [f"B/{ONE}"]
    assert refusals(house.landing, [THERMOMETER, OTHER], found.unclaimed) == unpacked.refused


def test_a_name_in_an_unknown_encoding_is_refused(house: House) -> None:
    name = zipfile.ZipInfo("gr_sse.csv")
    data = packed([(name, "x")]).replace(b"gr_sse", b"gr\x81sse")
    house.land("A/all.zip", data)
    assert "no known encoding" in unpack(house).refused["A/all.zip"]
    house.land("A/all.zip", packed([("grüsse.csv", "x")]))
    assert unpack(house).landed == {"A/all.zip": 1}
    assert set(landed(house.landing)) == {"A/grüsse.csv"}


def test_what_macos_adds_is_not_landed(house: House) -> None:
    house.land("A/all.zip", packed([(ONE, row("s1")), (f"__MACOSX/._{ONE}", "x"), (".DS_Store", "x")]))
    assert unpack(house).landed == {"A/all.zip": 1}
    assert set(landed(house.landing)) == {f"A/{ONE}"}


def test_no_member_is_written_through_a_link_or_over_a_folder(house: House, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (house.landing / "A").mkdir()
    (house.landing / "A" / "B").symlink_to(tmp_path / "elsewhere")
    (house.landing / "A" / "C").mkdir()
    house.land("A/link.zip", packed([("x.csv", "x"), ("B/y.csv", "x")]))
    house.land("A/over.zip", packed([("x.csv", "x"), ("C", "x")]))
    refused = unpack(house).refused
    assert {path: "is in the way of" in why for path, why in refused.items()} == {
        "A/link.zip": True,
        "A/over.zip": True,
    }
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (house.landing / "A" / "x.csv").exists()


def test_a_link_to_an_archive_is_refused(house: House, tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(SOUND)
    (house.landing / "all.zip").symlink_to(tmp_path / "all.zip")
    assert "link" in unpack(house).refused["all.zip"]


def test_an_archive_that_a_source_takes_is_left_to_it(house: House) -> None:
    house.source = replace(THERMOMETER, dialect=Dialect(compression="zip"))
    data = packed([("readings.csv", row("s1"))])
    house.land(f"A/{ONE}.zip", data)
    assert unpack(house, [house.source]) == Unpacked()
    house.run()
    assert house.table("processed")["sensor"].to_list() == ["s1"]
    # Also inside another, as a plain file.
    house.land("A/all.zip", packed([(f"{TWO}.zip", packed([("readings.csv", row("s2"))]))]))
    assert unpack(house, [house.source]).landed == {"A/all.zip": 1}
    house.run()
    assert sorted(house.table("processed")["sensor"]) == ["s1", "s2"]


def test_an_archive_still_being_written_is_left(house: House) -> None:
    house.land("A/all.zip", SOUND[:40])
    assert look(house.landing, [THERMOMETER], 60)[1] == Unpacked()
    house.land("A/all.zip", SOUND)
    assert look(house.landing, [THERMOMETER], 0.2, wait=True)[1].landed == {"A/all.zip": 2}


class KilledError(BaseException):
    """Stands for a process that ends here."""


@pytest.mark.parametrize("step", range(1, 9))
def test_what_a_crash_cuts_short_the_next_look_completes(
    house: House, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before each of the renames: of three members, and of the archive."""
    names = [ONE, TWO, "thermometer_2020-01-03.csv"]
    house.land("A/all.zip", packed([(name, row(f"s{number}")) for number, name in enumerate(names)]))
    real, calls = Path.rename, iter(range(1, 100))

    def rename(self: Path, target: Path) -> Path:
        number = next(calls)
        if number == (step + 1) // 2 and step % 2:
            raise KilledError
        done = real(self, target)
        if number == step // 2 and not step % 2:
            raise KilledError
        return done

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        with pytest.raises(KilledError):
            unpack(house)
    # What had landed may be in the tables by the time somebody tries again.
    house.run()
    unpack(house)
    house.run()
    assert sorted(house.table("processed")["sensor"]) == ["s0", "s1", "s2"]
    assert house.table("raw").height == 3
    assert set(landed(house.landing)) == {f"A/{name}" for name in names}
    assert [path.suffix for path in (house.landing / UNPACKED).rglob("*") if path.is_file()] == [".zip"]
    assert house.idle()


def test_a_refused_archive_is_read_once_and_again_when_it_is_another(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.land("A/all.zip", damaged())
    unpack(house)
    with monkeypatch.context() as patched:
        patched.setattr(unpacking, "checked", lambda *_: pytest.fail("read again"))
        assert "damaged" in unpack(house).refused["A/all.zip"]
    house.land("A/all.zip", SOUND)
    assert unpack(house).landed == {"A/all.zip": 2}


def test_two_at_a_time_do_not_unpack_one_archive_twice(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.land("A/all.zip", SOUND)
    real, seen = unpacking._land, []

    def land(*words: object) -> None:
        seen.append(unpack(house))
        real(*words)

    monkeypatch.setattr(unpacking, "_land", land)
    assert unpack(house).landed == {"A/all.zip": 2}
    assert seen == [Unpacked(), Unpacked()]


def test_a_folder_that_cannot_be_written_is_told_and_keeps_nothing_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.land("A/all.zip", SOUND)
    house.land(f"B/{ONE}", "s9,0,20.5\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        found, unpacked = look(house.landing, [THERMOMETER], 0)
    assert "No space left" in unpacked.refused["A/all.zip"]
    assert [file.path for file in found.claimed["thermometer"]] == [f"B/{ONE}"]
    assert unpack(house).landed == {"A/all.zip": 2}
    assert listing(house.landing, [THERMOMETER]).unclaimed == []
