"""A table that was altered, and whether the lake has what it has."""

from logical import Puller, rows, texts, values

from lakehouse.changes import current
from lakehouse.feeds import Extract


def columns(url: str, table: str) -> list[str]:
    return [
        str(name)
        for (name,) in rows(
            url,
            "select attname from pg_attribute where attnum > 0 and not attisdropped and attgenerated = '' "
            f"and attrelid = '{table}'::regclass",
        )
    ]


def same(puller: Puller, table: str = "things") -> None:
    """The lake has what the table has, in the columns that the table has."""
    names = columns(puller.url, table)
    now = current(puller.log().lazy(), ["id"]).collect()
    assert values(now, *names) == texts(puller.url, table, *names)


def again(extracts: list[Extract]) -> bool:
    """Whether all rows were told again."""
    return any(extract.part.stream.endswith("_again") for extract in extracts)


def settled(puller: Puller) -> None:
    """Nothing waits, nothing is wrong, and nothing more comes."""
    puller.release()
    lag = puller.feed.lag(puller.url, puller.source, puller.reached)
    assert not lag.any
    assert lag.trouble is None
    assert puller.pull() == []
