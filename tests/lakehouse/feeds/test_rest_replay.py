"""A replay of an API's days wins over what was pulled on the same day, and the next pull over the replay."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date

import pytest
from api import Api, feed
from house import House
from thermometer import THERMOMETER

from lakehouse.feeds import pulling
from lakehouse.formats.pages import Pages

DAY = date(2014, 1, 2)


def reading(number: int, celsius: float, second: int | None = None) -> dict[str, object]:
    """What a sensor told, changed in the second of its number if no other is given."""
    updated = f"{DAY}T00:00:{number if second is None else second:02}Z"
    return {"SENSOR": f"s{number}", "HOUR": 1, "CELSIUS": celsius, "updated": updated}


@pytest.fixture
def fed(house: House, lab: Api) -> House:
    lab.laboratory.records = [reading(number, 20.5) for number in range(25)]
    path = "{site}/{name}/{day}_{part}.jsonl"
    house.source = replace(THERMOMETER, feed=feed(), dialect=Pages(records="items"), path=path, optional=("updated",))
    return house


def run(house: House, lab: Api, days: Collection[date] = (), most_bytes: int = 1 << 20) -> dict[str, float]:
    """Pull, or replay days, and ingest; what each sensor tells now. All on one day."""
    pulled = pulling.pull(house.lake, house.source, house.landing, lab.url, house.clock, most_bytes, days)
    assert pulled.trouble is None
    house.run()
    assert house.unbalanced().is_empty()
    return dict(house.table("processed").select("sensor", "celsius").iter_rows())


def streams(house: House) -> list[str]:
    return sorted({file.name.split("_", 1)[1].split("@")[0] for file in house.landing.rglob("*.jsonl")})


def test_what_was_asked_last_wins_within_a_day(fed: House, lab: Api) -> None:
    assert set(run(fed, lab).values()) == {20.5}
    # Changed without a word, so that only a replay finds it.
    for number in range(25):
        lab.laboratory.records[number]["CELSIUS"] = 21.5
    assert set(run(fed, lab, [DAY], most_bytes=1).values()) == {21.5}
    # The second replay has fewer pages than the first.
    lab.laboratory.records = [reading(number, 22.5) for number in range(5)]
    found = run(fed, lab, [DAY])
    assert {found[f"s{number}"] for number in range(5)} == {22.5}
    # What the API no longer has stays as it was.
    assert {found[f"s{number}"] for number in range(5, 25)} == {21.5}
    lab.laboratory.records.append(reading(3, 23.5, second=40))
    assert run(fed, lab)["s3"] == 23.5
    assert streams(fed) == ["pages", "pages_000001", "pages_000002", "pages_000002_on"]


def test_a_replay_moves_no_mark_and_an_extraction_under_way_goes_on_after_it(fed: House, lab: Api) -> None:
    lab.laboratory.faults = {3: "403"}
    pulling.pull(fed.lake, fed.source, fed.landing, lab.url, fed.clock, 1)
    lab.laboratory.records.append({**reading(30, 20.5), "updated": "2014-01-05T00:00:00Z"})
    assert len(run(fed, lab, [date(2014, 1, 5)])) == 21
    asked = len(lab.laboratory.asked)
    assert len(run(fed, lab)) == 26
    # The third page, from the place where the pull before had ended.
    assert [sorted(query) for query in lab.laboratory.asked[asked:]] == [["cursor", "limit"]]
    assert run(fed, lab)["s24"] == 20.5
    assert lab.laboratory.asked[-1]["since"] == "2014-01-05T00:00:00Z"


def test_files_of_replays_as_they_were_named_before_are_no_pulls(fed: House, lab: Api) -> None:
    run(fed, lab)
    folder = fed.landing / "lab" / "thermometer"
    [landed] = folder.glob("*.jsonl")
    landed.rename(folder / f"{fed.clock.today}_again@20140102.000001~20140102.000003.jsonl")
    fed.run()
    lab.laboratory.records.append(reading(30, 20.5))
    assert len(run(fed, lab)) == 26
    assert lab.laboratory.asked[-1]["since"] == f"{DAY}T00:00:24Z"
    lab.laboratory.records[0]["CELSIUS"] = 21.5
    assert run(fed, lab, [DAY])["s0"] == 21.5
