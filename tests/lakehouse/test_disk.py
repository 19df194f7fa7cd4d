"""A disk that is full, or that may not be written: a clear sentence, nothing lost, and on it goes once it is mended."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from house import House

from lakehouse.errors import UnavailableError
from lakehouse.lake import Lake


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("only root can mount a small disk to fill")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small(house: House, disk: Path) -> House:
    """A lake on that disk, with one file ingested and another landed."""
    house = replace(house, lake=Lake(str(disk / "lake")))
    house.land("A/thermometer_2020-01-01.csv", "a1,1,1\nx,1,hot\n")
    house.run()
    house.land("A/thermometer_2020-01-02.csv", "a2,1,1\nx,1,cold\n")
    return house


def fill(disk: Path, leave: int) -> None:
    """Use the disk up but for so many bytes."""
    (disk / "fill").unlink(missing_ok=True)
    space = os.statvfs(disk)
    (disk / "fill").write_bytes(b"0" * (space.f_bavail * space.f_bsize - leave))


def test_a_full_disk(small: House, disk: Path) -> None:
    before = small.tables()
    failures = []
    for leave in range(0, 400_000, 8192):
        fill(disk, leave)
        try:
            small.run()
            break
        except UnavailableError as error:
            failures.append(str(error))
        assert small.tables() == before
        assert small.unbalanced().is_empty()
    assert 2 <= len(failures) < 40
    advice = "the disk is full: free some space and run again; what was committed before is kept"
    assert [told for told in failures if advice not in told] == []
    assert small.table("processed")["sensor"].sort().to_list() == ["a1", "a2"]
    assert small.unbalanced().is_empty()


def test_a_full_disk_that_grows(small: House, disk: Path) -> None:
    fill(disk, 0)
    with pytest.raises(UnavailableError, match="disk is full"):
        small.run()
    mount("-o", "remount,size=4m", str(disk))
    small.run()
    assert small.table("processed")["sensor"].sort().to_list() == ["a1", "a2"]
    assert small.unbalanced().is_empty()
    assert small.idle()


def test_a_full_disk_and_a_large_delivery(small: House, disk: Path) -> None:
    small.batch_bytes = 100_000
    # It does not pack well.
    small.land("A/thermometer_2020-01-02.csv", "".join(f"{os.urandom(16).hex()},1,1\n" for _ in range(20_000)))
    before = small.tables()
    for leave in (0, 4096, 65_536, 262_144):
        fill(disk, leave)
        with pytest.raises(UnavailableError, match="the disk is full: free some space and run again"):
            small.run()
        assert small.tables() == before
    (disk / "fill").unlink()
    mount("-o", "remount,size=16m", str(disk))
    small.run()
    assert small.table("processed").height == 20_001
    assert small.unbalanced().is_empty()
    assert small.idle()


def test_a_disk_that_may_only_be_read(small: House, disk: Path) -> None:
    before = small.tables()
    mount("-o", "remount,ro", str(disk))
    with pytest.raises(UnavailableError, match="read-only file system: mount it for writing and run again"):
        small.run()
    assert small.tables() == before
    mount("-o", "remount,rw", str(disk))
    small.run()
    assert small.table("processed")["sensor"].sort().to_list() == ["a1", "a2"]
    assert small.idle()


@contextmanager
def nobody() -> Iterator[None]:
    """As a user that folder rights apply to: they do not stop root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def give(folder: Path) -> None:
    """Let the user of `nobody` write a folder and all in it."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, 65534, 65534)


@pytest.fixture
def open_house(house: House) -> Iterator[House]:
    """The same in a folder that every user may read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "landing").mkdir()
        (folder / "lake").mkdir()
        yield replace(house, landing=folder / "landing", lake=Lake(str(folder / "lake")))


def test_a_lake_that_may_not_be_written(open_house: House) -> None:
    house = open_house
    house.land("A/thermometer_2020-01-01.csv", "a1,1,1\n")
    give(Path(house.lake.root))
    Path(house.lake.root).chmod(0o555)
    with nobody(), pytest.raises(UnavailableError, match="give this user the right to write it and run again"):
        house.run()
    Path(house.lake.root).chmod(0o755)
    with nobody():
        house.run()
    assert house.table("processed")["sensor"].to_list() == ["a1"]
    for folder in Path(house.lake.root).rglob("*"):
        if folder.is_dir() and folder.name != "objects" and folder.parent.name != "objects":
            folder.chmod(0o555)
    house.land("A/thermometer_2020-01-02.csv", "a2,1,1\n")
    with nobody(), pytest.raises(UnavailableError, match="give this user the right to write it and run again"):
        house.run()
    assert house.table("processed")["sensor"].to_list() == ["a1"]


def test_a_lake_whose_folder_is_a_file(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a1,1,1\n")
    root = Path(house.lake.root)
    root.write_text("")
    with pytest.raises(UnavailableError):
        house.run()
    root.unlink()
    house.run()
    assert house.table("processed")["sensor"].to_list() == ["a1"]
