"""Killed at any moment, run again: no duplicate, no gap, and no reader ever sees half a batch."""

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import polars as pl
import pytest
from house import House
from stale import CHANGES, SCHEMA, rows, stale_is_refused

from lakehouse import ingest, ledger, manifest
from lakehouse.errors import SupersededError
from lakehouse.lake import Change, Lake

Step = Callable[[int], None]
# The commits of a run, in their order.
LEDGER, RAW, PROCESSED, _QUARANTINE, _SUPERSEDED, _ACCOUNT, MANIFEST = range(1, 8)


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def watch(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], before: Step, after: Step) -> None:
    """Call `before(n)` and `after(n)` around the n-th durable step of the lake, counted from 1."""
    count = 0

    def around(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            nonlocal count
            count += 1
            mine = count
            before(mine)
            result = real(*args, **options)
            after(mine)
            return result

        return call

    for name in names:
        monkeypatch.setattr(Lake, name, around(getattr(Lake, name)))


def nothing(_: int) -> None:
    pass


def killed_after(monkeypatch: pytest.MonkeyPatch, house: House, step: int, names: tuple[str, ...]) -> bool:
    """Run, and die after the given step; whether the run got to the end before that."""

    def die(n: int) -> None:
        if n == step:
            raise Killed

    with monkeypatch.context() as patch:
        watch(patch, names, nothing, die)
        try:
            house.run()
        except Killed:
            return False
    return True


def first(house: House) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a1,1,1\na1,1,2\na2,,3\nbad,1,hot\nshared,1,1\n")
    house.land("A/thermometer_2020-01-03.csv", "a3,1,1\na4,1,1\n")


def more(house: House) -> None:
    """A correction, a late file, a contested key, a refused file and a refused correction: every table changes."""
    house.land("A/thermometer_2020-01-01.csv", "a1,1,5\na2,,3\nshared,1,1\nbad,1,hot\n")
    house.land("A/thermometer_2020-01-02.csv", "a1,1,7\na3,1,0\n")
    house.land("A/thermometer_2020-01-03.csv", b"SENSOR\na3\n")
    house.land("B/thermometer_2020-01-02.csv", "shared,1,2\nb1,2,2\n")
    house.land("B/thermometer_2020-01-03.csv", b"")


@pytest.fixture
def begun(house: House) -> House:
    """The first files ingested, the others landed."""
    first(house)
    house.run()
    more(house)
    return house


def copy(house: House, to: Path) -> House:
    shutil.copytree(house.lake.root, to)
    return replace(house, lake=Lake(str(to)))


def from_the_record(house: House, to: Path) -> dict[str, list[tuple[object, ...]]]:
    """The tables of a lake that has the same record and nothing else."""
    clean = copy(house, to)
    for table in (*ingest.tables(house.source).values(), "manifest"):
        shutil.rmtree(to / table)
    clean.run()
    return clean.tables()


def test_the_first_run_survives_a_kill_after_every_step(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first(house)
    house.run()
    expected = house.tables()
    assert house.unbalanced().is_empty()
    for step in range(1, 100):
        victim = replace(house, lake=Lake(str(tmp_path / f"lake-{step}")))
        ended = killed_after(monkeypatch, victim, step, ("keep", "create", "commit"))
        if not ended and manifest.versions(victim.lake):
            assert victim.tables() == expected
        victim.run()
        assert victim.tables() == expected
        assert victim.idle()
        if ended:
            break
    # 2 keeps, a ledger, 5 tables and a manifest created, and 7 commits.
    assert step == 2 + 7 + 7 + 1


def test_a_later_run_survives_a_kill_after_every_commit(
    begun: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = begun.tables()
    undisturbed = copy(begun, tmp_path / "undisturbed")
    undisturbed.run()
    after = undisturbed.tables()
    assert undisturbed.unbalanced().is_empty()
    for step in range(1, 100):
        victim = copy(begun, tmp_path / f"lake-{step}")
        ended = killed_after(monkeypatch, victim, step, ("commit",))
        assert victim.tables() == (before if step < MANIFEST else after)
        victim.run()
        assert victim.tables() == after
        assert victim.idle()
        if ended:
            break
    assert step == MANIFEST + 1


def test_every_attempt_gets_further_even_if_each_is_killed(
    begun: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun.batch_bytes = 100
    undisturbed = copy(begun, tmp_path / "undisturbed")
    states = [begun.tables()]
    with monkeypatch.context() as patch:
        watch(patch, ("commit",), nothing, lambda _: states.append(undisturbed.tables()))
        undisturbed.run()
    # Each of two batches is put on record and goes into five tables and the manifest; readers see it whole, or not.
    assert len(states) == 1 + 2 * 7
    assert len(list(groupby(states))) == 3
    survived = [begun.tables()]
    while not killed_after(monkeypatch, begun, 1, ("commit",)):
        survived.append(begun.tables())
    # No attempt does again what one before it did, though all may be on record before the first batch is.
    assert len(survived) == len(states)
    assert [state for state, _ in groupby(survived)] == [state for state, _ in groupby(states)]
    assert begun.idle()
    assert begun.unbalanced().is_empty()


@pytest.mark.parametrize(("step", "batch_bytes"), [(RAW, 1), (_QUARANTINE, 1), (PROCESSED, 10**6)])
def test_what_an_attempt_began_is_finished_whatever_came_since(
    begun: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, batch_bytes: int
) -> None:
    other = copy(begun, tmp_path / "undisturbed")
    assert not killed_after(monkeypatch, begun, step, ("commit",))
    # The first commit fixes where the batch ends: neither more deliveries nor another batch size move that.
    begun.land("C/thermometer_2020-01-04.csv", "c1,1,1\n")
    begun.batch_bytes = batch_bytes
    begun.run()
    other.run()
    assert begun.tables() == other.tables()
    assert begun.unbalanced().is_empty()
    assert begun.idle()


def test_an_attempt_that_planned_a_larger_batch_than_was_begun_since_gives_up(
    begun: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = copy(begun, tmp_path / "undisturbed")
    undisturbed.run()
    real = ingest.plan

    def plan(*args: object) -> object:
        worked_out = real(*args)  # type: ignore[arg-type]
        # Meanwhile another attempt, with smaller batches, gets as far as its first commit and dies.
        monkeypatch.setattr(ingest, "plan", real)
        assert not killed_after(monkeypatch, replace(begun, batch_bytes=1), 1, ("commit",))
        return worked_out

    monkeypatch.setattr(ingest, "plan", plan)
    with pytest.raises(SupersededError, match="another run is ingesting thermometer"):
        begun.run()
    begun.run()
    assert begun.tables() == undisturbed.tables()
    assert begun.unbalanced().is_empty()


def interleave(
    monkeypatch: pytest.MonkeyPatch, house: House, step: int, meanwhile: Callable[[], None]
) -> BaseException | None:
    """An attempt stops just before its `step`-th commit, `meanwhile` happens, the attempt goes on; what it raised."""
    stopped, resume = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            house.run()
        except BaseException as error:  # noqa: BLE001 (handed to the test)
            raised.append(error)

    zombie = threading.Thread(target=attempt)
    steps = 0
    real = Lake.commit

    def commit(*args: object, **options: object) -> object:
        nonlocal steps
        if threading.current_thread() is zombie:
            steps += 1
            if steps == step:
                stopped.set()
                assert resume.wait(60)
        return real(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "commit", commit)
        zombie.start()
        assert stopped.wait(60)
        try:
            meanwhile()
        finally:
            resume.set()
            zombie.join(60)
    return raised[0] if raised else None


@pytest.mark.parametrize(
    ("step", "later"), [*((step, True) for step in range(LEDGER, MANIFEST + 1)), (PROCESSED, False), (MANIFEST, False)]
)
def test_a_zombie_changes_nothing(
    begun: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: int, later: bool
) -> None:
    alone = copy(begun, tmp_path / "alone")
    left: list[object] = []

    def meanwhile() -> None:
        begun.run()
        if later:
            if step > LEDGER:
                begun.land("A/thermometer_2020-01-02.csv", "a1,1,8\n")
            begun.land("C/thermometer_2020-01-04.csv", "c1,1,1\n")
            begun.run()
        left.extend([manifest.versions(begun.lake), begun.tables()])

    raised = interleave(monkeypatch, begun, step, meanwhile)
    if step == LEDGER:
        # It has seen less than the other by then, and finds everything on record.
        assert raised is None
    else:
        assert isinstance(raised, SupersededError)
    assert [manifest.versions(begun.lake), begun.tables()] == left
    assert begun.unbalanced().is_empty()
    assert begun.idle()
    if not later:
        alone.run()
        assert begun.tables() == alone.tables()


def test_two_runs_that_put_different_files_on_record_at_once_lose_none(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a1,1,1\n")

    def meanwhile() -> None:
        house.land("A/thermometer_2020-01-02.csv", "a2,1,1\n")
        house.run()

    assert interleave(monkeypatch, house, LEDGER, meanwhile) is None
    assert house.table("processed")["sensor"].sort().to_list() == ["a1", "a2"]
    assert house.idle()


def test_a_late_attempt_does_not_put_older_bytes_on_record_after_newer_ones(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.land("A/thermometer_2020-01-01.csv", "a1,1,1\n")

    def meanwhile() -> None:
        house.land("A/thermometer_2020-01-01.csv", "a1,1,2\n")
        house.run()

    interleave(monkeypatch, house, LEDGER, meanwhile)
    assert house.table("processed")["celsius"].to_list() == [2]
    assert house.idle()


@pytest.mark.parametrize(("change", "options"), CHANGES)
def test_a_writer_with_a_stale_table_is_refused(lake: Lake, change: Change, options: dict[str, str]) -> None:
    stale_is_refused(lake, change, options)


@pytest.mark.parametrize("version", [1, 2])
def test_a_version_that_is_there_already_is_refused(lake: Lake, version: int) -> None:
    lake.commit(lake.create("t", SCHEMA), Change(rows(0)), "app", 2)
    delta = lake.open("t")
    assert delta
    with pytest.raises(SupersededError, match="already reflects app 2"):
        lake.commit(delta, Change(rows(1)), "app", version)
    assert lake.scan("t").collect().height == 1


def test_groups_of_tables_are_recorded_at_the_same_time(lake: Lake) -> None:
    def record(name: str) -> None:
        for seq in range(1, 6):
            manifest.record(lake, manifest.State(name, seq, {f"raw/{name}": seq}))

    names = ["a", "b", "c"]
    threads = [threading.Thread(target=record, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manifest.versions(lake) == {f"raw/{name}": 5 for name in names}


def test_an_attempt_that_read_the_record_before_another_began_a_larger_batch_loses_nothing(
    begun: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real, reads = Lake.open, 0

    def open_(lake: Lake, table: str, version: int | None = None) -> object:
        nonlocal reads
        # Before any look at where things stand, another attempt puts more on record, begins it, and dies.
        if table in ("ledger/thermometer", "manifest", "raw/thermometer"):
            reads += 1
            if reads == late:
                begun.land("C/thermometer_2020-01-04.csv", "c1,1,1\n")
                with monkeypatch.context() as undisturbed:
                    undisturbed.setattr(Lake, "open", real)
                    killed_after(monkeypatch, house, RAW, ("commit",))
        return real(lake, table, version)

    late = 0
    while reads >= late:
        late += 1
        reads = 0
        house = copy(begun, tmp_path / f"lake-{late}")
        with monkeypatch.context() as patch:
            patch.setattr(Lake, "open", open_)
            with suppress(SupersededError):
                house.run()
        house.run()
        assert house.tables() == from_the_record(house, tmp_path / f"again-{late}"), late
        assert house.unbalanced().is_empty()
        (begun.landing / "C/thermometer_2020-01-04.csv").unlink(missing_ok=True)
    assert late > 8


@pytest.mark.parametrize("other", ["large file", "rebuild"])
def test_a_run_that_ends_well_leaves_nothing_undone_that_another_began_beside_it(
    house: House, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    house.batch_bytes = 60
    house.land("A/thermometer_2020-01-01.csv", "s0,1,20\n")
    house.run()
    house.land("A/thermometer_2020-01-02.csv", "s1,1,20\n")
    waiting, record = ingest._waiting, manifest.record

    def dies(lake: Lake, state: manifest.State) -> None:
        record(lake, state)
        if state.name.startswith(manifest.UNFINISHED):
            raise Killed

    def read(*words: object) -> pl.DataFrame:
        # What we read is old at once: another attempt begins what takes it several batches, and dies.
        found = waiting(*words)
        monkeypatch.setattr(ingest, "_waiting", waiting)
        if other == "rebuild":
            ledger.rebuild(house.lake, house.source, "somebody", "why not", 31)
        else:
            # It has a key that is known already, so it takes a batch for each piece.
            house.land("A/thermometer_2020-01-03.csv", "s0,1,20\n" + "".join(f"t{n},1,20\n" for n in range(30)))
        with monkeypatch.context() as patch:
            patch.setattr(manifest, "record", dies)
            with pytest.raises(Killed):
                house.run()
        return found

    monkeypatch.setattr(ingest, "_waiting", read)
    house.run()
    assert house.idle()
    assert {"s0", "s1"} <= set(house.table("processed")["sensor"])
    assert house.unbalanced().is_empty()
