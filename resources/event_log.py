"""Dagster's event log in PostgreSQL, over connections that are kept open.

The stock storage opens a connection for every statement, several for each event: a new process of the server each time,
which takes longer than what it is asked.
"""

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine, pg_url_from_config

# One is used at a time, but for the threads of a code server.
_KEPT, _MORE = 1, 20


class PooledEventLogStorage(PostgresEventLogStorage):
    """The event log of the pinned Dagster; only where its connections come from is another."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        self._engine = create_pg_engine(
            postgres_url,
            None,
            isolation_level="AUTOCOMMIT",
            pool_size=_KEPT,
            max_overflow=_MORE,
            # The server may have been restarted since.
            pool_pre_ping=True,
        )

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledEventLogStorage":
        return cls(pg_url_from_config(config_value), inst_data)
