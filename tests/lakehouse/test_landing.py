"""The landing folder: what is a delivery, whose, of which day, and whether it is complete."""

import os
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from thermometer import THERMOMETER

from lakehouse import landing
from lakehouse.clock import Clock
from lakehouse.errors import ConfigurationError, DefinitionError
from lakehouse.landing import Landed, listing, plain, refusal, settled, visible

BAROMETER = replace(THERMOMETER, name="barometer")
GOOD = "A/thermometer_2020-01-01.csv"


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


def claimed(folder: Path) -> list[str]:
    return [file.path for file in listing(folder, [THERMOMETER]).claimed["thermometer"]]


def test_files_are_found_in_the_order_of_their_paths_under_the_source_that_claims_them(tmp_path: Path) -> None:
    put(tmp_path, "B/thermometer_2020-01-01.csv", GOOD, "A/barometer_2020-01-01.csv", "A/thermometer_2020-01-02.csv")
    put(tmp_path, "notes.txt", "A/notes.txt", "A/deeper/thermometer_2020-01-01.csv", "thermometer_2020-01-01.csv")
    found = listing(tmp_path, [THERMOMETER, BAROMETER])
    assert [file.path for file in found.claimed["thermometer"]] == [
        GOOD,
        "A/thermometer_2020-01-02.csv",
        "B/thermometer_2020-01-01.csv",
    ]
    assert [file.path for file in found.claimed["barometer"]] == ["A/barometer_2020-01-01.csv"]
    assert sorted(found.unclaimed) == [
        "A/deeper/thermometer_2020-01-01.csv",
        "A/notes.txt",
        "notes.txt",
        "thermometer_2020-01-01.csv",
    ]


def test_a_file_is_told_by_its_path_and_its_folder_entry(tmp_path: Path) -> None:
    put(tmp_path, GOOD)
    os.utime(tmp_path / GOOD, ns=(5, 1_577_836_800_123_456_789))
    file = listing(tmp_path, [THERMOMETER]).claimed["thermometer"][0]
    assert (file.path, file.site, file.day, file.delivered) == (GOOD, "A", "2020-01-01", date(2020, 1, 1))
    assert (file.size, file.mtime_ns) == (1, 1_577_836_800_123_456_789)
    # The sender's time may be any; when it changed here is this machine's to say.
    assert abs(file.changed - time.time()) < 60


@pytest.mark.parametrize(
    "name",
    [
        ".thermometer_2020-01-01.csv",
        ".thermometer_2020-01-01.csv.Xa81",
        "thermometer_2020-01-01.csv.tmp",
        "thermometer_2020-01-01.csv.part",
        "thermometer_2020-01-01.csv.partial",
        "thermometer_2020-01-01.csv.filepart",
        "thermometer_2020-01-01.csv.crdownload",
        "thermometer_2020-01-01.csv.swp",
        "thermometer_2020-01-01.csv~",
    ],
)
def test_hidden_and_temporary_names_are_passed_over(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"A/{name}", f".hidden/{GOOD}", f"{name}/thermometer_2020-01-01.csv", GOOD)
    found = listing(tmp_path, [THERMOMETER])
    assert [file.path for file in found.claimed["thermometer"]] == [GOOD]
    assert found.unclaimed == []


def test_links_are_not_followed_and_belong_to_no_source(tmp_path: Path) -> None:
    folder = tmp_path / "landing"
    put(folder, GOOD)
    put(tmp_path / "elsewhere", "thermometer_2020-01-05.csv")
    (folder / "A/thermometer_2020-01-02.csv").symlink_to(folder / GOOD)
    (folder / "A/thermometer_2020-01-03.csv").symlink_to(tmp_path / "nowhere")
    (folder / "B").symlink_to(tmp_path / "elsewhere")
    found = listing(folder, [THERMOMETER])
    assert [file.path for file in found.claimed["thermometer"]] == [GOOD]
    assert found.unclaimed == ["A/thermometer_2020-01-02.csv", "A/thermometer_2020-01-03.csv", "B"]


def test_what_is_not_a_file_belongs_to_no_source(tmp_path: Path) -> None:
    put(tmp_path, GOOD)
    os.mkfifo(tmp_path / "A/thermometer_2020-01-02.csv")
    found = listing(tmp_path, [THERMOMETER])
    assert [file.path for file in found.claimed["thermometer"]] == [GOOD]
    assert found.unclaimed == ["A/thermometer_2020-01-02.csv"]


def test_two_sources_that_claim_one_path_are_both_named(tmp_path: Path) -> None:
    greedy = replace(BAROMETER, path="{site}/thermometer_{day}.csv")
    put(tmp_path, GOOD)
    with pytest.raises(DefinitionError, match=f"sources thermometer and barometer both claim {GOOD}"):
        listing(tmp_path, [THERMOMETER, greedy])


def test_a_missing_landing_folder_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist: create it or set LAKEHOUSE_LANDING"):
        listing(tmp_path / "unmounted", [THERMOMETER])
    put(tmp_path, "file")
    with pytest.raises(ConfigurationError):
        listing(tmp_path / "file", [THERMOMETER])
    assert claimed(tmp_path) == []


@pytest.mark.parametrize("site", ["two words", "it's", 'say "x"', "a\nb", "Ä", "50%", "a;b", "-rf", "*", "日本"])
def test_a_site_may_have_any_name(tmp_path: Path, site: str) -> None:
    put(tmp_path, f"{site}/thermometer_2020-01-01.csv")
    file = listing(tmp_path, [THERMOMETER]).claimed["thermometer"][0]
    assert (file.path, file.site) == (f"{site}/thermometer_2020-01-01.csv", site)


def test_a_file_that_goes_while_the_folder_is_read_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = "A/thermometer_2020-01-02.csv"
    put(tmp_path, GOOD, gone, "B/thermometer_2020-01-01.csv")
    real = landing._visible

    def visible(entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
        if any(entry.name == Path(gone).name for entry in entries):
            (tmp_path / gone).unlink()
        return list(real(entries))

    monkeypatch.setattr(landing, "_visible", visible)
    assert claimed(tmp_path) == [GOOD, "B/thermometer_2020-01-01.csv"]


DAYS = [
    ("2020-02-30", "not a day"),
    ("2020-13-01", "not a day"),
    ("20200101", "not a day"),
    ("01.01.2020", "not a day"),
    ("2020-1-1", "not a day"),
    ("2020-01-01 (1)", "not a day"),
    ("2020-W01-1", "not a day"),
    ("2020-01-0٣", "not a day"),
    ("", "not a day"),
    ("1969-12-31", "before 1970-01-01"),
    ("0001-01-01", "before 1970-01-01"),
    ("2021-01-01", "has not come yet"),
    ("9999-12-31", "has not come yet"),
]


def landed(day: str) -> Landed:
    match = THERMOMETER.pattern.fullmatch(f"A/thermometer_{day}.csv")
    return Landed(f"A/thermometer_{day}.csv", "A", match["day"] if match else "", landing._day(day), 1, 1, 1.0)


@pytest.mark.parametrize(("day", "words"), DAYS)
def test_a_day_that_cannot_be_is_refused_in_words(day: str, words: str) -> None:
    told = refusal(landed(day), THERMOMETER, Clock(date(2020, 12, 31)))
    assert told
    assert words in told
    assert "rename the file and send it again" in told
    assert day in told


@pytest.mark.parametrize("day", ["1970-01-01", "2020-02-29", "2020-12-31"])
def test_a_day_that_has_come_is_good(day: str) -> None:
    assert refusal(landed(day), THERMOMETER, Clock(date(2020, 12, 31))) is None


def test_a_source_says_which_day_is_its_first() -> None:
    source = replace(THERMOMETER, first_day=date(2020, 6, 1))
    assert refusal(landed("2020-06-01"), source, Clock(date(2020, 12, 31))) is None
    assert "before 2020-06-01" in str(refusal(landed("2020-05-31"), source, Clock(date(2020, 12, 31))))


def test_tomorrow_has_come_somewhere_for_a_live_clock_but_not_for_a_set_one() -> None:
    while True:
        today = datetime.now(UTC).date()
        days = [str(today + timedelta(days=ahead)) for ahead in (0, 1, 2)]
        live = [refusal(landed(day), THERMOMETER, Clock()) is None for day in days]
        told = Clock().today
        # Unless midnight passed in between.
        if datetime.now(UTC).date() == today:
            break
    assert live == [True, True, False]
    assert [refusal(landed(day), THERMOMETER, Clock(today)) is None for day in days] == [True, False, False]
    assert told == today
    assert Clock(date(2015, 3, 6)).today == Clock(date(2015, 3, 6)).last_day == date(2015, 3, 6)


def test_a_file_is_settled_once_it_was_left_alone_for_long_enough() -> None:
    file = replace(landed("2020-01-01"), changed=100.0)
    assert not file.settled(2, now=101.9)
    assert file.settled(2, now=102)
    assert file.settled(0, now=100)
    assert replace(file, changed=time.time() - 10).settled(2)
    assert not replace(file, changed=time.time() + 10).settled(2)


class Time:
    """A clock that a test moves, in place of this machine's."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_a_file_just_written_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, GOOD)
    clock = Time((tmp_path / GOOD).stat().st_ctime + 0.5)
    monkeypatch.setattr(landing, "time", clock)
    assert [file.path for file in settled(tmp_path, THERMOMETER, 2)] == [GOOD]
    assert clock.slept == [pytest.approx(1.5)]
    assert [file.path for file in settled(tmp_path, THERMOMETER, 2)] == [GOOD]
    assert len(clock.slept) == 1


def test_a_file_that_goes_on_growing_is_left_out_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, GOOD, "B/thermometer_2020-01-01.csv")
    clock = Time((tmp_path / "B/thermometer_2020-01-01.csv").stat().st_ctime + 0.5)
    monkeypatch.setattr(landing, "time", clock)
    real = landing.listing
    written = iter([0.0, 1.0])

    def growing(folder: Path, sources: list[object]) -> landing.Listing:
        found = real(folder, sources)  # type: ignore[arg-type]
        late = clock.now - 0.1 * next(written)
        files = [replace(file, changed=late) if file.path == GOOD else file for file in found.claimed["thermometer"]]
        return landing.Listing({"thermometer": files}, [])

    monkeypatch.setattr(landing, "listing", growing)
    assert [file.path for file in settled(tmp_path, THERMOMETER, 2)] == ["B/thermometer_2020-01-01.csv"]
    assert sum(clock.slept) <= 2


def test_no_waiting_when_asked_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, GOOD)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("slept"))
    assert [file.path for file in settled(tmp_path, THERMOMETER, 0)] == [GOOD]


def test_names_that_lead_out_of_the_folder_are_not_plain() -> None:
    assert plain(GOOD)
    for path in ("../thermometer_2020-01-01.csv", "A/../B", "/A/b", "A//b", "A\\b", "A/b\n", "./A", "A/", ""):
        assert not plain(path)


def test_a_file_in_a_folder_that_is_hidden_or_still_written_is_not_visible(tmp_path: Path) -> None:
    hidden = ("A.tmp/thermometer_2020-01-01.csv", ".A/thermometer_2020-01-01.csv", f"{GOOD}.part")
    put(tmp_path, GOOD, *hidden)
    assert claimed(tmp_path) == [GOOD]
    assert visible(GOOD)
    assert not any(visible(path) for path in hidden)


def test_a_folder_is_looked_into_as_on_the_way_through_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, GOOD, "B/thermometer_2020-01-01.csv", "C.tmp/thermometer_2020-01-01.csv")
    (tmp_path / "D").symlink_to(tmp_path / "A")
    real, looked = os.scandir, []

    def scandir(folder: Path) -> object:
        looked.append(folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    found = {
        below: [file.path for file in listing(tmp_path, [THERMOMETER], below).claimed["thermometer"]]
        for below in ("A", "C.tmp", "D", "E", GOOD)
    }
    assert found == {"A": [GOOD], "C.tmp": [], "D": [], "E": [], GOOD: []}
    assert looked == [tmp_path / "A"]
