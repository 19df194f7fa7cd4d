"""An API that asks to be left alone for long is, by the time that it says, and goes on where it was."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from api import Api, feed, record
from house import House
from thermometer import THERMOMETER

from lakehouse.feeds import answers, pulling
from lakehouse.formats.pages import Pages


class Clock:
    """What time pulls take it to be."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(answers, "_now", clock)
    # Its own, and not everybody's: a server that is being started sleeps, too.
    never = SimpleNamespace(sleep=lambda seconds: pytest.fail(f"it waited for {seconds} s"))
    monkeypatch.setattr("tenacity.nap.time", never)
    return clock


@pytest.fixture
def fed(house: House, lab: Api) -> House:
    lab.laboratory.records = [
        {**record(number), "SENSOR": f"s{number}", "HOUR": 1, "CELSIUS": 20.5} for number in range(45)
    ]
    path = "{site}/{name}/{day}_{part}.jsonl"
    more = ("id", "updated", "text")
    house.source = replace(THERMOMETER, feed=feed(), dialect=Pages(records="items"), path=path, optional=more)
    return house


def pull(house: House, lab: Api, days: tuple[date, ...] = (), *, now: bool = False) -> pulling.Pulled:
    return pulling.pull(house.lake, house.source, house.landing, lab.url, house.clock, 1, days, now=now)


def look(house: House, lab: Api) -> str | None:
    return pulling.lag(house.lake, house.source, house.landing, lab.url).trouble


@pytest.mark.parametrize("written", ["3600", "moment"])
def test_a_system_that_asks_to_be_left_alone_for_an_hour_is(fed: House, lab: Api, clock: Clock, written: str) -> None:
    hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    lab.laboratory.retry_after = hour if written == "moment" else written
    lab.laboratory.faults = {3: "429"}
    pulled = pull(fed, lab)
    assert (pulled.extracts, len(lab.laboratory.asked)) == (2, 3)
    assert "/cursor answers 429 and asks to be left alone for 3" in str(pulled.trouble)
    told = "lab is left alone until "
    for _ in range(2):
        assert str(look(fed, lab)).startswith(told)
        assert str(pull(fed, lab).trouble).startswith(told)
        # Nor for days gone by, nor because a person asks for it.
        assert str(pull(fed, lab, (date(2014, 1, 2),)).trouble).startswith(told)
        assert str(pull(fed, lab, now=True).trouble).startswith(told)
        asked = pulling.lag(fed.lake, fed.source, fed.landing, lab.url, now=True)
        assert str(asked.trouble).startswith(told)
        clock.now += timedelta(minutes=29)
    assert len(lab.laboratory.asked) == 3
    clock.now += timedelta(minutes=3)
    assert look(fed, lab) is None
    assert pull(fed, lab).trouble is None
    assert len(lab.laboratory.asked) == 6
    fed.run()
    assert fed.table("processed").height == 45


def test_a_look_that_is_asked_to_wait_keeps_pulls_away_as_well(fed: House, lab: Api, clock: Clock) -> None:
    lab.laboratory.retry_after = "100000000"
    lab.laboratory.always = "503"
    assert "asks to be left alone" in str(look(fed, lab))
    lab.laboratory.always = None
    assert str(pull(fed, lab).trouble).startswith("lab is left alone until ")
    # Of years, which may be a mistake, a day is kept to.
    clock.now += timedelta(hours=25)
    assert pull(fed, lab).trouble is None


def test_its_own_word_holds_for_a_person_as_well_while_it_would_be_left_alone_for_longer(
    fed: House, lab: Api, clock: Clock
) -> None:
    # So short that the pull itself does not wait, and the pause after so many failures is longer.
    lab.laboratory.retry_after, lab.laboratory.always = "70", "503"
    for _ in range(5):
        assert "asks to be left alone for 70" in str(pull(fed, lab, now=True).trouble)
        clock.now += timedelta(seconds=71)
    assert "asks to be left alone for 70" in str(pull(fed, lab, now=True).trouble)
    count = len(lab.laboratory.asked)
    assert answers.breaker(fed.lake, fed.source).wait() > timedelta(seconds=70)
    clock.now += timedelta(seconds=69)
    assert pull(fed, lab, now=True).trouble
    assert len(lab.laboratory.asked) == count
    clock.now += timedelta(seconds=2)
    lab.laboratory.always = None
    assert pull(fed, lab).trouble
    assert pull(fed, lab, now=True).trouble is None
