"""Records that move while they are read, and pages that come twice: nothing is missed, or it is told."""

import pytest
from api import WAYS, Api, Landing, feed, record, serving
from typer.testing import CliRunner

from assets.pilot.laboratory import FAULTS, app, laboratory
from lakehouse.feeds import http
from lakehouse.feeds.auth import ClientCredentials
from lakehouse.feeds.paging import ByPage

ALL = [f"r{number}" for number in range(45)]


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_comes_twice_is_told_and_the_next_pull_goes_on(lab: Api, way: str) -> None:
    lab.laboratory.faults = {3: "duplicate"}
    assert "the same page again" in str(lab.landing.pull(feed(way), lab.url))
    assert len(set(lab.landing.ids)) < 45
    assert lab.landing.pull(feed(way), lab.url) is None
    assert list(dict.fromkeys(lab.landing.ids)) == ALL


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_record_that_changes_and_draws_the_others_forward_hides_none(lab: Api, way: str, at: int) -> None:
    lab.laboratory.faults = {at: "shift"}
    assert lab.landing.pull(feed(way), lab.url) is None
    assert set(lab.landing.ids) == set(ALL)
    changes = lab.landing.rows.filter(lab.landing.rows["id"] == "r0")["updated"]
    assert record(45)["updated"] in changes.to_list()


@pytest.mark.parametrize("way", WAYS)
def test_records_that_change_between_two_pulls_of_an_extraction_hide_none(lab: Api, way: str) -> None:
    lab.landing.pull(feed(way), lab.url, most_bytes=1, most=2)
    lab.laboratory.faults = {len(lab.laboratory.asked) + 1: "shift"}
    assert lab.landing.pull(feed(way), lab.url) is None
    assert set(lab.landing.ids) == set(ALL)


@pytest.mark.parametrize("way", WAYS)
def test_a_laboratory_that_goes_wrong_by_turns_is_read_whole_in_the_end(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT", 0.01)
    every = laboratory([record(number) for number in range(45)], "oauth", ",".join(FAULTS), each=2, seconds=0.1)
    with serving(every) as url:
        lab = Api(url, every, Landing())
        while len(every.asked) < 4 * len(FAULTS) or (set(lab.landing.ids) != set(ALL) and len(every.asked) < 500):
            lab.landing.pull(feed(way, auth=ClientCredentials()), url, most_bytes=1)
    assert set(lab.landing.ids) == set(ALL)


def test_a_fault_that_nobody_knows_is_no_word_of_the_command() -> None:
    done = CliRunner().invoke(app, ["--faults", "429,fire"])
    assert done.exit_code == 2
    assert "knows no fire" in done.output


def test_numbered_pages_that_never_stand_still_are_told(lab: Api) -> None:
    lab.laboratory.always = "shift"
    assert "move while they are read" in str(lab.landing.pull(feed("pages"), lab.url))


def test_numbered_pages_may_be_read_once_by_who_knows_that_records_stay(lab: Api) -> None:
    assert lab.landing.pull(feed("pages", paging=ByPage(checked=False)), lab.url) is None
    assert len(lab.laboratory.asked) == 6
    assert lab.landing.ids == ALL


def test_records_that_are_added_at_the_end_move_none(lab: Api) -> None:
    lab.landing.pull(feed("pages"), lab.url, most_bytes=1, most=4)
    lab.laboratory.records += [record(number) for number in range(45, 60)]
    assert lab.landing.pull(feed("pages"), lab.url) is None
    assert lab.landing.ids == [f"r{number}" for number in range(60)]
