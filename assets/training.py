"""A training set made of `curated/visit_features`: as of a day, split by subject, each column described in the file."""

import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from assets.curated.visit_features import LABEL, VisitFeatures, labels
from assets.disposition import DISPOSITION
from assets.study import HORIZON
from assets.subjects import SUBJECTS
from assets.visits import VISITS
from lakehouse.contract import PROVENANCE
from lakehouse.errors import LakehouseError
from lakehouse.history import as_of, current

# Of a hundred subjects, how many are kept for the test.
TEST_SHARE = 20
KEYS = ("studyid", "usubjid", "siteid", "visitnum", "visit", "cutoff")
SPLIT = "split"
_SPLIT_WORDS = "train or test; all rows of a subject are on one side, and stay there when more of the study arrives."
# What tells which rows there were on a day, and their labels; see `as_known`.
AS_KNOWN_BY = (VISITS.name, SUBJECTS.name, DISPOSITION.name)
FORMATS = {".parquet": "Parquet", ".arrow": "Arrow"}


def training_set(rows: pl.LazyFrame) -> pl.DataFrame:
    """The features without their provenance, with `split`, sorted by subject and visit."""
    frame = rows.drop(list(PROVENANCE)).sort("usubjid", "cutoff", "visitnum").collect()
    sides = {subject: side(subject) for subject in frame["usubjid"].unique()}
    return frame.with_columns(pl.col("usubjid").replace_strict(sides, return_dtype=pl.String).alias(SPLIT))


def as_known(
    day: date, rows: pl.LazyFrame, visits: pl.LazyFrame, demographics: pl.LazyFrame, disposition: pl.LazyFrame
) -> pl.LazyFrame:
    """The rows that were there at the end of a day, each with its label as it was known then.

    visits, demographics, disposition: every version of their rows, see `lakehouse.history`; of `AS_KNOWN_BY`.

    A row is there when its visit and its subject's demographics counted, and count still. The label is made of what was
    known on that day, and left out wherever its days were not over by then: to take those that had left already and not
    those who might yet would make leaving look more frequent than it is.
    """
    told = labels(as_of(visits, day), as_of(disposition, day))
    there = current(as_of(demographics, day), SUBJECTS.key).select("usubjid")
    over = pl.col("cutoff") + pl.duration(days=HORIZON) <= day
    return (
        rows.drop(LABEL)
        .join(told, on=["usubjid", "visitnum"])
        .join(there, on="usubjid", how="semi")
        .with_columns(pl.when(over).then(LABEL).alias(LABEL))
        .select(VisitFeatures.column_names())
    )


def side(subject: str) -> str:
    """`train` or `test`, told by the subject's identifier alone."""
    number = int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "big")
    return "test" if number % 100 < TEST_SHARE else "train"


def roles() -> dict[str, tuple[str, str]]:
    """By column, what part it plays (`key`, `feature`, `label` or `split`), and its description."""
    columns = VisitFeatures.columns()
    named = {name: "key" if name in KEYS else "feature" for name in columns if name not in PROVENANCE}
    described = {name: (role, columns[name].description or "") for name, role in {**named, LABEL: "label"}.items()}
    return {**described, SPLIT: ("split", _SPLIT_WORDS)}


def write(frame: pl.DataFrame, path: Path, told: Mapping[str, str]) -> None:
    """Write a training set, whole or not at all, as the name's ending says.

    Each field carries its `role` and `description`, the schema what is `told` of where it came from. Raises
    LakehouseError for another ending than `FORMATS` has, or when the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise LakehouseError(f"{path.name} ends in neither {' nor '.join(FORMATS)}; nothing was written")
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    fields = [
        field.with_metadata(dict(zip(("role", "description"), roles()[field.name], strict=True)))
        for field in table.schema
    ]
    table = table.cast(pa.schema(fields, metadata=dict(told)))
    unfinished = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(table, unfinished)
        else:
            pyarrow.feather.write_feather(table, unfinished, compression="zstd")
        unfinished.replace(path)
    except OSError as error:
        raise LakehouseError(f"{path} cannot be written ({error.strerror}); nothing was written") from None
    finally:
        unfinished.unlink(missing_ok=True)
