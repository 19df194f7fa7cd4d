"""A team adds a source of its own: one file, and everything else follows from it."""

import json
import shutil
from pathlib import Path

from adbc_driver_postgresql import dbapi

from lakehouse.settings import PROJECT

SOURCE = Path(__file__).parent.parent / "lakehouse" / "thermometer.py"


def test_one_file_brings_assets_checks_sensor_and_a_postgresql_table(call, home):
    project = home / "project"
    for part in ("lakehouse", "assets", "resources", "dbt_project"):
        shutil.copytree(PROJECT / part, project / part, ignore=shutil.ignore_patterns("target", "logs", "__pycache__"))
    shutil.copy(SOURCE, project / "assets" / "thermometer.py")
    landing = home / "landing"
    (landing / "roof").mkdir(parents=True)
    (landing / "roof" / "thermometer_2020-01-01.csv").write_text("SENSOR,HOUR,CELSIUS\ns1,1,1.5\ns1,2,warm\n")
    given = {"project": project, "home": home / "state", "landing": landing, "as_of": "2020-01-02", "settle_seconds": 0}

    done = call("run", **given)
    assert done.returncode == 0, done.stderr

    rows = json.loads(
        call("sql", "select sensor, hour, celsius from processed.thermometer", "--format", "json", **given).stdout
    )
    assert rows == [{"sensor": "s1", "hour": 1, "celsius": 1.5}]
    [rejected] = json.loads(call("quarantine", "--source", "thermometer", "--format", "json", **given).stdout)
    assert rejected["reasons"] == "temperature_is_a_number"
    assert rejected["_text"] == "s1,2,warm"

    url = call("warehouse-url", **given).stdout.strip()
    try:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("select sensor, celsius, _line from lake.thermometer")
            assert cursor.fetchall() == [("s1", 1.5, 2)]
            cursor.execute(
                "select col_description('lake.thermometer'::regclass, attnum) from pg_attribute "
                "where attrelid = 'lake.thermometer'::regclass and attname = 'celsius'"
            )
            assert cursor.fetchall() == [("Temperature in degrees Celsius.",)]
            cursor.execute("select count(*) from dagster.asset_keys where asset_key like '%\"thermometer\"]'")
            [(assets,)] = cursor.fetchall()
            assert assets == 4  # raw, processed, quarantine, lake
    finally:
        assert call("down", **given).returncode == 0

    file = project / "assets" / "thermometer.py"
    assert 'key=("sensor", "hour")' in file.read_text()
    file.write_text(file.read_text().replace('key=("sensor", "hour")', 'key=("sensr", "hour")'))
    done = call("status", **given)
    assert done.returncode == 1
    assert done.stderr.startswith("lakehouse: assets/thermometer.py: source thermometer: key columns ['sensr'] are not")
