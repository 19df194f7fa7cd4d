"""`lakehouse run` and `lakehouse status` with a folder elsewhere, behind a real SFTP server, and with archives."""

import json
import os
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "lakehouse"))

import sftp

FILES = [f"701/vitals_2012-07-{day}.csv" for day in ("08", "20", "22")]


def test_files_from_elsewhere_and_of_archives_are_in_processed_after_a_run(call, home):
    far, landing = home / "far", home / "landing"
    (far / "701").mkdir(parents=True)
    landing.mkdir()
    call("land-pilot", str(home / "pilot"), "--until", "2012-07-31")
    (home / "pilot" / FILES[0]).rename(far / FILES[0])
    os.utime(far / FILES[0], (1_600_000_000, 1_600_000_000))
    with zipfile.ZipFile(landing / "week.zip", "w") as archive:
        for name in FILES[1:]:
            archive.write(home / "pilot" / name, name)
    (landing / "broken.zip").write_text("x")
    own = {"home": home / "state", "landing": landing, "as_of": "2012-08-01"}
    with sftp.serving(far) as server:
        done = call("run", remote=server.url(), **own)
        assert done.returncode == 0, done.stderr
        assert "1 files were fetched from the folder elsewhere" in done.stdout
        assert "week.zip: 2 files unpacked" in done.stdout
        assert "broken.zip is not unpacked: the zip file is damaged" in done.stderr
        vitals = "select distinct _file from processed.vitals order by 1"
        found = [row["_file"] for row in json.loads(call("sql", vitals, "--format", "json", **own).stdout)]
        assert found == FILES
        told = call("status", remote=server.url(), **own).stdout
        assert "LAKEHOUSE_REMOTE is set" in told
        assert "broken.zip is not unpacked: the zip file is damaged" in told
        assert "belong to no source" not in told
        # Who asks again is told that there is nothing to do, and what still is wrong.
        (landing / "broken.zip").unlink()
        assert "Everything is up to date" in call("run", remote=server.url(), **own).stdout
    done = call("run", remote=server.url(), **own)
    assert done.returncode == 0
    assert "does not answer" in done.stderr
    assert sftp.PASSWORD not in done.stderr + done.stdout
    assert "LAKEHOUSE_REMOTE" not in call("status", **own).stdout
