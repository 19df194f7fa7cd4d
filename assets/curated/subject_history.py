"""What was known of each subject's demographics, and from which delivery day to which: a dimension of type 2."""

from functools import reduce

import dataframely as dy
import polars as pl

from assets.curated.subjects import BlindedSubject
from assets.reference import SITES
from assets.subjects import SUBJECTS, Subject, tidy
from lakehouse.contract import Contract
from lakehouse.curated import Curated
from lakehouse.lake import RECORD

# What makes a version: the rest of a record is who it is about, and where it was delivered.
TOLD = ("subjid", "studyid", "siteid", "country", "age", "ageu", "sex", "race", "ethnic", "dmdtc", "rfstdtc")
WHOSE = ["usubjid", "_site"]


class SubjectVersion(Contract):
    """One subject as one site told it for some days; its provenance is that of the first record that told it so."""

    usubjid = Subject.usubjid
    subjid = Subject.subjid
    studyid = Subject.studyid
    siteid = Subject.siteid
    country = Subject.country
    region = BlindedSubject.region
    age = BlindedSubject.age
    ageu = Subject.ageu
    sex = Subject.sex
    race = Subject.race
    ethnic = Subject.ethnic
    dmdtc = Subject.dmdtc
    rfstdtc = Subject.rfstdtc
    valid_from = dy.Date(description="Delivery day of the first record that told it so.")
    valid_to = dy.Date(
        nullable=True, description="Delivery day of the record that told otherwise, or lacked it; null while it holds."
    )
    is_current = dy.Bool(description="Whether it holds still.")


def subject_history(
    raw: pl.LazyFrame, superseded: pl.LazyFrame, processed: pl.LazyFrame, account: pl.LazyFrame
) -> pl.LazyFrame:
    """Versions of each subject by delivery day, from the records that had their say: those that are rows now, and those
    that a later record of their key, or a later snapshot without them, has taken the place of.

    Left out are records that broke the contract, that were withdrawn, whose file was delivered again for the same day,
    and those of a subject that two sites claim. Of several on one day the last counts. A version ends on the day a
    record differs from it, or a sound snapshot of its site lacks the subject; it is told anew when the subject is back.
    What is valid on a day: `valid_from <= day and (valid_to is null or day < valid_to)`. The region is that of the list
    of sites as it is now, and makes no version.

    superseded, account: of the subjects. Everything is by site, so a site's new snapshot touches its own versions only.
    Source: type 2 of slowly changing dimensions, Kimball and Ross, The Data Warehouse Toolkit (2013), chapter 5.
    """
    counted = pl.concat(
        [processed.select(RECORD), superseded.filter(pl.col("_kind").is_in(["key", "vanished"])).select(RECORD)]
    )
    sound = account.filter(pl.col("sound") & (pl.col("state") == "in effect")).select("_site", _ends="_delivered")
    told = (
        tidy(raw.join(counted, on=RECORD, how="semi"))
        .with_columns(pl.col("age").cast(pl.Int64))
        .select("usubjid", *TOLD, *(name for name in SubjectVersion.column_names() if name.startswith("_")))
        .sort("_delivered", "_file", "_line")
        .unique([*WHOSE, "_delivered"], keep="last", maintain_order=True)
        .sort("_delivered", "usubjid")
        # The first sound snapshot after the record's own day: who is in it has a record of that day.
        .join_asof(
            sound.unique().sort("_ends"),
            left_on="_delivered",
            right_on="_ends",
            by="_site",
            strategy="forward",
            allow_exact_matches=False,
            # Sorted just above, which cannot be checked within each site.
            check_sortedness=False,
        )
        .sort(*WHOSE, "_delivered")
    )
    following = pl.col("_delivered").shift(-1).over(WHOSE)
    until = told.with_columns(_until=pl.min_horizontal(following, "_ends"))
    same = reduce(pl.Expr.__and__, (pl.col(name).eq_missing(pl.col(name).shift()) for name in TOLD))
    goes_on = (same & (pl.col("_until").shift() == pl.col("_delivered"))).over(WHOSE).fill_null(False)
    return (
        until.with_columns(_version=(~goes_on).cum_sum().over(WHOSE))
        .group_by(*WHOSE, "_version", maintain_order=True)
        .agg(
            pl.exclude(*WHOSE, "_version", "_until").first(),
            valid_from=pl.col("_delivered").first(),
            valid_to=pl.col("_until").last(),
        )
        .with_columns(is_current=pl.col("valid_to").is_null())
        .join(SITES.rows().select("siteid", "region"), on="siteid", how="left")
        .select(SubjectVersion.column_names())
    )


SUBJECT_HISTORY = Curated(
    name="subject_history",
    description="Each subject's demographics as they were known, from delivery day to delivery day; blinded.",
    owner="team:clinical-data",
    contract=SubjectVersion,
    key=("usubjid", "_site", "valid_from"),
    by="_site",
    inputs=tuple(f"{layer}/{SUBJECTS.name}" for layer in ("raw", "superseded", "processed", "account")),
    transform=subject_history,
)
