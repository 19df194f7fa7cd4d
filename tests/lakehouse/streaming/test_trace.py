"""An alert leads back to the readings it is about, from PostgreSQL as well: to their file and the message itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import broker
import polars as pl
import pytest
from house import House
from rates import Running, declared, message, on_record, until

from lakehouse import postgres, trace
from lakehouse.clock import Clock
from lakehouse.curated import Through
from lakehouse.errors import LakehouseError
from lakehouse.feeds import pulling
from lakehouse.lake import Lake
from lakehouse.streaming.service import Addresses

MART = Through("alerts.rates", "behind.id = this.alert_id")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """With alerts of two keys on record, and the messages in the lake but for those of the second."""
    tmp_path = tmp_path_factory.mktemp("alerts")
    (tmp_path / "landing").mkdir()
    with broker.serving() as kafka:
        stream = declared(kafka.topic(2))
        kafka.topic(1, f"{stream.topic}-alerts")
        one = House(tmp_path / "landing", Lake(str(tmp_path / "lake")), stream.source, Clock(date(2100, 1, 1)))
        kafka.produce(stream.topic, [b"{", *(message("a", at, 130) for at in range(3))], partition=1)
        pulling.pull(one.lake, one.source, one.landing, kafka.url(), one.clock, 10**6)
        one.run()
        kafka.produce(stream.topic, [message("b", at, 130) for at in range(2)], partition=0)
        service = Running(stream, one.lake, Addresses(kafka.url()), 0.1)
        until(lambda: one.lake.open("alerts/rates") is not None and on_record(one.lake).height == 2)
        service.end()
    return one


@contextmanager
def no_warehouse() -> Iterator[str]:
    raise AssertionError("PostgreSQL is not needed here")
    yield ""


def test_an_alert_leads_to_its_messages(house: House, server: str) -> None:
    stream = declared("rates")
    through = {"alerts.rates": stream.through, "marts.rate_alerts": MART}
    ids = dict(on_record(house.lake).select("key", "id").iter_rows())

    @contextmanager
    def warehouse() -> Iterator[str]:
        with postgres.transaction(server, autocommit=True) as cursor:
            cursor.execute("create schema if not exists marts")
            cursor.execute("create table marts.rate_alerts (alert_id text, who text)")
            for key, name in ids.items():
                cursor.execute(f"insert into marts.rate_alerts values ('{name}', '{key}')")
        try:
            yield server
        finally:
            with postgres.transaction(server, autocommit=True) as cursor:
                cursor.execute("drop table marts.rate_alerts")

    for table, where in (("alerts.rates", "key = 'a'"), ("marts.rate_alerts", "who = 'a'")):
        opened = no_warehouse if table == "alerts.rates" else warehouse
        found = trace.trace(house.lake, opened, table, where, 20, through, [house.source])
        assert found.through == "raw.rates"
        rows = found.rows.sort("_line")
        # The poison before them is the first message of the file.
        assert rows["_line"].to_list() == [2, 3]
        assert rows["_file"].unique().item().endswith("_p1@00000000000000000000~00000000000000000003.parquet")
        told = [json.loads(text) for text in rows["_text"]]
        assert [(one["partition"], one["offset"], one["value"]["who"]) for one in told] == [(1, 1, "a"), (1, 2, "a")]
        # An alert goes out before its messages are in the lake.
        other = where.replace("'a'", "'b'")
        assert trace.trace(house.lake, opened, table, other, 20, through, [house.source]).rows.is_empty()


def test_alerts_of_which_nothing_is_in_the_lake_lead_nowhere_yet(house: House) -> None:
    through = {"alerts.rates": Through("raw.nothing", "true")}
    found = trace.trace(house.lake, no_warehouse, "alerts.rates", "true", 20, through, [])
    assert found.rows.equals(pl.DataFrame(schema={**found.rows.schema}))
    with pytest.raises(LakehouseError, match=r"a row of alerts\.rates is made of many"):
        trace.trace(house.lake, no_warehouse, "alerts.rates", "true", 20, {}, [])
