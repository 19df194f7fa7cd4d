"""The results that say what is usual in this study: those of a sample of its subjects that stops growing.

A study of any size is judged by the results of at most a thousand subjects, drawn by a digest of their identifiers. So
the cost of knowing what is usual is bounded, and while a large study goes on the numbers soon stay as they are.
"""

import hashlib

import dataframely as dy
import polars as pl

from assets.curated.measured import SERIES, measured
from assets.study import SAMPLE
from lakehouse.curated import Curated, Through


class ReferenceSubject(dy.Schema):
    """One subject of the sample."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    siteid = dy.String(description="Study site identifier (SDTM SITEID).")


class ReferenceResult(dy.Schema):
    """One numeric result of a subject of the sample."""

    usubjid = dy.String(description="Unique subject identifier (SDTM USUBJID).")
    source = dy.String(description="Name of the source.")
    paramcd = dy.String(description="Short name of the parameter (ADaM PARAMCD).")
    basetype = dy.String(nullable=True, description="Time point, where a visit has several (ADaM BASETYPE).")
    visitnum = dy.Float64(description="Visit number (SDTM VISITNUM).")
    adt = dy.Date(nullable=True, description="Day of the result (ADaM ADT).")
    aval = dy.Float64(description="Analysis value (ADaM AVAL).")


def reference_subjects(subjects: pl.LazyFrame) -> pl.LazyFrame:
    """The thousand subjects whose digest is least, or all of them where there are fewer.

    Each subject is as likely as any other, and a new one takes the place of another ever more seldom. Source: Cohen and
    Kaplan, Summarizing Data Using Bottom-k Sketches, PODC 2007.
    """
    digest = pl.col("usubjid").map_batches(_digests, return_dtype=pl.String)
    return subjects.select("usubjid", "siteid", _digest=digest).bottom_k(SAMPLE, by="_digest").drop("_digest")


def _digests(identifiers: pl.Series) -> pl.Series:
    found = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in identifiers]
    return pl.Series(identifiers.name, found, pl.String)


def reference_results(sample: pl.LazyFrame, vital_signs: pl.LazyFrame, lab_results: pl.LazyFrame) -> pl.LazyFrame:
    """Numeric results of the subjects in the sample."""
    results = measured(vital_signs, lab_results).select(ReferenceResult.column_names()).drop_nulls("aval")
    return results.join(sample, on="usubjid", how="semi")


REFERENCE_SUBJECTS = Curated(
    name="reference_subjects",
    description="The sample of subjects whose results say what is usual in this study. Blinded.",
    owner="team:clinical-data",
    contract=ReferenceSubject,
    key=("usubjid",),
    inputs=("curated/subjects",),
    transform=reference_subjects,
    through=Through("curated.subjects", "behind.usubjid = this.usubjid"),
    warehouse=None,
)
REFERENCE_RESULTS = Curated(
    name="reference_results",
    description="Numeric results of the sampled subjects: what is usual in this study is taken from them. Blinded.",
    owner="team:clinical-data",
    contract=ReferenceResult,
    key=(*SERIES, "visitnum"),
    by="usubjid",
    inputs=("curated/reference_subjects", "curated/vital_signs", "curated/lab_results"),
    transform=reference_results,
    through=Through("curated.subjects", "behind.usubjid = this.usubjid"),
    warehouse=None,
)
