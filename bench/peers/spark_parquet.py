"""PySpark on one machine: the DataFrame API, to Parquet by month."""

import resource
import time
from pathlib import Path

import measured
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 (so Spark's guide has it)
from pyspark.sql.types import StringType, StructField, StructType
from units import HIGH, LOW, TO_STANDARD

COLUMNS = [
    *("STUDYID", "USUBJID", "VSTESTCD", "VSPOS", "VSORRES", "VSORRESU", "VSSTAT", "VSLOC", "VISITNUM", "VISIT"),
    *("VSDTC", "VSTPT", "VSTPTNUM"),
]
RULES = {
    "subject_named": "site <> ''",
    "test_known": "low is not null",
    "result_is_a_number": r"vsorres rlike '^-?[0-9]+([.][0-9]+)?$'",
    "result_or_not_done": "vsorres is not null or coalesce(vsstat = 'NOT DONE', false)",
    "unit_known": "vsorres is null or low is null or factor is not null",
    "value_possible": "vsstresn between low and high",
    "visit_is_a_number": "visitnum is not null",
    "date_real": "vsdt is not null",
    "date_in_study": "vsdt >= date '2012-01-01'",
    "measured_before_delivery": "vsdt <= delivered",
}


def start(out: Path) -> SparkSession:
    """A session for two cores, with the memory that its guide has one set for a single machine."""
    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "8g")
    settings = {
        "spark.sql.shuffle.partitions": "4",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(out / "tmp"),
        "spark.sql.ansi.enabled": "false",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def work(files: list[Path], out: Path) -> dict:
    spark = session
    schema = StructType([StructField(name.lower(), StringType()) for name in COLUMNS])
    units = spark.createDataFrame(list(TO_STANDARD), ["vstestcd", "vsorresu", "zero", "factor"])
    limits = spark.createDataFrame([(test, LOW[test], HIGH[test]) for test in LOW], ["vstestcd", "low", "high"])
    raw = spark.read.csv([str(file) for file in files], schema=schema, header=True)
    typed = (
        raw.withColumn("delivered", F.to_date(F.regexp_extract(F.input_file_name(), r"_([0-9-]{10})\.csv$", 1)))
        .join(F.broadcast(units), ["vstestcd", "vsorresu"], "left")
        .join(F.broadcast(limits), ["vstestcd"], "left")
        .withColumns(
            {
                "site": F.regexp_extract("usubjid", r"^01-([0-9]{3})-[0-9]+$", 1),
                "vsstresn": (F.col("vsorres").cast("double") - F.col("zero")) * F.col("factor"),
                "visitnum": F.col("visitnum").cast("double"),
                "vsdt": F.when(F.col("vsdtc").rlike("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), F.col("vsdtc").cast("date")),
                "vstptnum": F.col("vstptnum").cast("double"),
            }
        )
    )
    broken = [F.expr(f"case when not ({rule}) then '{name}' end") for name, rule in RULES.items()]
    judged = typed.withColumn("reasons", F.array_compact(F.array(*broken))).drop(
        "zero", "factor", "low", "high", "delivered", "studyid", "vsloc"
    )
    judged = judged.persist()
    judged.filter(F.size("reasons") > 0).write.parquet(str(out / "rejected"))
    newest = Window.partitionBy("usubjid", "vstestcd", "visitnum", "vstptnum").orderBy(F.desc("vsdt"))
    accepted = (
        judged.filter(F.size("reasons") == 0)
        .drop("reasons")
        .withColumn("n", F.row_number().over(newest))
        .filter("n = 1")
        .drop("n")
        .withColumn("month", F.date_format("vsdt", "yyyy-MM"))
    )
    accepted.repartition("month").write.partitionBy("month").parquet(str(out / "accepted"))
    stored = spark.read.option("spark.sql.sources.partitionColumnTypeInference.enabled", "false").parquet(
        str(out / "accepted")
    )
    summary = (
        stored.filter("vsstresn is not null")
        .groupBy("site", "vstestcd", F.date_format("vsdt", "yyyy-MM").alias("month"))
        .agg(F.count("*").alias("results"), F.avg("vsstresn").alias("mean"))
    )
    rows = sorted(tuple(row) for row in summary.collect())
    lines = ["site,vstestcd,month,results,mean", *(",".join(map(str, row)) for row in rows)]
    (out / "summary.csv").write_text("\n".join(lines) + "\n")
    rejected = spark.read.parquet(str(out / "rejected"))
    by_rule = rejected.select(F.explode("reasons").alias("rule")).groupBy("rule").count()
    return {"accepted": stored.count(), "rejected": dict(sorted(map(tuple, by_rule.collect())))}


if __name__ == "__main__":
    import sys

    begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    session = start(Path(sys.argv[2]))
    measured.main(work)
    session.stop()
