"""What importing `lakehouse.definitions` costs beside importing dagster and dagster_dbt alone.

    python bench/imports.py [--rounds 7]

Fresh processes that take turns; medians of wall time.
"""

import argparse
import statistics
import subprocess
import sys
import time

CONTENDERS = {"alone": "import dagster, dagster_dbt", "lakehouse": "import lakehouse.definitions"}


def main() -> None:
    """Let the two take turns and print their medians and the ratio."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    taken: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(options.parse_args().rounds):
        for name, statement in CONTENDERS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True)
            taken[name].append(time.perf_counter() - begun)
    alone, lakehouse = (statistics.median(taken[name]) for name in CONTENDERS)
    print(f"alone {alone:.2f} s   lakehouse.definitions {lakehouse:.2f} s   ratio {lakehouse / alone:.2f}")


if __name__ == "__main__":
    main()
