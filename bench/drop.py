"""How long a dropped file takes to become a row of a mart, with `lakehouse up` idle.

    lakehouse demo && lakehouse up        in one terminal
    python bench/drop.py [--drops 20]     in another

Each drop is one vital sign of a subject of site 701, on a day of its own; the time runs from the file's last byte to
the moment `marts.fct_vital_signs` has the row. The pauses between drops vary, so that they meet the sensor at any
moment of its interval.
"""

import argparse
import random
import time
from datetime import date, timedelta

from adbc_driver_postgresql import dbapi

from lakehouse import postgres
from lakehouse.settings import Settings

HEADER = "STUDYID,USUBJID,VSTESTCD,VSTEST,VSPOS,VSORRES,VSORRESU,VSSTAT,VSLOC,VISITNUM,VISIT,VSDTC,VSTPT,VSTPTNUM"
_PATIENCE = 120


def drop(settings: Settings, url: str, day: date, visit: int) -> float:
    """Seconds from dropping a file to its row in the mart."""
    path = f"701/vitals_{day}.csv"
    record = f"CDISCPILOT01,01-701-1015,PULSE,Pulse Rate,,72,beats/min,,,{visit},UNSCHEDULED,{day},,"
    (settings.landing / path).write_text(f"{HEADER}\n{record}\n")
    begun = time.monotonic()
    while time.monotonic() - begun < _PATIENCE:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("select 1 from marts.fct_vital_signs where _file = %s", (path,))
            if cursor.fetchone():
                return time.monotonic() - begun
        time.sleep(0.2)
    raise SystemExit(f"{path} was in no mart after {_PATIENCE} s; is lakehouse up running?")


def main() -> None:
    """Drop files one after another and print the median, the 95th percentile and the slowest."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--drops", type=int, default=20)
    drops = options.parse_args().drops
    settings = Settings.load()
    url = postgres.running(settings)
    if url is None:
        raise SystemExit("start lakehouse up first")
    day, taken = date(2012, 1, 1), []
    while len(taken) < drops:
        day += timedelta(days=1)
        if (settings.landing / f"701/vitals_{day}.csv").exists():
            continue
        taken.append(drop(settings, url, day, 1000 + day.timetuple().tm_yday))
        print(f"{len(taken):3}  {taken[-1]:5.1f} s", flush=True)
        time.sleep(random.uniform(1, 8))
    taken.sort()
    middle, high = taken[len(taken) // 2], taken[round(0.95 * len(taken)) - 1]
    print(f"median {middle:.1f} s, 95th percentile {high:.1f} s, slowest {taken[-1]:.1f} s")


if __name__ == "__main__":
    main()
