"""The dbt models as Dagster assets, on top of the loaded tables: same graph, same checks, same lineage."""

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliInvocation, dbt_assets
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from assets.wiring.describe import shown_before
from lakehouse.errors import LakehouseError
from lakehouse.postgres import settle, transaction
from lakehouse.warehouse import models_code, models_finished, models_started
from resources.dbt import DbtResource
from resources.warehouse import WarehouseResource

# Unit tests judge the models' code, not the data: they belong to `make test` and to the analytics engineer.
_BUILD = ["build", "--exclude-resource-type", "unit_test"]


class Translator(DagsterDbtTranslator):
    """Names and groups dbt's models as the rest of the graph is named: `staging/stg_subjects`, `marts/dim_subject`."""

    def __init__(self, freshness: timedelta) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))
        self._freshness = freshness

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id)
        if node is None:
            return spec
        layer = node["fqn"][1]
        policy = dg.FreshnessPolicy.time_window(fail_window=self._freshness)
        return spec.replace_attributes(
            key=dg.AssetKey([layer, node["name"]]),
            group_name=layer,
            owners=spec.owners or ["team:analytics"],
            freshness_policy=policy,
        )


class FirstLines(io.TextIOBase):
    """Passes on the first line of every message: what follows is PostgreSQL's, and may quote a row."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(text.partition("\n")[0] + ("\n" if text.endswith("\n") else ""))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def _told(build: DbtCliInvocation) -> str:
    """Which models and tests failed, without what PostgreSQL says of them."""
    try:
        results = build.get_artifact("run_results.json")["results"]
    except (OSError, KeyError, ValueError):
        results = []
    names = [item["unique_id"].split(".")[2] for item in results if item["status"] in {"error", "fail"}]
    failed = ", ".join(names) or "the project"
    return f"dbt: {failed} failed; dbt build -s {' '.join(names)} in dbt_project/ shows why, in a schema of your own"


def _counted(url: str, node: Mapping[str, Any], log: dg.DagsterLogManager) -> dict[str, int]:
    """How many rows a model has, as metadata; nothing when PostgreSQL does not say: the model is there all the same."""
    try:
        with transaction(url) as cursor:
            cursor.execute(f'select count(*) from "{node["schema"]}"."{node["alias"]}"')
            return {"dagster/row_count": (cursor.fetchone() or (0,))[0]}
    except LakehouseError as error:
        log.warning(f"{node['name']} was not counted: {error}")
        return {}


def build(dbt: DbtResource, freshness: timedelta) -> dg.AssetsDefinition:
    """One step that builds and tests every model. Parses the project when its files changed since the last time."""

    @dbt_assets(
        manifest=dbt.manifest(), dagster_dbt_translator=Translator(freshness), name="dbt_build", pool="warehouse"
    )
    def _dbt_build(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[WarehouseResource],
        dbt: dg.ResourceParam[DbtResource],
    ) -> Iterator[Any]:
        # dagster-dbt works out lineage while models are built, as long as they take and with threads that never sleep.
        lineage = shown_before(context.instance, context.selected_asset_keys, dbt.fingerprint)
        unknown = lineage.keys() != context.selected_asset_keys
        with warehouse.url() as url:
            loads = models_started(url)
            # Models that follow a table do again what changed in it, not what changed in their code.
            words = _BUILD if models_code(url) == dbt.fingerprint else [*_BUILD, "--full-refresh"]
            # A model shows the tables as they were loaded by then: its version is when it was built.
            made = {
                "table_version": datetime.now(UTC).isoformat(),
                "contract_version": dbt.fingerprint,
                "code_version": dbt.fingerprint,
            }
            with redirect_stdout(FirstLines(sys.stdout)):
                build = dbt.cli(url, asks=unknown).cli(words, context=context, target_path=dbt.target)
                events = build.stream()
                try:
                    for event in events.fetch_column_metadata() if unknown else events:
                        if not isinstance(event, dg.Output):
                            yield event
                            continue
                        node = build.manifest["nodes"][event.metadata["unique_id"].value]
                        key = context.asset_key_for_output(event.output_name)
                        told: dict[str, Any] = {**lineage.get(key, {}), **event.metadata, **made}
                        if node["config"]["materialized"] != "view":
                            told |= _counted(url, node, context.log)
                        yield event.with_metadata(told)
                except DagsterDbtCliRuntimeError:
                    raise dg.Failure(_told(build), allow_retries=False) from None
                finally:
                    # Nobody else would stop it, and another build may come.
                    if build.process.poll() is None:
                        build.process.terminate()
                        build.process.wait()
            if context.selected_asset_keys == context.assets_def.keys:
                models_finished(url, dbt.fingerprint, loads)
            settle(
                url, {node["schema"] for node in build.manifest["nodes"].values() if node["resource_type"] == "model"}
            )

    return _dbt_build
