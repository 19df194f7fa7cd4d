"""Whether lakehouse has become slower: beside bare Polars, compared with what `results.json` has for the same work.

    python bench/quick.py [--rows 1000000] [--rounds 3]

Both take turns over one file. Machines differ less in the ratio of the two than in either's seconds. Ends with 1 when a
ratio is more than 1.25 times the recorded one.
"""

import argparse
import sys

import contest
import results

FIGURES = ("body_cpu", "body_wall", "cpu", "peak_mb")
TOLERATED = 1.25


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=contest.ROWS)
    options.add_argument("--rounds", type=int, default=contest.ROUNDS)
    asked = options.parse_args()
    contest.WORK.mkdir(parents=True, exist_ok=True)
    landing = contest.data(contest.WORK, asked.rows, "one")
    taken, left_out = contest.hold(("lakehouse", "polars"), landing, contest.WORK, asked.rounds, contest.PATIENCE)
    if left_out:
        sys.exit("There is nothing to compare with.")
    now = {name: results.spread(runs) for name, runs in taken.items()}
    recorded = [
        entry["contenders"]
        for entry in results.known_entries(contest.BENCH)
        if (entry["shape"], entry["rows"]) == ("one", asked.rows) and "polars" in entry["contenders"]
    ]
    slower = []
    print(f"{'lakehouse/polars':16} {'now':>6} {'recorded':>9}")
    for figure in FIGURES:
        title, ratio = results.FIGURES[figure][0], _ratio(now, figure)
        before = _ratio(recorded[0], figure) if recorded else None
        print(f"{title:16} {ratio:6.2f} " + (f"{before:9.2f}" if before else "        –"))
        if before and ratio > TOLERATED * before:
            slower.append(f"{title} is {ratio / before:.2f} times what was recorded")
    if not recorded:
        print(f"Nothing is recorded for one file of {asked.rows:,} records: make bench does.")
    elif not slower:
        print(f"No ratio is more than {TOLERATED} times the recorded one.")
    if slower:
        sys.exit("Worse than recorded: " + "; ".join(slower) + ".")


def _ratio(contenders: results.Contenders, figure: str) -> float:
    return contenders["lakehouse"][figure]["median"] / contenders["polars"][figure]["median"]


if __name__ == "__main__":
    main()
