"""One materialization for each delivery day that holds something new, and none for the other days of a range.

Dagster reports every partition of the range a run asks for, present or not, one event at a time. This reports the days
that were touched, in batches. It leans on internals of the pinned Dagster, each guarded by a test.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, generate_event_batch_id

UNSEEN = DEFAULT_DATA_VERSION.value


def report_days(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    days: Mapping[date, Mapping[str, Any]],
    newest: Mapping[str, Any],
    code_version: str,
    inputs: Mapping[dg.AssetKey, str],
) -> None:
    """Report the asset as materialized for each day, with the day's metadata; the last day carries `newest` as well.

    inputs: the assets it is made from, each with the version of its data that Dagster knows; `UNSEEN` of one that
    nobody materializes. It is never behind those, which are written by the same step or by nobody here, so Dagster is
    given no event to compare with; only other code makes it stale.
    """
    step = context.get_step_execution_context()
    tags = {CODE_VERSION_TAG: code_version}
    for item, version in inputs.items():
        tags |= {get_input_data_version_tag(item): version, get_input_event_pointer_tag(item): NULL_EVENT_POINTER}
    batch = generate_event_batch_id()  # type: ignore[no-untyped-call]
    ordered = sorted(days)
    for day in ordered:
        last = day == ordered[-1]
        event = dg.AssetMaterialization(
            key,
            partition=day.isoformat(),
            metadata={**days[day], **(newest if last else {})},
            tags=tags,
        )
        DagsterEvent.asset_materialization(step, event, DagsterEventBatchMetadata(batch, last))


def reported(key: dg.AssetKey) -> dg.Output[None]:
    """The output of an asset whose days were reported: Dagster is to add no events of its own."""
    name = key.to_python_identifier()
    return dg.Output(None, output_name=name, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})
