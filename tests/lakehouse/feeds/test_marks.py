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


MOMENTS = ['"2014-01-02T00:00:00+00:00"', '"2014-01-04"', '"2014-01-03T00:00:00+00:00"']


@pytest.mark.parametrize(
    ("overlap", "marks", "before", "expected"),
    [
        # One that is no mark of theirs, wherever it stands, and a first page of little else.
        (timedelta(0), [*MOMENTS, "7"], None, "2014-01-04"),
        (timedelta(0), ["7", "8", "20140105", '"2014-01-04"'], None, "20140105"),
        (timedelta(minutes=1), ['""', "null", '"07"'], None, None),
        (timedelta(minutes=1), ['"07"', "7", "8", '"2014-01-02"'], None, "2014-01-02"),
        (5, ['"2014-01-02"', "7", *MOMENTS], None, "7"),
        # What was taken for a mark by mistake.
        (timedelta(minutes=1), [*MOMENTS, "9"], "7", "2014-01-04"),
        (timedelta(0), MOMENTS, "7", "2014-01-04"),
        (timedelta(0), [*MOMENTS, "6"], "7", "7"),
        # Of another kind than was declared: whoever asks from it says so.
        (timedelta(minutes=1), ["7", "8"], None, "8"),
        (5, MOMENTS, None, "2014-01-04"),
    ],
)
def test_marks_are_of_one_kind(
    overlap: timedelta | int, marks: list[str], before: str | None, expected: str | None
) -> None:
    records = [f'{{"meta":{{"updated":{mark}}}}}'.encode() for mark in marks]
    for some in (records, records[::-1]):
        assert replace(SINCE, overlap=overlap).greatest(some, before, NOW) == expected


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
