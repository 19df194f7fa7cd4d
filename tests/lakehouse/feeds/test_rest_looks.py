"""A look at an API finds whatever a pull would, and asks for little."""

from dataclasses import replace
from datetime import timedelta

import pytest
from api import SINCE, SOURCE, WAYS, Api, feed, record

from lakehouse.feeds import Lag, rest
from lakehouse.feeds.rest import RestApi

OVERLAPPING = replace(SINCE, overlap=timedelta(seconds=20))


def look(lab: Api, api: RestApi) -> Lag:
    return api.lag(lab.url, SOURCE, lab.landing.reached)


@pytest.mark.parametrize("way", WAYS)
def test_a_page_of_records_of_the_mark_s_own_moment_hides_nothing(lab: Api, way: str) -> None:
    lab.laboratory.records = [{**record(5), "id": f"r{number}"} for number in range(12)]
    lab.landing.pull(feed(way), lab.url)
    assert not look(lab, feed(way)).any
    lab.laboratory.records.append(record(60))
    waits = look(lab, feed(way))
    assert (waits.events, waits.bytes) == (1, len(b'{"id":"r60","updated":"2014-01-02T00:01:00Z","text":""}'))
    assert lab.landing.pull(feed(way), lab.url) is None
    assert "r60" in lab.landing.ids
    assert look(lab, feed(way)) == Lag(events=0, bytes=0, seconds=0.0)
    # Another one of the very same moment.
    lab.laboratory.records.append({**record(60), "id": "twin"})
    assert look(lab, feed(way)).events == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_overlap_of_more_than_a_page_hides_nothing(lab: Api, way: str) -> None:
    api = feed(way, since=OVERLAPPING)
    for _ in range(2):
        lab.landing.pull(api, lab.url)
    asked = len(lab.laboratory.asked)
    assert not look(lab, api).any
    # 21 records in three pages; those that are counted end with an empty one.
    assert len(lab.laboratory.asked) - asked <= 4
    lab.laboratory.records.append(record(60))
    assert look(lab, api).events == 1
    assert lab.landing.pull(api, lab.url) is None
    assert "r60" in lab.landing.ids
    assert not look(lab, api).any


def test_a_record_that_comes_late_into_the_overlap_is_seen(lab: Api) -> None:
    api = feed(since=OVERLAPPING)
    lab.landing.pull(api, lab.url)
    lab.laboratory.records.insert(31, {**record(0), "id": "late", "updated": "2014-01-02T00:00:30.500Z"})
    waits = look(lab, api)
    # It ends with the page that has something new.
    assert (waits.events, waits.more) == (1, True)
    assert lab.landing.pull(api, lab.url) is None
    assert "late" in lab.landing.ids
    assert not look(lab, api).any


def test_more_pages_than_a_look_goes_through_are_pulled_to_tell(lab: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_LOOK_PAGES", 2)
    api = feed(since=OVERLAPPING)
    lab.landing.pull(api, lab.url)
    asked = len(lab.laboratory.asked)
    assert look(lab, api) == Lag(due=True)
    assert len(lab.laboratory.asked) == asked + 2


@pytest.mark.parametrize("way", WAYS)
def test_an_overlap_of_more_than_a_delivery_holds_lands_when_it_is_new(lab: Api, way: str) -> None:
    api = feed(way, since=OVERLAPPING)
    for _ in range(4):
        lab.landing.pull(api, lab.url, most_bytes=1)
    count = len(lab.landing.extracts)
    assert count <= 12
    assert look(lab, api) == Lag(due=True)
    assert lab.landing.pull(api, lab.url, most_bytes=1) is None
    assert len(lab.landing.extracts) == count
    lab.laboratory.records.append(record(50))
    assert lab.landing.pull(api, lab.url, most_bytes=1) is None
    assert "r50" in lab.landing.ids


def test_a_server_that_words_a_record_anew_each_time_is_not_pulled_at_each_look(
    lab: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.landing.pull(feed(), lab.url)
    lab.laboratory.records[-1]["text"] = "https://lab.example/report?signed=2"
    assert not look(lab, feed()).any
    # But it is in the end: it may have been changed without a word.
    monkeypatch.setattr(rest, "_REWORDED", timedelta(0))
    assert look(lab, feed()) == Lag(due=True)
    assert lab.landing.pull(feed(), lab.url) is None
    assert not look(lab, feed()).any


def test_a_look_at_what_is_no_list_has_it_pulled_and_told(lab: Api) -> None:
    lab.landing.pull(feed(), lab.url)
    lab.laboratory.always = "list"
    assert look(lab, feed()) == Lag(due=True)
    assert "is in quarantine" in str(lab.landing.pull(feed(), lab.url))


def test_a_pull_ends_after_a_while_and_the_next_goes_on(lab: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = feed(most_seconds=1e-9)
    for pages in range(1, 5):
        assert lab.landing.pull(hasty, lab.url) is None
        assert len(lab.laboratory.asked) == pages
        waits = look(lab, hasty)
        assert (waits.any, waits.more, waits.events) == (True, True, None)
    assert lab.landing.pull(hasty, lab.url) is None
    assert lab.landing.ids == [f"r{number}" for number in range(45)]
    assert not look(lab, hasty).any
    lab.landing.extracts.clear()
    monkeypatch.setattr(rest, "_AT_ONCE", 1500)
    assert lab.landing.pull(feed(), lab.url, most_bytes=1) is None
    assert len(lab.landing.extracts) == 2


def test_a_whole_list_that_is_read_in_several_pulls_lands_when_it_is_new(lab: Api) -> None:
    hasty = feed(since=None, most_seconds=1e-9)
    for _ in range(5):
        lab.landing.pull(hasty, lab.url)
    assert lab.landing.ids == [f"r{number}" for number in range(45)]
    for _ in range(3):
        assert lab.landing.pull(hasty, lab.url) is None
    assert len(lab.landing.extracts) == 5
