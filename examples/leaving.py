"""A worked example: will a subject leave the study within 28 days? A small model, and how much it is worth.

    lakehouse features export training.parquet
    python examples/leaving.py training.parquet

Needs scikit-learn (`pip install -e .[dev]`). Three models are compared on the same folds: one that knows nothing but
how often subjects leave, one that knows only how long they have taken part, and one that has all features. Folds and
test are split by subject: a subject's visits resemble each other, and who has seen some of them knows the others.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow.feather
import pyarrow.parquet
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

SEED, FOLDS = 20130101, 5
TIME = ["days_since_start", "visits_so_far"]


def main(path: Path) -> None:
    """Print each model's scores in cross-validation, and once on the subjects that were kept apart."""
    rows, features = load(path)
    train, test = (rows.filter(split=side) for side in ("train", "test"))
    for name, part in (("train", train), ("test", test)):
        share = part["label"].mean()
        print(f"{name}: {part['usubjid'].n_unique()} subjects, {part.height:,} visits, {share:.1%} leave")
    print(f"\n{'':24}{'cross-validation':^27}{'test, once':^27}")
    print(f"{'model':24}{'AUC':>9}{'PR AUC':>9}{'Brier':>9}{'AUC':>9}{'PR AUC':>9}{'Brier':>9}")
    for name, found in compare(train, test, features).items():
        print(f"{name:24}" + "".join(f"{score:9.3f}" for score in found))
    wrong = scores(train["label"], crossed(logistic(), train, features, by_subject=False))
    print(f"{'… folds by row (wrong)':24}" + "".join(f"{score:9.3f}" for score in wrong))


def load(path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Visits with a label, and the names of the features, told by the roles that the file gives its columns."""
    read = pyarrow.parquet.read_table if path.suffix == ".parquet" else pyarrow.feather.read_table
    table = read(path)
    role = {field.name: field.metadata[b"role"].decode() for field in table.schema}
    [label] = [name for name, part in role.items() if part == "label"]
    rows = pl.DataFrame(table).drop_nulls(label).with_columns(female=(pl.col("sex") == "F").cast(pl.Float64))
    features = [name for name, part in role.items() if part == "feature" and name != "sex"]
    return rows.with_columns(label=pl.col(label).cast(pl.Int64)), [*features, "female"]


def compare(train: pl.DataFrame, test: pl.DataFrame, features: list[str]) -> Mapping[str, tuple[float, ...]]:
    """By model ROC AUC, average precision and Brier score: cross-validated by subject, then on the test subjects."""
    models = {
        "how often they leave": (DummyClassifier(strategy="prior"), TIME),
        "and how long they stay": (logistic(), TIME),
        "and all features": (logistic(), features),
    }
    return {
        name: (
            *scores(train["label"], crossed(model, train, columns)),
            *scores(test["label"], fitted(model, train, test, columns)),
        )
        for name, (model, columns) in models.items()
    }


def logistic() -> Pipeline:
    """Logistic regression; a missing value is its column's median, and a column of its own tells that it is missing."""
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=2000),
    )


def crossed(model: Pipeline, rows: pl.DataFrame, columns: list[str], *, by_subject: bool = True) -> pl.Series:
    """Each row's probability by a model that has seen none of its subject's rows, or just not this one."""
    folds = (GroupKFold if by_subject else KFold)(FOLDS, shuffle=True, random_state=SEED)
    x, y, groups = (
        rows.select(columns).cast(pl.Float64).to_numpy(),
        rows["label"].to_numpy(),
        rows["usubjid"].to_numpy(),
    )
    return pl.Series(cross_val_predict(model, x, y, groups=groups, cv=folds, method="predict_proba")[:, 1])


def fitted(model: Pipeline, train: pl.DataFrame, test: pl.DataFrame, columns: list[str]) -> pl.Series:
    """Probabilities of the test rows by a model of all training rows."""
    x, new = (rows.select(columns).cast(pl.Float64).to_numpy() for rows in (train, test))
    return pl.Series(model.fit(x, train["label"].to_numpy()).predict_proba(new)[:, 1])


def scores(truth: pl.Series, told: pl.Series) -> tuple[float, float, float]:
    """How well it ranks (ROC AUC, average precision: more is better), and its mean squared error (Brier: less is)."""
    y, p = truth.to_numpy(), told.to_numpy()
    return float(roc_auc_score(y, p)), float(average_precision_score(y, p)), float(brier_score_loss(y, p))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
