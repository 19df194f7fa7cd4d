"""The lake's storage as a Dagster resource."""

import dagster as dg
from dagster_deltalake import LocalConfig, S3Config
from pydantic import Field

from lakehouse.lake import Lake
from lakehouse.settings import Settings


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the Delta tables and the delivered bytes are.

    Credentials of an object store come from its usual environment variables, never from this configuration, which the
    Dagster UI shows.
    """

    root: str = Field(description="A folder, or an object-store URI such as s3://bucket/prefix.")
    storage: LocalConfig | S3Config = Field(discriminator="provider")

    @classmethod
    def of(cls, settings: Settings) -> "LakeResource":
        """The lake these settings name."""
        storage = S3Config() if settings.lake_uri.startswith("s3://") else LocalConfig()
        return cls(root=settings.lake_uri, storage=storage)

    @property
    def lake(self) -> Lake:
        """The engine's handle."""
        # `provider` tells the configurations apart; no object store knows it.
        return Lake(self.root, {key: value for key, value in self.storage.str_dict().items() if key != "provider"})
