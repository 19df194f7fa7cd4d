"""One task, done by lakehouse and by what others would use: the same records, rules and summary, in turn.

    python bench/suite.py [--rows 1000000] [--shapes one,daily,small,pilot] [--only polars,lakehouse,…] [--rounds 3]
    python bench/suite.py --warehouse [--rows 1000000] [--rounds 3]

Every contender first runs once and its answer is compared: accepted and rejected records with what was put into the
files, the summary with lakehouse's. Only who gives that answer, within PATIENCE seconds, takes part in the rounds: each
time a fresh process, a fresh folder, and a fresh server for who needs one. With `--warehouse` the accepted rows are
loaded into PostgreSQL instead, in four ways. What was measured replaces what `results.json` had for that shape and
number of rows, and `RESULTS.md` is written anew. Data and each contender's environment are kept in the work folder.
"""

import argparse
import json
from pathlib import Path

import contest
import results
import warehouse
from contest import BENCH, CONTENDERS


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=contest.ROWS)
    options.add_argument("--shapes", default="one,daily,small,pilot", help="see scaled.py")
    options.add_argument("--only", default=",".join(CONTENDERS), help="lakehouse always takes part")
    options.add_argument(
        "--rounds", type=int, default=contest.ROUNDS, help="0: the run that is compared is the only one"
    )
    options.add_argument("--patience", type=float, default=contest.PATIENCE)
    options.add_argument("--warehouse", action="store_true")
    options.add_argument("--work", type=Path, default=contest.WORK)
    options.add_argument("--out", type=Path, default=BENCH, help="where results.json and RESULTS.md are")
    asked = options.parse_args()
    work = asked.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if asked.warehouse:
        taken = warehouse.loads(work, asked.rows, asked.rounds, asked.patience)
        command = f"python bench/suite.py --warehouse --rows {asked.rows} --rounds {asked.rounds}"
        results.keep(asked.out, command, "warehouse", asked.rows, "adbc", taken, {})
        return
    wanted = set(asked.only.split(","))
    if unknown := wanted - CONTENDERS.keys():
        options.error(f"no such contender: {', '.join(sorted(unknown))}")
    names = [name for name in CONTENDERS if name in wanted | {"lakehouse"}]
    for shape in asked.shapes.split(","):
        landing = contest.data(work, asked.rows, shape)
        rows = json.loads((landing / "expected.json").read_text())["rows"]
        print(f"{rows:,} records, {shape}", flush=True)
        taken, left_out = contest.hold(names, landing, work, asked.rounds, asked.patience)
        command = f"python bench/suite.py --shapes {shape} --rows {asked.rows} --rounds {asked.rounds}"
        if len(names) < len(CONTENDERS):
            command += f" --only {','.join(names)}"
        results.keep(asked.out, command, shape, rows, "lakehouse", taken, left_out)


if __name__ == "__main__":
    main()
