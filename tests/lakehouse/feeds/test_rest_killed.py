"""An extractor that is killed with -9 wherever it is, and started again: all that the API has, nothing twice by key."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from api import SOURCE, Api, record

from lakehouse.feeds import Part

PULL = """
import os, sys
from datetime import date
from pathlib import Path
sys.path[:0] = {paths!r}
from api import SOURCE, Landing, feed
from lakehouse.feeds import Extract, Part
folder = Path(sys.argv[2])
landing = Landing()
for file in sorted(folder.glob("*@*")):
    landing.extracts.append(Extract(Part.of(file.name), file.read_bytes(), date(2014, 1, 2)))
for extract in feed({way!r}, page_size=20, most_seconds=600).pull(sys.argv[1], SOURCE, landing.reached, 8000):
    unfinished = folder / f".{{os.getpid()}}"
    unfinished.write_bytes(extract.data)
    unfinished.replace(folder / str(extract.part))
"""


@pytest.mark.parametrize("way", ["cursor", "offset"])
def test_an_extractor_that_is_killed(lab: Api, tmp_path: Path, way: str) -> None:
    lab.laboratory.records = [record(number, "x" * 50) for number in range(4000)]
    here = Path(__file__).parent
    code = PULL.format(paths=[str(here), str(here.parent), str(here.parents[2])], way=way)
    kills = 0
    while True:
        before = len(lab.laboratory.asked)
        process = subprocess.Popen([sys.executable, "-c", code, lab.url, str(tmp_path)])
        # Killed some requests after it began to ask, a few times; then it may end.
        aim = before + random.randint(5, 60)
        while process.poll() is None and (kills >= 3 or len(lab.laboratory.asked) < aim):
            time.sleep(0.001)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        break
    assert kills == 3
    ids: list[str] = []
    for file in sorted(tmp_path.glob("*@*")):
        part = Part.of(file.name)
        assert part is not None
        table = SOURCE.dialect.table(file.read_bytes())  # type: ignore[union-attr]
        ids += table.rows["id"].to_list()
    assert len(ids) >= 4000
    assert sorted(set(ids)) == sorted(made["id"] for made in lab.laboratory.records)
    # What was landed is not asked for again: only offsets hold their anchors twice.
    pages = sum(file.read_bytes().count(b"\n") for file in tmp_path.glob("*@*"))
    assert len(ids) - 4000 <= (0 if way == "cursor" else pages)
