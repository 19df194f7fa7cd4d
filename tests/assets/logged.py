"""What tests of the EDC's sources share: how a change is told beside the row that it is of."""

from collections.abc import Mapping

LOGGED: Mapping[str, str | None] = {
    "entered_by": "coordinator-701",
    "entered_at": "2014-01-06 09:00:00+00",
    "cdc_op": "insert",
    "cdc_starts": "1",
    "cdc_lsn": "00000000019A2B38",
    "cdc_seq": "1",
    "cdc_xid": "771",
    "cdc_at": "2014-01-06T09:00:00.123456Z",
    "cdc_unchanged": None,
}


def rowless(change: Mapping[str, str | None]) -> dict[str, str | None]:
    """The change without its row's values, as one of no one row is told."""
    return {name: value if name.startswith("cdc_") else None for name, value in change.items()}
