"""Rules on events, judged one partition at a time."""

import json
import random
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import SourceError
from lakehouse.judge import Judge
from lakehouse.rules import Absence, Alert, Change, Event, Rule, Threshold, fields

SECOND = 1_000_000
HIGH = Threshold("high", "rate", above=120, for_=3)
LONG = Threshold("long", "rate", below=50, for_=timedelta(seconds=20))
JUMP = Change("jump", "rate", by=40, within=timedelta(seconds=30))
SILENT = Absence("silent", after=timedelta(minutes=1))
RULES: tuple[Rule, ...] = (HIGH, LONG, JUMP, SILENT)


def judge(*rules: Rule, lateness: float = 10, forget: float = 3600, most_keys: int = 100) -> Judge:
    return Judge("s", 0, rules, timedelta(seconds=lateness), timedelta(seconds=forget), most_keys)


def told(machine: Judge, readings: list[tuple[float, float | None]], key: str = "a", offset: int = 0) -> list[Alert]:
    """What is told of readings (seconds, value) of one key, in the order they come."""
    return [
        alert
        for place, (at, value) in enumerate(readings, offset)
        for alert in machine.see(Event(key, int(at * SECOND), (value,), place))
    ]


def times(alerts: list[Alert]) -> list[tuple[str, float]]:
    return [(alert.rule, alert.at / SECOND) for alert in alerts]


@pytest.mark.parametrize(
    ("rule", "readings", "expected"),
    [
        (HIGH, [(0, 130), (1, 130), (2, 130), (3, 130)], [("high", 2)]),
        (HIGH, [(0, 130), (1, 130), (2, 120), (3, 130), (4, 130)], []),
        (HIGH, [(n, 130) for n in range(3)] + [(3, 80)] + [(n, 130) for n in range(4, 9)], [("high", 2), ("high", 6)]),
        (HIGH, [(0, 130), (1, None), (2, 130), (3, 130)], [("high", 3)]),
        (LONG, [(0, 40), (19, 40)], []),
        (LONG, [(0, 40), (20, 40), (30, 40)], [("long", 20)]),
        (JUMP, [(0, 70), (5, 75), (10, 110), (15, 112)], [("jump", 10)]),
        (JUMP, [(0, 110), (30, 70)], [("jump", 30)]),
        (JUMP, [(0, 70), (31, 110)], []),
        (JUMP, [(0, 70), (20, 110), (40, 112), (60, 70)], [("jump", 20), ("jump", 60)]),
        (SILENT, [(0, 70), (60, 70)], []),
        (SILENT, [(0, 70), (75, 70)], [("silent", 60)]),
    ],
)
def test_rule(rule: Rule, readings: list[tuple[float, float | None]], expected: list[tuple[str, float]]) -> None:
    assert times(told(judge(rule), readings)) == expected


def test_alert_says_what_it_was_made_of() -> None:
    (alert,) = told(judge(HIGH), [(0, 70), (1, 130), (2, 131), (3, 132)], offset=100)
    assert alert[1:] == (
        *("high", "rate above 120 for 3 readings", "a"),
        *(3 * SECOND, 1 * SECOND, 132, 3, 0, 101, 103),
    )


def test_out_of_order_readings_are_judged_where_they_belong() -> None:
    """The second comes last, and makes the run of three whole; the alert is about the third by time."""
    (alert,) = told(judge(HIGH), [(0, 130), (2, 130), (1, 130)])
    assert (alert.at, alert.first_offset, alert.offset) == (2 * SECOND, 0, 1)


def test_a_run_that_was_told_is_not_told_again_for_what_comes_between() -> None:
    machine = judge(HIGH)
    assert times(told(machine, [(1, 130), (3, 130), (5, 130)])) == [("high", 5)]
    assert times(told(machine, [(0, 130), (2, 130), (4, 80), (6, 130), (7, 130)], offset=3)) == []
    assert times(told(machine, [(8, 80), (9, 130), (10, 130), (11, 130)], offset=8)) == [("high", 11)]


def test_a_run_that_began_before_the_watermark_is_told_once() -> None:
    machine = judge(HIGH, lateness=5)
    assert times(told(machine, [(0, 130), (1, 130), (7, 130)])) == [("high", 7)]
    assert told(machine, [(6, 130), (5, 130)], offset=3) == []


def test_late_events_are_counted_and_decide_nothing() -> None:
    machine = judge(*RULES)
    told(machine, [(0, 80), (100, 130), (101, 130)])
    assert told(machine, [(89, 130), (90.9, 130)], offset=3) == []
    assert (machine.counts.events, machine.counts.late) == (5, 2)
    assert times(told(machine, [(91, 130)], offset=5)) == [("high", 101)]
    assert machine.counts.late == 2


def test_the_same_reading_twice_is_one() -> None:
    machine = judge(HIGH)
    assert told(machine, [(0, 130), (1, 130), (1, 130), (0, 130)]) == []
    assert machine.counts.again == 2


def test_silence_is_told_once_when_other_keys_show_it() -> None:
    machine = judge(SILENT)
    told(machine, [(0, 70)], "a")
    told(machine, [(5, 70)], "b", 1)
    assert told(machine, [(70, 70)], "c", 2) == []
    assert [(alert.key, *when) for alert, when in _with_times(told(machine, [(70.1, 70)], "c", 3))] == [
        ("a", "silent", 60)
    ]
    assert [alert.key for alert in told(machine, [(80, 70)], "c", 4)] == ["b"]
    assert [alert.key for alert in told(machine, [(151, 70)], "a", 5)] == ["c"]
    assert machine.counts.alerts == 3


def _with_times(alerts: list[Alert]) -> list[tuple[Alert, tuple[str, float]]]:
    return list(zip(alerts, times(alerts), strict=True))


def test_memory_is_bounded() -> None:
    machine = judge(*RULES, lateness=1e6, forget=60, most_keys=10)
    told(machine, [(place, 70 + place % 2) for place in range(3000)])
    assert len(machine.saved()["subjects"]["a"][0]) == 1000
    for place in range(50):
        told(machine, [(3000, 70)], f"k{place:02}", 3000 + place)
    assert len(machine.saved()["subjects"]) <= 10
    assert machine.counts.forgotten == 41
    short = judge(*RULES, forget=120)
    told(short, [(0, 70)], "gone")
    told(short, [(200, 70)], "here", 1)
    assert set(short.saved()["subjects"]) == {"here"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Threshold("Bad", "rate", above=1), "lower snake case"),
        (lambda: Threshold("both", "rate", above=1, below=0), "either above= or below="),
        (lambda: Threshold("none", "rate"), "either above= or below="),
        (lambda: Threshold("often", "rate", above=1, for_=0), "for_ must be more than 0"),
        (lambda: Change("still", "rate", by=0, within=timedelta(1)), "by must be more than 0"),
        (lambda: Change("never", "rate", by=1), "within must be more than 0"),
        (lambda: Absence("at_once", timedelta(0)), "after must be more than 0"),
    ],
)
def test_rules_check_themselves(make: "type[Rule]", words: str) -> None:
    with pytest.raises(SourceError, match=words):
        make()  # type: ignore[call-arg]


# Few keys, values around every limit, times that repeat, are late, and leave silences.
EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(-14, 14) | st.integers(50, 90),
        st.sampled_from([30.0, 45.0, 80.0, 121.0, 130.0, None]),
    ),
    max_size=60,
)
HOW = {"lateness": 10.0, "forget": 200.0, "most_keys": 3}


def _log(drawn: list[tuple[str, int, float | None]]) -> list[Event]:
    """A log whose time goes on, with steps back of up to 14 s."""
    now, log = 0, []
    for place, (key, step, value) in enumerate(drawn):
        at = now + step
        now = max(now, at)
        log.append(Event(key, at * SECOND, (value,), place))
    return log


@given(EVENTS, st.data())
@settings(max_examples=300)
def test_alerts_are_the_same_from_any_saved_state(
    drawn: list[tuple[str, int, float | None]], data: st.DataObject
) -> None:
    """Whenever the judge is stopped, saved as JSON and begun anew."""
    log = _log(drawn)
    straight = judge(*RULES, **HOW)
    expected = [alert for event in log for alert in straight.see(event)]
    stops = data.draw(st.sets(st.integers(0, len(log))))
    machine, found = judge(*RULES, **HOW), []
    for place, event in enumerate(log):
        if place in stops:
            state = json.loads(json.dumps(machine.saved()))
            machine = judge(*RULES, **HOW)
            machine.restore(state)
        found += machine.see(event)
    assert found == expected
    assert json.dumps(machine.saved(), sort_keys=True) == json.dumps(straight.saved(), sort_keys=True)
    assert len({alert.id for alert in found}) == len(found)


@given(EVENTS, st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_whatever_the_order_of_time_tells_is_told_in_any_order(
    drawn: list[tuple[str, int, float | None]], shuffle: random.Random
) -> None:
    """Within the lateness: each run told in order of time shares a reading with an alert; silences are the same."""
    ordered = sorted({(at, key): (key, at, values) for key, at, values, _ in _log(drawn)}.values(), key=lambda e: e[1])
    # Each event comes up to 10 s after its time, and none is overtaken by more.
    mixed = sorted(ordered, key=lambda event: (event[1] + shuffle.randrange(10 * SECOND), event[1]))
    how = {"lateness": 10.0, "forget": 1e6, "most_keys": 10}

    def judged(log: list[tuple[str, int, tuple[float | None, ...]]]) -> list[tuple[Rule | str, str, int, int]]:
        machine = judge(*RULES, **how)
        events = [Event(*event, place) for place, event in enumerate(log)]
        # Everything is passed at the end.
        events += [Event("end", 10**12, (None,), len(events))]
        alerts = [alert for event in events for alert in machine.see(event)]
        assert machine.counts.late == 0
        return [(alert.rule, alert.key, alert.first_at, alert.at) for alert in alerts]

    expected, found = judged(ordered), judged(mixed)
    assert sorted(a for a in expected if a[0] == "silent") == sorted(a for a in found if a[0] == "silent")
    for rule, key, first, last in expected:
        assert [a for a in found if a[:2] == (rule, key) and a[2] <= last and a[3] >= first], (rule, key, first, last)


def test_a_changed_rule_begins_anew_and_the_others_go_on() -> None:
    before = judge(HIGH, SILENT)
    told(before, [(0, 130), (1, 130), (15, None)])
    state = json.loads(json.dumps(before.saved()))
    same, other = judge(JUMP, HIGH, SILENT), judge(Threshold("high", "rate", above=121, for_=3), SILENT)
    same.restore(state)
    other.restore(state)
    assert [name for name, _ in times(told(same, [(16, 130)], offset=3))] == ["high"]
    assert told(other, [(16, 130), (17, 130)], offset=3) == []


def test_fields_are_each_named_once() -> None:
    assert fields((HIGH, JUMP, SILENT, Change("x", "oxygen", by=1, within=timedelta(1)))) == ("oxygen", "rate")
