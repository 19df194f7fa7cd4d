"""dbt as a Dagster resource: the project, its parsed manifest, and runs of its command line.

The manifest is parsed when the project's files change, not at every start: parsing takes longer than everything else
that happens when the code is loaded.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dagster_dbt import DbtCliResource
from packaging.version import Version

from lakehouse import postgres
from lakehouse.errors import DefinitionError
from lakehouse.settings import PROJECT, Settings, export
from lakehouse.standing import fingerprint

PROJECT_DIR = PROJECT / "dbt_project"


class _Dbt(DbtCliResource):
    """dagster-dbt's resource, without what it does before each command whether it is needed or not: it starts a whole
    `dbt --version` to read a number, and loads the project to be able to ask the warehouse about models.
    """

    asks: bool

    @cached_property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        return super()._initialize_dbt_core_adapter(args) if self.asks else None


@dataclass(frozen=True)
class DbtResource:
    """Runs dbt on the project as the warehouse's owner (target `prod`)."""

    settings: Settings
    project: Path = PROJECT_DIR

    @cached_property
    def fingerprint(self) -> str:
        """Names the project's code: changes with any of its files."""
        return fingerprint(self.project)

    @property
    def target(self) -> Path:
        """Where dbt keeps what it worked out; one folder for each state of the project's code."""
        return self.settings.home / "dbt" / self.fingerprint

    def manifest(self) -> Path:
        """The parsed project, parsed anew only when its files changed. Raises DefinitionError when dbt refuses it."""
        path = self.target / "manifest.json"
        if path.is_file():
            return path
        # Parsed aside and moved into place whole: several processes may find it missing at once.
        aside = self.target.with_name(f"{self.fingerprint}.{os.getpid()}")
        command = [self._executable, "--quiet", "parse", "--target", "prod", "--target-path", str(aside)]
        places = ["--project-dir", str(self.project), "--profiles-dir", str(self.project), "--log-path", str(aside)]
        done = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
        if done.returncode:
            raise DefinitionError(f"dbt cannot parse {self.project}:\n{done.stdout}{done.stderr}")
        try:
            aside.rename(self.target)
        except OSError:
            shutil.rmtree(aside)
        return path

    def cli(self, url: str, asks: bool) -> DbtCliResource:
        """dbt's command line against the server at `url`. asks: Dagster wants to know more than dbt says."""
        export(postgres.dbt_environment(url))
        return _Dbt(
            project_dir=str(self.project),
            profiles_dir=str(self.project),
            target="prod",
            dbt_executable=self._executable,
            # The log of everything that dbt does takes as long as some models; what fails is in its output.
            global_config_flags=["--log-level-file", "none"],
            asks=asks,
        )

    @property
    def _executable(self) -> str:
        return str(Path(sys.executable).with_name("dbt"))
