"""The greatest mark of some records, and where the next extraction begins."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.errors import SourceError
from lakehouse.feeds import FeedError
from lakehouse.feeds.marks import Since

SINCE = Since("since", "meta.updated")
NOW = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("marks", "before", "expected"),
    [
        (['"2014-01-02T00:00:00Z"', '"2014-01-03T00:00:00Z"'], None, "2014-01-03T00:00:00Z"),
        (['"2014-01-02T00:00:00Z"'], "2014-01-05T00:00:00Z", "2014-01-05T00:00:00Z"),
        # The same moment is written in many ways, and text order is not time order.
        (['"2014-01-02T23:00:00Z"', '"2014-01-03T00:30:00+02:00"'], None, "2014-01-02T23:00:00Z"),
        (['"2014-01-02T23:00:00.5Z"', '"2014-01-02T23:00:00Z"'], None, "2014-01-02T23:00:00.5Z"),
        (["9", "10", '"11"'], "7", "11"),
        # What is no mark counts for nothing, also where it sorts last.
        (['"2014-01-02T00:00:00Z"', '"zzzz-zz-zzTzz:zz:zzZ"', "null", "{}", "1.5"], None, "2014-01-02T00:00:00Z"),
        (['"2014-01-02T00:00:00Z"', '"2999-01-02T00:00:00Z"'], None, "2014-01-02T00:00:00Z"),
        (['"2014\\u002d01-02"'], None, "2014-01-02"),
        (["7"], "2014-01-02", "2014-01-02"),
        ([], None, None),
    ],
)
def test_the_greatest_mark(marks: list[str], before: str | None, expected: str | None) -> None:
    records = [f'{{"a":1,"meta":{{"updated":{mark},"b":2}}}}'.encode() for mark in marks]
    assert SINCE.greatest(records, before, NOW) == expected
    # One by one, because a record among them is none.
    assert SINCE.greatest([*records, b"7", b'{"meta":1}', b"{"], before, NOW) == expected


@pytest.mark.parametrize(
    ("mark", "begin"),
    [
        ("2014-01-02T00:00:00Z", "2014-01-01T23:50:00Z"),
        ("2014-01-02T00:00:00.250Z", "2014-01-01T23:50:00.250000Z"),
        ("2014-01-02T00:00:00+02:00", "2014-01-01T23:50:00+02:00"),
        ("2014-01-02", "2014-01-01"),
    ],
)
def test_the_overlap_is_before_the_mark_and_written_as_it(mark: str, begin: str) -> None:
    assert replace(SINCE, overlap=timedelta(minutes=10)).begin(mark) == begin
    assert SINCE.begin(mark) == mark


def test_the_overlap_of_numbers_is_a_number_and_of_times_a_time() -> None:
    assert replace(SINCE, overlap=10).begin("17") == "7"
    assert replace(SINCE, overlap=10).begin("7") == "0"
    for overlap, mark, words in (
        (timedelta(minutes=10), "17", "are whole numbers: give the overlap of the feed's `since` as a number"),
        (10, "2014-01-02T00:00:00Z", "are times: give the overlap of the feed's `since` as a timedelta"),
    ):
        with pytest.raises(FeedError, match=words):
            replace(SINCE, overlap=overlap).begin(mark)


def test_a_mark_that_cannot_work_cannot_be_made() -> None:
    for words in ({"parameter": ""}, {"member": "a..b"}, {"overlap": timedelta(-1)}, {"overlap": -1}):
        with pytest.raises(SourceError):
            replace(SINCE, **words)  # type: ignore[arg-type]
