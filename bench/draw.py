"""The pictures of `curves.json`, for the docs; run by `bench/curves.py` in an environment that has matplotlib.

python bench/draw.py CURVES.json FOLDER
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt


def draw(name: str, label: str, points: dict[str, list[list[float]]], folder: Path) -> None:
    """A picture of seconds, and beside it of memory where that was measured."""
    panels = len(points["lakehouse"][0]) - 1
    figure, axes = plt.subplots(1, panels, figsize=(8 if panels > 1 else 4.4, 3), squeeze=False)
    for at, (ax, unit) in enumerate(zip(axes[0], ("seconds", "peak memory, MB"), strict=False), 1):
        for who, line in points.items():
            ax.plot([point[0] for point in line], [point[at] for point in line], "o-", label=who, markersize=4)
        ax.set_xscale("symlog" if line[0][0] == 0 else "log")
        if name in ("rows", "files") and at == 1:
            ax.set_yscale("log")
        else:
            ax.set_ylim(bottom=0)
        ax.set_xlabel(label)
        ax.set_ylabel(unit)
        ax.grid(visible=True, alpha=0.3)
    if len(points) > 1:
        axes[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(folder / f"curve-{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    spines = {"axes.spines.top": False, "axes.spines.right": False}
    plt.rcParams.update({"svg.hashsalt": "curves", "font.size": 9, **spines})
    for curve, told in json.loads(Path(sys.argv[1]).read_text()).items():
        draw(curve, told["label"], told["points"], Path(sys.argv[2]))
