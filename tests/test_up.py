"""`lakehouse up`: a dropped file travels to a mart by itself, a page is served, and everything stops when asked."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import psutil
import pytest
from adbc_driver_postgresql import dbapi

from lakehouse import postgres
from lakehouse.settings import PROJECT, Settings

PORT = 34571
SUBJECT = """\
STUDYID,USUBJID,SUBJID,SITEID,RFSTDTC,RFXSTDTC,RFICDTC,AGE,AGEU,SEX,RACE,ETHNIC,ARMCD,ARM,ACTARMCD,ACTARM,COUNTRY,DMDTC
CDISCPILOT01,01-701-1015,1015,701,,,,63,YEARS,F,WHITE,NOT HISPANIC OR LATINO,Pbo,Placebo,Pbo,Placebo,USA,2013-12-26
"""
VITAL = """\
STUDYID,USUBJID,VSTESTCD,VSTEST,VSPOS,VSORRES,VSORRESU,VSSTAT,VSLOC,VISITNUM,VISIT,VSDTC,VSTPT,VSTPTNUM
CDISCPILOT01,01-701-1015,PULSE,Pulse Rate,,72,beats/min,,,1,SCREENING 1,2013-12-26,,
"""


def wait(until: Callable[[], bool], seconds: float = 240) -> None:
    """Until something holds; an error of the server on the way (not up, table not there yet) counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if until():
                return
        except (OSError, dbapi.Error):
            pass
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.5)


def asked(query: str, **variables: object) -> dict[str, dict[str, object]]:
    """What the web interface's own API answers."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    with closing(HTTPConnection("127.0.0.1", PORT)) as server:
        server.request("POST", "/graphql", body, {"content-type": "application/json"})
        return json.load(server.getresponse())["data"]


def backfilled(assets: list[str], days: list[str]) -> str:
    """How a backfill of some days of assets ends, as started in the web interface."""
    params = {"assetSelection": [{"path": asset.split("/")} for asset in assets], "partitionNames": days}
    started = asked(
        "mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) "
        "{ ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
        params=params,
    )["launchPartitionBackfill"]
    query = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"

    def status() -> str:
        return str(asked(query, id=started["backfillId"])["partitionBackfillOrError"]["status"])

    wait(lambda: status() != "REQUESTED", 120)
    return status()


def linked() -> str:
    """Where the web interface leads from the last report."""
    query = (
        'query { assetOrError(assetKey: {path: ["report", "daily"]}) { ... on Asset { assetMaterializations(limit: 1) '
        "{ metadataEntries { label ... on UrlMetadataEntry { url } } } } } }"
    )
    [made] = asked(query)["assetOrError"]["assetMaterializations"]
    [link] = [entry["url"] for entry in made["metadataEntries"] if entry["label"] == "report"]
    return str(link)


@pytest.fixture
def up(home):
    """A running lakehouse over an empty landing folder, and its settings."""
    settings = Settings(home=home / "state", landing=home / "landing", settle_seconds=1)
    (settings.landing / "701").mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", "-m", "lakehouse.cli", "up", "--port", str(PORT)]
    environment = {**settings.child_environment(), "PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
    with (home / "up.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
        yield settings, process
    left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    for child in left:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    # Shown by pytest beside a failure.
    print((home / "up.log").read_text())


def test_a_dropped_file_becomes_rows_of_a_mart_and_ctrl_c_stops_everything(up):
    settings, process = up
    (settings.landing / "701" / "subjects_2013-12-26.csv").write_text(SUBJECT)
    (settings.landing / "701" / "vitals_2013-12-26.csv").write_text(VITAL)

    def in_mart() -> bool:
        url = postgres.running(settings)
        if url is None:
            return False
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("select usubjid, vsstresn, _file, _line from marts.fct_vital_signs")
            return cursor.fetchall() == [("01-701-1015", 72.0, "701/vitals_2013-12-26.csv", 2)]

    wait(in_mart)
    # Of these days one holds a file; of the others there is nothing to report but that they were looked at.
    tables = ["raw/vitals", "processed/vitals", "quarantine/vitals"]
    assert backfilled(tables, ["2013-12-25", "2013-12-26", "2013-12-27"]) == "COMPLETED_SUCCESS"
    # The link beside a report leads to its page, from a browser that is shown the web interface.
    assert backfilled(["report/daily"], ["2013-12-26"]) == "COMPLETED_SUCCESS"
    link = urlsplit(linked())
    with closing(HTTPConnection(str(link.hostname), link.port)) as server:
        server.request("GET", link.path)
        assert "<h1>Study report, 26 December 2013</h1>" in server.getresponse().read().decode()
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert postgres.running(settings) is None
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
