"""What a stream has on record stays as it is, and quick to read, however often it was put there."""

from datetime import timedelta
from pathlib import Path

from rates import declared, on_record

from lakehouse.housekeeping import housekeep
from lakehouse.lake import Lake
from lakehouse.rules import Alert
from lakehouse.streaming.record import Record, State

COMMITS = 20
STREAM = declared("rates")
ALERT = Alert("", "high", "rate above 120", "a", 0, 0, 130.0, 2, 0, 0, 1)


def test_many_small_commits_are_put_together_and_the_service_goes_on(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    record = Record(lake, STREAM)
    record.load()
    for ordinal in range(1, COMMITS + 1):
        state = State(ordinal, {0: 2 * ordinal})
        record.save([(ordinal, ALERT._replace(id=str(ordinal)))], ordinal, state.packed())
    before, delta = on_record(lake), lake.open(STREAM.table)
    assert delta
    # The first version made the table.
    assert (delta.version(), len(delta.file_uris())) == (COMMITS, COMMITS)
    [tidied] = [one for one in housekeep(lake, timedelta(0)) if one.table == STREAM.table]
    assert (tidied.files_before, tidied.files) == (COMMITS, 1)
    assert on_record(lake).equals(before)
    again = Record(lake, STREAM)
    assert again.load().positions == {0: 2 * COMMITS}
    again.save([(COMMITS + 1, ALERT)], COMMITS + 1, State(COMMITS + 1).packed())
    assert on_record(lake)["ordinal"].to_list() == list(range(1, COMMITS + 2))
