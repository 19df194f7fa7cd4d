"""The training set and the worked example: what the file says of itself, and that the docs show what comes out."""

import importlib.util
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pyarrow.feather
import pyarrow.parquet
import pytest
from sklearn.neighbors import KNeighborsClassifier

from assets import training
from assets.curated.visit_features import LABEL, VISIT_FEATURES, visit_features
from lakehouse.contract import PROVENANCE
from lakehouse.errors import LakehouseError
from lakehouse.history import as_of
from lakehouse.settings import PROJECT

sys.path.insert(0, str(PROJECT / "tests" / "assets" / "curated"))
from agreement import made

EXAMPLE = PROJECT / "examples" / "leaving.py"


@pytest.fixture(scope="module")
def features() -> pl.LazyFrame:
    return made(VISIT_FEATURES.table).lazy()


def on(day: date, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows as they were known on a day."""
    return training.as_known(day, rows, *(made(f"history/{name}").lazy() for name in training.AS_KNOWN_BY))


def test_a_subject_is_on_one_side_and_stays_there(features: pl.LazyFrame) -> None:
    whole = training.training_set(features)
    assert whole.group_by("usubjid").agg(pl.col("split").n_unique())["split"].max() == 1
    sides = whole.group_by("split").agg(pl.col("usubjid").n_unique())
    assert dict(sides.iter_rows()) == {"test": 66, "train": 240}
    part = training.training_set(on(date(2013, 10, 1), features))
    assert part.join(whole, on=["usubjid", "visitnum", "split"], how="anti").is_empty()
    assert not set(PROVENANCE) & set(whole.columns)


def test_as_of_a_day_nothing_later_is_known(features: pl.LazyFrame) -> None:
    day = date(2013, 10, 1)
    part = training.training_set(on(day, features))
    assert part["cutoff"].max() <= day
    known = part.filter(pl.col(LABEL).is_not_null())
    assert known["cutoff"].max() == day - timedelta(days=28)
    whole = training.training_set(features).filter(pl.col("cutoff") <= day - timedelta(days=28))
    # Of who had left by now, but was not known to have left or stayed by then, it is not told.
    told = whole.filter(pl.col(LABEL).is_not_null())
    assert known.join(told, on=told.columns, how="anti", nulls_equal=True).is_empty()
    assert (known.height, told.height) == (1328, 1344)


@pytest.mark.parametrize("day", [date(2013, 10, 1), date(2014, 1, 1), date(2014, 4, 1)])
def test_as_of_a_day_it_is_what_that_day_would_have_made(features: pl.LazyFrame, day: date) -> None:
    """Rows, features and label, the label once its days were over."""
    subjects, *histories = (made(name).lazy() for name in VISIT_FEATURES.inputs)
    by_then = [as_of(frame, day) for frame in histories]
    there = subjects.join(by_then[VISIT_FEATURES.inputs.index("history/subjects") - 1], on="usubjid", how="semi")
    over = pl.col("cutoff") + pl.duration(days=28) <= day
    then = visit_features(there, *by_then).with_columns(pl.when(over).then(LABEL).alias(LABEL))
    assert training.training_set(on(day, features)).equals(training.training_set(then))


@pytest.mark.parametrize("ending", training.FORMATS)
def test_the_file_describes_each_column(features: pl.LazyFrame, tmp_path: Path, ending: str) -> None:
    frame, path = training.training_set(features), tmp_path / f"training{ending}"
    training.write(frame, path, {"version": "7", "as_of": ""})
    read = pyarrow.parquet.read_table if ending == ".parquet" else pyarrow.feather.read_table
    table = read(path)
    assert pl.DataFrame(table).equals(frame)
    assert table.schema.metadata[b"version"] == b"7"
    told = {field.name: field.metadata for field in table.schema}
    assert all(metadata[b"description"] for metadata in told.values())
    assert [name for name, metadata in told.items() if metadata[b"role"] == b"label"] == [LABEL]
    assert told["split"][b"role"] == b"split"
    assert told["usubjid"][b"role"] == b"key"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_another_ending_is_refused(features: pl.LazyFrame, tmp_path: Path) -> None:
    with pytest.raises(LakehouseError, match="nothing was written"):
        training.write(training.training_set(features), tmp_path / "training.csv", {})
    assert list(tmp_path.iterdir()) == []


def test_the_docs_show_what_the_example_prints(features: pl.LazyFrame, tmp_path: Path) -> None:
    path = tmp_path / "training.parquet"
    training.write(training.training_set(features), path, {})
    done = subprocess.run([sys.executable, "-W", "ignore", EXAMPLE, path], capture_output=True, text=True, check=True)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert len(lines) == 9
    docs = (PROJECT / "docs" / "features.md").read_text().splitlines()
    assert [line for line in lines if line not in docs] == []


def test_no_fold_has_seen_the_subject_it_is_asked_about(features: pl.LazyFrame) -> None:
    """A model that only remembers subjects learns nothing by grouped folds: it says of each the same as of all."""
    spec = importlib.util.spec_from_file_location("leaving", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    leaving = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(leaving)
    rows = training.training_set(features).drop_nulls(LABEL)
    ranks = pl.col("usubjid").rank("dense")
    seen = rows.select("usubjid", label=ranks.cast(pl.Int64) % 2, number=ranks.cast(pl.Float64))
    told = leaving.crossed(KNeighborsClassifier(n_neighbors=1), seen, ["number"])
    # The nearest number is a neighbour's, whose label is the other one; one's own would be right every time.
    assert leaving.scores(seen["label"], told)[0] < 0.5
