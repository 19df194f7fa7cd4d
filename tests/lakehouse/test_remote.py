"""Landing folders on object storage and behind SFTP: every version of every file once, whole, under its own path."""

import io
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
import s3
import sftp
from house import HEADER, House
from obstore.store import S3Store
from thermometer import THERMOMETER

from lakehouse import clearing, ledger, unpacking
from lakehouse.errors import ConfigurationError
from lakehouse.feeds import FeedError
from lakehouse.feeds.remote import Fetched, fetch, on_record

ONE, TWO = "A/thermometer_2020-01-01.csv", "A/thermometer_2020-01-02.csv"
BODY = HEADER + "s1,0,20.5\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sftp.Server]:
    (tmp_path / "far").mkdir()
    with sftp.serving(tmp_path / "far") as server:
        yield server


def put(server: sftp.Server, path: str, text: str | bytes, mtime: int = 1_600_000_000) -> None:
    file = server.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(file, (mtime, mtime))


def look(house: House, url: str, **options: object) -> Fetched:
    return fetch(url, house.landing, [house.source], on_record(house.lake, [house.source]), **options)


def test_new_and_changed_files_land_once_and_gone_ones_mean_nothing(house: House, server: sftp.Server) -> None:
    put(server, ONE, BODY)
    put(server, "other.txt", "x")
    put(server, "A/.hidden_2020-01-01.csv", "x")
    put(server, f"{TWO}.part", "x")
    # A folder that is still written, by its name.
    put(server, "A.tmp/thermometer_2020-01-01.csv", "x")
    put(server, "B~/thermometer_2020-01-01.csv", "x")
    assert look(house, server.url()) == Fetched((ONE,), len(BODY), {}, 1)
    assert (house.landing / ONE).read_text() == BODY
    assert [path.name for path in (house.landing / "A").iterdir()] == ["thermometer_2020-01-01.csv"]
    house.run()
    assert house.table("processed").height == 1
    assert look(house, server.url()).files == ()
    put(server, ONE, HEADER + "s1,0,21.5\n", 1_600_000_001)
    put(server, TWO, BODY.replace("s1", "s2"))
    assert look(house, server.url()).files == (ONE, TWO)
    house.run()
    assert sorted(house.table("processed")["celsius"]) == [20.5, 21.5]
    (server.folder / ONE).unlink()
    assert look(house, server.url()).files == ()
    assert house.table("processed").height == 2
    assert house.idle()


def test_a_file_that_was_cleared_is_not_fetched_again_until_it_changes(house: House, server: sftp.Server) -> None:
    house.source = replace(THERMOMETER, after_landing="delete", clear_after=timedelta(0))
    put(server, ONE, BODY)
    look(house, server.url())
    house.run()
    assert clearing.clear(house.lake, house.source, house.landing) == 1
    assert not (house.landing / ONE).exists()
    assert look(house, server.url()).files == ()
    put(server, ONE, BODY, 1_600_000_009)
    assert look(house, server.url()).files == (ONE,)


def test_a_look_reads_what_is_new_on_record_and_another_ledger_anew(house: House, server: sftp.Server) -> None:
    kept: list[set[Path]] = []
    for number, path in enumerate((ONE, TWO, "A/thermometer_2020-01-03.csv")):
        put(server, path, BODY, 1_600_000_000 + number)
        assert look(house, server.url()).files == (path,)
        house.run()
        kept.append(set((Path(house.lake.root) / ledger.table(house.source)).rglob("*.parquet")))
    for file in kept[0]:
        file.unlink()
    assert len(on_record(house.lake, [house.source])) == 3
    shutil.rmtree(house.lake.root)
    assert on_record(house.lake, [house.source]) == {}


def test_an_archive_is_fetched_and_unpacked_once_for_each_version(house: House, server: sftp.Server) -> None:
    def archive(*sensors: str) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as made:
            for number, sensor in enumerate(sensors, 1):
                made.writestr(f"thermometer_2020-01-0{number}.csv", f"{HEADER}{sensor},0,20.5\n")
        return buffer.getvalue()

    path = "A/week.1.ZIP"
    for number, sensors in enumerate((("s1",), ("s1", "s2"))):
        put(server, path, archive(*sensors), 1_600_000_000 + number)
        assert look(house, server.url()).files == (path,)
        # It waits to be unpacked, and is not fetched again meanwhile, nor after that.
        assert look(house, server.url()).files == ()
        assert unpacking.look(house.landing, [house.source], 0)[1].landed == {path: len(sensors)}
        house.run()
        assert sorted(house.table("processed")["sensor"]) == list(sensors)
        assert look(house, server.url()) == Fetched()
    assert house.idle()


def test_a_connection_that_is_cut_leaves_no_part_of_a_file(house: House, server: sftp.Server) -> None:
    put(server, ONE, BODY)
    put(server, TWO, os.urandom(3_000_000))
    server.cut_after = 1_000_000
    with pytest.raises(FeedError, match="broke off"):
        look(house, server.url())
    assert [path.name for path in (house.landing / "A").iterdir()] == ["thermometer_2020-01-01.csv"]
    server.cut_after = None
    assert look(house, server.url()).files == (TWO,)
    assert (house.landing / TWO).read_bytes() == (server.folder / TWO).read_bytes()


def test_a_file_that_is_still_written_or_may_not_be_read_is_left_and_others_land(
    house: House, server: sftp.Server
) -> None:
    put(server, TWO, BODY)
    put(server, ONE, BODY, int(time.time()))
    house.source = replace(THERMOMETER, path="{site}/{name}_{day}.csv")
    put(server, "B/thermometer_forbidden_2020-01-01.csv", BODY)
    house.source = replace(THERMOMETER, path="{site}/thermometer_{day}.csv")
    found = look(house, server.url(), settle_seconds=60)
    assert found.files == (TWO,)
    assert "just now" in found.left[ONE]
    assert "may not be read" in found.left["B/thermometer_forbidden_2020-01-01.csv"]


def test_a_server_with_another_key_gets_no_password(house: House, server: sftp.Server) -> None:
    wrong = "SHA256:" + "A" * 43
    for url in (server.url(host_key=wrong), server.url(host_key="")):
        with pytest.raises(FeedError, match="another key") as failed:
            look(house, url)
        assert "s3cret" not in str(failed.value)
    assert not any(transport.is_authenticated() for transport in server.transports)


def test_what_cannot_be_reached_is_told_and_removes_nothing(house: House, server: sftp.Server) -> None:
    put(server, ONE, BODY)
    look(house, server.url())
    house.run()
    for url, words in (
        (server.url(password=sftp.PASSWORD[1:]), "refuses this user"),
        (server.url("/nowhere"), "no such folder"),
        ("sftp://me:hunter2@127.0.0.1:1/", "does not answer"),
    ):
        with pytest.raises(FeedError, match=words) as failed:
            look(house, url)
        assert "hunter2" not in str(failed.value)
    for url in ("ftp://me:hunter2@x/", "s3:", "sftp://me:hunter2@x:port/", server.url(host_key="MD5:x")):
        with pytest.raises(ConfigurationError) as refused:
            look(house, url)
        assert "hunter2" not in str(refused.value)
    assert house.table("processed").height == 1
    assert (house.landing / ONE).exists()


def test_a_bucket_is_a_folder_and_versions_of_one_second_and_size_are_told_apart(
    house: House, bucket: s3.Bucket
) -> None:
    config = {name: value for name, value in bucket.options.items() if name != "aws_allow_http"}
    store = S3Store(bucket.name, prefix="drop", config=config, client_options={"allow_http": True})
    for number in range(3):
        obstore.put(store, ONE, (HEADER + f"s1,0,2{number}.5\n").encode())
        found = look(house, bucket.root("drop"), options=bucket.options)
        assert found.files == (ONE,)
        house.run()
        assert house.table("processed")["celsius"].to_list() == [20.5 + number]
        assert look(house, bucket.root("drop"), options=bucket.options).files == ()
    with pytest.raises(FeedError, match="object store"):
        look(house, "s3://nobucket/drop", options=bucket.options)
    with pytest.raises(FeedError, match="refuses"):
        look(house, bucket.root("drop"), options={**bucket.options, "aws_secret_access_key": "wrong"})
