"""Putting files into the landing folder: whole or not at all, lasting, and nothing of the dead stays."""

import fcntl
import os
import stat
import subprocess
from pathlib import Path

import pytest

from lakehouse.errors import UnavailableError
from lakehouse.putting import put, sweep

PATH = "A/thermometer_2020-01-01.csv"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_there_when_it_is_whole_with_its_time_and_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, synced = os.fsync, []

    def fsync(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / PATH).exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with put(tmp_path, PATH, 10**9 + 7) as write:
        write(b"one ")
        write(b"two")
        assert not (tmp_path / PATH).exists()
    assert ((tmp_path / PATH).read_bytes(), (tmp_path / PATH).stat().st_mtime_ns) == (b"one two", 10**9 + 7)
    # The bytes before the name, and the name.
    assert synced == [(False, False), (True, True)]


def test_what_is_not_whole_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> None:
        with put(tmp_path, PATH) as write:
            write(b"one")
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert names(tmp_path) == []


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    with put(tmp_path, "x" * 255) as write:
        write(b"one")
    assert names(tmp_path) == ["x" * 255]


def test_a_folder_in_which_nothing_can_be_put_is_told(tmp_path: Path) -> None:
    (tmp_path / "A").write_bytes(b"a file in the way")
    told = r"cannot be written .*: make room or make it writable"
    with pytest.raises(UnavailableError, match=told), put(tmp_path, PATH):
        pass
    assert names(tmp_path) == ["A"]


def test_what_the_dead_left_is_removed_and_what_somebody_is_at_is_not(tmp_path: Path) -> None:
    died = subprocess.Popen(["true"])
    died.wait()
    kept = [f".1.{os.getpid()}.part", f".2.{died.pid}.part", ".a patient's.part"]
    for name in (*kept, f".3.{died.pid}.part"):
        (tmp_path / name).write_text("a patient")
    # As a process of another container or machine holds it, whose number is nobody's here.
    with (tmp_path / kept[1]).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        sweep(tmp_path, ["thermometer_2020-01-01.csv", "nowhere/thermometer_2020-01-01.csv"])
    assert names(tmp_path) == sorted(kept)
    # A number is given anew: long after, it says nothing.
    os.utime(tmp_path / kept[0], (0, 0))
    sweep(tmp_path, ["thermometer_2020-01-01.csv"])
    assert names(tmp_path) == [".a patient's.part"]
