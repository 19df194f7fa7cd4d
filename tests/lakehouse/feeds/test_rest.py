"""What an API has is landed once, whatever way it is divided, and goes on where it ended."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from api import SINCE, SOURCE, WAYS, Api, feed, record

from assets.pilot.laboratory import SECRET
from lakehouse.errors import SourceError
from lakehouse.feeds import FeedError, Lag, Reached, http
from lakehouse.formats.pages import envelopes

ALL = [f"r{number}" for number in range(45)]


@pytest.mark.parametrize("way", WAYS)
def test_everything_lands_and_then_nothing_until_something_is_new(lab: Api, way: str) -> None:
    assert lab.landing.pull(feed(way), lab.url) is None
    assert list(dict.fromkeys(lab.landing.ids)) == ALL
    assert lab.landing.rows["_problem"].null_count() == lab.landing.rows.height
    assert lab.landing.pull(feed(way), lab.url) is None
    count = len(lab.landing.extracts)
    assert count <= 2
    assert lab.landing.pull(feed(way), lab.url) is None
    assert len(lab.landing.extracts) == count
    lab.laboratory.records += [record(50), record(51)]
    asked = len(lab.laboratory.asked)
    assert lab.landing.pull(feed(way), lab.url) is None
    assert list(dict.fromkeys(lab.landing.ids)) == [*ALL, "r50", "r51"]
    assert lab.laboratory.asked[asked]["since"] == record(44)["updated"]
    # The mark's own record and the two new ones, not all again.
    assert lab.landing.extracts[-1].data.count(b'\\"id\\"') <= 4


@pytest.mark.parametrize("way", WAYS)
def test_a_pull_that_ends_in_the_middle_goes_on_there(lab: Api, way: str) -> None:
    # Small extracts: one page each. Nothing is asked for twice but the page at which the pull ended.
    while lab.landing.pull(feed(way), lab.url, most_bytes=1, most=1) is None and len(lab.landing.extracts) < 5:
        pass
    assert len(lab.landing.extracts) == 5
    assert lab.landing.pull(feed(way), lab.url) is None
    assert list(dict.fromkeys(lab.landing.ids)) == ALL
    whole = [page.url for extract in lab.landing.extracts for page in envelopes(extract.data)]
    assert len(whole) == len(set(whole)) <= 6
    assert all("@" not in url and SECRET not in url for url in whole)


def test_new_records_while_an_extraction_is_cut_off_are_not_missed(lab: Api) -> None:
    lab.landing.pull(feed(), lab.url, most_bytes=1, most=2)
    lab.laboratory.records.append(record(50))
    assert lab.landing.pull(feed(), lab.url) is None
    assert lab.landing.ids == [*ALL, "r50"]


def test_the_overlap_finds_records_that_came_late(lab: Api) -> None:
    plain, overlapping = feed(), feed(since=replace(SINCE, overlap=timedelta(seconds=20)))
    lab.landing.pull(plain, lab.url)
    late = {**record(0), "id": "late", "updated": "2014-01-02T00:00:30.500Z"}
    lab.laboratory.records.insert(31, late)
    assert lab.landing.pull(plain, lab.url) is None
    assert "late" not in lab.landing.ids
    assert lab.landing.pull(overlapping, lab.url) is None
    assert "late" in lab.landing.ids
    count = len(lab.landing.extracts)
    assert lab.landing.pull(overlapping, lab.url) is None
    assert len(lab.landing.extracts) == count


@pytest.mark.parametrize("fault", ["429", "500", "503", "408", "cut"])
def test_what_passes_is_tried_again(lab: Api, fault: str) -> None:
    lab.laboratory.faults = {2: fault, 3: fault, 5: fault}
    assert lab.landing.pull(feed(), lab.url) is None
    assert lab.landing.ids == ALL
    assert len(lab.laboratory.asked) == 5 + 3


@pytest.mark.parametrize("retry_after", ["1", "moment"])
def test_a_server_that_asks_to_wait_is_left_alone(lab: Api, monkeypatch: pytest.MonkeyPatch, retry_after: str) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waits.append))
    # By the server's clock, which is a day ahead of ours.
    lab.laboratory.ahead = timedelta(days=1)
    moment = formatdate(time.time() + 86400 + 30, usegmt=True)
    lab.laboratory.retry_after = moment if retry_after == "moment" else retry_after
    lab.laboratory.faults = {1: "429"}
    assert lab.landing.pull(feed(), lab.url) is None
    assert len(waits) == 1
    assert (20 < waits[0] <= 31) if retry_after == "moment" else (1 <= waits[0] < 1.1)


def test_waits_double_and_are_never_quite_the_same(lab: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(http, "LONGEST_WAIT", 60)
    for _ in range(3):
        lab.laboratory.faults = dict.fromkeys(
            range(len(lab.laboratory.asked) + 1, len(lab.laboratory.asked) + 5), "500"
        )
        assert lab.landing.pull(feed(tries=5), lab.url) is None
    assert len(waits) == 12
    for number, wait in enumerate(waits):
        expected = http.FIRST_WAIT * 2 ** (number % 4)
        assert 0.5 * expected <= wait < 1.5 * expected
    assert len(set(waits)) == 12


def test_what_does_not_pass_ends_the_pull_and_keeps_what_came_before(lab: Api) -> None:
    lab.laboratory.faults = dict.fromkeys(range(3, 9), "500")
    error = lab.landing.pull(feed(), lab.url)
    assert "/cursor answers 500, 5 times" in str(error)
    assert lab.landing.ids == ALL[:20]
    lab.laboratory.faults = {}
    assert lab.landing.pull(feed(), lab.url) is None
    assert lab.landing.ids == ALL


def test_a_slow_server_is_not_waited_for(lab: Api) -> None:
    lab.laboratory.faults = {2: "slow"}
    lab.laboratory.seconds = 20
    assert lab.landing.pull(feed(timeout=timedelta(seconds=2)), lab.url) is None
    assert lab.landing.ids == ALL
    assert len(lab.laboratory.asked) == 6


def test_a_server_that_hangs_is_asked_once_more_only(lab: Api) -> None:
    lab.laboratory.always = "slow"
    lab.laboratory.seconds = 20
    error = lab.landing.pull(feed(timeout=timedelta(seconds=0.2)), lab.url)
    assert "does not answer within 0.2 s, 2 times" in str(error)
    assert len(lab.laboratory.asked) == 2


def test_a_look_tries_less_often_than_a_pull(lab: Api) -> None:
    lab.laboratory.always = "503"
    with pytest.raises(FeedError, match="answers 503, 2 times"):
        feed().lag(lab.url, SOURCE, lab.landing.reached)


@pytest.mark.parametrize(
    ("status", "words"),
    [("401", "refuses these credentials"), ("403", "may not read it"), ("404", "no such path"), ("302", "answers 302")],
)
def test_what_a_person_must_mend_is_told_at_once(lab: Api, status: str, words: str) -> None:
    lab.laboratory.faults = {2: status}
    error = lab.landing.pull(feed(), lab.url)
    assert words in str(error)
    assert SECRET not in str(error)
    assert len(lab.laboratory.asked) == 2
    assert lab.landing.ids == ALL[:10]
    assert lab.landing.pull(feed(), lab.url) is None
    assert lab.landing.ids == ALL


@pytest.mark.parametrize("fault", ["malformed", "list", "latin"])
def test_an_answer_that_is_no_list_is_kept_and_asked_for_again(lab: Api, fault: str) -> None:
    lab.laboratory.always = None
    lab.laboratory.faults = dict.fromkeys(range(3, 6), fault)
    for _ in range(3):
        # A second pull that finds the same keeps it once.
        assert "is in quarantine" in str(lab.landing.pull(feed(), lab.url))
        assert lab.landing.ids == ALL[:20]
        assert lab.landing.rows["_problem"].drop_nulls().to_list() == ["record:json"]
    assert lab.landing.pull(feed(), lab.url) is None
    assert lab.landing.ids == ALL
    assert lab.landing.rows.height == 46


def test_a_first_answer_that_is_no_list(lab: Api) -> None:
    lab.laboratory.faults = {1: "malformed"}
    assert lab.landing.pull(feed("offset"), lab.url) is not None
    assert lab.landing.pull(feed("offset"), lab.url) is None
    assert list(dict.fromkeys(lab.landing.ids)) == ALL


def test_a_cursor_that_leads_back_is_told_and_nothing_is_lost(lab: Api) -> None:
    lab.laboratory.faults = {3: "repeat"}
    error = lab.landing.pull(feed(), lab.url)
    assert "leads back to a page that was read" in str(error)
    assert lab.landing.ids == ALL[:20]
    assert lab.landing.pull(feed(), lab.url) is None
    assert lab.landing.ids == ALL


def test_pages_that_never_end_are_told_and_begin_anew(lab: Api) -> None:
    lab.laboratory.endless = True
    error = lab.landing.pull(feed("pages", most_pages=6), lab.url)
    assert "more than 6 pages" in str(error)
    assert len(lab.laboratory.asked) == 6
    lab.laboratory.endless = False
    assert lab.landing.pull(feed("pages", most_pages=6), lab.url) is None
    assert [identity for identity in lab.landing.ids if identity.startswith("r")] == ALL


def test_a_last_page_that_comes_again_for_ever_is_told(lab: Api) -> None:
    lab.laboratory.stuck = True
    error = lab.landing.pull(feed("pages"), lab.url)
    assert "the same page again" in str(error)
    assert lab.landing.ids == ALL
    lab.laboratory.stuck = False
    assert lab.landing.pull(feed("pages"), lab.url) is None
    assert lab.landing.ids == ALL


@pytest.mark.parametrize("total", [0, 7, 10_000])
@pytest.mark.parametrize("way", WAYS)
def test_totals_are_not_believed(lab: Api, way: str, total: int) -> None:
    lab.laboratory.total = total
    assert lab.landing.pull(feed(way), lab.url) is None
    assert list(dict.fromkeys(lab.landing.ids)) == ALL


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_gives_smaller_pages_than_asked_for(lab: Api, way: str) -> None:
    lab.laboratory.cap = 7
    assert lab.landing.pull(feed(way), lab.url) is None
    assert list(dict.fromkeys(lab.landing.ids)) == ALL


def test_a_body_that_is_too_large_is_not_read(lab: Api) -> None:
    lab.laboratory.huge = 3_000_000
    error = lab.landing.pull(feed(most_body=1_000_000), lab.url)
    assert "more than 1,000,000 bytes" in str(error)
    assert lab.landing.extracts == []
    assert len(lab.laboratory.asked) == 1
    lab.laboratory.huge = 0
    assert lab.landing.pull(feed(most_body=1_000_000), lab.url) is None
    assert lab.landing.ids == ALL


def test_a_link_to_another_server_is_not_followed(lab: Api) -> None:
    lab.laboratory.faults = {2: "elsewhere"}
    error = lab.landing.pull(feed("link"), lab.url)
    assert "leads to another server" in str(error)
    lab.landing.extracts.clear()
    assert lab.landing.pull(feed("link"), lab.url) is None
    assert lab.landing.ids == ALL


def test_records_that_move_while_they_are_read_are_not_missed(lab: Api) -> None:
    # The first record changes, goes to the end, and draws all others forward by one.
    lab.landing.pull(feed("offset"), lab.url, most_bytes=1, most=2)
    lab.laboratory.records = [*lab.laboratory.records[1:], {**record(50), "id": "r0"}]
    assert lab.landing.pull(feed("offset"), lab.url) is None
    assert set(lab.landing.ids) == set(ALL)


def test_records_without_an_order_are_told(lab: Api) -> None:
    class Shuffled(list[dict[str, object]]):
        def __iter__(self) -> Iterator[dict[str, object]]:
            return iter(random.sample(range_ := [self[i] for i in range(len(self))], len(range_)))

    lab.laboratory.records = Shuffled(lab.laboratory.records)
    error = lab.landing.pull(feed("offset"), lab.url)
    assert "move while they are read" in str(error)


def test_a_place_that_the_server_has_forgotten_begins_anew(lab: Api) -> None:
    lab.landing.pull(feed(), lab.url, most_bytes=1, most=2)
    lab.laboratory.faults = {len(lab.laboratory.asked) + 1: "410"}
    assert lab.landing.pull(feed(), lab.url) is None
    assert list(dict.fromkeys(lab.landing.ids)) == ALL


@pytest.mark.parametrize("dated", [True, False])
def test_a_record_from_the_future_hides_nothing_and_waits_only_until_it_has_landed(lab: Api, dated: bool) -> None:
    lab.laboratory.dated = dated
    lab.landing.pull(feed(), lab.url)
    lab.laboratory.records.append({**record(46), "id": "future", "updated": "2999-01-01T00:00:00Z"})
    assert feed().lag(lab.url, SOURCE, lab.landing.reached).events == 1
    lab.landing.pull(feed(), lab.url)
    assert "future" in lab.landing.ids
    assert not feed().lag(lab.url, SOURCE, lab.landing.reached).any
    lab.laboratory.records.insert(45, record(47))
    assert lab.landing.pull(feed(), lab.url) is None
    assert {*ALL, "r47", "future"} == set(lab.landing.ids)


def test_days_can_be_asked_for_again(lab: Api) -> None:
    lab.landing.pull(feed(), lab.url)
    lab.laboratory.records[3]["text"] = "changed without a word"
    lab.laboratory.records.append({**record(1), "id": "next", "updated": "2014-01-03T00:00:00Z"})
    again = list(feed().replay(lab.url, SOURCE, lab.landing.reached, [date(2014, 1, 2)], 1 << 30))
    assert [extract.part.stream for extract in again] == ["pages_000001"]
    rows = SOURCE.dialect.table(again[0].data).rows
    assert rows["id"].to_list() == ALL
    assert "changed without a word" in rows["text"].to_list()
    with pytest.raises(FeedError, match="cannot be asked again"):
        list(feed(since=replace(SINCE, until=None)).replay(lab.url, SOURCE, Reached(), [date(2014, 1, 2)], 1))


def test_the_lag_says_whether_something_waits(lab: Api) -> None:
    def lag() -> Lag:
        return feed().lag(lab.url, SOURCE, lab.landing.reached)

    assert lag().events == 10
    lab.landing.pull(feed(), lab.url, most_bytes=1, most=2)
    assert lag().any
    lab.landing.pull(feed(), lab.url)
    assert not lag().any
    lab.laboratory.records.append(record(50))
    asked = len(lab.laboratory.asked)
    assert lag().events == 1
    assert len(lab.laboratory.asked) == asked + 1
    lab.laboratory.always = "403"
    with pytest.raises(FeedError, match="may not read it"):
        lag()


def test_without_a_mark_all_is_read_and_landed_when_it_is_new(lab: Api) -> None:
    plain = feed(since=None)
    lab.landing.pull(plain, lab.url)
    lab.landing.pull(plain, lab.url)
    assert lab.landing.ids == ALL
    lab.laboratory.records[0]["text"] = "changed"
    lab.landing.pull(plain, lab.url)
    assert lab.landing.ids == ALL * 2


@pytest.mark.parametrize("way", ["cursor", "offset"])
def test_without_a_mark_a_list_of_several_extracts_lands_when_it_is_new(lab: Api, way: str) -> None:
    plain = feed(way, since=None)
    for _ in range(3):
        lab.landing.pull(plain, lab.url, most_bytes=1)
    count = len(lab.landing.extracts)
    assert count <= 6
    # Others have the same records in pages of another size.
    lab.laboratory.cap = 7
    lab.landing.pull(plain, lab.url, most_bytes=1)
    assert len(lab.landing.extracts) == count
    lab.laboratory.records[0]["text"] = "changed"
    lab.landing.pull(plain, lab.url, most_bytes=1)
    assert len(lab.landing.extracts) > count
    assert lab.landing.rows["text"].to_list().count("changed") == 1
    # One that fails is told.
    lab.laboratory.records[1]["text"] = "changed"
    lab.laboratory.always = "404"
    assert "no such path" in str(lab.landing.pull(plain, lab.url, most_bytes=1))
    lab.laboratory.always = None
    assert lab.landing.pull(plain, lab.url, most_bytes=1) is None
    assert lab.landing.rows["text"].to_list().count("changed") == 3


def test_without_a_mark_the_lag_is_how_long_reading_all_is_overdue(lab: Api) -> None:
    plain = feed(since=None, every=timedelta(minutes=5))

    def lag(ago: timedelta) -> Lag:
        return plain.lag(lab.url, SOURCE, replace(lab.landing.reached, at=datetime.now(UTC) - ago))

    assert plain.lag(lab.url, SOURCE, lab.landing.reached).events == 10
    lab.landing.pull(plain, lab.url)
    asked = len(lab.laboratory.asked)
    assert not lag(timedelta(0)).any
    # The pull that a look asked for came a while after it, and the next look is due all the same.
    assert (lag(timedelta(minutes=4)).any, lag(timedelta(minutes=4)).seconds) == (True, 0)
    assert 59 < (lag(timedelta(minutes=6)).seconds or 0) < 90
    # A clock that was set back.
    assert lag(timedelta(minutes=-1)).any
    assert len(lab.laboratory.asked) == asked


@pytest.mark.parametrize("words", [{"path": "x"}, {"page_size": 1}, {"most_pages": 0}, {"tries": 0}])
def test_a_feed_that_cannot_work_cannot_be_made(words: dict[str, object]) -> None:
    with pytest.raises(SourceError):
        replace(feed("offset"), **words)  # type: ignore[arg-type]
