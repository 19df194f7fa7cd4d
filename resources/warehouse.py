"""PostgreSQL as a Dagster resource: the configured server, or the embedded one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lakehouse import manifest, postgres, warehouse
from lakehouse.lake import Lake
from lakehouse.settings import Settings


@dataclass(frozen=True)
class WarehouseResource:
    """Loads the lake's tables. Its URL is a secret: it is held in settings, not in configuration that the UI shows."""

    settings: Settings

    @contextmanager
    def url(self) -> Iterator[str]:
        """The server's URL while it is needed; an embedded server is started if it is not up."""
        with postgres.serving(self.settings) as url:
            yield url

    def pinned(self, tables: Sequence[warehouse.Table]) -> dict[str, set[int]]:
        """By table of the lake, the versions that PostgreSQL shows."""
        with self.url() as url:
            return warehouse.pinned(url, tables)

    def publish(self, lake: Lake, tables: Sequence[warehouse.Table]) -> list[warehouse.Load]:
        """Bring PostgreSQL up to the lake's consistent state; what changed, by table."""
        with self.url() as url:
            return warehouse.publish(lake, url, tables, manifest.versions(lake))
